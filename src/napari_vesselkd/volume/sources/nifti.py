"""NIfTI-1/2, plain or gzipped: slices read where they lie, gzip through an index of seek points."""

from __future__ import annotations

import gzip
import io
import math
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import CorruptSourceError, UnsupportedSourceError
from napari_vesselkd.volume.sources.found import Found, damaged, voxel_size_of
from napari_vesselkd.volume.units import um_per

LARGEST_GZIP_RATIO = 1032  # deflate cannot do better
HEADER_BYTES = 544  # of NIfTI-2, with the flag for extensions
_NIFTI_AXES = "xyztc"


def open_nifti(path: Path) -> Found:
    """Open a .nii or .nii.gz file; its axes (x, y, z) become (z, y, x).

    Raises
    ------
    CorruptSourceError
        If it is not a NIfTI file, is truncated, or the gzip stream is broken.
    """
    header = _header(path)
    try:
        shape = tuple(int(size) for size in header.get_data_shape())
        dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
        slope, inter = header.get_slope_inter()
    except Exception as error:
        raise damaged(path, "has a broken NIfTI header", error) from error
    if not 2 <= len(shape) <= len(_NIFTI_AXES):
        raise UnsupportedSourceError(f"{path} is not a volume", value=f"shape {shape}", limit="2 to 5 axes")
    if dtype.fields is None:
        _check_complete(path, offset + math.prod(shape) * dtype.itemsize)
    scaling = (1.0 if slope is None else float(slope), float(inter or 0.0))
    array = NiftiArray(path, shape, dtype, offset, scaling)
    unit = header.get_xyzt_units()[0]
    in_um = um_per(unit)
    zooms = [float(str(np.float32(zoom))) for zoom in header.get_zooms()[:3]]
    sizes = {axis: zoom * (in_um or 1e3) for axis, zoom in zip("xyz", zooms, strict=False)}
    return Found(
        format="nifti",
        arrays=(array,),
        axes=_NIFTI_AXES[: len(shape)],
        voxel_sizes_um=(voxel_size_of(sizes),),
        size_known=in_um is not None,
        origin_um=_origin(header.get_best_affine(), in_um or 1e3),
        release=array.close,
    )


def _header(path: Path) -> Any:
    """Return the header as it is stored; nibabel's own loading repairs voxel sizes of 0 and below."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            start = file.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, "has a broken gzip stream", error) from error
    for kind in (Nifti1Header, Nifti2Header):
        if kind.may_contain_header(start):
            return kind.from_fileobj(io.BytesIO(start), check=False)
    raise damaged(path, "is not a NIfTI file", value=f"it begins with {start[:8]!r}")


def _origin(affine: npt.NDArray[np.float64], in_um: float) -> tuple[float, float, float]:
    """Return the first voxel's position where the axes are not turned or mirrored, else 0."""
    rotation = affine[:3, :3]
    straight = np.allclose(rotation, np.diag(np.abs(np.diag(rotation)))) and np.isfinite(affine).all()
    x, y, z = (float(str(np.float32(value))) * in_um if straight else 0.0 for value in affine[:3, 3])
    return z, y, x


def _check_complete(path: Path, promised: int) -> None:
    """Raise CorruptSourceError if the file cannot hold the `promised` bytes."""
    size = path.stat().st_size
    if path.suffix.lower() != ".gz":
        complete = promised <= size
    else:
        complete = promised <= size * LARGEST_GZIP_RATIO and (
            _gzip_trailer(path) == promised % 2**32 or _reaches(path, promised)
        )
    if not complete:
        raise CorruptSourceError(
            f"{path} is truncated or its header is wrong",
            value=f"{size} bytes{' gzipped' if path.suffix.lower() == '.gz' else ''}",
            limit=f"{promised} bytes by its header",
            remedy="Copy or export the file again",
        )


def _gzip_trailer(path: Path) -> int:
    """Return the unpacked size modulo 2^32 as a gzip file of one member ends with it."""
    with path.open("rb") as file:
        file.seek(-4, 2)
        return int(struct.unpack("<I", file.read(4))[0])


def _reaches(path: Path, promised: int) -> bool:
    """Say whether the last promised byte can be unpacked: the slow answer, for files of several members."""
    try:
        with _open(path) as file:
            file.seek(promised - 1)
            return len(file.read(1)) == 1
    except Exception:  # indexed_gzip raises kinds of its own
        return False


class NiftiArray:
    """An array in NIfTI order (x, y, z, ...), scaled as the header says; one file handle, one reader."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        stored: np.dtype[Any],
        offset: int,
        scaling: tuple[float, float],
    ) -> None:
        self.path, self.shape, self.stored, self.offset = path, shape, stored, offset
        self.slope, self.inter = scaling
        self.ndim = len(shape)
        scaled = scaling != (1.0, 0.0)
        self.dtype = np.dtype(np.float32) if scaled else stored.newbyteorder("=")
        self.chunks = (*shape[:2], *(1 for _ in shape[2:]))
        self._lock = threading.Lock()
        self._file: Any = None

    def __getitem__(self, index: tuple[Any, ...]) -> npt.NDArray[Any]:
        from nibabel.fileslice import fileslice

        with self._lock:
            if self._file is None:
                self._file = _open(self.path)
            try:
                block = fileslice(self._file, index, self.shape, self.stored, self.offset, order="F")
            except Exception as error:
                raise damaged(self.path, "cannot be read: broken gzip stream or truncated", error) from error
        if self.dtype != self.stored.newbyteorder("="):
            block = block * np.float32(self.slope) + np.float32(self.inter)
        return np.asarray(block, self.dtype)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _open(path: Path) -> Any:
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    import indexed_gzip

    return indexed_gzip.IndexedGzipFile(str(path))
