"""Clicks and strokes on the canvas as places in the block's layer, in 2D of any axis order and in 3D.

A press that is let go without moving is a click; moving pans or turns the view, as always. In 3D a click
means the first voxel of vessel along the ray under it.

Notation: places are in voxels (z, y, x) of the layer, its first voxel's centre being 0.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_vesselkd.labels.edits import VESSEL

SLACK = 5  # pixels by which the mouse may tremble in a click
LEFT = 1
STEP = 0.2  # voxels, of the march along a ray
Place = tuple[float, float, float]


class Gestures(QObject):
    """What the left button does on the canvas of `viewer`, while `listening`.

    `clicked` carries the place (z, y, x), or None where nothing of the layer lies under the mouse, and the
    axis across which the slice lies (None in 3D). `drawing` and `drawn` carry the places of a stroke while it
    is drawn and when it has ended.

    Attributes
    ----------
    strokes : bool
        Whether moving draws instead of panning.
    into_hole : bool
        Whether a click in 3D means what is behind the first wall instead of the wall.
    """

    clicked = Signal(object, object)
    drawing = Signal(object)
    drawn = Signal(object)

    def __init__(self, viewer: Any, layer: Any) -> None:
        super().__init__()
        self._viewer, self._layer = viewer, layer
        self.listening = self.strokes = self.into_hole = False
        viewer.mouse_drag_callbacks.append(self._pressed)

    def close(self) -> None:
        """Let go of the viewer."""
        if self._pressed in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._pressed)

    def _pressed(self, _viewer: Any, event: Any) -> Iterator[None]:
        if not self.listening or event.button != LEFT or event.modifiers:
            return
        began, moved = np.asarray(event.pos, float), False
        places = [] if event_in_3d(event) else [place_in_slice(self._layer, event.position)]
        stroke = self.strokes and bool(places)
        if stroke:
            self.drawing.emit(list(places))
        yield
        while event.type == "mouse_move":
            moved = moved or float(np.abs(np.asarray(event.pos, float) - began).max()) > SLACK
            if stroke:
                places.append(place_in_slice(self._layer, event.position))
                self.drawing.emit(list(places))
            yield
        if stroke:
            self.drawn.emit(places)
        elif not moved and self.listening:
            self._click(event)

    def _click(self, event: Any) -> None:
        if event_in_3d(event):
            self.clicked.emit(place_on_ray(self._layer, event, into_hole=self.into_hole), None)
            return
        self.clicked.emit(place_in_slice(self._layer, event.position), sliced_axis(self._viewer))


def event_in_3d(event: Any) -> bool:
    """Return whether a mouse event is one of the 3D view."""
    return len(event.dims_displayed) == 3


def sliced_axis(viewer: Any) -> int | None:
    """Return which of z, y, x (0, 1, 2) the slider goes along in 2D; 0 for a 2D image, None in 3D."""
    if viewer.dims.ndisplay == 3:
        return None
    offset = viewer.dims.ndim - 3
    hidden = [axis - offset for axis in viewer.dims.not_displayed if axis - offset >= 0]
    return hidden[0] if hidden else 0


def place_in_slice(layer: Any, position: Any) -> Place:
    """Return the place (z, y, x) in voxels of `layer` at a position of the world."""
    found = np.asarray(layer.world_to_data(np.asarray(position)[-layer.ndim :]), float)[-3:]
    z, y, x = np.pad(found, (3 - len(found), 0))
    return float(z), float(y), float(x)


def place_on_ray(layer: Any, event: Any, *, into_hole: bool = False) -> Place | None:
    """Return the first voxel of vessel under the mouse in 3D; behind its wall with `into_hole`.

    None where there is none along the ray.
    """
    near, far = layer.get_ray_intersections(event.position, event.view_direction, event.dims_displayed)
    if near is None or far is None:
        return None
    near, far = np.asarray(near, float)[-3:], np.asarray(far, float)[-3:]
    count = max(2, int(np.linalg.norm(far - near) / STEP))
    data = np.asarray(layer.data)
    path = np.clip(np.floor(np.linspace(near, far, count) + 0.5).astype(int), 0, np.array(data.shape) - 1)
    return first_on(path, lambda at: data[at] == VESSEL, into_hole=into_hole)


def first_on(path: np.ndarray, vessel: Callable[[Any], Any], *, into_hole: bool) -> Place | None:
    """Return the first voxel of a path (N, 3) that is vessel, or the first behind it that is none."""
    inside = np.asarray(vessel(tuple(path.T)))
    found = np.flatnonzero(inside)
    if len(found) and into_hole:
        found = found[0] + np.flatnonzero(~inside[found[0] :])
    if not len(found):
        return None
    z, y, x = (float(value) for value in path[found[0]])
    return z, y, x
