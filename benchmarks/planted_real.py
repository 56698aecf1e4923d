"""The errors of `planted_errors` in the hand-drawn labels of real stacks, for `bench_proofreading_tools.py`.

The centrelines are the skeleton of the label, and what is proposed beside a planted gap may be a vessel that
nobody drew: precision is a lower bound. Half of the gaps are made faint in the image, as in the phantoms.
Notation: voxels (z, y, x), lengths in um.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
from bench_accuracy import two_photon
from planted_errors import Lines, Planted, plant
from scipy import ndimage

from napari_vesselkd.proofreading.tools.skeleton import skeleton_graph

SIDE = 256  # of the middle of each stack
LEAST = 5  # voxels of a branch


def real_cases(data: Path, draws: int) -> Iterator[tuple[Planted, Lines]]:
    """Yield each stack with planted errors, several times with other ones, with its centrelines."""
    for number, case in enumerate(two_photon(data)):
        image, label = np.asarray(case.volume.levels[0][...], np.float32), case.reference
        middle = (slice(None), *(slice((n - SIDE) // 2, (n + SIDE) // 2) for n in image.shape[1:]))
        stack = drawn_stack(image[middle], label[middle], case.volume.voxel_size_um)
        lines = Lines(stack)
        for draw in range(draws):
            found = Planted(stack, stack.image.copy(), stack.label.copy())
            plant(found, lines, np.random.default_rng([number, draw, 8]), merged=0)
            yield found, lines


def drawn_stack(image: np.ndarray, label: np.ndarray, size: tuple[float, ...]) -> SimpleNamespace:
    """Return a stack as a phantom is: with the graph of its centrelines, (z, y, x) in um."""
    found = skeleton_graph(label, size)
    graph = nx.MultiGraph()
    for branch in np.flatnonzero(np.bincount(found.branches) >= LEAST):
        nodes = np.flatnonzero(found.branches == branch)
        path = _in_order(found, nodes)
        if len(path) < LEAST:
            continue
        points = ndimage.gaussian_filter1d(found.places_um[path], 1.0, axis=0, mode="nearest")
        radius = np.maximum(found.radius_um[path], 0.5 * size[2])
        graph.add_edge((branch, 0), (branch, 1), points=points, radius_um=radius)
    inflation = {"label_inflation_um": (0.0, 0.5 * size[2])}  # `radius_um` has half a voxel taken off
    return SimpleNamespace(image=image, label=label, voxel_size_um=size, graph=graph, params=inflation)


def _in_order(found, nodes: np.ndarray) -> list[int]:
    """Return the nodes of a branch from one end to the other."""
    mine = set(nodes.tolist())
    ends = [n for n in mine if sum(int(one) in mine for one in found.neighbours(n)) <= 1]
    path, before = [min(ends, default=int(nodes[0]))], -1
    while True:
        onward = [int(n) for n in found.neighbours(path[-1]) if int(n) in mine and int(n) != before]
        if not onward or onward[0] == path[0]:
            return path
        before = path[-1]
        path.append(onward[0])
