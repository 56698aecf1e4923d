"""TIFF, BigTIFF, OME-TIFF and ImageJ TIFF, through tifffile's zarr view."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import CorruptSourceError, UnsupportedSourceError, VesselKDError
from napari_vesselkd.geometry import AXES, VoxelSize
from napari_vesselkd.volume.sources.found import Found, damaged, voxel_size_of
from napari_vesselkd.volume.units import um_per

PAGES_CHECKED = 4096
LARGEST_PAGE_CHUNK_BYTES = 64 * 2**20
LARGEST_CHUNK_BYTES = 8 * 2**30


def open_tiff(path: Path) -> Found:
    """Open the first series of a TIFF file.

    Raises
    ------
    CorruptSourceError
        If it is not a TIFF file, or is truncated.
    UnsupportedSourceError
        If its axes are not those of one volume.
    """
    import tifffile

    with complaints() as complaint:
        try:
            tiff = tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            raise damaged(path, "is not a TIFF file, whatever its name says", error) from error
        except Exception as error:  # tifffile raises many kinds on broken tags
            raise damaged(path, "cannot be read as a TIFF file", error) from error
        try:
            if tiff.is_shaped and len(tiff.series) > 1:  # slices written one by one, each its own series
                tiff.close()
                tiff = tifffile.TiffFile(path, is_shaped=False)
            return _open_series(path, tiff, complaint)
        except VesselKDError:
            tiff.close()
            raise
        except Exception as error:
            tiff.close()
            raise damaged(path, "cannot be read as a TIFF file", error) from error


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs as errors: it goes on after a broken page list, and we must not."""
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> None:
        if record.thread == thread:
            said.append(record.getMessage())

    handler.emit = keep  # type: ignore[method-assign]
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _open_series(path: Path, tiff: Any, complaint: list[str]) -> Found:
    import zarr

    if not tiff.series:
        raise damaged(path, "holds no image", value=complaint[0] if complaint else None)
    series = tiff.series[0]
    axes = volume_axes(path, series.axes, series.shape)
    _check_complete(path, tiff, series, complaint)
    arrays = []
    for level, one in enumerate(series.levels):
        store = series.aszarr(level=level, chunkmode=_chunk_mode(path, one))
        arrays.append(zarr.open_array(store, mode="r"))
    size = _voxel_size(tiff)
    return Found(
        format="ome-tiff" if tiff.is_ome else "tiff",
        arrays=tuple(arrays),
        axes=axes,
        voxel_sizes_um=None
        if size is None
        else tuple(_coarser(size, axes, arrays[0], one) for one in arrays),
        channel_names=_channel_names(tiff),
        release=tiff.close,
    )


def volume_axes(path: Path, axes: str, shape: tuple[int, ...]) -> str:
    """Return tifffile's axes as ours: an unnamed series of pages is taken as z.

    Raises
    ------
    UnsupportedSourceError
        If there is more than one such axis, or one that is none of ours.
    """
    letters = axes.lower()
    pages = [letter for letter in letters if letter in "iq" and "z" not in letters]
    if len(pages) == 1:
        letters = letters.replace(pages[0], "z")
    if not set(letters) <= set("tcszyx") or len(set(letters)) != len(letters):
        raise UnsupportedSourceError(
            f"{path} has axes that are not those of one volume",
            value=f"{axes} {'x'.join(map(str, shape))}",
            limit="z, y, x, and channels c or time t",
            remedy="Save it as a stack of slices",
        )
    return letters


def _check_complete(path: Path, tiff: Any, series: Any, complaint: list[str]) -> None:
    """Raise CorruptSourceError where data that the page headers promise are not in the file."""
    if complaint:
        raise damaged(path, "is truncated or damaged", value=complaint[0])
    size = tiff.filehandle.size
    pages = series.pages
    step = max(1, len(pages) // PAGES_CHECKED)
    for number in sorted({*range(0, len(pages), step), len(pages) - 1}):
        page = pages[number]
        if page is None:
            raise damaged(path, f"is truncated: page {number} of {len(pages)} is not there")
        if getattr(page, "parent", tiff).filehandle is not tiff.filehandle:
            continue
        ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
        promised = max(ends, default=0)
        if series.dataoffset is not None and number == 0:
            promised = max(promised, series.dataoffset + series.nbytes)
        frame = page.keyframe
        if frame.compression == 1 and series.dataoffset is None and sum(page.databytecounts) < frame.nbytes:
            promised = max(promised, page.dataoffsets[0] + frame.nbytes if page.dataoffsets else frame.nbytes)
        if promised > size:
            raise CorruptSourceError(
                f"{path} is truncated",
                value=f"{size} bytes, page {number} of {len(pages)} reaches to {promised}",
                remedy="Copy or export the file again",
            )


def _chunk_mode(path: Path, series: Any) -> str:
    """Read whole planes where they are small, else the file's own strips or tiles."""
    frame = series.keyframe
    piece = math.prod(frame.chunks) * frame.dtype.itemsize
    if piece > LARGEST_CHUNK_BYTES:
        raise UnsupportedSourceError(
            f"{path} holds a plane in one compressed piece that is too large to read",
            value=f"{piece / 2**30:.0f} GiB",
            limit=f"{LARGEST_CHUNK_BYTES / 2**30:.0f} GiB",
            remedy="Save it with strips or tiles",
        )
    return "page" if not frame.is_tiled and frame.nbytes <= LARGEST_PAGE_CHUNK_BYTES else "strile"


def _coarser(size: VoxelSize, axes: str, finest: Any, array: Any) -> VoxelSize:
    z, y, x = (
        value * (finest.shape[axes.index(axis)] / array.shape[axes.index(axis)] if axis in axes else 1.0)
        for axis, value in zip(AXES, size, strict=True)
    )
    return z, y, x


def _voxel_size(tiff: Any) -> VoxelSize | None:
    """Return (z, y, x) in um from OME or ImageJ metadata; plain resolution tags (72 dpi) say nothing."""
    if tiff.is_ome:
        return _ome_voxel_size(_ome_pixels(tiff))
    if tiff.is_imagej:
        return _imagej_voxel_size(tiff)
    return None


def _ome_pixels(tiff: Any) -> dict[str, Any]:
    import tifffile

    image = tifffile.xml2dict(tiff.ome_metadata).get("OME", {}).get("Image", {})
    image = image[0] if isinstance(image, list) else image
    pixels: dict[str, Any] = image.get("Pixels", {})
    return pixels


def _ome_voxel_size(pixels: dict[str, Any]) -> VoxelSize | None:
    values = {}
    for axis in AXES:
        value = pixels.get(f"PhysicalSize{axis.upper()}")
        unit = um_per(str(pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm")))
        if value is not None and unit is not None:
            values[axis] = float(value) * unit
    if not {"y", "x"} <= set(values):
        return None
    return voxel_size_of({"z": values["x"], **values} if "z" not in values else values)


def _imagej_voxel_size(tiff: Any) -> VoxelSize | None:
    metadata = tiff.imagej_metadata or {}
    in_um = um_per(str(metadata.get("unit", "")))
    tags = tiff.pages[0].tags
    if in_um is None or "XResolution" not in tags or "YResolution" not in tags:
        return None
    per_unit = {axis: tags[f"{axis.upper()}Resolution"].value for axis in ("y", "x")}
    values = {
        axis: in_um * (below / above if above else math.inf) for axis, (above, below) in per_unit.items()
    }
    values["z"] = in_um * float(metadata["spacing"]) if "spacing" in metadata else values["x"]
    return voxel_size_of(values)


def _channel_names(tiff: Any) -> tuple[str, ...]:
    if not tiff.is_ome:
        return ()
    channels = _ome_pixels(tiff).get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = tuple(str(channel.get("Name", "")) for channel in channels)
    return names if any(names) else ()
