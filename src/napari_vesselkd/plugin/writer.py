"""napari's writer: one image or labels layer with its voxel size, as OME-Zarr, TIFF or NIfTI.

Every file is written aside and renamed, so that a failure leaves nothing half-written.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize
from napari_vesselkd.volume import claim_output, create_multiscale, output_errors, update_pyramid

ENDINGS = (".ome.zarr", ".zarr", ".tif", ".tiff", ".nii.gz", ".nii")
UM_PER_UNIT = {
    "micrometer": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "meter": 1e6,
}
PIECE: Shape = (128, 512, 512)


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one image layer; called by napari.

    Raises
    ------
    OutputError
        If the ending is unknown, or the layer is not 2D or 3D, or RGB.
    """
    return [str(write_layer(Path(path), data, meta, label=False))]


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer; called by napari.

    Raises
    ------
    OutputError
        If the ending is unknown, or the layer is not 2D or 3D.
    """
    return [str(write_layer(Path(path), data, meta, label=True))]


def write_layer(path: Path, data: Any, meta: dict[str, Any], *, label: bool) -> Path:
    """Write the finest level of a layer's data (z, y, x) with its voxel size; returns `path`."""
    finest = data[0] if isinstance(data, (list, tuple)) or meta.get("multiscale") else data
    if meta.get("rgb") or finest.ndim not in (2, 3):
        raise OutputError(
            "Only 2D and 3D layers of one channel can be saved with their voxel size",
            value=f"{finest.ndim} axes{', RGB' if meta.get('rgb') else ''}",
            remedy="Choose one of napari's own writers in the save dialog",
        )
    write = _writer_for(path)
    aside = path.with_name(f".{path.name}.part{_ending(path)}")
    with claim_output(path, endings=ENDINGS), output_errors(path):
        _remove(aside)
        try:
            write(aside, finest, meta, label)
            _remove(path)
            aside.rename(path)
        finally:
            _remove(aside)
    return path


def layer_voxel_size_um(meta: dict[str, Any]) -> VoxelSize:
    """Return (z, y, x) in um from napari's layer attributes; units that are not lengths count as um."""
    scale = [float(s) for s in meta.get("scale", (1.0, 1.0, 1.0))][-3:]
    units = [str(unit) for unit in (meta.get("units") or ("micrometer",) * len(scale))][-3:]
    sizes = [s * UM_PER_UNIT.get(unit, 1.0) for s, unit in zip(scale, units, strict=True)]
    z, y, x = sizes if len(sizes) == 3 else (min(sizes), *sizes)
    return z, y, x


def _write_zarr(path: Path, data: Any, meta: dict[str, Any], label: bool) -> None:
    shape = _shape(data)
    size = layer_voxel_size_um(meta)
    name = str(meta.get("name") or path.name)
    levels = create_multiscale(path, shape, data.dtype, voxel_size_um=size, name=name, label=label)
    for region in Region.whole(shape).pieces(PIECE):
        levels[0][region.slices] = _read(data, region)
        update_pyramid(levels, region, label)


def _write_tiff(path: Path, data: Any, meta: dict[str, Any], label: bool) -> None:
    import tifffile

    z, y, x = layer_voxel_size_um(meta)
    shape = _shape(data)
    planes = (_read(data, Region((at, 0, 0), (at + 1, *shape[1:])))[0] for at in range(shape[0]))
    tifffile.imwrite(
        path,
        planes,
        shape=shape,
        dtype=data.dtype,
        ome=True,
        bigtiff=data.dtype.itemsize * int(np.prod(shape)) > 2**31,
        compression="zlib" if label else None,
        metadata={
            "axes": "ZYX",
            **{f"PhysicalSize{a}": s for a, s in (("Z", z), ("Y", y), ("X", x))},
            **{f"PhysicalSize{a}Unit": "µm" for a in "ZYX"},
        },
    )


def _write_nifti(path: Path, data: Any, meta: dict[str, Any], label: bool) -> None:
    import nibabel

    z, y, x = layer_voxel_size_um(meta)
    array = _read(data, Region.whole(_shape(data)))
    array = array.astype(np.uint8) if array.dtype == bool else array
    affine = np.diag([x / 1e3, y / 1e3, z / 1e3, 1.0])
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0), affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _writer_for(path: Path) -> Callable[[Path, Any, dict[str, Any], bool], None]:
    name = path.name.lower()
    if name.endswith((".tif", ".tiff")):
        return _write_tiff
    if name.endswith((".nii", ".nii.gz")):
        return _write_nifti
    return _write_zarr


def _ending(path: Path) -> str:
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")


def _shape(data: Any) -> Shape:
    z, y, x = data.shape if data.ndim == 3 else (1, *data.shape)
    return int(z), int(y), int(x)


def _read(data: Any, region: Region) -> np.ndarray:
    return (
        np.asarray(data[region.slices]) if data.ndim == 3 else np.asarray(data[region.slices[1:]])[np.newaxis]
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
