"""Minimum-cost paths and tubes around them.

Notation: s evidence (0..1); the cost of a um is ``1 / (FLOOR + s)``, inside a vessel that of s = 1; a path is
a chain of voxels (N, 3), neighbours through faces, edges and corners; lengths and radii in um.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from napari_vesselkd.geometry import Shape, VoxelSize
from napari_vesselkd.phantoms.raster import Segments, signed_distance
from napari_vesselkd.proofreading.tools.boxes import F32, F64, I64, Mask

FLOOR = 0.05  # a path goes at most 21 times as far in vessel to avoid background


def travel_cost(evidence: F32, inside: Mask) -> F32:
    """Return the cost per um, (z, y, x) float32, 1 to about 20; finite and positive everywhere."""
    support = np.where(inside, np.float32(1), evidence)
    return np.asarray((1 + FLOOR) / (FLOOR + support), np.float32)


def cheapest_path(cost: F32, start: Shape, stop: Shape, voxel_size_um: VoxelSize) -> tuple[I64, float]:
    """Return the path (N, 3) of the least cost from `start` to `stop`, and its cost.

    A step costs its length in um times the mean cost of its two voxels (`skimage.graph.MCP_Geometric`).
    """
    graph = MCP_Geometric(cost, sampling=tuple(voxel_size_um))
    costs, _ = graph.find_costs([start], [stop])
    return np.asarray(graph.traceback(stop), np.int64), float(costs[stop])


def path_length(path: F64 | I64, voxel_size_um: VoxelSize) -> float:
    """Return the length in um of a path (N, 3) in voxels."""
    steps = np.diff(np.asarray(path, np.float64), axis=0) * np.asarray(voxel_size_um)
    return float(np.linalg.norm(steps, axis=1).sum())


def smoothed(path: F64 | I64, voxels: int = 3) -> F64:
    """Return a path (N, 3) without its staircase: a moving mean; its two ends stay."""
    points = np.asarray(path, np.float64)
    if len(points) < 3:
        return points
    mean = ndimage.uniform_filter1d(points, size=2 * (voxels // 2) + 1, axis=0, mode="nearest")
    mean[[0, -1]] = points[[0, -1]]
    return np.asarray(mean)


def tube(path: F64 | I64, radius_um: F64, shape: Shape, voxel_size_um: VoxelSize) -> Mask:
    """Return the voxels of an array of `shape` whose centre is within the radius of a path.

    The voxels of the path themselves always belong to it, so that it is one piece however thin it is.

    Parameters
    ----------
    path : ndarray (N, 3)
        In voxels, inside the array.
    radius_um : ndarray (N,)
    """
    points = smoothed(path) * np.asarray(voxel_size_um)
    if len(points) == 1:
        points, radius_um = np.repeat(points, 2, axis=0), np.repeat(radius_um, 2)
    edge = np.zeros(len(points) - 1, np.int32)
    capsules = Segments(points[:-1], points[1:], radius_um[:-1], radius_um[1:], edge)
    distance, _ = signed_distance(capsules, shape, voxel_size_um, reach_um=min(voxel_size_um))
    mask = np.asarray(distance <= 0)
    mask[tuple(np.round(path).astype(int).T)] = True
    return mask


def runs_outside(path: I64, inside: Mask) -> list[tuple[int, int]]:
    """Return the runs ``[first, last]`` of a path (N, 3) whose voxels are not in `inside`."""
    out = ~inside[tuple(path.T)]
    turns = np.flatnonzero(np.diff(np.r_[False, out, False].astype(np.int8)))
    return [(int(first), int(stop) - 1) for first, stop in turns.reshape(-1, 2)]
