"""The block's layer while a tool is in hand: it paints nothing, and the tool's keys are bound to it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.plugin.keymap import Shortcut

AT_REST = "pan_zoom"
OF_NAPARI = {"Esc": "Escape"}


class Hold(QObject):
    """Takes the layer of a block out of napari's hands and gives it back.

    `lost`: somebody chose another mode, so that the tool has to go.
    """

    lost = Signal()

    def __init__(self, viewer: Any, layer: Any) -> None:
        super().__init__()
        self._viewer, self._layer = viewer, layer
        self._mode: str | None = None
        self._before: dict[Any, Any] = {}

    @property
    def holds(self) -> bool:
        return self._mode is not None

    def take(self, keys: Mapping[Shortcut, Callable[[], None]], *, brush: bool) -> None:
        """Hold the layer, with `keys` bound to it; with a `brush` in hand the mouse does not pan."""
        layer, mode = self._layer, self._mode
        if mode is not None:
            self._release()
        self._mode = mode or str(layer.mode)
        layer.mode = AT_REST
        layer.mouse_pan = not brush
        self._show_cursor(brush)
        self._viewer.layers.selection.active = layer
        self._before = dict(layer.keymap)
        for shortcut, call in keys.items():
            bind(layer, shortcut, call)
        layer.events.mode.connect(self._mode_chosen)
        layer.events.brush_size.connect(self._resized)
        focus_canvas(self._viewer)

    def let_go(self) -> None:
        """Give the layer back as it was, in the mode that was chosen since, if any."""
        if not self.holds:
            return
        layer, mode, self._mode = self._layer, self._mode, None
        self._release()
        layer.mouse_pan = True
        if layer.mode == AT_REST:
            layer.cursor = "standard"
            layer.mode = mode if layer.editable else AT_REST

    def _release(self) -> None:
        """Bind the keys as they were, and hear nothing more of the layer."""
        layer = self._layer
        layer.events.mode.disconnect(self._mode_chosen)
        layer.events.brush_size.disconnect(self._resized)
        layer.keymap.clear()
        layer.keymap.update(self._before)

    def _show_cursor(self, brush: bool) -> None:
        layer = self._layer
        layer.cursor = "circle" if brush else "crosshair"
        self._resized()
        with suppress(AttributeError):  # napari 0.9.2 leaves the circle's background box behind on the canvas
            self._viewer.canvas.overlays._brush_circle.box = False

    def _resized(self, _event: Any = None) -> None:
        with suppress(AttributeError):
            self._layer.cursor_size = self._layer._calculate_cursor_size()

    def _mode_chosen(self, _event: Any = None) -> None:
        if self._layer.mode != AT_REST:
            self.lost.emit()


def bind(layer: Any, shortcut: Shortcut, call: Callable[[], None]) -> None:
    """Bind a key to a layer."""
    keys = OF_NAPARI.get(shortcut.keys, shortcut.keys)
    layer.bind_key(keys, lambda _layer: call(), overwrite=True)


def focus_canvas(viewer: Any) -> None:
    """Let the canvas have the keys."""
    with suppress(AttributeError, RuntimeError):
        viewer.window._qt_viewer.canvas.native.setFocus()
