"""napari's reader: any volume the package opens, as lazy multiscale layers with its voxel size.

Layers get zarr arrays behind a bounded cache of decoded chunks, never dask: slicing stays cheap on volumes of
any size.
"""

import json
import math
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import ProjectError
from napari_vesselkd.geometry import Shape
from napari_vesselkd.plugin.layers import KEY, LABEL_COLOURS, Shown
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.volume import Volume, open_volume

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[Any]]

FILE_ENDINGS = (".tif", ".tiff", ".nii", ".nii.gz", ".h5", ".hdf5", ".mha", ".mhd", ".nrrd")
ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
SLICE_ENDINGS = (".tif", ".tiff")
LOOKED_AT = 64
CHANNEL_COLOURS = ("gray", "green", "magenta", "cyan", "yellow", "red", "blue")
DISPLAY_VOXELS = 200_000
IMAGE_BUDGET = 128 * 2**20
LARGEST_KEPT_CHUNK = 16 * 2**20


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader if `path` looks like a volume, else None; looks at names only.

    A list of several paths is left to napari, which stacks them. A folder is taken if it is a zarr, or if
    TIFF slices are among its first files.
    """
    if not isinstance(path, (str, os.PathLike)):
        if len(path) != 1:
            return None
        path = path[0]
    if is_project(Path(path)):
        return open_project
    return read if _is_volume(Path(path)) else None


def is_project(path: Path) -> bool:
    """Return whether `path` is called a project; whether it is one is said when it is opened."""
    return path.name.endswith(".vesselkd") and path.is_dir()


def open_project(path: str | Path | Sequence[str]) -> list[Any]:
    """Open a project in the dock of the current viewer: what File > Open and drag and drop do.

    The dock adds the layers; napari gets none from here.
    """
    from napari import current_viewer
    from qtpy.QtCore import QTimer

    from napari_vesselkd.plugin.commands import show_dock

    project = Path(path if isinstance(path, (str, os.PathLike)) else path[0])
    viewer = current_viewer()
    if viewer is None:
        raise ProjectError("A project opens in a viewer's dock, and there is no viewer", value=project)
    dock = show_dock(viewer)
    QTimer.singleShot(0, lambda: dock.session.open(project))
    return [(None,)]


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Open a volume as napari layer data: one image layer per channel, or one labels layer.

    Raises
    ------
    VesselKDError
        If the volume cannot be opened; the message says why and what to do.
    """
    source = Path(path if isinstance(path, (str, os.PathLike)) else path[0])
    first = _open(source)
    if is_label_image(source):
        return [labels_layer(first)]
    others = [_open(source, channel=index) for index in range(1, len(first.channel_names))]
    return [image_layer(volume) for volume in (first, *others)]


def image_layer(volume: Volume) -> LayerData:
    """Return the layer data of one channel."""
    several = len(volume.channel_names) > 1
    kwargs = {
        "name": f"{volume.name}: {volume.channel_names[volume.channel]}" if several else volume.name,
        "contrast_limits": display_range(volume),
        "colormap": CHANNEL_COLOURS[(volume.channel + 1) % len(CHANNEL_COLOURS)] if several else "gray",
        "blending": "additive" if several else "translucent_no_depth",
        "metadata": {KEY: Shown(volume=volume)},
        **_place(volume),
    }
    return (*_levels(volume, kwargs), "image")


def labels_layer(volume: Volume) -> LayerData:
    """Return the layer data of a label image; one with several labels keeps napari's colours."""
    kwargs: dict[str, Any] = {"name": volume.name, "metadata": {KEY: Shown(volume=volume)}, **_place(volume)}
    if volume.dtype == np.uint8:
        from napari.utils.colormaps import DirectLabelColormap

        kwargs["colormap"] = DirectLabelColormap(color_dict=LABEL_COLOURS)
    return (*_levels(volume, kwargs), "labels")


def display_range(volume: Volume) -> tuple[float, float]:
    """Return contrast limits: two percentiles of a bounded sample amid the coarsest level."""
    coarsest = volume.levels[-1]
    extent = [min(size, edge) for size, edge in zip(coarsest.shape, (16, 256, 256), strict=True)]
    index = tuple(
        slice((size - edge) // 2, (size - edge) // 2 + edge)
        for size, edge in zip(coarsest.shape, extent, strict=True)
    )
    sample = np.asarray(coarsest[index]).ravel()[:: max(1, int(np.prod(extent)) // DISPLAY_VOXELS)]
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if sample.size == 0 or sample.min() == sample.max():
        return _full_range(volume.dtype, sample)
    low, high = (float(value) for value in np.percentile(sample, (1, 99.7)))
    return (low, high) if high > low else (float(sample.min()), float(sample.max()))


def is_label_image(source: Path) -> bool:
    """Return whether an OME-Zarr says of itself that it holds labels."""
    for name in ("zarr.json", ".zattrs"):
        with suppress(OSError, ValueError):
            attributes = json.loads((source / name).read_text())
            attributes = attributes.get("attributes", attributes)
            if "image-label" in attributes or "image-label" in attributes.get("ome", {}):
                return True
    return False


def _open(source: Path, *, channel: int | None = None) -> Volume:
    return kept_open(open_volume(source, channel=channel))


def kept_open(volume: Volume) -> Volume:
    """Let the file of `volume` be closed once nobody, layer or running task, holds its coarsest level."""
    if volume.release is not None:
        weakref.finalize(volume.levels[-1], volume.release)
    return volume


def _levels(volume: Volume, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    levels = [_shown(level, chunks) for level, chunks in zip(volume.levels, volume.level_chunks, strict=True)]
    if len(levels) > 1:
        return levels, {**kwargs, "multiscale": True}
    return levels[0], {**kwargs, "multiscale": False}


def _shown(level: Any, chunks: Shape) -> Any:
    """Return a level as layers show it: with its chunks kept, where they are small enough to be kept."""
    if isinstance(level, np.ndarray) or math.prod(chunks) * level.dtype.itemsize > LARGEST_KEPT_CHUNK:
        return level
    return LiveLevel(level, chunks=chunks, budget=IMAGE_BUDGET)


def _place(volume: Volume) -> dict[str, Any]:
    unit = "micrometer" if volume.voxel_size_known else "pixel"
    return {
        "scale": volume.voxel_size_um,
        "translate": volume.origin_um,
        "units": (unit,) * 3,
        "axis_labels": ("z", "y", "x"),
    }


def _full_range(dtype: np.dtype[Any], sample: np.ndarray) -> tuple[float, float]:
    if dtype.kind in "ui":
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    if dtype.kind == "b":
        return 0.0, 1.0
    low = float(sample.min()) if sample.size else 0.0
    return low, low + 1.0


def _is_volume(path: Path) -> bool:
    name = path.name.lower()
    if path.is_dir():
        if name.endswith(".zarr") or any((path / mark).is_file() for mark in ZARR_MARKS):
            return True
        with os.scandir(path) as entries:
            names = [entry.name.lower() for entry in islice(entries, LOOKED_AT)]
        return sum(entry.endswith(SLICE_ENDINGS) for entry in names) >= 2
    return name.endswith(FILE_ENDINGS)
