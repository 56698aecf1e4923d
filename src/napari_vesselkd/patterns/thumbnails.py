"""A small picture of the volume around a place: what the gallery of a code is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, as_shape
from napari_vesselkd.patterns.cells import CellMap, centre_of, check_shape
from napari_vesselkd.projections import contrast_window
from napari_vesselkd.projections.project import Axis
from napari_vesselkd.volume import IntensityWindow, Volume

LARGEST_SIDE = 512


def thumbnail(
    volume: Volume,
    code_map: CellMap,
    cell: Sequence[int],
    side_voxels: int = 64,
    axis: Axis = "z",
    *,
    window: IntensityWindow | None = None,
) -> npt.NDArray[np.uint8]:
    """Return the maximum-intensity projection of a cube around a cell.

    The cube has the same length in um along every axis, so that round vessels look round where voxels are
    not; the cell is in its middle, and what lies outside the volume is black.

    Parameters
    ----------
    volume : Volume
        At the level that was mapped.
    code_map : CellMap
    cell : (z, y, x)
    side_voxels : int, optional
        Side of the cube in voxels of the finest axis, 1..512, and of the picture in pixels.
    axis : {"z", "y", "x"}, optional
        Which one is projected along.
    window : IntensityWindow, optional
        What becomes black and white; by default the 1st and 99th percentile of this very picture.

    Returns
    -------
    ndarray of uint8, (rows, columns)
        The other two axes in their order; square.

    Raises
    ------
    InvalidInputError
        If the axis, the side or the volume's shape is not what it can be.
    RegionError
        If there is no such cell.
    """
    _check(code_map, cell, side_voxels, axis)
    check_shape(code_map, volume, "volume")
    at, cube = AXES.index(axis), _cube(code_map, cell, side_voxels)
    inside = cube.intersection(Region.whole(volume.shape))
    if inside is None:  # not reached by a cell of the map
        return np.zeros((side_voxels, side_voxels), np.uint8)
    projected = volume.read(inside).max(axis=at)
    rows, columns = (side for number, side in enumerate(cube.shape) if number != at)
    picture = np.zeros((rows, columns), np.float32)
    place = inside.relative_to(cube.start).slices
    picture[tuple(part for number, part in enumerate(place) if number != at)] = _scaled(projected, window)
    if picture.shape != (side_voxels, side_voxels):
        image = Image.fromarray(picture).resize((side_voxels, side_voxels), Image.Resampling.BILINEAR)
        picture = np.asarray(image)
    return np.rint(picture * 255).astype(np.uint8)


def _cube(code_map: CellMap, cell: Sequence[int], side: int) -> Region:
    """Return the box of voxels of equal length in um around a cell; it may leave the volume."""
    finest = min(code_map.voxel_size_um)
    sides = [max(1, round(side * finest / size)) for size in code_map.voxel_size_um]
    start = [round(c + 0.5 - n / 2) for c, n in zip(centre_of(code_map, cell), sides, strict=True)]
    return Region(as_shape(start), as_shape([low + n for low, n in zip(start, sides, strict=True)]))


def _scaled(raw: npt.NDArray[Any], window: IntensityWindow | None) -> npt.NDArray[np.float32]:
    """Return raw values as 0 (black) to 1 (white)."""
    if window is None:
        low, high = contrast_window(raw)
        window = IntensityWindow(low, high)
    return window.apply(raw)


def _check(code_map: CellMap, cell: Sequence[int], side: int, axis: str) -> None:
    if axis not in AXES:
        raise InvalidInputError("No such axis", value=repr(axis), limit="z, y or x")
    if not 1 <= side <= LARGEST_SIDE:
        raise InvalidInputError(
            "The side of the thumbnail is out of range", value=side, limit=f"1..{LARGEST_SIDE}"
        )
    first = as_shape(cell)
    Region(first, as_shape([low + 1 for low in first])).checked(code_map.shape)
