"""The region control of a tab: what is on screen, a box, or the whole volume.

The box is edited with spin boxes, or drawn in the viewer: a rectangle in the layer `vesselkd: box` gives y
and x, the spin boxes give z.

Notation: regions are (z, y, x) voxels, half-open.
"""

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_vesselkd.geometry import AXES, Region, Shape, as_shape
from napari_vesselkd.plugin.layers import placement
from napari_vesselkd.plugin.parts import Choice, Fact, set_quietly
from napari_vesselkd.plugin.segment_state import Where
from napari_vesselkd.plugin.visible import SLAB_SLICES, visible_region

BOX = "vesselkd: box"
TIPS = (
    (Where.VIEW.value, "The part of the volume that is on screen, and the slices around the current one"),
    (Where.BOX.value, "A box that you type or draw"),
    (Where.WHOLE.value, "The whole volume; what is on screen comes first"),
)


class RegionPicker(QWidget):
    """Choose a region of one image layer.

    Parameters
    ----------
    viewer : napari.Viewer
    slab : bool
        Whether the view is cut to some slices around the current one; else it takes all slices.

    `changed` is emitted when the region is another one, also when the user moves the view.
    """

    changed = Signal()

    def __init__(self, viewer: Any, *, slab: bool = True) -> None:
        super().__init__()
        self._viewer = viewer
        self._with_slab = slab
        self._layer: Any = None
        self._shape: Shape = (1, 1, 1)
        self._rectangle: Any = None
        self.choice = Choice(TIPS)
        self.slab = QSpinBox()
        self.slab.setRange(1, 100_000)
        self.slab.setValue(SLAB_SLICES)
        self.slab.setToolTip("How many slices around the current one belong to the view")
        self.bounds = [(QSpinBox(), QSpinBox()) for _ in AXES]
        self.draw = QPushButton("Draw in the viewer")
        self.draw.setToolTip("Add a rectangle for y and x that you can move and resize; z is set above")
        self.fact = Fact()
        self._slab_row = self._make_slab_row()
        self._box_rows = self._make_box_rows()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (self.choice, self._slab_row, self._box_rows, self.fact):
            column.addWidget(widget)
        self.choice.changed.connect(self._switch)
        self.slab.valueChanged.connect(self.changed)
        self.draw.clicked.connect(self.draw_box)
        self._switch()

    @property
    def where(self) -> Where:
        return Where(self.choice.chosen)

    def choose(self, where: Where) -> None:
        """Select one of the three, as a click would."""
        self.choice.choose(where.value)
        self._switch()

    def set_layer(self, layer: Any, shape: Shape | None) -> None:
        """Choose regions of `layer` from now on; `shape` is its volume's (z, y, x)."""
        if layer is self._layer and shape == self._shape:
            return
        self._layer, self._shape = layer, shape or (1, 1, 1)
        self._remove_rectangle()
        for (low, high), size in zip(self.bounds, self._shape, strict=True):
            for box, value in (
                (low, size // 4 if size > 4 else 0),
                (high, size - size // 4 if size > 4 else size),
            ):
                set_quietly(box, "setMaximum", size)
                set_quietly(box, "setValue", value)
        set_quietly(self.slab, "setMaximum", max(1, self._shape[0]))
        set_quietly(self.slab, "setValue", min(SLAB_SLICES, self._shape[0]))
        self.draw.setEnabled(layer is not None)
        self._switch()

    def region(self) -> Region | None:
        """Return the region that is chosen now; None where it is empty."""
        if self._layer is None:
            return None
        if self.where is Where.WHOLE:
            return Region.whole(self._shape)
        if self.where is Where.VIEW:
            return self.view()
        pairs = [(low.value(), high.value()) for low, high in self.bounds]
        if any(high <= low for low, high in pairs):
            return None
        return Region(as_shape([low for low, _ in pairs]), as_shape([high for _, high in pairs]))

    def view(self) -> Region | None:
        """Return what is on screen."""
        if self._layer is None or self._layer not in self._viewer.layers:
            return None
        slab = self.slab.value() if self._with_slab else max(self._shape)
        return visible_region(self._viewer, self._layer, slab=slab)

    def set_box(self, region: Region) -> None:
        """Put `region` into the spin boxes."""
        for (low, high), start, stop in zip(self.bounds, region.start, region.stop, strict=True):
            set_quietly(low, "setValue", start)
            set_quietly(high, "setValue", stop)
        self.changed.emit()

    def draw_box(self) -> None:
        """Show the box as a rectangle that can be moved and resized."""
        region = self.region()
        if self._layer is None:
            return
        if region is None:
            region = self.view() or Region.whole(self._shape)
            self.set_box(region)
        self._remove_rectangle()
        place = placement(self._layer)
        where: dict[str, Any] = {"scale": place.scale[1:], "translate": place.translate[1:]}
        if place.affine is not None:
            where = {"affine": place.affine[1:, 1:]}
        self._rectangle = self._viewer.add_shapes(
            [_corners(region)],
            shape_type="rectangle",
            name=BOX,
            face_color="transparent",
            edge_color="#ffd54a",
            edge_width=max(1.0, max(region.shape[1:]) / 150),
            units=place.units[1:],
            **where,
        )
        self._rectangle.mode = "select"
        self._rectangle.selected_data = {0}
        self._rectangle.events.data.connect(self._take_rectangle)

    def _take_rectangle(self, _event: Any = None) -> None:
        if self._rectangle is None or not len(self._rectangle.data):
            return
        corners = np.asarray(self._rectangle.data[-1])[:, -2:] + 0.5
        low, high = np.round(corners.min(axis=0)), np.round(corners.max(axis=0))
        for axis, start, stop in zip((1, 2), low, high, strict=True):
            size = self._shape[axis]
            set_quietly(self.bounds[axis][0], "setValue", int(np.clip(start, 0, size)))
            set_quietly(self.bounds[axis][1], "setValue", int(np.clip(stop, 0, size)))
        self.changed.emit()

    def _remove_rectangle(self) -> None:
        if self._rectangle is not None and self._rectangle in self._viewer.layers:
            self._viewer.layers.remove(self._rectangle)
        self._rectangle = None

    def _switch(self, _text: str = "") -> None:
        self._slab_row.setVisible(self._with_slab and self.where is Where.VIEW and self._shape[0] > 1)
        self._box_rows.setVisible(self.where is Where.BOX)
        if self.where is not Where.BOX:
            self._remove_rectangle()
        self.changed.emit()

    def _make_slab_row(self) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(QLabel("Slices around the current one"), stretch=1)
        line.addWidget(self.slab)
        return row

    def _make_box_rows(self) -> QWidget:
        rows = QWidget()
        grid = QGridLayout(rows)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for line, (axis, (low, high)) in enumerate(zip(AXES, self.bounds, strict=True)):
            grid.addWidget(QLabel(axis), line, 0)
            grid.addWidget(low, line, 1)
            grid.addWidget(QLabel("to"), line, 2)
            grid.addWidget(high, line, 3)
            low.setToolTip(f"First voxel along {axis}")
            high.setToolTip(f"Voxel after the last one along {axis}")
            for box in (low, high):
                box.valueChanged.connect(self._typed)
        grid.addWidget(self.draw, 3, 0, 1, 4)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return rows

    def _typed(self, _value: int) -> None:
        region = self.region()
        if region is not None and self._rectangle is not None and self._rectangle in self._viewer.layers:
            with self._rectangle.events.data.blocker(self._take_rectangle):
                self._rectangle.data = [_corners(region)]
        self.changed.emit()


def _corners(region: Region) -> np.ndarray:
    """Return the (4, 2) y, x corners of `region`; a voxel's centre is its index, so borders lie at -0.5."""
    (_, y0, x0), (_, y1, x1) = region.start, region.stop
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], dtype=float) - 0.5
