"""The viewer's events that the tabs need, gathered and slowed down to what a person can see.

napari emits an event for every mouse move of a pan; each signal here is emitted at most ten times a second.
"""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.plugin.workers import delayed

DELAY_MS = 100
LAYER_EVENTS = ("scale", "translate", "rotate", "shear", "affine", "units", "data", "name")


class ViewerEvents(QObject):
    """Signals of one viewer.

    `layers_changed`: layers were added, removed, renamed or moved in the list. `view_moved`: pan, zoom,
    slider, 2D/3D. `layer_moved`: the transform or the data of a layer changed.
    """

    layers_changed = Signal()
    view_moved = Signal()
    layer_moved = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._connected: list[tuple[Any, Callable[..., None]]] = []
        self._watched: list[Any] = []
        names = ("layers_changed", "view_moved", "layer_moved")
        self._timers = {name: delayed(self, DELAY_MS, getattr(self, name).emit) for name in names}
        for emitter in (
            viewer.scene.camera.events,
            viewer.dims.events.current_step,
            viewer.dims.events.ndisplay,
            viewer.dims.events.order,
            viewer.canvas.events.size,
        ):
            self._connect(emitter, self._view)
        for emitter in (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.events.moved,
        ):
            self._connect(emitter, self._list)
        self._watch_layers()

    def close(self) -> None:
        """Let go of the viewer."""
        for emitter, callback in self._connected:
            emitter.disconnect(callback)
        self._connected.clear()
        for layer in self._watched:
            for emitter in _emitters(layer):
                emitter.disconnect(self._layer)
        self._watched.clear()
        for timer in self._timers.values():
            timer.stop()

    def _view(self, _event: Any = None) -> None:
        self._start("view_moved")

    def _list(self, _event: Any = None) -> None:
        self._watch_layers()
        self.layers_changed.emit()

    def _layer(self, event: Any = None) -> None:
        self._start("layers_changed" if getattr(event, "type", "") == "name" else "layer_moved")

    def _start(self, name: str) -> None:
        if self._connected and not self._timers[name].isActive():
            self._timers[name].start()

    def _watch_layers(self) -> None:
        present = list(self._viewer.layers)
        for layer in [layer for layer in self._watched if layer not in present]:
            self._watched.remove(layer)
            for emitter in _emitters(layer):
                emitter.disconnect(self._layer)
        for layer in [layer for layer in present if layer not in self._watched]:
            self._watched.append(layer)
            for emitter in _emitters(layer):
                emitter.connect(self._layer)

    def _connect(self, emitter: Any, callback: Callable[..., None]) -> None:
        emitter.connect(callback)
        self._connected.append((emitter, callback))


def _emitters(layer: Any) -> list[Any]:
    return [emitter for name in LAYER_EVENTS if (emitter := getattr(layer.events, name, None)) is not None]
