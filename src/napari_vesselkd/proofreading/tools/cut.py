"""Cut a vessel at a point: a thin slice across it becomes background.

Notation: the direction of the vessel is that of its skeleton near the point; the slice is a slab across it,
bounded by the vessel's own wall, and just thick enough that its two sides do not touch.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F64,
    Mask,
    Point,
    Source,
    box_around,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.components import vessel_at
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, Proposal, as_points, proposal
from napari_vesselkd.proofreading.tools.skeleton import SkeletonGraph, skeleton_graph

LOOK = 20  # voxels of the longest side around the point, at first
THICKEST = 4.0  # times the longest voxel side


def cut(point: Point, *, vessel: Source, voxel_size_um: VoxelSize) -> Proposal:
    """Propose to cut the vessel at `point`, (z, y, x) in voxels.

    Raises
    ------
    RegionError
        If the point is outside the volume.
    InvalidInputError
        If there is no vessel, or it does not come apart there: at a junction, or where it is a blob.
    """
    shape, size = checked_sources(vessel), checked_voxel_size(voxel_size_um)
    voxel = vessel_at(point, vessel, shape)
    reach = LOOK * max(size)
    for _ in range(5):
        box = box_around([voxel], reach, shape, size)
        label, _ = ndimage.label(read_vessel(vessel, box), EVERYWHERE)
        own = as_shape(np.subtract(voxel, box.start).tolist())
        inside = np.asarray(label == label[own])
        graph = skeleton_graph(inside, size)
        if not len(graph):
            break
        centre = int(np.argmin(np.linalg.norm(graph.places_um - np.asarray(own) * size, axis=1)))
        radius = float(graph.radius_um[centre])
        if 4 * radius > reach:
            reach *= 2
            continue
        mask = _slab(inside, graph, centre, size)
        if mask is None:
            break
        thick = 2 * radius
        return proposal(
            "cut",
            box,
            mask,
            BACKGROUND,
            reason=f"A cut across a vessel {thick:.1f} um thick",
            score=1.0,
            points=as_points(graph.nodes[centre], box.start),
        )
    raise InvalidInputError(
        "The vessel does not come apart at the point",
        value=",".join(str(value) for value in voxel),
        limit="a place of a vessel between two junctions",
        remedy="Click away from the junction, or split it with two seeds",
    )


def _slab(inside: Mask, graph: SkeletonGraph, centre: int, size: VoxelSize) -> Mask | None:
    """Return the thinnest slab across the vessel at a node that parts its two sides near by, or None."""
    radius = max(float(graph.radius_um[centre]), min(size))
    way = _tangent(graph, centre, max(2 * radius, 4 * max(size)))
    grid = (np.indices(inside.shape).reshape(3, -1).T - graph.nodes[centre]) * np.asarray(size)
    height = (grid @ way).reshape(inside.shape)
    distance = np.linalg.norm(grid, axis=1).reshape(inside.shape)
    for share in np.arange(0.5, THICKEST, 0.25):
        slab = inside & (np.abs(height) <= share * max(size) / 2) & (distance <= 3 * radius + 2 * max(size))
        if not slab[tuple(graph.nodes[centre])]:
            continue
        label, _ = ndimage.label(slab, EVERYWHERE)
        mask = np.asarray(label == label[tuple(graph.nodes[centre])])
        if _parts(inside, mask, height, distance <= 5 * radius + 4 * max(size)):
            return mask
    return None


def _parts(inside: Mask, mask: Mask, height: F64, near: Mask) -> bool:
    """Return whether what touches `mask` on one side is not connected near by to what does on the other."""
    label, _ = ndimage.label(inside & near & ~mask, EVERYWHERE)
    rim = ndimage.binary_dilation(mask, EVERYWHERE) & (label > 0)
    above, below = set(label[rim & (height > 0)].tolist()), set(label[rim & (height < 0)].tolist())
    return bool(above and below and not above & below)


def _tangent(graph: SkeletonGraph, centre: int, reach_um: float) -> F64:
    """Return the direction of the vessel at a node: the main axis of the skeleton near by."""
    near = graph.places_um[np.isfinite(graph.near(centre, reach_um))]
    if len(near) < 2:
        return np.array([0.0, 0.0, 1.0])
    return np.asarray(np.linalg.svd(near - near.mean(axis=0), full_matrices=False)[2][0])
