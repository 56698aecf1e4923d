"""From what is painted on the projection of a slab to voxels: a proposal that can be edited.

Of each vessel pixel the place in depth is that of the maximum of the intensity that the painter saw. Alone
that is a sheet one voxel thin. So a vessel is taken as round: around the depth of the nearest point of its
centreline, smoothed along it, each of its pixels becomes a chord of the circle that is as wide as the paint.
On twelve phantoms with exact paint (slabs of 16 or 32 voxels, three axes) that has a Dice of .83 to .86 with
the truth, the maxima alone .08 to .16 (at a precision of .96 to .98).

Notation: regions are (z, y, x) voxels of the volume; a plane has the slab's shape with its axis collapsed to
1; labels are uint8 0 unlabelled, 1 background, 2 vessel; lengths are in um.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, VoxelSize, checked_voxel_size
from napari_vesselkd.labels.edits import BACKGROUND, VESSEL
from napari_vesselkd.projections.rays import RayLabels, ray_depths, ray_window

SMOOTHED = 3  # pixels along each axis on either side of a pixel of the centreline
F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BackProjection:
    """What a painted projection says about the voxels of its slab.

    Attributes
    ----------
    region : Region
        The slab.
    voxels : ndarray of uint8 (z, y, x)
        2 where the vessels are likely to be, 1 on every voxel of a background ray, else 0.
    """

    region: Region
    voxels: npt.NDArray[np.uint8]

    @property
    def vessel(self) -> int:
        """Number of voxels proposed as vessel."""
        return int(np.count_nonzero(self.voxels == VESSEL))

    @property
    def background(self) -> int:
        """Number of voxels proposed as background."""
        return int(np.count_nonzero(self.voxels == BACKGROUND))

    @property
    def where(self) -> Mask:
        """The voxels to be written."""
        return self.voxels > 0


def back_project(
    labels: RayLabels,
    image: npt.NDArray[Any],
    voxel_size_um: VoxelSize,
    window: tuple[float, float] | None = None,
) -> BackProjection:
    """Return the voxels that labels of rays stand for.

    Parameters
    ----------
    labels : RayLabels
    image : ndarray (z, y, x)
        Raw voxels of the slab.
    voxel_size_um : (z, y, x)
    window : (low, high), optional
        Raw values that were black and white in the picture; by default `ray_window`.

    Raises
    ------
    InvalidInputError
        If the image is not of the slab.
    """
    size, axis = checked_voxel_size(voxel_size_um), labels.axis
    if image.shape != labels.region.shape:
        raise InvalidInputError(
            "The image is not that of the slab", value=image.shape, limit=str(labels.region.shape)
        )
    voxels = np.zeros(image.shape, np.uint8)
    voxels[np.broadcast_to(labels.plane == BACKGROUND, image.shape)] = BACKGROUND
    vessel = np.squeeze(labels.plane == VESSEL, axis)
    if vessel.any():
        depth = ray_depths(image, axis, window or ray_window(image, axis))
        voxels[_tubes(vessel, np.squeeze(depth, axis), image.shape[axis], axis, size)] = VESSEL
    return BackProjection(labels.region, voxels)


def _tubes(vessel: Mask, depth: npt.NDArray[np.int32], length: int, axis: int, size: VoxelSize) -> Mask:
    """Return round vessels (z, y, x) from their pixels (rows, columns), whose rays are of `length` voxels."""
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


def _smoothed(depth: npt.NDArray[np.int32], line: Mask) -> F32:
    """Return at the pixels of `line` the median of the depths of those around it."""
    result = depth.astype(np.float32)
    known = np.pad(np.where(line, result, np.nan), SMOOTHED, constant_values=np.nan)
    side = 2 * SMOOTHED + 1
    around = np.lib.stride_tricks.sliding_window_view(known, (side, side))
    result[line] = np.nanmedian(around[line].reshape(-1, side * side), axis=1)
    return result
