"""The part of a layer that is on screen, as a region of its voxels.

Notation: regions and points are (z, y, x) voxels of the layer's finest level.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_vesselkd.geometry import Region, Shape, as_shape

SLAB_SLICES = 32
FILLED = 0.8  # share of the canvas that a region fills when it is gone to


def visible_region(viewer: Any, layer: Any, *, slab: int = SLAB_SLICES) -> Region | None:
    """Return what the viewer shows of `layer`, or None where the layer is off screen.

    On a displayed axis it is what the canvas shows; on the axis of the slider, `slab` slices around the
    current one. In 3D the canvas shows the whole volume.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Image
        2D, 3D, or with leading axes that are ignored.
    slab : int
        Slices to take around the current one.
    """
    shape = layer_shape(layer)
    if viewer.dims.ndisplay == 3:
        return Region.whole(shape)
    low, high = _canvas_box(viewer)
    corners = [layer.world_to_data(np.where(pick, high, low)[-layer.ndim :]) for pick in _choices(len(low))]
    data = np.asarray(corners, dtype=float)[:, -3:]
    data = np.pad(data, ((0, 0), (3 - data.shape[1], 0)))
    displayed = _displayed_axes(viewer)
    bounds = [
        _clip(data[:, axis].min(), data[:, axis].max(), size)
        if axis in displayed
        else slab_around(data[:, axis].mean(), slab, size)
        for axis, size in enumerate(shape)
    ]
    if any(high <= low for low, high in bounds):
        return None
    return Region(as_shape([low for low, _ in bounds]), as_shape([high for _, high in bounds]))


def slab_around(centre: float, thickness: int, size: int) -> tuple[int, int]:
    """Return `thickness` slices (or all there are) around `centre`, inside an axis of `size`."""
    thickness = max(1, min(thickness, size))
    start = round(centre) - thickness // 2
    start = max(0, min(start, size - thickness))
    return start, start + thickness


def go_to(viewer: Any, layer: Any, region: Region) -> None:
    """Move the viewer to `region`, in voxels of `layer`: its middle slice, all of it on screen."""
    low, high = (_in_world(layer, corner) for corner in (region.start, region.stop))
    axes = range(viewer.dims.ndim - len(low), viewer.dims.ndim)
    for axis, a, b in zip(axes, low, high, strict=True):
        viewer.dims.set_point(axis, (a + b) / 2)
    shown = [axis - axes.start for axis in viewer.dims.displayed if axis >= axes.start]
    camera = viewer.scene.camera
    centre = [0.0] * (3 - len(shown)) + [float(low[axis] + high[axis]) / 2 for axis in shown]
    camera.center = tuple(centre)
    extents = [abs(float(high[axis] - low[axis])) for axis in shown[-2:]]
    pixels = min(viewer.canvas.size)
    camera.zoom = FILLED * pixels / max(*extents, 1e-9)


def looked_at(viewer: Any, layer: Any, *, cursor: bool = False) -> tuple[float, float, float]:
    """Return the voxel (z, y, x) of `layer` amid the view; with `cursor`, the one under it if it is there."""
    point = np.asarray(viewer.dims.point, dtype=float)
    if cursor and viewer.mouse_over_canvas:
        position = np.asarray(viewer.cursor.position, dtype=float)
        point[len(point) - len(position) :] = position
    else:
        shown = list(viewer.dims.displayed)
        point[shown] = viewer.scene.camera.center[-len(shown) :]
    voxel = np.asarray(layer.world_to_data(point[-layer.ndim :]), dtype=float)[-3:]
    z, y, x = np.pad(voxel, (3 - len(voxel), 0))
    return float(z), float(y), float(x)


def layer_shape(layer: Any) -> Shape:
    """Return the (z, y, x) shape of an image layer's finest level."""
    shape = tuple((layer.data[0] if layer.multiscale else layer.data).shape)[-3:]
    return as_shape((1, *shape) if len(shape) == 2 else shape)


def _in_world(layer: Any, corner: Sequence[int]) -> np.ndarray:
    point = np.zeros(layer.ndim)
    spatial = min(3, layer.ndim)
    # Voxel i covers [i - 0.5, i + 0.5) in napari's data coordinates.
    point[-spatial:] = np.asarray(corner[-spatial:], dtype=float) - 0.5
    return np.asarray(layer.data_to_world(point), dtype=float)


def _canvas_box(viewer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the two world corners of the canvas; the slider's position on other axes."""
    point = np.asarray(viewer.dims.point, dtype=float)
    low, high = point.copy(), point.copy()
    camera = viewer.scene.camera
    displayed = list(viewer.dims.displayed)
    for axis, pixels, centre in zip(displayed, viewer.canvas.size, camera.center[-2:], strict=True):
        half = pixels / camera.zoom / 2
        low[axis], high[axis] = centre - half, centre + half
    return low, high


def _choices(axes: int) -> list[np.ndarray]:
    return [np.array([(code >> axis) & 1 for axis in range(axes)], dtype=bool) for code in range(2**axes)]


def _displayed_axes(viewer: Any) -> set[int]:
    """Return which of the layer's z, y, x (0, 1, 2) are on the canvas."""
    offset = viewer.dims.ndim - 3
    return {axis - offset for axis in viewer.dims.displayed if axis - offset >= 0}


def _clip(low: float, high: float, size: int) -> tuple[int, int]:
    # Voxel i covers [i - 0.5, i + 0.5) in napari's data coordinates.
    return max(0, math.floor(low + 0.5)), min(size, math.ceil(high + 0.5))


def describe_region(region: Region, axes: Sequence[str] = ("z", "y", "x")) -> str:
    """Return ``z 0–32 · y 0–512 · x 0–512 (8.4 Mvoxel)``."""
    ranges = [f"{axis} {low}–{high}" for axis, low, high in zip(axes, region.start, region.stop, strict=True)]
    return f"{' · '.join(ranges)} ({describe_count(region.size)}voxels)"


def describe_bytes(count: float) -> str:
    """Return ``0.6 GB``, ``12 MB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(1.0, count / 1e6):.0f} MB"


def describe_count(count: float) -> str:
    """Return a number with its SI prefix and a space where it has one: ``8.4 M``, ``512 ``."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {prefix}"
    return f"{count:.3g} "
