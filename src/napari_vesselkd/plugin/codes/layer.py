"""The layers of codes, of changed ones and of artefacts, and the voxel under a click.

A layer of codes lies on the codebook's grid: a cell is a voxel of the layer, as large as its stride.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from napari_vesselkd.plugin.codes.colours import layer_colours
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.layers import KEY, Shown, find_layer, transform_like
from napari_vesselkd.plugin.live_level import FlatView, LiveLevel
from napari_vesselkd.plugin.rescaling import place_level

CODES = "vesselkd: codes"
CHANGED = "vesselkd: codes changed"
ARTEFACTS = "vesselkd: artefacts"
OPACITY = 0.45
MARKED_COLOURS: dict[str, dict[Any, Any]] = {
    CHANGED: {None: "transparent", 0: "transparent", 1: "#ff3fd0"},
    ARTEFACTS: {None: "transparent", 0: "transparent", 1: "#ffd400"},
}
CLICK = 3.0  # pixels that a press may move and still is a click


def show_codes(viewer: Any, shown: OpenMap, like: Any, colours: Sequence[str], chosen: Sequence[int]) -> Any:
    """Show a code map over the image layer `like`; the layer of an earlier one is taken again.

    Returns
    -------
    napari.layers.Labels
        Its values are code + 1; 0 where nothing is computed yet.
    """
    layer = _show_cells(viewer, CODES, shown, like, cells=shown.live, colormap=_colormap(colours, chosen))
    layer.metadata = {**layer.metadata, KEY: Shown(source=like, live=(shown.live,))}
    return layer


def show_marked(viewer: Any, name: str, shown: OpenMap, like: Any, cells: LiveLevel) -> Any:
    """Show cells (z, y, x), 1 where they are marked, in the layer `name`."""
    from napari.utils.colormaps import DirectLabelColormap

    colormap = DirectLabelColormap(color_dict=MARKED_COLOURS[name])
    layer = _show_cells(viewer, name, shown, like, cells=cells, colormap=colormap)
    layer.metadata = {**layer.metadata, KEY: Shown(source=like, live=(cells,))}
    layer.visible = True
    return layer


def colour_codes(layer: Any, colours: Sequence[str], chosen: Sequence[int]) -> None:
    """Give the layer of codes its colours; codes that are not chosen are faded."""
    layer.colormap = _colormap(colours, chosen)


def name_codes(layer: Any, names: Sequence[str]) -> None:
    """Tell napari's status bar what each code is called."""
    import pandas as pd  # type: ignore[import-untyped]

    texts = [f"{code} {name}".rstrip() for code, name in enumerate(names)]
    layer.features = pd.DataFrame({"index": range(1, len(texts) + 1), "code": texts})


def _colormap(colours: Sequence[str], chosen: Sequence[int]) -> Any:
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict=layer_colours(colours, chosen))


def _show_cells(viewer: Any, name: str, shown: OpenMap, like: Any, *, cells: LiveLevel, colormap: Any) -> Any:
    data = FlatView(cells) if like.ndim == 2 else cells
    layer = find_layer(viewer, name, like)
    if layer is None:
        layer = viewer.add_labels(
            data,
            name=name,
            opacity=OPACITY,
            colormap=colormap,
            metadata={KEY: Shown(source=like)},
            **transform_like(like),
        )
        layer.editable = False
    else:
        layer.data = data
        layer.colormap = colormap
    place_level(layer, like, shown.factors)
    return layer


class Picker:
    """Calls `found` with the world position of every click on the canvas, while it is on.

    A drag still moves the view.
    """

    def __init__(self, viewer: Any, found: Callable[[np.ndarray], None]) -> None:
        self._viewer, self._found = viewer, found
        self.on = False

    def switch(self, on: bool) -> None:
        """Turn it on or off."""
        if on == self.on:
            return
        self.on = on
        callbacks = self._viewer.mouse_drag_callbacks
        if on:
            callbacks.append(self._press)
        elif self._press in callbacks:
            callbacks.remove(self._press)
        self._viewer.cursor.style = "crosshair" if on else "standard"

    def _press(self, _viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or self._viewer.dims.ndisplay != 2:  # in 3D a click is a line of places
            return
        began, world = np.asarray(event.pos, dtype=float), np.asarray(event.position, dtype=float)
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or bool(np.abs(np.asarray(event.pos) - began).max() > CLICK)
            yield
        if not moved:
            self._found(world)


def voxel_at(layer: Any, world: np.ndarray) -> tuple[float, float, float]:
    """Return the voxel (z, y, x) of an image layer at a world position."""
    voxel = np.asarray(layer.world_to_data(world[-layer.ndim :]), dtype=float)[-3:]
    z, y, x = np.pad(voxel, (3 - len(voxel), 0))
    return float(z), float(y), float(x)
