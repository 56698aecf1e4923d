"""Bringing a proposal into view without changing more of it than necessary."""

from typing import Any

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.tools.preview import Preview
from napari_vesselkd.plugin.visible import go_to, layer_shape, visible_region

ROOM = 12  # voxels around a proposal that are brought into view


def look_at(viewer: Any, layer: Any, change: Preview) -> None:
    """Go to the slice of `layer` in which most of a change lies; zoom out only where it does not fit."""
    at = np.array(change.region.start) + [
        int(np.argmax(change.where.sum(axis=tuple(other for other in range(3) if other != axis))))
        for axis in range(3)
    ]
    room = change.region.expanded((ROOM,) * 3).intersection(Region.whole(layer_shape(layer)))
    seen = visible_region(viewer, layer)
    if room is not None and not _fits(viewer, room, seen):
        go_to(viewer, layer, room)
    centre = np.asarray(change.region.centre) - 0.5
    world_at, world_centre = (
        np.asarray(layer.data_to_world(_of_layer(layer, point)), float) for point in (at, centre)
    )
    offset = viewer.dims.ndim - len(world_at)
    for axis in viewer.dims.not_displayed:
        if axis >= offset:
            viewer.dims.set_point(axis, float(world_at[axis - offset]))
    shown = [axis - offset for axis in viewer.dims.displayed if axis >= offset]
    viewer.scene.camera.center = (0.0,) * (3 - len(shown)) + tuple(
        float(world_centre[axis]) for axis in shown
    )


def _fits(viewer: Any, room: Region, seen: Region | None) -> bool:
    """Return whether the canvas shows as much as `room` along the axes on it."""
    if viewer.dims.ndisplay == 3:
        return True
    offset = viewer.dims.ndim - 3
    axes = [axis - offset for axis in viewer.dims.displayed]
    return seen is not None and all(room.shape[axis] <= seen.shape[axis] for axis in axes)


def _of_layer(layer: Any, point: np.ndarray) -> np.ndarray:
    """Return a voxel (z, y, x) as an index of a layer with fewer or more axes."""
    index = np.zeros(layer.ndim)
    spatial = min(3, layer.ndim)
    index[-spatial:] = np.asarray(point, float)[-spatial:]
    return index
