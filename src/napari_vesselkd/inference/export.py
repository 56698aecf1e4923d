"""From a finished store to a TIFF or NIfTI file, slab by slab, aside and then renamed."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore

CLASSIC_TIFF_BYTES = 2**32 - 2**25


def export_file(store: LabelStore, path: Path, like: Path | None = None) -> None:
    """Write the finest level of `store` to `path` (.tif, .tiff, .nii or .nii.gz) with bounded memory.

    `like` is the NIfTI file that the labels belong to, where there is one: its place in the world is kept.
    """
    aside = path.with_name(f".{path.name}.part{''.join(path.suffixes[-2:])}")
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            _write_nifti(store, aside, like, compressed=path.name.lower().endswith(".gz"))
        else:
            _write_tiff(store, aside, ome=".ome." in path.name.lower())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _slices(store: LabelStore) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield every slice (y, x), reading one chunk's thickness at a time."""
    depth, height, width = store.shape
    step = store.chunk[0]
    for low in range(0, depth, step):
        yield from store.read(Region((low, 0, 0), (min(low + step, depth), height, width)))


def _write_tiff(store: LabelStore, path: Path, *, ome: bool) -> None:
    import tifffile

    z, y, x = store.voxel_size_um
    metadata: dict[str, Any] = {"axes": "ZYX", "spacing": z, "unit": "um"}
    if ome:
        sizes = {"PhysicalSizeZ": z, "PhysicalSizeY": y, "PhysicalSizeX": x}
        metadata = {"axes": "ZYX", **sizes, **{f"{key}Unit": "µm" for key in sizes}}
    large = int(np.prod(store.shape)) > CLASSIC_TIFF_BYTES
    with tifffile.TiffWriter(path, bigtiff=large, ome=ome, imagej=not ome and not large) as writer:
        writer.write(
            _slices(store),
            shape=store.shape,
            dtype=np.uint8,
            resolution=(1 / x, 1 / y),
            resolutionunit="NONE",
            metadata=metadata,
            compression="zlib" if ome or large else None,
            photometric="minisblack",
        )


def _write_nifti(store: LabelStore, path: Path, like: Path | None, *, compressed: bool) -> None:
    header = _nifti_header(store, like)
    with path.open("wb") as file:
        if not compressed:
            _write_nifti_body(store, header, file)
            return
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=3) as packed:
            _write_nifti_body(store, header, packed)


def _nifti_header(store: LabelStore, like: Path | None) -> Any:
    import nibabel

    z, y, x = store.voxel_size_um
    affine, unit = np.diag([x, y, z, 1.0]), "micron"
    if like is not None:
        theirs: Any = nibabel.load(like)
        affine, unit = theirs.affine, theirs.header.get_xyzt_units()[0]
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(store.shape[::-1])
    header.set_xyzt_units(unit)
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header["vox_offset"] = 352
    return header


def _write_nifti_body(store: LabelStore, header: Any, file: BinaryIO | gzip.GzipFile) -> None:
    file.write(header.binaryblock)
    file.write(struct.pack("4x"))
    for plane in _slices(store):
        file.write(np.ascontiguousarray(plane).tobytes())
