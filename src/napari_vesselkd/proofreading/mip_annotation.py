"""From what is painted on the projection of a slab to voxels: a proposal that can be edited.

Behind a pixel of vessel the vessel lies where the intensity that the painter saw is highest; around that
place it is taken as round (`projections.tubes`).

Notation: regions are (z, y, x) voxels of the volume; a plane has the slab's shape with its axis collapsed to
1; labels are uint8 0 unlabelled, 1 background, 2 vessel; lengths are in um.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, VoxelSize, checked_voxel_size
from napari_vesselkd.labels.edits import BACKGROUND, VESSEL
from napari_vesselkd.projections.rays import RayLabels, ray_depths, ray_window
from napari_vesselkd.projections.tubes import round_vessels

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
        voxels[round_vessels(vessel, np.squeeze(depth, axis), image.shape[axis], axis, size)] = VESSEL
    return BackProjection(labels.region, voxels)
