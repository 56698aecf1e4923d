"""The threshold brush: paints only where the image supports it.

Notation: the brush is a ball in um around the places of a stroke; the threshold is Otsu's of the image in and
around the ball (or given); what is painted is connected with the stroke's own voxels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import VoxelSize, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F32,
    Mask,
    Source,
    box_around,
    checked_point,
    checked_sources,
    read_values,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, VESSEL, Proposal, as_points, proposal


def threshold_brush(
    points: npt.ArrayLike,
    radius_um: float,
    *,
    image: Source,
    vessel: Source,
    voxel_size_um: VoxelSize,
    threshold: float | None = None,
    value: int = VESSEL,
) -> Proposal:
    """Propose what a stroke through `points` (N, 3) in voxels paints.

    Parameters
    ----------
    radius_um : float
        Of the brush.
    image : source (z, y, x)
    threshold : float, optional
        In units of the image. Without it the brush finds it in the box of the stroke.
    value : 2 or 1, optional
        Vessel is painted where the image is at or above the threshold, background where it is below.

    Raises
    ------
    RegionError
        If a point is outside the volume.
    InvalidInputError
        If the radius or the value cannot be used.
    """
    shape, size = checked_sources(vessel, image), checked_voxel_size(voxel_size_um)
    if not 0 < radius_um < float("inf"):
        raise InvalidInputError("The radius cannot be used", value=radius_um, limit="above 0 um")
    if value not in (BACKGROUND, VESSEL):
        raise InvalidInputError("The value cannot be painted", value=value, limit="1 background, 2 vessel")
    stroke = np.array(
        [checked_point(one, shape) for one in np.asarray(points, float).reshape(-1, 3).tolist()]
    )
    box = box_around(stroke, 1.5 * radius_um, shape, size)
    values, inside = read_values(image, box), read_vessel(vessel, box)
    away = np.ones(box.shape, bool)
    away[tuple((stroke - np.asarray(box.start)).T)] = False
    ball = ndimage.distance_transform_edt(away, sampling=size) <= radius_um
    level = _level(values) if threshold is None else float(threshold)
    bright = values >= level
    wanted = ball & (bright if value == VESSEL else ~bright)
    mask = _touching(wanted, stroke - np.asarray(box.start)) & (inside if value == BACKGROUND else ~inside)
    share = float(wanted.sum() / max(int(ball.sum()), 1))
    reason = f"{share:.0%} of the brush is {'at or above' if value == VESSEL else 'below'} {level:g}"
    return proposal("threshold brush", box, mask, value, reason=reason, score=1.0, points=as_points(stroke))


def _level(values: F32) -> float:
    """Return Otsu's threshold; above everything where the image is constant, so that nothing is painted."""
    if values.min() == values.max():
        return float(np.nextafter(values.max(), np.float32(np.inf)))
    return float(threshold_otsu(values))


def _touching(wanted: Mask, stroke: npt.NDArray[np.int64]) -> Mask:
    """Return the pieces of `wanted` that the stroke touches."""
    label, _ = ndimage.label(wanted, EVERYWHERE)
    numbers = np.unique(label[tuple(stroke.T)])
    return np.isin(label, numbers[numbers > 0])
