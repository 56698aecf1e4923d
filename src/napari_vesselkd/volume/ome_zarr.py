"""Writing multiscale OME-Zarr 0.4 and 0.5: validated metadata, empty levels, small arrays in one go."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.volume.output import ZARR_ENDINGS, claim_output, output_errors
from napari_vesselkd.volume.pyramid import level_shapes, update_pyramid

OmeVersion = Literal["0.4", "0.5"]
LARGE_VOLUME = 512**3


def default_chunk(shape: Shape) -> Shape:
    """Return the chunk for a volume: 64 voxels along each axis, 128 for large volumes.

    Where z is thinner than that, y and x are longer, up to 512, so that a chunk holds about as many voxels.
    """
    edge = 128 if math.prod(shape) >= LARGE_VOLUME else 64
    z, plane = min(shape[0], edge), edge
    while plane < 512 and z * (2 * plane) ** 2 <= edge**3:
        plane *= 2
    return as_shape([z, min(shape[1], plane), min(shape[2], plane)])


def create_multiscale(
    path: str | Path,
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    *,
    voxel_size_um: Sequence[float],
    chunk: Sequence[int] | None = None,
    name: str | None = None,
    ome_version: str = "0.5",
    levels: int | None = None,
    label: bool = False,
    origin_um: Sequence[float] = (0.0, 0.0, 0.0),
    fill: float = 0,
    voxel_size_known: bool = True,
    attributes: dict[str, Any] | None = None,
) -> list[Any]:
    """Create an OME-Zarr image whose levels are empty, and return their arrays.

    Parameters
    ----------
    path : str or Path
        The folder, which must not exist or be empty.
    shape : (z, y, x)
    dtype : dtype
        Of the voxels.
    voxel_size_um : (z, y, x) in um
    chunk : (z, y, x), optional
        Storage chunk; see `default_chunk`. Clipped to each level's shape.
    name : str, optional
        Of the image; else from the path.
    ome_version : "0.5" or "0.4", optional
        0.5 is zarr v3, 0.4 is zarr v2.
    levels : int, optional
        Number of levels; else until the coarsest is at most 256 voxels along each axis.
    label : bool, optional
        Mark it as a label image (``image-label``).
    origin_um : (z, y, x) in um, optional
        Position of the first voxel's centre. Coarser levels are shifted by half of what their voxels grow.
    fill : number, optional
        What chunks that are not stored read as.
    voxel_size_known : bool, optional
        False leaves the unit out of the metadata, so that the size is not taken for a measured one later.
    attributes : dict, optional
        Further attributes of the group, beside the OME ones.

    Returns
    -------
    list of zarr.Array (z, y, x)
        Finest first, open for reading and writing.

    Raises
    ------
    InvalidInputError
        If `ome_version` is neither.
    OutputError
        If the folder holds something already, or cannot be written.
    """
    import zarr

    path, shape = Path(path), as_shape(shape)
    size = checked_voxel_size(voxel_size_um)
    zarr_format = _zarr_format(ome_version)
    shapes, sizes = level_shapes(shape, size, levels)
    chunk = default_chunk(shape) if chunk is None else as_shape(chunk)
    name = name if name is not None else _name(path)
    origins = [_level_origin(origin_um, size, one) for one in sizes]
    if path.exists() and any(path.iterdir()):
        raise OutputError("The output exists already", value=path, remedy="Remove it or choose another name")
    with output_errors(path):
        group = zarr.create_group(store=path, zarr_format=zarr_format)
        group.update_attributes(
            {
                **(attributes or {}),
                **_metadata(ome_version, sizes, origins, name=name, label=label, known=voxel_size_known),
            }
        )
        for level, one in enumerate(shapes):
            _create_level(group, str(level), one, dtype=np.dtype(dtype), chunk=chunk, fill=fill)
    return open_levels(path, write_empty=not label)


def open_levels(path: str | Path, *, write_empty: bool = False) -> list[Any]:
    """Return the arrays of an OME-Zarr image that `create_multiscale` made, open for reading and writing.

    Parameters
    ----------
    write_empty : bool, optional
        Store chunks that hold only the fill value too. Images do, so that a chunk that is missing later is
        known to be lost; labels, mostly empty, do not.
    """
    import zarr

    group = zarr.open_group(path, mode="r+")
    attributes = dict(group.attrs)
    ome: Any = attributes.get("ome", attributes)
    with zarr.config.set({"array.write_empty_chunks": write_empty}):
        return [group[dataset["path"]] for dataset in ome["multiscales"][0]["datasets"]]


def write_multiscale(
    path: str | Path,
    array: npt.NDArray[Any],
    *,
    voxel_size_um: Sequence[float],
    label: bool = False,
    name: str | None = None,
    ome_version: str = "0.5",
    chunk: Sequence[int] | None = None,
    origin_um: Sequence[float] = (0.0, 0.0, 0.0),
    levels: int | None = None,
    voxel_size_known: bool = True,
    attributes: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write an array that fits in memory as an OME-Zarr image with its pyramid, aside and then renamed.

    Parameters
    ----------
    array : ndarray (z, y, x)
        Or (y, x), written as one slice.
    overwrite : bool, optional
        Replace an OME-Zarr of that name.

    The others are those of `create_multiscale`.

    Raises
    ------
    OutputError
        If the ending is not .zarr, the output exists, or it cannot be written.
    """
    array = np.asarray(array)
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3:
        raise InvalidInputError("Not a volume", value=f"shape {array.shape}", limit="axes (z, y, x)")
    with claim_output(path, endings=ZARR_ENDINGS) as output, output_errors(output):
        check_replaceable(output, overwrite)
        aside = output.with_name(output.name + ".writing")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            arrays = create_multiscale(
                aside,
                array.shape,
                array.dtype,
                voxel_size_um=voxel_size_um,
                chunk=chunk,
                name=name if name is not None else _name(output),
                ome_version=ome_version,
                levels=levels,
                label=label,
                origin_um=origin_um,
                voxel_size_known=voxel_size_known,
                attributes=attributes,
            )
            arrays[0][...] = array
            update_pyramid(arrays, Region.whole(array.shape), label)
            move_into_place(aside, output)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def check_replaceable(output: Path, overwrite: bool) -> None:
    """Raise OutputError if `output` exists and may not, or is not a zarr that may be replaced."""
    if not output.exists():
        return
    is_zarr = output.is_dir() and any(
        (output / file).exists() for file in ("zarr.json", ".zgroup", ".zattrs")
    )
    if not overwrite or not is_zarr:
        raise OutputError(
            "The output exists already" if is_zarr else "The output exists already and is no zarr",
            value=output,
            remedy="Choose another name, or remove it first",
        )


def move_into_place(aside: Path, output: Path) -> None:
    """Rename a finished folder to its output; an older output is removed only afterwards."""
    old = output.with_name(output.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    aside.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _zarr_format(ome_version: str) -> Literal[2, 3]:
    if ome_version not in ("0.4", "0.5"):
        raise InvalidInputError("This OME-Zarr version is not written", value=ome_version, limit="0.5 or 0.4")
    return 3 if ome_version == "0.5" else 2


def _name(path: Path) -> str:
    return path.name.removesuffix(".part").removesuffix(".zarr").removesuffix(".ome")


def _level_origin(origin: Sequence[float], finest: VoxelSize, size: VoxelSize) -> list[float]:
    return [float(o) + (coarse - fine) / 2 for o, coarse, fine in zip(origin, size, finest, strict=True)]


def _create_level(
    group: Any, name: str, shape: Shape, *, dtype: np.dtype[Any], chunk: Shape, fill: float
) -> None:
    chunks = tuple(min(c, n) for c, n in zip(chunk, shape, strict=True))
    common: dict[str, Any] = {
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype.newbyteorder("="),
        "fill_value": fill,
    }
    if group.metadata.zarr_format == 3:
        from zarr.codecs import BloscCodec

        compressor: Any = BloscCodec(cname="zstd", clevel=3, shuffle=_shuffle(dtype))
        group.create_array(name, compressors=compressor, dimension_names=list(AXES), **common)
        return
    from numcodecs import Blosc

    shuffle = Blosc.BITSHUFFLE if _shuffle(dtype) == "bitshuffle" else Blosc.SHUFFLE
    group.create_array(
        name,
        compressors=Blosc(cname="zstd", clevel=3, shuffle=shuffle),
        chunk_key_encoding={"name": "v2", "separator": "/"},
        **common,
    )


def _shuffle(dtype: np.dtype[Any]) -> Literal["bitshuffle", "shuffle"]:
    return "bitshuffle" if dtype.itemsize == 1 else "shuffle"


def _metadata(
    version: str,
    sizes: Sequence[VoxelSize],
    origins: Sequence[Sequence[float]],
    *,
    name: str,
    label: bool,
    known: bool,
) -> dict[str, Any]:
    """Return the group attributes, validated against the models of that version."""
    axes = [{"name": axis, "type": "space", **({"unit": "micrometer"} if known else {})} for axis in AXES]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": list(size)},
                {"type": "translation", "translation": list(origin)},
            ],
        }
        for level, (size, origin) in enumerate(zip(sizes, origins, strict=True))
    ]
    image: dict[str, Any] = {
        "name": name,
        "type": "max" if label else "mean",
        "axes": axes,
        "datasets": datasets,
    }
    if version == "0.4":
        from ome_zarr_models.v04.image import ImageAttrs as Attrs04

        image["version"] = version
        attributes: dict[str, Any] = {"multiscales": [image]}
        Attrs04.model_validate(attributes)
        if label:
            attributes["image-label"] = {"version": version}
        return attributes
    from ome_zarr_models.v05.image import ImageAttrs as Attrs05

    attributes = {"version": version, "multiscales": [image]}
    Attrs05.model_validate(attributes)
    if label:
        attributes["image-label"] = {"version": version}
    return {"ome": attributes}
