"""The vessels of a phantom as a graph: a scene's trees, their companions and the capillary bed.

A network is a `networkx.Graph`. Nodes carry ``pos_um`` ((z, y, x), voxel 0's centre being the origin) and
``tree`` (0 in a capillary bed); edges carry ``points`` ((N, 3) um, from the node with the smaller number to
the other), ``radius_um`` ((N,) um) and ``kind`` ("tree", "companion" or "capillary"). Vessels go on a little
beyond the volume.
"""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from napari_vesselkd.phantoms.capillaries import add_capillaries, join_trees
from napari_vesselkd.phantoms.raster import Segments
from napari_vesselkd.phantoms.trees import TreeStyle, add_companion, enter_tree

F64 = npt.NDArray[np.float64]


def build_network(fields: dict[str, Any], rng: np.random.Generator) -> nx.Graph:
    """Return the graph of a phantom for the resolved configuration `fields`.

    Sizes follow the in-plane voxel: thin vessels are 1 to 4 voxels wide and the widest a quarter of the field
    of view, as in real acquisitions, where the zoom is chosen for the vessels of interest.
    """
    extent = np.asarray(fields["shape"]) * np.asarray(fields["voxel_size_um"])
    pixel, scene, density = float(fields["voxel_size_um"][2]), fields["scene"], float(fields["density"])
    graph = nx.Graph()
    capillary = _ratio(0.6, 3.2, rng) * pixel
    styles = _styles(scene, density, pixel=pixel, capillary=capillary, view=float(extent[1:].min()), rng=rng)
    for style in styles:
        enter_tree(graph, style, extent, rng, descending=scene == "capillary" and rng.uniform() < 0.6)
    if styles and rng.uniform() < 0.35:
        for _ in range(int(rng.integers(1, 4))):
            add_companion(graph, rng)
    if scene == "capillary" or (scene == "pial" and rng.uniform() < 0.8):
        spacing = 95 * (22 / 95) ** density * pixel * max(1.0, capillary / (2 * pixel))
        tortuosity = float(rng.uniform(0.03, 0.28))
        add_capillaries(
            graph, extent, spacing_um=spacing, radius_um=capillary, tortuosity=tortuosity, rng=rng
        )
        join_trees(graph, 2.5 * spacing, rng)
    return graph


def _ratio(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _styles(
    scene: str, density: float, *, pixel: float, capillary: float, view: float, rng: np.random.Generator
) -> list[TreeStyle]:
    """Return the trees of a scene."""
    if scene == "pial":
        widest = min(0.26 * view, 48 * pixel)
        trunks = [
            _ratio(min(7 * pixel, 0.5 * widest), widest, rng)
            for _ in range(int(rng.integers(1, 4 + round(3 * density))))
        ]
        bend, flat, length = (float(rng.uniform(*r)) for r in ((0.1, 0.7), (0.03, 0.5), (5, 16)))
        return [TreeStyle(r, max(1.1 * capillary, 0.12 * r), length, 0.75, bend, flat) for r in trunks]
    if scene == "tree":
        count = int(rng.integers(1, 3 + round(4 * density)))
        radii = [min(_ratio(3, 16, rng) * pixel, 0.2 * view) for _ in range(count)]
        bend, flat, length = (float(rng.uniform(*r)) for r in ((0.2, 1.2), (0.3, 1.0), (4, 10)))
        return [TreeStyle(r, 0.8 * pixel, length, 0.4, bend, flat) for r in radii]
    if scene == "sparse":
        radii = [_ratio(1, 9, rng) * pixel for _ in range(int(rng.integers(1, 4)))]
        return [
            TreeStyle(r, 0.9 * pixel, 14.0, 0.6, float(rng.uniform(0.2, 1.2)), float(rng.uniform(0.1, 1)))
            for r in radii
        ]
    radii = [_ratio(1.8, 6, rng) * capillary for _ in range(int(rng.integers(0, 4)))]
    return [
        TreeStyle(r, 1.2 * capillary, float(rng.uniform(5, 12)), 0.7, float(rng.uniform(0.2, 0.9)), 1.0)
        for r in radii
    ]


def segments_of(graph: nx.Graph) -> Segments:
    """Return the capsules of all edges, in the order of ``graph.edges``."""
    points = [data["points"] for _, _, data in graph.edges(data=True)]
    radii = [data["radius_um"] for _, _, data in graph.edges(data=True)]
    if not points:
        none = np.zeros((0, 3))
        return Segments(none, none, np.zeros(0), np.zeros(0), np.zeros(0, np.int32))
    return Segments(
        np.concatenate([p[:-1] for p in points]),
        np.concatenate([p[1:] for p in points]),
        np.concatenate([r[:-1] for r in radii]),
        np.concatenate([r[1:] for r in radii]),
        np.repeat(np.arange(len(points), dtype=np.int32), [len(p) - 1 for p in points]),
    )
