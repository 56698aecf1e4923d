"""The file formats: one module each, all behind ``open_...(path) -> Found``, and the table that picks one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_vesselkd.errors import SourceNotFoundError, UnsupportedSourceError
from napari_vesselkd.volume.sources.found import Found
from napari_vesselkd.volume.sources.hdf5 import ENDINGS as HDF5_ENDINGS
from napari_vesselkd.volume.sources.hdf5 import open_hdf5, split_dataset
from napari_vesselkd.volume.sources.itk import open_itk
from napari_vesselkd.volume.sources.nifti import open_nifti
from napari_vesselkd.volume.sources.picture import open_picture
from napari_vesselkd.volume.sources.tiff import open_tiff
from napari_vesselkd.volume.sources.tiff_folder import open_tiff_folder
from napari_vesselkd.volume.sources.zarr_store import is_zarr, open_zarr

__all__ = ["FILE_ENDINGS", "Found", "find", "source_path"]

_BY_ENDING: dict[str, Callable[[Path], Found]] = {
    **dict.fromkeys((".tif", ".tiff", ".btf", ".tf8"), open_tiff),
    **dict.fromkeys((".nii", ".nii.gz"), open_nifti),
    **dict.fromkeys(HDF5_ENDINGS, open_hdf5),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp"), open_picture),
    **dict.fromkeys((".mha", ".mhd", ".nrrd", ".nhdr"), open_itk),
}
FILE_ENDINGS = tuple(_BY_ENDING)


def source_path(source: str | Path) -> Path:
    """Return the file or folder that `source` names, without the dataset inside an HDF5 file."""
    return Path(split_dataset(str(source))[0]).expanduser()


def find(source: str | Path) -> Found:
    """Open whatever `source` is.

    Raises
    ------
    SourceNotFoundError
        If there is nothing of that name.
    UnsupportedSourceError
        If its ending is none of `FILE_ENDINGS`.
    """
    path, dataset = source_path(source), split_dataset(str(source))[1]
    if not path.exists():
        raise SourceNotFoundError(
            "There is no such file or folder",
            value=path,
            remedy="Check the spelling and that the disk is mounted",
        )
    if path.is_dir():
        return open_zarr(path) if is_zarr(path) else open_tiff_folder(path)
    if dataset is not None:
        return open_hdf5(path, dataset)
    for ending, opener in _BY_ENDING.items():
        if path.name.lower().endswith(ending):
            return opener(path)
    raise UnsupportedSourceError(
        f"{path} has an unknown ending",
        value=path.suffix or "none",
        limit=", ".join((*FILE_ENDINGS, ".zarr", "a folder of TIFF slices")),
        remedy="Export it as OME-TIFF or OME-Zarr",
    )
