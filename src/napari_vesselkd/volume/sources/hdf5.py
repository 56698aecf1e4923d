"""HDF5: one 3D dataset, named after the file (``file.h5:/dataset``) or the largest one in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import InvalidInputError, UnsupportedSourceError, VesselKDError
from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.volume.sources.found import KNOWN_AXES, Found, damaged, voxel_size_of

ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")
_NAMED = re.compile(
    rf"(?P<file>.*(?:{'|'.join(re.escape(e) for e in ENDINGS)})):{{1,2}}(?P<dataset>.*)", re.I | re.S
)


def split_dataset(source: str) -> tuple[str, str | None]:
    """Split ``file.h5:/a/b`` or ``file.h5::a/b`` into file and dataset; None where no dataset is named."""
    match = _NAMED.fullmatch(source)
    return (match["file"], match["dataset"].strip("/") or None) if match else (source, None)


def open_hdf5(path: Path, dataset: str | None = None) -> Found:
    """Open one dataset of an HDF5 file.

    Raises
    ------
    CorruptSourceError
        If the file is not HDF5, or is truncated.
    InvalidInputError
        If `dataset` is not in it.
    UnsupportedSourceError
        If it holds no dataset that is a volume.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise damaged(path, "cannot be read as HDF5", error) from error
    try:
        array = _choose(path, file, dataset)
        axes = _axes(array)
        if axes is None:
            raise UnsupportedSourceError(
                f"{path} does not say which axes its dataset {array.name} has",
                value=f"shape {array.shape}",
                limit="2 or 3 axes, or more with axistags",
            )
        size = _voxel_size(array)
    except VesselKDError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise damaged(path, "cannot be read as HDF5", error) from error
    return Found(
        format="hdf5",
        arrays=(array,),
        axes=axes,
        voxel_sizes_um=None if size is None else (size,),
        release=file.close,
    )


def _choose(path: Path, file: Any, dataset: str | None) -> Any:
    import h5py

    found: list[Any] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    names = ", ".join(f"{item.name} {item.shape}" for item in found[:8])
    if dataset is not None:
        item = file.get(dataset)
        if not isinstance(item, h5py.Dataset):
            raise InvalidInputError(
                f"{path} holds no dataset of that name", value=dataset, limit=names or "it holds none"
            )
        return item
    volumes = [
        item
        for item in found
        if item.shape is not None and item.dtype.kind in "buifc" and _axes(item) is not None
    ]
    if not volumes:
        raise UnsupportedSourceError(
            f"{path} holds no dataset that is a volume",
            value=names or "no datasets",
            limit="2 or 3 axes, or more with axistags",
            remedy=f"Name one: {path}:/dataset",
        )
    return max(volumes, key=lambda item: (min(item.ndim, 3), item.size))


def _axes(item: Any) -> str | None:
    """Return a letter per axis: from vigra's axistags (ilastik), else zyx after dropping leading ones."""
    tags = item.attrs.get("axistags")
    if tags is not None:
        try:
            axes = "".join(str(axis["key"]) for axis in json.loads(tags)["axes"])
        except (ValueError, KeyError, TypeError):
            axes = ""
        if len(axes) == item.ndim and set(axes) <= set(KNOWN_AXES) and {"y", "x"} <= set(axes):
            return axes
    if item.ndim in (2, 3):
        return "zyx"[-item.ndim :]
    if item.ndim in (4, 5) and set(item.shape[:-3]) == {1}:
        return "tczyx"[-item.ndim :]
    return None


def _voxel_size(item: Any) -> VoxelSize | None:
    """Return ``element_size_um`` (z, y, x; Fiji's and ilastik's convention) of the dataset or its parents."""
    import numpy as np

    node = item
    while True:
        if "element_size_um" in node.attrs:
            values = np.ravel(node.attrs["element_size_um"])
            return voxel_size_of(dict(zip("zyx"[-len(values) :], map(float, values), strict=False)))
        if node.name == "/":
            return None
        node = node.parent
