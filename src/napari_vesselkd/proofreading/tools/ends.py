"""Where vessels end: open ends, with the direction they point to, and the spurs that are none.

Notation: an end is a node of a skeleton with one edge (or none); its branch is the way to the next junction.
A vessel that leaves the volume does not end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.proofreading.tools.boxes import F64
from napari_vesselkd.proofreading.tools.skeleton import SkeletonGraph

SPUR = 1.5  # a branch that sticks out of its junction by less than this many radii of the junction is noise
TANGENT = 3.0  # radii, over which the direction of an end is taken
LEAST_TANGENT = 4  # voxels


@dataclass(frozen=True, eq=False)
class End:
    """An open end of a vessel.

    Attributes
    ----------
    node : int
        Of the graph.
    voxel : (z, y, x)
    direction : ndarray (3,)
        Outwards, of length 1 in um; zeros of a piece that is a point.
    radius_um : float
        Of the vessel near its end: the median along the part that gives the direction.
    length_um : float
        Of the branch, to the next junction or other end.
    branch : tuple of int
        Its nodes, from the end.
    piece : int
        Number of its connected piece of skeleton.
    """

    node: int
    voxel: tuple[int, int, int]
    direction: F64
    radius_um: float
    length_um: float
    branch: tuple[int, ...]
    piece: int


def open_ends(graph: SkeletonGraph, shape: Shape, *, spurs: bool = False) -> list[End]:
    """Return the ends of a skeleton that lie inside a volume of `shape`.

    Parameters
    ----------
    graph : SkeletonGraph
        Of a mask of the volume.
    shape : (z, y, x)
        Vessels that point out of it and are near its border do not count.
    spurs : bool, optional
        The ends that are bumps of a thicker vessel instead.
    """
    found = (_end(graph, int(node)) for node in np.flatnonzero(graph.degree <= 1))
    return [
        end for end in found if is_spur(graph, end) == spurs and not leaves(end, shape, graph.voxel_size_um)
    ]


def is_spur(graph: SkeletonGraph, end: End) -> bool:
    """Return whether a branch is but a bump: it ends near the wall of the vessel that it comes from."""
    last = end.branch[-1]
    if graph.degree[last] < 3:
        return False
    reach = float(np.linalg.norm(graph.places_um[end.node] - graph.places_um[last]))
    return bool(reach < max(SPUR * graph.radius_um[last], 2 * min(graph.voxel_size_um)))


def leaves(end: End, shape: Shape, voxel_size_um: tuple[float, float, float]) -> bool:
    """Return whether a vessel leaves the volume at its end: it points out and the border is near."""
    size = np.asarray(voxel_size_um)
    place, high = np.asarray(end.voxel), np.asarray(shape) - 1
    if not end.direction.any():
        return bool((np.minimum(place, high - place) <= 1).any())
    step = float(np.linalg.norm(size * end.direction))
    reach = (1.5 * max(end.radius_um, 0.0) + 1.5 * step) * end.direction / size
    return bool((place + reach < 0).any() or (place + reach > high).any())


def _end(graph: SkeletonGraph, node: int) -> End:
    branch = graph.walk(node)
    places = graph.places_um[branch]
    travelled = np.r_[0, np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))]
    radius = float(np.median(graph.radius_um[branch[: max(3, len(branch) // 3)]]))
    size = graph.voxel_size_um
    reach = max(TANGENT * radius, LEAST_TANGENT * min(size), 2 * max(size))
    used = int(np.searchsorted(travelled, reach, side="right"))
    radius = float(np.median(graph.radius_um[branch[: max(used, 1)]]))
    z, y, x = (int(value) for value in graph.nodes[node])
    return End(
        node,
        (z, y, x),
        _direction(places[: max(used, 2)]),
        max(radius, min(size) / 2),
        float(travelled[-1]),
        tuple(branch),
        int(graph.pieces[node]),
    )


def _direction(places: F64) -> F64:
    """Return the unit vector (3,) from the inside to the first of `places` (N, 3), by their main axis."""
    if len(places) < 2:
        return np.zeros(3)
    _, _, axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
    way = axes[0]
    outward = float(way @ (places[0] - places[-1]))
    return np.asarray(way if outward >= 0 else -way)


def inside(end: End, region: Region) -> bool:
    """Return whether the voxel of an end lies in `region`."""
    return all(a <= v < b for a, v, b in zip(region.start, end.voxel, region.stop, strict=True))
