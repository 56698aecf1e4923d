"""OME-Zarr 0.1 to 0.5 and plain zarr v2/v3: metadata read here, voxels by zarr itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import CorruptSourceError, UnsupportedSourceError
from napari_vesselkd.geometry import AXES
from napari_vesselkd.volume.sources.found import KNOWN_AXES, Found, damaged, voxel_size_of
from napari_vesselkd.volume.units import um_per

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
COUNTABLE_CHUNKS = 32_768
_DEFAULT_AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


def is_zarr(path: Path) -> bool:
    """Say whether a folder is, or calls itself, a zarr array or group."""
    return path.is_dir() and (path.suffix == ".zarr" or any((path / name).exists() for name in MARKS))


def open_zarr(path: Path) -> Found:
    """Open an OME-Zarr image, a plain zarr array, or a group that holds exactly one of them.

    Raises
    ------
    CorruptSourceError
        If the folder holds no zarr metadata, or the metadata are broken.
    UnsupportedSourceError
        If it is a group without one image to choose.
    """
    import zarr

    from napari_vesselkd.volume.sources.checked_store import CheckedStore

    if not any((path / name).exists() for name in MARKS):
        raise CorruptSourceError(
            f"{path} holds no zarr metadata",
            limit=f"one of {', '.join(MARKS)}",
            remedy="Check that the folder was copied completely and is the top of the zarr",
        )
    try:
        if (path / "zarr.json").exists():  # zarr takes an empty one for a group
            json.loads((path / "zarr.json").read_text())["node_type"]
        node = zarr.open(CheckedStore(path, read_only=True), mode="r")
        attributes = dict(node.attrs)
    except Exception as error:  # zarr raises many kinds for broken JSON and missing keys
        raise damaged(path, "has zarr metadata that cannot be read", error) from error
    if isinstance(node, zarr.Array):
        return _plain(path, node)
    ome = attributes.get("ome", attributes)
    if isinstance(ome, Mapping) and "multiscales" in ome:
        return _multiscale(path, node, ome)
    return _only_member(path, ome if isinstance(ome, Mapping) else {})


def _plain(path: Path, array: Any) -> Found:
    array.store.watch(array)
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = "".join(str(name)[:1].lower() for name in names) if names else ""
    if not _legal(axes, array.ndim):
        axes = _DEFAULT_AXES.get(array.ndim, "")
    if not axes:
        raise UnsupportedSourceError(
            f"{path} is not a volume",
            value=f"{array.ndim} axes, shape {array.shape}",
            limit="2 to 5 axes",
        )
    return Found(
        format=f"zarr v{array.metadata.zarr_format}",
        arrays=(array,),
        axes=axes,
        count_missing=partial(_count_missing, path, (array,), axes),
    )


def _only_member(path: Path, attributes: Mapping[str, Any]) -> Found:
    members = sorted(child.name for child in path.iterdir() if is_zarr(child))
    if "bioformats2raw.layout" in attributes and "0" in members:
        members = [name for name in members if name.isdigit()]
    if "plate" not in attributes and len(members) == 1:
        return open_zarr(path / members[0])
    raise UnsupportedSourceError(
        f"{path} is a zarr group that is not one image",
        value=f"holds {', '.join(members[:8]) or 'nothing'}{', ...' if len(members) > 8 else ''}",
        remedy=f"Open one of its images, for example {path / members[0]}"
        if members
        else "Check that the folder was copied completely",
    )


def _multiscale(path: Path, group: Any, ome: Mapping[str, Any]) -> Found:
    try:
        image = ome["multiscales"][0]
        version = str(ome.get("version") or image.get("version") or "0.4")
        datasets = list(image["datasets"])
        paths = [str(dataset["path"]) for dataset in datasets]
        axes, units = _axes(path, image.get("axes"))
        scales = [_transform(image, dataset, "scale", axes) for dataset in datasets]
        shifts = [_transform(image, dataset, "translation", axes) for dataset in datasets]
        names = [str(c.get("label") or "") for c in ome.get("omero", {}).get("channels", [])]
    except (CorruptSourceError, UnsupportedSourceError):
        raise
    except Exception as error:
        raise damaged(path, f"has broken OME-Zarr metadata ({type(error).__name__})", error) from error
    arrays = tuple(_level(path, group, name, axes) for name in paths)
    if not arrays:
        raise damaged(path, "lists no levels in its OME-Zarr metadata")
    return Found(
        format=f"ome-zarr {version}",
        arrays=arrays,
        axes=axes,
        voxel_sizes_um=_voxel_sizes(axes, units, scales),
        size_known=all(um_per(units.get(axis)) is not None for axis in AXES if axis in axes),
        origin_um=_origin(axes, units, shifts[0]),
        channel_names=tuple(names) if any(names) else (),
        count_missing=partial(_count_missing, path, arrays, axes),
    )


def _axes(path: Path, entries: Any) -> tuple[str, dict[str, str | None]]:
    """Return one letter per axis and the unit of each; before 0.3 the axes were always tczyx."""
    if entries is None:
        return "tczyx", {}
    letters, units = "", {}
    for entry in entries:
        name = entry if isinstance(entry, str) else str(entry["name"])
        kind = "" if isinstance(entry, str) else str(entry.get("type") or "")
        letter = {"time": "t", "channel": "c"}.get(kind, name[:1].lower())
        letters += letter
        units[letter] = None if isinstance(entry, str) else entry.get("unit")
    if not _legal(letters, len(letters)):
        raise CorruptSourceError(
            f"{path} has axes that are not those of an OME-Zarr image",
            value=", ".join(str(e if isinstance(e, str) else e.get("name")) for e in entries),
            limit="t, c, z, y, x, each once, with y and x",
        )
    return letters, units


def _legal(axes: str, ndim: int) -> bool:
    return (
        len(axes) == ndim
        and len(set(axes)) == ndim
        and set(axes) <= set(KNOWN_AXES)
        and {"y", "x"} <= set(axes)
    )


def _transform(
    image: Mapping[str, Any], dataset: Mapping[str, Any], kind: str, axes: str
) -> dict[str, float]:
    """Return scale or translation per axis, the dataset's followed by that of the whole image."""
    scale, shift = dict.fromkeys(axes, 1.0), dict.fromkeys(axes, 0.0)
    both = [*dataset.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())]
    for step in both:
        if step["type"] in ("scale", "translation"):
            values = dict(zip(axes, map(float, step[step["type"]]), strict=True))
            if step["type"] == "scale":
                scale = {axis: scale[axis] * values[axis] for axis in axes}
                shift = {axis: shift[axis] * values[axis] for axis in axes}
            else:
                shift = {axis: shift[axis] + values[axis] for axis in axes}
    return scale if kind == "scale" else shift


def _level(path: Path, group: Any, name: str, axes: str) -> Any:
    import zarr

    try:
        array = group[name]
    except Exception as error:
        raise damaged(
            path, f"lists the level {name!r}, which is not there or cannot be read", error
        ) from error
    if not isinstance(array, zarr.Array) or array.ndim != len(axes):
        raise damaged(
            path,
            f"lists the level {name!r}, which is no array with the axes {axes}",
            value=f"shape {getattr(array, 'shape', 'of a group')}",
        )
    array.store.watch(array)
    return array


def _voxel_sizes(
    axes: str, units: Mapping[str, str | None], scales: list[dict[str, float]]
) -> tuple[tuple[float, float, float], ...] | None:
    """Return the voxel size of each level; None where neither unit nor scale says anything.

    A scale without unit is taken as um.
    """
    space = [axis for axis in AXES if axis in axes]
    if all(um_per(units.get(axis)) is None and scales[0][axis] == 1 for axis in space):
        return None
    in_um = {axis: um_per(units.get(axis)) or 1.0 for axis in space}
    return tuple(voxel_size_of({axis: scale[axis] * in_um[axis] for axis in space}) for scale in scales)


def _origin(
    axes: str, units: Mapping[str, str | None], shift: Mapping[str, float]
) -> tuple[float, float, float]:
    values = [shift[axis] * (um_per(units.get(axis)) or 1.0) if axis in axes else 0.0 for axis in AXES]
    z, y, x = (value if math.isfinite(value) else 0.0 for value in values)
    return z, y, x


def _count_missing(
    path: Path, arrays: tuple[Any, ...], axes: str, level: int, fixed: dict[str, int]
) -> int | None:
    """Count the chunks (or shards) of a level that have no file; None if there are too many to look at."""
    array = arrays[level]
    sizes = getattr(array, "shards", None) or array.chunks
    grids = [
        [fixed.get(axis, 0) // size] if axis not in AXES else range(-(-length // size))
        for axis, length, size in zip(axes, array.shape, sizes, strict=True)
    ]
    if math.prod(len(grid) for grid in grids) > COUNTABLE_CHUNKS:
        return None
    folder = path / array.path if array.path else path
    return sum(
        not (folder / array.metadata.encode_chunk_key(coordinates)).exists()
        for coordinates in product(*grids)
    )
