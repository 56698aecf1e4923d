"""Projections of chunked volumes: every chunk is read once, and only a few of them are in memory.

Notation: a volume is (z, y, x); its projection along one axis is (rows, columns), the two other axes in
their order: (y, x) along z, (z, x) along y, (z, y) along x.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import Volume

Axis = Literal["z", "y", "x"]
How = Literal["max", "min", "mean"]

READ_VOXELS = 2**24
_UFUNC: dict[str, np.ufunc] = {"max": np.fmax, "min": np.fmin, "mean": np.add}


@dataclass(frozen=True, eq=False)
class Projection(Report):
    """A projected region.

    Attributes
    ----------
    image : ndarray (rows, columns)
        Raw values, in the volume's type; float64 for a mean.
    axis : {"z", "y", "x"}
        The axis that is gone.
    region : Region
        What was projected, in voxels of the level.
    pixel_size_um : (row, column) in um, or None
        None if the voxel size is not known.
    """

    image: npt.NDArray[Any]
    axis: Axis
    region: Region
    pixel_size_um: tuple[float, float] | None


def mip(
    volume: Volume,
    axis: Axis = "z",
    slab: tuple[int, int] | None = None,
    level: int = 0,
    region: Region | str | None = None,
    *,
    how: How = "max",
) -> npt.NDArray[Any]:
    """Return the maximum intensity projection of `volume`, (rows, columns).

    Parameters
    ----------
    volume : Volume
    axis : {"z", "y", "x"}
        The axis to project along.
    slab : (start, stop), optional
        Half-open range of voxels along `axis`; it narrows `region`.
    level : int, optional
        Resolution; `slab` and `region` are in its voxels.
    region : Region or str, optional
        What to project; everything if not given.
    how : {"max", "min", "mean"}, optional
        NaN voxels are ignored by "max" and "min".

    Raises
    ------
    InvalidInputError
        If the axis or level does not exist.
    RegionError
        If region or slab is empty or outside the volume.
    """
    *_, last = projecting(volume, axis, slab, level, region, how=how)
    return cast(Projection, last).image


def projecting(
    volume: Volume,
    axis: Axis = "z",
    slab: tuple[int, int] | None = None,
    level: int = 0,
    region: Region | str | None = None,
    *,
    how: How = "max",
) -> Iterator[Progress | Projection]:
    """Do what `mip` does, as a task: a `Progress` per read, at the end the `Projection`."""
    if axis not in AXES:
        raise InvalidInputError("No such axis", value=repr(axis), limit="z, y or x")
    at = AXES.index(axis)
    volume = volume.at_level(level)
    box = slab_region(volume.shape, axis, slab, region)
    result = _empty(box, at, volume.dtype, how)
    pieces = list(box.reads(volume.chunks, READ_VOXELS))
    started = time.perf_counter()
    for done, piece in enumerate(pieces, start=1):
        _merge(result, volume.read(piece), piece.relative_to(box.start), at, how)
        yield Progress(done, len(pieces), "reads", time.perf_counter() - started)
    if how == "mean":
        result /= box.shape[at]
    pixel = pixel_size_um(axis, volume.voxel_size_um) if volume.voxel_size_known else None
    yield Projection(result, axis, box, pixel)


def pixel_size_um(axis: Axis, voxel_size_um: VoxelSize) -> tuple[float, float]:
    """Return the (row, column) size in um of the pixels of a projection along `axis`."""
    row, column = (size for name, size in zip(AXES, voxel_size_um, strict=True) if name != axis)
    return row, column


def parse_slab(text: str) -> tuple[int, int]:
    """Read ``"a:b"``, whole numbers of voxels.

    Raises
    ------
    RegionError
        If it is anything else.
    """
    match = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    if match is None:
        raise RegionError(
            "The slab is not a range",
            value=repr(text),
            limit="a:b, whole numbers of voxels",
            remedy="For example --slab 10:30",
        )
    return int(match[1]), int(match[2])


def slab_region(
    shape: Shape, axis: Axis, slab: tuple[int, int] | None = None, region: Region | str | None = None
) -> Region:
    """Return the part of a volume of `shape` that `slab` leaves of `region`.

    Raises
    ------
    RegionError
        If region or slab is empty or outside the volume, or they have nothing in common.
    """
    return _slab_of(_box(region, shape), slab, AXES.index(axis), shape)


def _box(region: Region | str | None, shape: Shape) -> Region:
    if region is None:
        return Region.whole(shape)
    return Region.parse(region, within=shape) if isinstance(region, str) else region.checked(shape)


def _slab_of(box: Region, slab: tuple[int, int] | None, at: int, shape: Shape) -> Region:
    if slab is None:
        return box
    low, high = slab
    if not 0 <= low < high <= shape[at]:
        raise RegionError(
            f"The slab is outside the volume or empty along {AXES[at]}",
            value=f"{low}:{high}",
            limit=f"0 <= start < stop <= {shape[at]}",
        )
    start, stop = list(box.start), list(box.stop)
    start[at], stop[at] = max(low, box.start[at]), min(high, box.stop[at])
    if start[at] >= stop[at]:
        raise RegionError(
            f"The slab lies outside the region along {AXES[at]}",
            value=f"{low}:{high}",
            limit=f"inside {box.start[at]}:{box.stop[at]}",
        )
    return Region(as_shape(start), as_shape(stop))


def _empty(box: Region, at: int, dtype: np.dtype[Any], how: How) -> npt.NDArray[Any]:
    """Return the (rows, columns) array that any voxel replaces."""
    size = tuple(n for axis, n in enumerate(box.shape) if axis != at)
    if how == "mean":
        return np.zeros(size, np.float64)
    if dtype.kind == "f":
        return np.full(size, np.nan, dtype)
    if dtype.kind == "b":
        return np.full(size, how == "min", dtype)
    limits = np.iinfo(dtype)
    return np.full(size, limits.min if how == "max" else limits.max, dtype)


def _merge(result: npt.NDArray[Any], block: npt.NDArray[Any], place: Region, at: int, how: How) -> None:
    """Project `block` (z, y, x) onto its place in `result`."""
    target = result[tuple(part for axis, part in enumerate(place.slices) if axis != at)]
    ufunc = _UFUNC[how]
    ufunc(target, ufunc.reduce(block, axis=at, dtype=result.dtype), out=target)
