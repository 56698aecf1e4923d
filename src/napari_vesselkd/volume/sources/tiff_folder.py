"""A folder of 2D TIFF slices, one file per z, in natural order of their names (slice2 before slice10)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import CorruptSourceError, UnsupportedSourceError, VesselKDError
from napari_vesselkd.volume.sources.found import Found, damaged
from napari_vesselkd.volume.sources.tiff import complaints

ENDINGS = (".tif", ".tiff")
HEADERS_CHECKED = 512


def open_tiff_folder(path: Path) -> Found:
    """Open a folder of equally large 2D slices.

    Raises
    ------
    UnsupportedSourceError
        If the folder is empty, holds no TIFF files, or files that are not single gray slices.
    CorruptSourceError
        If slices differ in shape or voxel type, or one is not a TIFF file.
    """
    files = sorted(
        (file for file in path.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith(".")),
        key=natural_order,
    )
    if not files:
        other = sum(1 for _ in path.iterdir())
        raise UnsupportedSourceError(
            f"{path} is an empty folder" if other == 0 else f"{path} is a folder without TIFF slices",
            value=None if other == 0 else f"{other} other files",
            limit=f"2D slices ending in {' or '.join(ENDINGS)}, or a zarr",
            remedy="Give the folder that holds the slices, or a single file",
        )
    shape, dtype, samples = _header(files[0])
    for file in _some(files):
        _check_same(file, _header(file), files[0], (shape, dtype, samples))
    return Found(
        format="tiff folder",
        arrays=(SliceFiles(files, shape, dtype),),
        axes="zyx" if samples == 1 else "zyxs",
    )


def natural_order(file: Path) -> list[tuple[bool, int, str]]:
    """Return the sort key that puts slice2 before slice10."""
    return [
        (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", file.name)
    ]


class SliceFiles:
    """A (z, y, x) or (z, y, x, s) array whose planes are files, opened while they are read and no longer."""

    def __init__(self, files: Sequence[Path], plane: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.files = list(files)
        self.dtype = dtype
        self.shape = (len(files), *plane)
        self.ndim = len(self.shape)
        self.chunks = (1, *plane)

    def __getitem__(self, index: tuple[Any, ...]) -> npt.NDArray[Any]:
        planes, rest = index[0], index[1:]
        files = self.files[planes]
        blocks = [self._plane(file)[rest] for file in files]
        if not blocks:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return np.stack(blocks)

    def _plane(self, file: Path) -> npt.NDArray[Any]:
        import tifffile

        try:
            with complaints() as complaint, tifffile.TiffFile(file) as tiff:
                page = tiff.pages[0]
                plane = (
                    tiff.pages[0].asarray()
                    if not page.is_memmappable
                    else tifffile.memmap(file, page=0, mode="r")
                )
        except Exception as error:
            raise damaged(file, "cannot be read", error) from error
        if complaint:
            raise damaged(file, "is truncated or damaged", value=complaint[0])
        if plane.shape != self.shape[1:] or plane.dtype != self.dtype:
            _check_same(file, (plane.shape, plane.dtype, 1), self.files[0], (self.shape[1:], self.dtype, 1))
        return np.asarray(plane)


def _header(file: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    import tifffile

    try:
        with complaints() as complaint, tifffile.TiffFile(file) as tiff:
            page, pages = tiff.pages[0], len(tiff.pages)
            end = max(o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
            size, dtype = tiff.filehandle.size, np.dtype(page.dtype.newbyteorder("="))
            if pages > 1:
                raise UnsupportedSourceError(
                    f"{file} is not a single slice",
                    value=f"{pages} pages",
                    limit="one page per file in a folder of slices",
                    remedy="Open the file itself, not its folder",
                )
            if page.samplesperpixel > 1 and page.planarconfig != 1:
                raise UnsupportedSourceError(
                    f"{file} stores its samples apart", remedy="Save it as gray slices"
                )
    except VesselKDError:
        raise
    except Exception as error:
        raise damaged(file, "is not a TIFF slice", error) from error
    if complaint or end > size:
        raise damaged(file, "is truncated", value=complaint[0] if complaint else f"{size} of {end} bytes")
    return tuple(page.shape), dtype, int(page.samplesperpixel)


def _some(files: Sequence[Path]) -> list[Path]:
    """Return the files whose headers are checked: all of a short list, spread over a long one."""
    step = max(1, len(files) // HEADERS_CHECKED)
    return [*files[1::step], files[-1]]


def _check_same(file: Path, found: Any, first: Path, expected: Any) -> None:
    if found != expected:
        raise CorruptSourceError(
            f"The slices of {file.parent} are not equal",
            value=f"{file.name} is {_text(found)}",
            limit=f"{_text(expected)}, as {first.name}",
            remedy="Remove or repair the slice that differs",
        )


def _text(header: Any) -> str:
    shape, dtype, _ = header
    return f"{' x '.join(map(str, shape))} {dtype}"
