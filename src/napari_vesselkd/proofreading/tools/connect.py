"""Connect two points by a vessel along the cheapest way through image and probability.

Notation: as in `evidence` and `paths`. The minimum-cost path is that of Cohen & Kimmel (IJCV 1997) on the
grid graph with anisotropic edge lengths; the radius goes linearly from that of one end to that of the other,
put right by the half maximum of the image across the path.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from napari_vesselkd.geometry import Region, Shape, VoxelSize, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    F32,
    F64,
    I64,
    Mask,
    Point,
    Source,
    box_around,
    checked_point,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.evidence import radii_by_evidence, read_evidence
from napari_vesselkd.proofreading.tools.paths import (
    cheapest_path,
    path_length,
    runs_outside,
    travel_cost,
    tube,
)
from napari_vesselkd.proofreading.tools.proposal import VESSEL, Proposal, as_points, proposal

MARGIN = 0.35  # of the distance of the points, by which a path may leave the box around them
LEAST_MARGIN = 6  # voxels
SUPPORTED = 0.5  # mean evidence at which a path is said to follow the image


def connect(
    start: Point,
    stop: Point,
    *,
    vessel: Source,
    voxel_size_um: VoxelSize,
    image: Source | None = None,
    probability: Source | None = None,
    radius_um: float | None = None,
) -> Proposal:
    """Propose the vessel from `start` to `stop`, two points in (z, y, x) voxels.

    Parameters
    ----------
    vessel : source, (z, y, x)
        Not 0 where there is vessel already; free to travel in, and not painted again.
    voxel_size_um : (z, y, x)
    image, probability : source (z, y, x), optional
        Where they say nothing (an empty image) the way is straight.
    radius_um : float, optional
        Of the new vessel; estimated if not given.

    Returns
    -------
    Proposal
        Its points are the path; its score the mean evidence on what is new of it. No voxels where the points
        are connected already.

    Raises
    ------
    RegionError
        If a point is outside the volume.
    InvalidInputError
        If the points are too far apart (the box is above 2**25 voxels), or the shapes differ.
    """
    shape = checked_sources(vessel, image, probability)
    size = checked_voxel_size(voxel_size_um)
    ends = [checked_point(point, shape) for point in (start, stop)]
    box = _box(ends, shape, size)
    inside = read_vessel(vessel, box)
    local = [_relative(end, box) for end in ends]
    seeds = np.zeros(box.shape, bool)
    for end in local:
        seeds[end] = True
    evidence = read_evidence(
        image,
        probability,
        box,
        inside=inside,
        voxel_size_um=size,
        seeds=None if inside.any() else ndimage.binary_dilation(seeds),
    )
    path, _ = cheapest_path(travel_cost(evidence, inside), local[0], local[1], size)
    radii = path_radii(path, inside, evidence, size, radius_um=radius_um)
    mask = new_tube(path, radii, inside, size)
    score, reason = _judged(path, inside, evidence, mask, size)
    return proposal(
        "connect", box, mask, VESSEL, reason=reason, score=score, points=as_points(path, box.start)
    )


def path_radii(
    path: I64, inside: Mask, evidence: F32, size: VoxelSize, *, radius_um: float | None = None
) -> F64:
    """Return the radius (N,) in um along a path (N, 3): of the ends, put right by the image between."""
    if radius_um is not None:
        return np.full(len(path), max(float(radius_um), 0.0))
    least = float(min(size[1:])) / 2
    ends = [_radius_at(end, inside, size) for end in (path[0], path[-1])]
    known = [radius for radius in ends if radius is not None]
    if known:
        first, last = (known[0] if ends[0] is None else ends[0]), (known[-1] if ends[1] is None else ends[1])
        line = np.linspace(first, last, len(path))
    else:
        line = np.full(len(path), math.nan)
    most = 3 * max(known) if known else 8 * max(size[1:])
    seen = radii_by_evidence(evidence, path.astype(np.float64), voxel_size_um=size, most_um=most)
    if known:
        both = np.where(np.isnan(seen), line, np.clip(seen, 0.6 * line, 1.5 * line))
    else:
        both = np.where(np.isnan(seen), np.nanmedian(seen) if (~np.isnan(seen)).any() else 2 * least, seen)
    return np.asarray(np.maximum(ndimage.uniform_filter1d(both, size=5, mode="nearest"), least))


def new_tube(path: I64, radii: F64, inside: Mask, size: VoxelSize) -> Mask:
    """Return the voxels to add for the parts of a path that are outside: no tube where it runs in vessel."""
    mask = np.zeros(inside.shape, bool)
    for first, last in runs_outside(path, inside):
        part = slice(max(first - 1, 0), last + 2)
        mask |= tube(path[part], radii[part], _shape(inside), size)
    return mask & ~inside


def _judged(path: I64, inside: Mask, evidence: F32, mask: Mask, size: VoxelSize) -> tuple[float, str]:
    new = ~inside[tuple(path.T)]
    if not mask.any():
        return 1.0, "The points are connected already"
    score = float(evidence[tuple(path[new].T)].mean())
    length = sum(path_length(path[max(a - 1, 0) : b + 2], size) for a, b in runs_outside(path, inside))
    follows = "along the image" if score >= SUPPORTED else "the image hardly supports it"
    return score, f"{length:.1f} um of new vessel, {follows} ({score:.0%})"


def _radius_at(point: I64, inside: Mask, size: VoxelSize) -> float | None:
    """Return the radius in um of the vessel that `point` lies in, None outside of one.

    The largest distance to the wall within the distance of the point to it and one voxel around: a click is
    seldom on the axis. Half a voxel is taken off, as the wall runs between two voxels.
    """
    if not inside[tuple(point)]:
        return None
    whole = Region.whole(inside.shape)
    reach, low, own, depth = max(size), whole, 0.0, np.zeros(inside.shape)
    for _ in range(6):
        margin = [math.ceil(2 * reach / one) + 1 for one in size]
        low = Region(_shape_of(point), _shape_of(point + 1)).expanded(margin).intersection(whole) or whole
        depth = ndimage.distance_transform_edt(inside[low.slices], sampling=size)
        own = float(depth[tuple(point - np.asarray(low.start))])
        if own < reach or low == whole:
            break
        reach *= 2
    grid = np.indices(depth.shape).reshape(3, -1).T + np.asarray(low.start) - point
    near = np.linalg.norm(grid * np.asarray(size), axis=1) <= own + max(size)
    return float(depth.ravel()[near].max()) - min(size) / 2


def _box(ends: list[Shape], shape: Shape, size: VoxelSize) -> Region:
    distance = float(np.linalg.norm(np.subtract(ends[0], ends[1]) * np.asarray(size)))
    margin = max(MARGIN * distance, LEAST_MARGIN * min(size))
    return box_around(ends, margin, shape, size)


def _relative(voxel: Shape, box: Region) -> Shape:
    return _shape_of(np.subtract(voxel, box.start))


def _shape(mask: Mask) -> Shape:
    return _shape_of(np.asarray(mask.shape))


def _shape_of(values: I64) -> Shape:
    z, y, x = (int(value) for value in values)
    return z, y, x
