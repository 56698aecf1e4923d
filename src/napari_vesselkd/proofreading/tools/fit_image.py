"""Grow or shrink vessels to the image.

Notation: the local threshold is half way between the mean of the image inside and outside near the wall,
each averaged with a Gaussian of `reach_um`; only voxels within `most_um` of the wall may change.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, VoxelSize, checked_voxel_size
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F32,
    Mask,
    Source,
    checked_box,
    checked_sources,
    read_values,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, VESSEL, Proposal, proposal

LEAST_DIFFERENCE = 1e-6


def fit_to_image(
    vessel: Source,
    image: Source,
    voxel_size_um: VoxelSize,
    *,
    most_um: float,
    region: Region | None = None,
    reach_um: float | None = None,
) -> tuple[Proposal, Proposal]:
    """Propose to move the wall of the vessels in `region` to where the image falls to half.

    Vessels that are darker than their surroundings work as well. The centreline of what is vessel stays, so
    that no vessel is lost or parted.

    Parameters
    ----------
    most_um : float
        By how much the wall may move.
    region : Region, optional
        At most 2**25 voxels.
    reach_um : float, optional
        Over which the levels are averaged; 4 times `most_um`, at least 6 voxels, if not given.

    Returns
    -------
    tuple of Proposal
        What to add ("grow"), and what to take away ("shrink").

    Raises
    ------
    InvalidInputError
        If the shapes differ or `most_um` cannot be used.
    """
    shape, size = checked_sources(vessel, image), checked_voxel_size(voxel_size_um)
    if not 0 < most_um < float("inf"):
        raise InvalidInputError("The wall cannot move so far", value=most_um, limit="above 0 um")
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    reach = max(4 * most_um, 6 * min(size)) if reach_um is None else reach_um
    margin = [int(np.ceil(2 * reach / one)) for one in size]
    whole = Region.whole(shape)
    box = checked_box(looked.expanded(margin).intersection(whole) or looked)
    inside, values = read_vessel(vessel, box), read_values(image, box)
    level, bright = _level(values, inside, reach, size)
    here = looked.relative_to(box.start).slices
    out_um = (
        ndimage.distance_transform_edt(~inside, sampling=size) if inside.any() else np.full(box.shape, np.inf)
    )
    in_um = ndimage.distance_transform_edt(inside, sampling=size)
    high = np.where(bright, values >= level, values <= level) & np.isfinite(level)
    grown = _connected((~inside) & high & (out_um <= most_um), inside)
    axis = skeleton(inside)
    lost = _connected(inside & ~high & np.isfinite(level) & (in_um <= most_um) & ~axis, ~inside)
    lost = inside & ~_connected(inside & ~lost, axis)
    return (
        _part("grow", looked, grown[here], VESSEL, most_um),
        _part("shrink", looked, lost[here], BACKGROUND, most_um),
    )


def _part(tool: str, looked: Region, mask: Mask, value: int, most_um: float) -> Proposal:
    reason = f"{int(mask.sum())} voxels within {most_um:g} um of the wall, by the image"
    return proposal(tool, looked, mask, value, reason=reason, score=1.0)


def _level(values: F32, inside: Mask, reach_um: float, size: VoxelSize) -> tuple[F32, Mask]:
    """Return the local threshold, NaN where only one side is near, and where vessels are brighter."""
    sigma = reach_um / 2 / np.asarray(size)
    means = []
    for where in (inside, ~inside):
        weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
        total = ndimage.gaussian_filter(np.where(where, values, np.float32(0)), sigma)
        means.append(np.where(weight > 1e-4, total / np.maximum(weight, 1e-4), np.float32(np.nan)))
    difference = np.nan_to_num(means[0] - means[1])
    span = float(values.max() - values.min()) if values.size else 0.0
    level = np.where(
        np.abs(difference) > LEAST_DIFFERENCE * max(span, 1e-9), (means[0] + means[1]) / 2, np.nan
    )
    return level.astype(np.float32), np.asarray(difference > 0)


def _connected(mask: Mask, side: Mask) -> Mask:
    """Return the pieces of `mask` that touch `side`."""
    return np.asarray(ndimage.binary_propagation(ndimage.binary_dilation(side, EVERYWHERE) & mask, mask=mask))
