"""From a path, or a layer's arrays, to a `Volume`: channel and level chosen, voxel size settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError, UnsupportedSourceError, VoxelSizeError
from napari_vesselkd.geometry import AXES, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.volume.lazy import AxisView, LazyArray, axis_chunks
from napari_vesselkd.volume.sources import Found, find, source_path
from napari_vesselkd.volume.volume import Volume, level_sizes

RGB_NAMES = ("red", "green", "blue", "alpha")
_ARRAY_AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
_ENDINGS = (".ome.zarr", ".ome.tiff", ".ome.tif", ".nii.gz")


def open_volume(
    source: str | Path,
    *,
    channel: int | None = None,
    level: int = 0,
    voxel_size_um: Sequence[float] | None = None,
) -> Volume:
    """Open a volume without reading its voxels.

    Parameters
    ----------
    source : str or Path
        An OME-Zarr or zarr folder, a TIFF file or a folder of TIFF slices, NIfTI, MHA, MHD, NRRD, PNG, JPEG,
        or HDF5 (``file.h5:/dataset``).
    channel : int, optional
        Which channel; the first one if not given. An RGB image needs it: 0 red, 1 green, 2 blue.
    level : int, optional
        The level to take as the finest.
    voxel_size_um : (z, y, x) in um, optional
        Of the file's level 0; instead of what the file says.

    Raises
    ------
    SourceNotFoundError, UnsupportedSourceError, CorruptSourceError
        If it is not there, of no known kind, or broken.
    InvalidInputError
        If the level or channel is not there.
    VoxelSizeError
        If the voxel size, given or stored, is not three positive finite numbers.
    """
    given = None if voxel_size_um is None else checked_voxel_size(voxel_size_um)
    path = source_path(source)
    found = find(source)
    try:
        return _volume(found, name=_stem(path), path=path, channel=channel, given=given).at_level(level)
    except Exception:
        if found.release is not None:
            found.release()
        raise


def volume_from_arrays(
    levels: Sequence[Any],
    *,
    voxel_size_um: Sequence[float] | None,
    name: str = "volume",
    axes: str | None = None,
    channel: int | None = None,
    channel_names: Sequence[str] = (),
    origin_um: Sequence[float] = (0.0, 0.0, 0.0),
    level_voxel_sizes_um: Sequence[Sequence[float]] | None = None,
    voxel_size_known: bool = True,
    path: Path | None = None,
) -> Volume:
    """Return the volume that arrays from elsewhere are: numpy, zarr, dask, napari's MultiScaleData.

    Parameters
    ----------
    levels : sequence of arrays
        Finest first; one array alone is a list of one.
    voxel_size_um : (z, y, x) in um, or None
        Of the first one; None if not known (1 um).
    axes : str, optional
        A letter of t c s z y x per dimension (s: the samples of an RGB image); else yx, zyx, czyx or tczyx by
        the number of dimensions.
    channel : int, optional
        As in `open_volume`.
    origin_um : (z, y, x) in um, optional
        Position of the first voxel's centre.
    level_voxel_sizes_um : sequence of (z, y, x), optional
        Per level; else from the shapes.
    voxel_size_known : bool, optional
        False where `voxel_size_um` is a guess.

    Raises
    ------
    UnsupportedSourceError, InvalidInputError, VoxelSizeError
        As `open_volume`.
    """
    arrays = tuple(array if hasattr(array, "dtype") else np.asarray(array) for array in levels)
    if not arrays:
        raise InvalidInputError("A volume needs at least one array", value="an empty list")
    ndim = len(arrays[0].shape)
    letters = axes or _ARRAY_AXES.get(ndim)
    if letters is None or len(letters) != ndim:
        raise UnsupportedSourceError(
            f"{name} is not a volume", value=f"shape {tuple(arrays[0].shape)}", limit="2 to 5 axes"
        )
    sizes = None
    if level_voxel_sizes_um is not None:
        sizes = tuple(checked_voxel_size(size) for size in level_voxel_sizes_um)
    z, y, x = (float(value) for value in origin_um)
    found = Found(
        format="array",
        arrays=arrays,
        axes=letters,
        voxel_sizes_um=sizes,
        origin_um=(z, y, x),
        channel_names=tuple(channel_names),
    )
    given = None if voxel_size_um is None else checked_voxel_size(voxel_size_um)
    volume = _volume(found, name=name, path=path, channel=channel, given=given)
    return volume if voxel_size_known else replace(volume, voxel_size_known=False)


def _volume(
    found: Found, *, name: str, path: Path | None, channel: int | None, given: VoxelSize | None
) -> Volume:
    where = str(path or name)
    axes = _with_samples(found)
    for array in found.arrays:
        _check_voxels(where, array)
    chosen, names = _choose_channel(where, found, axes, channel)
    fixed = {axis: chosen for axis in axes if axis in "cs"}
    _check_time(where, found, axes)
    levels = tuple(_level(array, axes, fixed) for array in found.arrays)
    shapes = [as_shape(one.shape) for one in levels]
    if given is not None or found.voxel_sizes_um is None:
        sizes = level_sizes(given or (1.0, 1.0, 1.0), shapes)
    else:
        sizes = tuple(_checked_stored(where, size) for size in found.voxel_sizes_um)
    count = found.count_missing
    return Volume(
        name=name,
        path=path,
        format=found.format,
        levels=levels,
        level_voxel_sizes_um=sizes,
        level_chunks=tuple(axis_chunks(array, axes) for array in found.arrays),
        origin_um=found.origin_um,
        voxel_size_known=given is not None or (found.voxel_sizes_um is not None and found.size_known),
        channel=chosen,
        channel_names=names,
        release=found.release,
        count_missing=None if count is None else lambda level: count(level, fixed),
    )


def _checked_stored(where: str, size: VoxelSize) -> VoxelSize:
    if any(not math.isfinite(value) or value <= 0 for value in size):
        raise VoxelSizeError(
            f"The metadata of {where} hold a voxel size that cannot be used",
            value=",".join(f"{value:g}" for value in size),
            limit="three positive finite numbers z,y,x in um",
            remedy="Give the right one with --voxel-size z,y,x",
        )
    return size


def _with_samples(found: Found) -> str:
    """Return the axes; a last axis of 3 or 4 bytes on a large plane is an RGB image that does not say so."""
    first = found.arrays[0]
    if (
        found.axes == "zyx"
        and first.shape[2] in (3, 4)
        and first.dtype.itemsize == 1
        and min(first.shape[:2]) > 32
    ):
        return "yxs"
    return found.axes


def _check_voxels(where: str, array: Any) -> None:
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "buif":
        raise UnsupportedSourceError(
            f"{where} has voxels that are not gray values",
            value="RGB" if dtype.fields else str(dtype),
            limit="integers, floats or booleans",
            remedy="Save one of its parts, for example the magnitude, as float32",
        )
    if 0 in array.shape:
        raise UnsupportedSourceError(f"{where} has no voxels", value=f"shape {tuple(array.shape)}")


def _check_time(where: str, found: Found, axes: str) -> None:
    times = found.arrays[0].shape[axes.index("t")] if "t" in axes else 1
    if times > 1:
        raise UnsupportedSourceError(
            f"{where} is a time series",
            value=f"{times} time points",
            limit="one",
            remedy="Save the time point to segment as its own file",
        )


def _choose_channel(where: str, found: Found, axes: str, channel: int | None) -> tuple[int, tuple[str, ...]]:
    """Return the index of the channel and all names."""
    along = [axis for axis in axes if axis in "cs" and found.arrays[0].shape[axes.index(axis)] > 1]
    if len(along) == 2:
        raise UnsupportedSourceError(
            f"{where} has channels of RGB pixels",
            value=f"axes {axes}",
            remedy="Save one channel as gray values",
        )
    count = found.arrays[0].shape[axes.index(along[0])] if along else 1
    if channel is None and along == ["s"]:
        raise UnsupportedSourceError(
            f"{where} is an RGB image" if count in (3, 4) else f"{where} has several values per voxel",
            value=f"{count} samples per pixel",
            limit="gray values",
            remedy="Choose one with --channel: 0 red, 1 green, 2 blue"
            if count in (3, 4)
            else f"Choose one with --channel 0..{count - 1}",
        )
    chosen = channel or 0
    if not 0 <= chosen < count:
        raise InvalidInputError(
            f"{where} has no such channel",
            value=chosen,
            limit=f"0..{count - 1}" if count > 1 else "0, the only one",
            remedy="`vesselkd info` lists the channels",
        )
    names = found.channel_names
    if along == ["s"]:
        names = RGB_NAMES[:count] if count in (3, 4) else ()
    if along and len(names) != count:
        names = tuple(f"channel {i}" for i in range(count))
    return chosen, names if along else ()


def _level(array: Any, axes: str, fixed: dict[str, int]) -> LazyArray:
    """Return the array itself where it is a (z, y, x) zarr or numpy array, else a view."""
    import zarr

    if axes == "".join(AXES) and isinstance(array, zarr.Array | np.ndarray | AxisView):
        return array
    return AxisView(array, axes, fixed)


def _stem(path: Path) -> str:
    name = path.name or str(path)
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem or name
