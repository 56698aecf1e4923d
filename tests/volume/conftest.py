"""Real files of every format, written from one array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SIZE_UM = (3.0, 1.5, 0.5)
Array = np.ndarray[Any, np.dtype[Any]]


def write_ome_zarr(folder: Path, data: Array, version: str) -> Path:
    from napari_vesselkd.volume import write_multiscale

    write_multiscale(folder / "v.ome.zarr", data, voxel_size_um=SIZE_UM, ome_version=version, levels=2)
    return folder / "v.ome.zarr"


def write_zarr(folder: Path, data: Array, zarr_format: int) -> Path:
    import zarr

    array = zarr.create_array(
        folder / "v.zarr", shape=data.shape, dtype=data.dtype, chunks=(4, 16, 16), zarr_format=zarr_format
    )
    array[...] = data
    return folder / "v.zarr"


def write_tiff(folder: Path, data: Array) -> Path:
    import tifffile

    tifffile.imwrite(folder / "v.tif", data, photometric="minisblack")
    return folder / "v.tif"


def write_compressed_tiff(folder: Path, data: Array) -> Path:
    import tifffile

    tifffile.imwrite(
        folder / "v.tif", data, photometric="minisblack", compression="zlib", rowsperstrip=8, bigtiff=True
    )
    return folder / "v.tif"


def write_tiled_tiff(folder: Path, data: Array) -> Path:
    import tifffile

    with tifffile.TiffWriter(folder / "v.tif") as tiff:
        for plane in data:
            tiff.write(plane, photometric="minisblack", compression="zlib", tile=(16, 32), contiguous=False)
    return folder / "v.tif"


def write_imagej_tiff(folder: Path, data: Array) -> Path:
    import tifffile

    z, y, x = SIZE_UM
    tifffile.imwrite(
        folder / "v.tif",
        data,
        imagej=True,
        resolution=(1 / x, 1 / y),
        metadata={"axes": "ZYX", "spacing": z, "unit": "um"},
    )
    return folder / "v.tif"


def write_ome_tiff(folder: Path, data: Array) -> Path:
    import tifffile

    z, y, x = SIZE_UM
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeZ": z,
        "PhysicalSizeY": y * 1000,
        "PhysicalSizeX": x,
        "PhysicalSizeYUnit": "nm",
    }
    tifffile.imwrite(folder / "v.ome.tif", data, metadata=metadata)
    return folder / "v.ome.tif"


def write_tiff_folder(folder: Path, data: Array, compression: str | None = None) -> Path:
    import tifffile

    slices = folder / "slices"
    slices.mkdir()
    for number, plane in enumerate(data):
        tifffile.imwrite(slices / f"z{number}.tif", plane, compression=compression)
    return slices


def write_nifti(folder: Path, data: Array, ending: str) -> Path:
    import nibabel

    z, y, x = SIZE_UM
    image = nibabel.Nifti1Image(np.asarray(data).T, np.diag([x / 1000, y / 1000, z / 1000, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / f"v{ending}")
    return folder / f"v{ending}"


def write_hdf5(folder: Path, data: Array, chunks: tuple[int, ...] | None = None) -> Path:
    import h5py

    with h5py.File(folder / "v.h5", "w") as file:
        file["small"] = np.zeros((2, 2, 2), np.uint8)
        dataset = file.create_dataset("raw/image", data=data, chunks=chunks)
        dataset.attrs["element_size_um"] = SIZE_UM
    return folder / "v.h5"


def write_itk(folder: Path, data: Array, ending: str) -> Path:
    import SimpleITK

    z, y, x = SIZE_UM
    image = SimpleITK.GetImageFromArray(data)
    image.SetSpacing((x / 1000, y / 1000, z / 1000))
    SimpleITK.WriteImage(image, str(folder / f"v{ending}"), useCompression=ending == ".nrrd")
    return folder / f"v{ending}"


WRITERS: dict[str, tuple[Callable[[Path, Array], Path], bool]] = {
    "ome-zarr 0.5": (lambda folder, data: write_ome_zarr(folder, data, "0.5"), True),
    "ome-zarr 0.4": (lambda folder, data: write_ome_zarr(folder, data, "0.4"), True),
    "zarr v3": (lambda folder, data: write_zarr(folder, data, 3), False),
    "zarr v2": (lambda folder, data: write_zarr(folder, data, 2), False),
    "tiff": (write_tiff, False),
    "tiff in compressed strips": (write_compressed_tiff, False),
    "tiff in tiles": (write_tiled_tiff, False),
    "tiff by ImageJ": (write_imagej_tiff, True),
    "ome-tiff": (write_ome_tiff, True),
    "tiff folder": (write_tiff_folder, False),
    "tiff folder, compressed": (lambda folder, data: write_tiff_folder(folder, data, "zlib"), False),
    "nifti": (lambda folder, data: write_nifti(folder, data, ".nii"), True),
    "nifti, gzipped": (lambda folder, data: write_nifti(folder, data, ".nii.gz"), True),
    "hdf5": (write_hdf5, True),
    "hdf5, chunked": (lambda folder, data: write_hdf5(folder, data, (4, 16, 16)), True),
    "mha": (lambda folder, data: write_itk(folder, data, ".mha"), True),
    "mhd": (lambda folder, data: write_itk(folder, data, ".mhd"), True),
    "nrrd": (lambda folder, data: write_itk(folder, data, ".nrrd"), True),
}


class Source:
    """A file of one format, and what is in it."""

    def __init__(self, kind: str, path: Path, data: Array, size_known: bool) -> None:
        self.kind, self.path, self.data, self.size_known = kind, path, data, size_known
        self.voxel_size_um = SIZE_UM if size_known else (1.0, 1.0, 1.0)


@pytest.fixture(scope="session")
def image() -> Array:
    """Return a (z, y, x) uint16 image whose axes all differ."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 60_000, (12, 40, 52)).astype(np.uint16)


@pytest.fixture(params=WRITERS)
def source(request: pytest.FixtureRequest, tmp_path: Path, image: Array) -> Source:
    """Return the image as a file of each format in turn."""
    write, size_known = WRITERS[request.param]
    return Source(request.param, write(tmp_path, image), image, size_known)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Array], Path]:
    """Return a function that writes an array in the format of that name."""
    return lambda kind, data: WRITERS[kind][0](tmp_path, data)
