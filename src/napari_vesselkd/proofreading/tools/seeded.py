"""Seeded split and merge of vessels that touch or nearly do.

Notation: split floods the distance to the wall from two seeds (watershed, Beucher & Lantuejoul 1979; the
marker-based one of scikit-image) and makes background of the voxels where the two basins meet; merge fills
the narrowest place between the pieces of two seeds.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F32,
    F64,
    Labels,
    Mask,
    Point,
    Source,
    box_around,
    checked_sources,
    read_values,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.components import vessel_at
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, VESSEL, Proposal, as_points, proposal

MARGIN_UM = 15.0
LEAST_MARGIN = 10  # voxels


def split(
    first: Point,
    second: Point,
    *,
    vessel: Source,
    voxel_size_um: VoxelSize,
    image: Source | None = None,
) -> Proposal:
    """Propose the wall between two vessels that were taken for one; `first`, `second` (z, y, x) lie in them.

    Parameters
    ----------
    image : source (z, y, x), optional
        Helps where the wall is darker: the flooding is by half by the image.

    Returns
    -------
    Proposal
        Background one voxel thick. Its score is 1 less the share that the wall has of the smaller vessel's
        cross section; low where a vessel is cut rather than two parted.

    Raises
    ------
    RegionError
        If a point is outside the volume.
    InvalidInputError
        If a point is not in vessel, both are in one voxel, or they are not connected near by.
    """
    shape, size = checked_sources(vessel, image), checked_voxel_size(voxel_size_um)
    seeds, box = _seeds(first, second, vessel, shape, size)
    inside = read_vessel(vessel, box)
    label, _ = ndimage.label(inside, EVERYWHERE)
    one, other = (as_shape(np.subtract(seed, box.start).tolist()) for seed in seeds)
    if label[one] != label[other]:
        raise InvalidInputError(
            "The two points are in different vessels already", remedy="Choose two that are connected"
        )
    piece = np.asarray(label == label[one])
    depth = ndimage.distance_transform_edt(piece, sampling=size)
    height = _height(depth, piece, None if image is None else read_values(image, box))
    basins = watershed(height, _markers(one, other, depth, size), mask=piece, connectivity=EVERYWHERE)
    wall = _wall(basins)
    score = 1 - min(1.0, wall.sum() ** 0.5 * min(size) / max(4 * min(depth[one], depth[other]), 1e-9)) / 2
    area = int(wall.sum())
    return proposal(
        "split",
        box,
        wall,
        BACKGROUND,
        reason=f"A wall of {area} voxels between the two vessels",
        score=float(score),
        points=as_points(seeds),
    )


def merge(first: Point, second: Point, *, vessel: Source, voxel_size_um: VoxelSize) -> Proposal:
    """Propose to fill the narrowest place between the two pieces that `first` and `second` (z, y, x) are in.

    For pieces that lie side by side; `connect` joins what is apart along the image.

    Raises
    ------
    RegionError
        If a point is outside the volume.
    InvalidInputError
        If a point is not in vessel, or they are connected near by already.
    """
    shape, size = checked_sources(vessel), checked_voxel_size(voxel_size_um)
    seeds, box = _seeds(first, second, vessel, shape, size)
    inside = read_vessel(vessel, box)
    label, _ = ndimage.label(inside, EVERYWHERE)
    one, other = (as_shape(np.subtract(seed, box.start).tolist()) for seed in seeds)
    if label[one] == label[other]:
        raise InvalidInputError("The two points are in one vessel already", remedy="Choose two pieces")
    to_one, to_other = (
        ndimage.distance_transform_edt(label != label[seed], sampling=size) for seed in (one, other)
    )
    total = np.where(inside, np.inf, to_one + to_other)
    width = float(total.min())
    near = total <= width + 1.5 * max(size)
    bridge, _ = ndimage.label(near | (label == label[one]) | (label == label[other]), EVERYWHERE)
    mask = near & (bridge == bridge[one]) if bridge[one] == bridge[other] else near
    return proposal(
        "merge",
        box,
        mask & ~inside,
        VESSEL,
        reason=f"The two pieces are {width:.1f} um apart",
        score=float(np.exp(-width / (10 * min(size)))),
        points=as_points(seeds),
    )


def _seeds(
    first: Point, second: Point, vessel: Source, shape: Shape, size: VoxelSize
) -> tuple[list[Shape], Region]:
    seeds = [vessel_at(point, vessel, shape) for point in (first, second)]
    if seeds[0] == seeds[1]:
        raise InvalidInputError("The two points are one", value=seeds[0], remedy="Click into each vessel")
    apart = float(np.linalg.norm(np.subtract(seeds[0], seeds[1]) * np.asarray(size)))
    return seeds, box_around(seeds, max(MARGIN_UM, 0.5 * apart, LEAST_MARGIN * min(size)), shape, size)


def _height(depth: F64, piece: Mask, image: F32 | None) -> F64:
    """Return what is flooded: low where the vessel is thick, and bright."""
    height = -depth / max(float(depth.max()), 1e-9)
    if image is None:
        return np.asarray(height)
    low, high = np.percentile(image[piece], [2, 98])
    if high <= low:
        return np.asarray(height)
    return np.asarray(height - np.clip((image - low) / (high - low), 0, 1))


def _markers(one: Shape, other: Shape, depth: F64, size: VoxelSize) -> Labels:
    """Return the seeds as small balls within the vessel, at most a third of their distance wide."""
    grid = np.indices(depth.shape).reshape(3, -1).T
    markers = np.zeros(depth.size, np.int32)
    apart = float(np.linalg.norm(np.subtract(one, other) * np.asarray(size)))
    for number, seed in enumerate((one, other), start=1):
        reach = min(float(depth[seed]) / 2, apart / 3)
        near = np.linalg.norm((grid - np.asarray(seed)) * np.asarray(size), axis=1) <= reach
        markers[near] = number
    out = np.where(depth > 0, markers.reshape(depth.shape), np.int32(0))
    out[one], out[other] = 1, 2
    return out


def _wall(basins: Labels) -> Mask:
    """Return the voxels of one basin that touch the other: of the one that has fewer of them."""
    sides = [
        (basins == number) & ndimage.binary_dilation(basins == 3 - number, EVERYWHERE) for number in (1, 2)
    ]
    return min(sides, key=lambda side: int(side.sum()))
