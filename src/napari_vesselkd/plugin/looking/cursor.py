"""One place in the volume, seen by the viewer and by the projections.

The place is where the mouse is over the canvas, or where somebody clicked on a projection; moving the slider
moves it along the slider's axis.

Notation: voxels are (z, y, x) of a layer's finest level.
"""

from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_vesselkd.geometry import Shape
from napari_vesselkd.plugin.visible import layer_shape, looked_at
from napari_vesselkd.plugin.workers import delayed

DELAY_MS = 40


class ViewerCursor(QObject):
    """The place that one viewer looks at; the docks of a viewer share theirs, see `cursor_of`.

    `moved`: it is another one now; at most every `DELAY_MS`. `jumped`: the viewer was sent to it.
    """

    moved = Signal()
    jumped = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.users = 1
        self._viewer = viewer
        self._world: np.ndarray | None = None
        self._timer = delayed(self, DELAY_MS, self.moved.emit)
        self._emitters: list[Any] = [
            (viewer.cursor.events.position, self._mouse),
            (viewer.dims.events.current_step, self._slider),
        ]
        for emitter, callback in self._emitters:
            emitter.connect(callback)

    def release(self) -> None:
        """Let go of the viewer, if nobody else uses this cursor."""
        self.users -= 1
        if self.users > 0:
            return
        _cursors.pop(id(self._viewer), None)
        self._timer.stop()
        for emitter, callback in self._emitters:
            emitter.disconnect(callback)
        self._emitters = []

    def voxel(self, layer: Any) -> tuple[float, float, float]:
        """Return the place in voxels of `layer`, possibly outside it; the middle of the view at first."""
        if self._world is None or len(self._world) != self._viewer.dims.ndim:
            return looked_at(self._viewer, layer)
        found = np.asarray(layer.world_to_data(self._world[-layer.ndim :]), dtype=float)[-3:]
        z, y, x = np.pad(found, (3 - len(found), 0))
        return float(z), float(y), float(x)

    def go_to(self, layer: Any, voxel: Shape) -> None:
        """Take the viewer to a voxel of `layer`: its slice, and on screen if it is not."""
        point = np.asarray(self._viewer.dims.point, dtype=float)
        world = _in_world(layer, voxel)
        point[len(point) - len(world) :] = world
        self._world = point
        shown = list(self._viewer.dims.displayed)
        for axis in range(len(point) - len(world), len(point)):
            self._viewer.dims.set_point(axis, float(point[axis]))
        self._world = point
        if not self._on_screen(point[shown]):
            self._viewer.scene.camera.center = tuple(
                [0.0] * (3 - len(shown)) + [float(at) for at in point[shown]]
            )
        self.jumped.emit()
        self.moved.emit()

    def _on_screen(self, place: np.ndarray) -> bool:
        camera = self._viewer.scene.camera
        if len(place) == 3:
            return False
        centre = np.asarray(camera.center[-2:], dtype=float)
        half = np.asarray(self._viewer.canvas.size, dtype=float) / camera.zoom / 2
        return bool((np.abs(place - centre) < 0.95 * half).all())

    def _mouse(self, _event: Any = None) -> None:
        if not self._viewer.mouse_over_canvas:
            return
        position = np.asarray(self._viewer.cursor.position, dtype=float)
        world = np.asarray(self._viewer.dims.point, dtype=float)
        if len(position) <= len(world) and np.isfinite(position).all():
            world[len(world) - len(position) :] = position
            self._world = world
            self._later()

    def _slider(self, _event: Any = None) -> None:
        if self._world is None or len(self._world) != self._viewer.dims.ndim:
            self._world = None
        else:
            hidden = [
                axis for axis in range(self._viewer.dims.ndim) if axis not in self._viewer.dims.displayed
            ]
            self._world = self._world.copy()
            self._world[hidden] = np.asarray(self._viewer.dims.point, dtype=float)[hidden]
        self._later()

    def _later(self) -> None:
        if not self._timer.isActive():
            self._timer.start()


_cursors: dict[int, ViewerCursor] = {}


def cursor_of(viewer: Any) -> ViewerCursor:
    """Return the cursor of `viewer`; each caller must `release` it."""
    found = _cursors.get(id(viewer))
    if found is None:
        _cursors[id(viewer)] = found = ViewerCursor(viewer)
    else:
        found.users += 1
    return found


def clipped(voxel: tuple[float, float, float], layer: Any) -> Shape:
    """Return the voxel of `layer` nearest to a place."""
    z, y, x = (
        int(np.clip(np.floor(at + 0.5), 0, size - 1))
        for at, size in zip(voxel, layer_shape(layer), strict=True)
    )
    return z, y, x


def _in_world(layer: Any, voxel: Shape) -> np.ndarray:
    point = np.zeros(layer.ndim)
    spatial = min(3, layer.ndim)
    point[-spatial:] = voxel[-spatial:]
    return np.asarray(layer.data_to_world(point), dtype=float)
