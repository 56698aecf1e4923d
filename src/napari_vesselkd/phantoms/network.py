"""Vessel networks as graphs: trees that branch by Murray's law, looping capillary beds, and both joined.

A network is a `networkx.Graph`. Nodes carry ``pos_um`` (z, y, x); edges carry ``points`` ((N, 3) um, from the
node with the smaller number to the other), ``radius_um`` ((N,) um) and ``kind`` ("tree", "capillary").

Murray's law (C. D. Murray, PNAS 12:207, 1926, eq. 3): the cubes of the radii balance at a branching,
``r0^3 = r1^3 + r2^3``; the branching angles follow from least work (J. Gen. Physiol. 9:835, 1926):
``cos a1 = (r0^4 + r1^4 - r2^4) / (2 r0^2 r1^2)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.spatial import Voronoi, cKDTree

from napari_vesselkd.phantoms.raster import Segments

F64 = npt.NDArray[np.float64]
MAX_CELLS = 2500
MAX_TREE_EDGES = 400


@dataclass(frozen=True)
class TreeStyle:
    """How a tree grows.

    Attributes
    ----------
    radius_um, smallest_um : float
        Radius of the root, and the radius below which a branch ends.
    length : float
        Mean length of a branch in radii.
    asymmetry : float
        0: daughters share the flow evenly; towards 1: a trunk with small side branches.
    tortuosity : float
        Standard deviation of the direction's change over ten radii, in rad.
    flatness : float
        Factor on the z component of every direction; 1 is isotropic, near 0 keeps the tree in the plane.
    """

    radius_um: float
    smallest_um: float
    length: float
    asymmetry: float
    tortuosity: float
    flatness: float


def add_tree(
    graph: nx.Graph, root: F64, direction: F64, style: TreeStyle, extent: F64, rng: np.random.Generator
) -> None:
    """Grow one tree into `graph` from `root` (um) until branches are too thin or leave the box `extent`."""
    first = graph.number_of_nodes()
    graph.add_node(first, pos_um=tuple(root))
    tips = [(first, direction / np.linalg.norm(direction), style.radius_um)]
    for _ in range(MAX_TREE_EDGES):
        if not tips:
            break
        tip, heading, radius = tips.pop(0)
        points, heading = _random_walk(graph.nodes[tip]["pos_um"], heading, radius, style, rng)
        end = graph.number_of_nodes()
        graph.add_node(end, pos_um=tuple(points[-1]))
        _add_edge(graph, tip, end, points, _wavy_radius(radius, radius, len(points), rng), "tree")
        margin = 2 * radius + 20.0
        inside = np.all((points[-1] > -margin) & (points[-1] < extent + margin))
        if inside:
            tips += [
                (end, way, r) for way, r in _branch(heading, radius, style, rng) if r >= style.smallest_um
            ]


def _branch(
    heading: F64, radius: float, style: TreeStyle, rng: np.random.Generator
) -> list[tuple[F64, float]]:
    """Return direction and radius of the two daughters."""
    share = rng.uniform(0.02, 0.5) if rng.uniform() < style.asymmetry else rng.uniform(0.25, 0.5)
    large, small = radius * (1 - share) ** (1 / 3), radius * share ** (1 / 3)
    across = _flat(rng.normal(size=3), style.flatness)
    across -= heading * (across @ heading)
    across /= np.linalg.norm(across) + 1e-12
    ways = []
    for own, other, side in ((large, small, 1.0), (small, large, -1.0)):
        cosine = (radius**4 + own**4 - other**4) / (2 * radius**2 * own**2)
        angle = np.arccos(np.clip(cosine, -1, 1)) * rng.uniform(0.7, 1.2)
        ways.append((np.cos(angle) * heading + side * np.sin(angle) * across, float(own)))
    return ways


def _random_walk(
    start: tuple[float, float, float], heading: F64, radius: float, style: TreeStyle, rng: np.random.Generator
) -> tuple[F64, F64]:
    """Return a smooth path whose direction drifts (a correlated random walk), and its last direction."""
    step = max(0.6 * radius, 1.5)
    count = max(2, round(float(rng.gamma(6.0, style.length * radius / 6.0)) / step))
    drift = rng.normal(size=(count + 4, 3)) * style.tortuosity * np.sqrt(step / (10 * radius))
    drift = np.apply_along_axis(np.convolve, 0, drift, np.ones(5) / np.sqrt(5.0), "valid")
    ways = heading + np.cumsum(_flat(drift, style.flatness), axis=0)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    points = np.vstack([start, np.asarray(start) + np.cumsum(ways * step, axis=0)])
    return points, ways[-1]


def _flat(vectors: F64, flatness: float) -> F64:
    return vectors * np.array([flatness, 1.0, 1.0])


def _wavy_radius(first: float, last: float, count: int, rng: np.random.Generator) -> F64:
    """Return radii from `first` to `last` with a smooth variation that vanishes at both ends."""
    s = np.linspace(0, 1, count)
    waves = sum(rng.normal() / k * np.sin(np.pi * k * s) for k in (1, 2, 3))
    swell = 1 + 0.08 * waves
    if rng.uniform() < 0.06:
        swell = swell + rng.uniform(-0.4, 0.8) * np.exp(
            -(((s - rng.uniform(0.3, 0.7)) / 0.12) ** 2)
        ) * np.sin(np.pi * s)
    return np.asarray((first + (last - first) * s) * np.clip(swell, 0.45, 2.0))


def add_capillaries(
    graph: nx.Graph,
    extent: F64,
    spacing_um: float,
    radius_um: float,
    tortuosity: float,
    rng: np.random.Generator,
) -> None:
    """Add a looping bed: edges of a perturbed Voronoi diagram with cells of `spacing_um`, some left out."""
    low, high = -1.2 * spacing_um * np.ones(3), extent + 1.2 * spacing_um
    count = int(np.clip(np.prod((high - low) / spacing_um), 12, MAX_CELLS))
    seeds = rng.uniform(low, high, size=(count, 3))
    diagram = Voronoi(seeds)
    pairs = {
        (min(a, b), max(a, b))
        for ridge in diagram.ridge_vertices
        for a, b in zip(ridge, ridge[1:] + ridge[:1], strict=True)
        if min(a, b) >= 0
    }
    ordered = np.array(sorted(pairs))
    vertices = diagram.vertices
    length = np.linalg.norm(vertices[ordered[:, 0]] - vertices[ordered[:, 1]], axis=1)
    within = np.all((vertices > low) & (vertices < high), axis=1)
    keep = within[ordered].all(1) & (length < 3 * spacing_um) & (rng.uniform(size=len(ordered)) > 0.33)
    names: dict[int, int] = {}
    for vertex in np.unique(ordered[keep]):
        names[int(vertex)] = graph.number_of_nodes()
        graph.add_node(names[int(vertex)], pos_um=tuple(vertices[vertex]))
    for a, b in ordered[keep]:
        points = _bridge(vertices[a], vertices[b], tortuosity, radius_um, rng)
        radius = radius_um * float(np.exp(rng.normal(0, 0.15)))
        _add_edge(
            graph,
            names[int(a)],
            names[int(b)],
            points,
            _wavy_radius(radius, radius, len(points), rng),
            "capillary",
        )


def _bridge(first: F64, last: F64, tortuosity: float, radius: float, rng: np.random.Generator) -> F64:
    """Return a curved path between two points: a line plus sines with falling amplitudes."""
    length = float(np.linalg.norm(last - first))
    count = int(np.clip(length / (1.5 * radius), 2, 60)) + 1
    s = np.linspace(0, 1, count)[:, None]
    modes = np.arange(1, 5)
    amplitude = rng.normal(size=(4, 3)) * (tortuosity * length / modes**1.5)[:, None]
    return np.asarray(first + (last - first) * s + np.sin(np.pi * s * modes) @ amplitude)


def join_trees(graph: nx.Graph, reach_um: float, rng: np.random.Generator) -> None:
    """Connect each free end of a tree to the nearest capillary node within `reach_um`."""
    capillary = sorted({n for a, b, kind in graph.edges(data="kind") if kind == "capillary" for n in (a, b)})
    ends = [n for n in graph if graph.degree(n) == 1 and n not in set(capillary)]
    if not capillary or not ends:
        return
    finder = cKDTree([graph.nodes[n]["pos_um"] for n in capillary])
    for end in ends:
        distance, nearest = finder.query(graph.nodes[end]["pos_um"])
        if distance > reach_um or distance == 0:
            continue
        target = capillary[int(nearest)]
        _, edge = next(iter(graph[end].items()))
        first = float(min(edge["radius_um"][0], edge["radius_um"][-1]))
        _, other = next(iter(graph[target].items()))
        last = float(other["radius_um"].mean())
        a, b = (np.asarray(graph.nodes[n]["pos_um"]) for n in (end, target))
        points = _bridge(a, b, 0.08, max(last, 1.0), rng)
        radii = _wavy_radius(min(first, 2 * last), last, len(points), rng)
        _add_edge(graph, end, target, points, radii, "capillary")


def _add_edge(graph: nx.Graph, a: int, b: int, points: F64, radius: F64, kind: str) -> None:
    if a > b:
        a, b, points, radius = b, a, points[::-1], radius[::-1]
    graph.add_edge(a, b, points=points, radius_um=radius, kind=kind)


def build_network(fields: dict[str, Any], rng: np.random.Generator) -> nx.Graph:
    """Return the graph of a phantom for the resolved configuration `fields` (positions may leave the box)."""
    extent = np.asarray(fields["shape"]) * np.asarray(fields["voxel_size_um"])
    pixel = float(fields["voxel_size_um"][2])
    scene, density = fields["scene"], float(fields["density"])
    graph = nx.Graph()
    widest = min(0.28 * float(extent[1:].min()), 60.0 * max(1.0, pixel / 1.5))
    capillary = float(rng.uniform(1.3, 3.6)) * pixel**0.5
    spacing = 85 * (26 / 85) ** density * pixel**0.5
    if scene == "pial":
        for _ in range(int(rng.integers(1, 3 + round(2 * density)))):
            radius = float(np.exp(rng.uniform(np.log(max(6 * pixel, 6.0)), np.log(max(widest, 8 * pixel)))))
            style = TreeStyle(
                radius,
                max(1.2 * capillary, 0.15 * radius),
                float(rng.uniform(4, 10)),
                0.8,
                float(rng.uniform(0.1, 0.6)),
                float(rng.uniform(0.05, 0.5)),
            )
            _enter(graph, style, extent, rng)
    elif scene == "tree":
        for _ in range(int(rng.integers(1, 3 + round(3 * density)))):
            radius = float(rng.uniform(4, 14)) * pixel
            style = TreeStyle(
                min(radius, widest),
                max(0.8 * pixel, 1.0),
                float(rng.uniform(4, 9)),
                0.4,
                float(rng.uniform(0.2, 1.0)),
                float(rng.uniform(0.3, 1)),
            )
            _enter(graph, style, extent, rng)
    elif scene == "sparse":
        for _ in range(int(rng.integers(1, 4))):
            style = TreeStyle(
                float(rng.uniform(1.2, 8)) * pixel,
                1.0 * pixel,
                12.0,
                0.6,
                float(rng.uniform(0.2, 1.0)),
                float(rng.uniform(0.1, 1)),
            )
            _enter(graph, style, extent, rng)
    else:
        for _ in range(int(rng.integers(0, 4))):
            style = TreeStyle(
                float(rng.uniform(2, 5)) * capillary,
                1.3 * capillary,
                float(rng.uniform(5, 12)),
                0.7,
                float(rng.uniform(0.2, 0.8)),
                1.0,
            )
            _enter(graph, style, extent, rng, descending=bool(rng.uniform() < 0.6))
    if scene == "capillary" or (scene == "pial" and rng.uniform() < 0.75):
        add_capillaries(graph, extent, spacing, capillary, float(rng.uniform(0.03, 0.16)), rng)
        join_trees(graph, 2.5 * spacing, rng)
    return graph


def _enter(
    graph: nx.Graph, style: TreeStyle, extent: F64, rng: np.random.Generator, descending: bool = False
) -> None:
    """Start a tree outside the box, heading for a random point inside."""
    target = rng.uniform(0.1, 0.9, size=3) * extent
    heading = _flat(rng.normal(size=3), style.flatness)
    if descending:
        heading = np.array([1.0, *rng.normal(0, 0.2, size=2)])
    heading /= np.linalg.norm(heading)
    reach = 0.5 * float(np.min(extent / np.maximum(np.abs(heading), 1e-3))) + style.radius_um
    add_tree(graph, target - heading * reach, heading, style, extent, rng)


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
