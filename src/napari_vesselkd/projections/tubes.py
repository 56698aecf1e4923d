"""Round vessels from their outline on a projection.

The brightest voxel behind each pixel alone gives a sheet one voxel thin. So a vessel is taken as round:
around the depth of the nearest point of its centreline, smoothed along it, each of its pixels becomes a
chord of the circle that is as wide as the outline. On twelve phantoms with exact outlines (slabs of 16 or
32 voxels, along three axes) that has a Dice of .83 to .86 with the truth; the brightest voxels alone .08 to
.16, at a precision of .96 to .98.

In tissue full of bright cells depths are wrong more often, and a slab has more than one vessel behind a
pixel. Then brightness tells which of the voxels behind a painted vessel to believe (`by_brightness`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.labels.edits import BACKGROUND, UNLABELLED, VESSEL
from napari_vesselkd.projections.rays import finite

SMOOTHED = 3  # pixels along each axis on either side of a pixel of the centreline
BLUR = 0.7  # voxels, standard deviation: noise is not taken for darkness
F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def round_vessels(
    vessel: Mask, depth: npt.NDArray[np.int32], length: int, axis: int, voxel_size_um: VoxelSize
) -> Mask:
    """Return the voxels (z, y, x) of vessels from their pixels and depths.

    Parameters
    ----------
    vessel : ndarray of bool (rows, columns)
        The pixels.
    depth : ndarray of int32 (rows, columns)
        Index along the rays where the image is brightest.
    length : int
        Voxels of a ray.
    axis : int
        The rays run along: 0 z, 1 y, 2 x.
    voxel_size_um : (z, y, x)
    """
    size = voxel_size_um
    pixel = tuple(step for at, step in enumerate(size) if at != axis)
    inside = ndimage.distance_transform_edt(np.pad(vessel, 1, mode="edge"), sampling=pixel)[1:-1, 1:-1]
    inside = np.maximum(inside - min(pixel) / 2, 0)  # the border lies between two pixels
    line = skeletonize(vessel)
    if not line.any():
        line = vessel
    nearest = ndimage.distance_transform_edt(
        ~line, sampling=pixel, return_distances=False, return_indices=True
    )
    centre = _smoothed(depth, line)[tuple(nearest)]
    radius = inside[tuple(nearest)]
    away = np.maximum(radius - inside, 0)
    half = np.maximum(np.sqrt(np.maximum(radius**2 - away**2, 0)), size[axis] / 2)
    steps = np.arange(length, dtype=np.float32).reshape([-1 if at == axis else 1 for at in range(3)])
    apart = np.abs(steps - np.expand_dims(centre, axis)) * size[axis]
    return np.asarray((apart <= np.expand_dims(half, axis)) & np.expand_dims(vessel, axis))


def by_brightness(
    voxels: npt.NDArray[np.uint8], image: npt.NDArray[Any], behind: Mask
) -> npt.NDArray[np.uint8]:
    """Return the labels of voxels, with those behind painted vessels weighed by brightness.

    A voxel is dark if it is nearer to the median of the background rays than to that of the round vessels.
    Dark voxels behind a painted vessel are background, and dark voxels of a round vessel are unlabelled: else
    nothing teaches where a vessel ends along the rays. On ten phantoms with bright cells (slabs of 32 voxels
    along z) .03 of the voxels that become background are vessel, where .15 of all that were unlabelled are;
    .18 of those that are no longer vessel are, and the precision of the vessels rises from .67 to .81. Where
    there is no background or no vessel, or vessels are no brighter, the labels stay as they are.

    Parameters
    ----------
    voxels : ndarray of uint8 (z, y, x)
        0 unlabelled, 1 background, 2 vessel.
    image : ndarray (z, y, x)
        Raw voxels.
    behind : ndarray of bool (z, y, x)
        Where a ray is painted as vessel.
    """
    smooth = ndimage.gaussian_filter(finite(image).astype(np.float32), BLUR)
    background, vessel = (smooth[voxels == value] for value in (BACKGROUND, VESSEL))
    if not background.size or not vessel.size:
        return voxels
    low, high = float(np.median(background)), float(np.median(vessel))
    if high <= low:
        return voxels
    dark = smooth < (low + high) / 2
    result = voxels.copy()
    result[dark & behind & (voxels == UNLABELLED)] = BACKGROUND
    result[dark & (voxels == VESSEL)] = UNLABELLED
    return result


def _smoothed(depth: npt.NDArray[np.int32], line: Mask) -> F32:
    """Return at the pixels of `line` the median of the depths of those around it."""
    result = depth.astype(np.float32)
    known = np.pad(np.where(line, result, np.nan), SMOOTHED, constant_values=np.nan)
    side = 2 * SMOOTHED + 1
    around = np.lib.stride_tricks.sliding_window_view(known, (side, side))
    result[line] = np.nanmedian(around[line].reshape(-1, side * side), axis=1)
    return result
