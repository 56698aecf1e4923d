"""What the tools read: boxes of arrays, stores and volumes, and what is checked about points in them.

Notation: z, y, x axes; a source is anything with ``shape`` that is sliced (numpy, zarr) or has
``read(region)`` (`Volume`, `LabelStore`). Vessel sources hold 0 where there is no vessel, anything else where
there is; `OnlyValue` makes one of corrections. A point is (z, y, x) in voxels, voxel 0's centre being 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape, checked_voxel_size

Mask = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]
Point = Sequence[float]
Source = Any

MOST_VOXELS = 2**25  # of a box that a tool looks at; about 30 bytes per voxel are taken
EVERYWHERE = np.ones((3, 3, 3), bool)  # neighbours through faces, edges and corners


class OnlyValue:
    """A vessel source of labels with several values: vessel where they have `value`.

    Parameters
    ----------
    labels : source of whole numbers, (z, y, x)
    value : int
    """

    def __init__(self, labels: Source, value: int) -> None:
        self.labels, self.value, self.shape = labels, value, as_shape(labels.shape)

    def read(self, region: Region) -> Mask:
        return np.asarray(read_part(self.labels, region) == self.value)


def read_part(source: Source, region: Region) -> npt.NDArray[Any]:
    """Return the voxels (z, y, x) of `region` of a source."""
    if hasattr(source, "read"):
        return np.asarray(source.read(region))
    return np.asarray(source[region.slices])


def read_vessel(vessel: Source, region: Region) -> Mask:
    """Return where `region` of a vessel source is vessel, (z, y, x) bool."""
    return np.asarray(read_part(vessel, region) != 0)


def read_values(source: Source, region: Region) -> F32:
    """Return `region` of an image or of a probability as (z, y, x) float32, 0 where it is not a number."""
    values = read_part(source, region).astype(np.float32)
    return np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def checked_sources(vessel: Source, *others: Source) -> Shape:
    """Return the shape (z, y, x) of a vessel source; InvalidInputError if that of another differs."""
    if len(vessel.shape) != 3:
        raise InvalidInputError("The labels are not a volume", value=tuple(vessel.shape), limit="z, y, x")
    for other in others:
        if other is not None and tuple(other.shape) != tuple(vessel.shape):
            raise InvalidInputError(
                "The image and the labels are not of one shape",
                value=tuple(other.shape),
                limit=f"{tuple(vessel.shape)}",
                remedy="Take both from the same level of the same volume",
            )
    return as_shape(vessel.shape)


def checked_point(point: Point, shape: Shape) -> Shape:
    """Return the voxel (z, y, x) that a point lies in.

    Raises
    ------
    RegionError
        If it is not three finite numbers inside an array of `shape`.
    """
    values = [float(value) for value in point]
    if len(values) != 3 or not all(math.isfinite(value) for value in values):
        raise RegionError("The point is not three numbers", value=tuple(values), limit="z, y, x in voxels")
    voxel = as_shape([math.floor(value + 0.5) for value in values])
    for axis, value, size in zip(AXES, voxel, shape, strict=True):
        if not 0 <= value < size:
            raise RegionError(
                f"The point is outside the volume along {axis}",
                value=value,
                limit=f"0 to {size - 1}",
                remedy="Click inside the image",
            )
    return voxel


def box_around(points: npt.ArrayLike, margin_um: float, shape: Shape, voxel_size_um: VoxelSize) -> Region:
    """Return the box around points (N, 3) in voxels with a margin in um on each side, clipped to `shape`.

    The margin is at least one voxel along each axis.

    Raises
    ------
    InvalidInputError
        If it holds more than 2**25 voxels.
    """
    places = np.asarray(points, np.float64).reshape(-1, 3)
    size = np.asarray(checked_voxel_size(voxel_size_um))
    margin = np.maximum(np.ceil(margin_um / size), 1)
    low = np.clip(np.floor(places.min(axis=0) - margin), 0, np.asarray(shape) - 1)
    high = np.clip(np.ceil(places.max(axis=0) + margin) + 1, 1, shape)
    return checked_box(Region(as_shape(low.tolist()), as_shape(high.tolist())))


def checked_box(box: Region) -> Region:
    """Return a box that a tool can look at as a whole; InvalidInputError above 2**25 voxels."""
    if box.size > MOST_VOXELS:
        raise InvalidInputError(
            "The tool would have to look at too large a part of the volume",
            value=f"{box.size} voxels",
            limit=f"{MOST_VOXELS} voxels",
            remedy="Choose points closer together, a smaller size or a smaller region",
        )
    return box


def at_border(box: Region, shape: Shape, mask: Mask) -> list[tuple[int, int]]:
    """Return the sides (axis, -1 or 1) on which `mask` touches the border of `box` inside the volume."""
    sides = []
    for axis in range(3):
        if box.start[axis] > 0 and mask.take(0, axis).any():
            sides.append((axis, -1))
        if box.stop[axis] < shape[axis] and mask.take(-1, axis).any():
            sides.append((axis, 1))
    return sides
