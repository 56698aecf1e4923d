"""A part of a volume as one array for a 3D view: within the side of a texture and a number of bytes.

Notation: regions are (z, y, x) voxels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import RegionError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.projections.levels import level_factor, region_at
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import Volume

TEXTURE_SIDE = 2048
CROP_BYTES = 512 * 2**20
READ_VOXELS = 2**23


@dataclass(frozen=True, eq=False)
class Crop(Report):
    """A part of a volume in memory.

    Attributes
    ----------
    voxels : ndarray (z, y, x)
    level : int
        Where it was read; coarser than 0 where level 0 was too large.
    region : Region
        In voxels of `level`.
    factors : (z, y, x)
        Voxels of level 0 along one voxel of `level`.
    """

    voxels: npt.NDArray[Any]
    level: int
    region: Region
    factors: tuple[float, float, float]


def crop_level(
    shapes: Sequence[Shape],
    region: Region,
    itemsize: int,
    *,
    side: int = TEXTURE_SIDE,
    nbytes: int = CROP_BYTES,
) -> int:
    """Return the finest level where `region` (of level 0) fits a texture of `side` and `nbytes`.

    Raises
    ------
    RegionError
        If it does not fit at any level.
    """
    for level, shape in enumerate(shapes):
        part = region_at(region, shapes[0], shape)
        if max(part.shape) <= side and part.size * itemsize <= nbytes:
            return level
    raise RegionError(
        "The region is too large for a 3D view, also at the coarsest level",
        value=str(region_at(region, shapes[0], shapes[-1]).shape),
        limit=f"{side} voxels along an axis and {nbytes / 1e6:.0f} MB",
        remedy="Choose a smaller region, or convert the volume to an OME-Zarr with levels",
    )


def cropping(
    volume: Volume, region: Region, *, side: int = TEXTURE_SIDE, nbytes: int = CROP_BYTES
) -> Iterator[Progress | Crop]:
    """Read `region` (of level 0) at the finest level that fits: a `Progress` per read, then the `Crop`.

    Raises
    ------
    RegionError
        If the region is empty or outside the volume, or does not fit at any level.
    """
    region.checked(volume.shape)
    shapes = [as_shape(level.shape) for level in volume.levels]
    level = crop_level(shapes, region, volume.dtype.itemsize, side=side, nbytes=nbytes)
    box = region_at(region, shapes[0], shapes[level])
    voxels = np.empty(box.shape, volume.dtype)
    pieces = list(box.reads(volume.level_chunks[level], READ_VOXELS))
    started = time.perf_counter()
    for done, piece in enumerate(pieces, start=1):
        voxels[piece.relative_to(box.start).slices] = volume.read(piece, level)
        yield Progress(done, len(pieces), "reads", time.perf_counter() - started)
    z, y, x = (level_factor(whole, size) for whole, size in zip(shapes[0], shapes[level], strict=True))
    yield Crop(voxels, level, box, (z, y, x))
