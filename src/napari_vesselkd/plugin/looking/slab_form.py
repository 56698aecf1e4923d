"""The controls of a slab: axis, kind of projection, region, thickness, and a slider that moves it."""

from typing import Any, cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget

from napari_vesselkd.geometry import AXES, Shape
from napari_vesselkd.plugin.looking.state import HOWS, LookForm
from napari_vesselkd.plugin.parts import Choice, Fact, labelled, row, set_quietly
from napari_vesselkd.plugin.region_picker import RegionPicker
from napari_vesselkd.plugin.visible import SLAB_SLICES, looked_at
from napari_vesselkd.projections.project import Axis


class SlabForm(QWidget):
    """Choose a slab of one layer.

    `changed` is emitted when something else is chosen, `moved` while the slab is dragged or its kind changes:
    pictures should follow that at once.
    """

    changed = Signal()
    moved = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Any = None
        self._shape: Shape | None = None
        self._picked: Shape | None = None
        self._build()
        self.axis.changed.connect(self._choose_axis)
        self.region.changed.connect(self.changed)
        self.how.currentIndexChanged.connect(self._move)
        for box in (self.centre, self.thickness):
            box.valueChanged.connect(self._move)
        self.slider.valueChanged.connect(self.centre.setValue)

    def current(self) -> LookForm:
        """Return what is chosen now."""
        return LookForm(
            region=self.region.region(),
            axis=cast(Axis, self.axis.chosen),
            centre=self.centre.value(),
            thickness=self.thickness.value(),
            how=HOWS[self.how.currentText()],
        )

    def set_layer(self, layer: Any, shape: Shape | None) -> None:
        """Choose slabs of `layer` from now on; `shape` is its volume's (z, y, x)."""
        same = layer is self._layer and shape == self._shape
        self._layer, self._shape = layer, shape
        self.region.set_layer(layer, shape)
        if same:
            self.changed.emit()
        else:
            self._picked = None
            self._choose_axis()

    def follow_viewer(self, fallback: int | None = None) -> None:
        """Move the slab to the current slice, where the projected axis is the slider's.

        Not where the viewer was sent to a voxel of this very slab: it would slide away under the mouse.
        """
        at = AXES.index(self.axis.chosen)
        shown = [axis - (self._viewer.dims.ndim - 3) for axis in self._viewer.dims.displayed]
        if self._layer is not None and at not in shown and self._layer.ndim >= 3:
            point = self._layer.world_to_data(self._viewer.dims.point[-self._layer.ndim :])
            current = round(float(point[-3:][at]))
            if self._picked is None or self._picked[at] != current:
                self._picked = None
                self._set_centre(current)
        elif fallback is not None:
            self._set_centre(fallback)

    def stay_for(self, voxel: Shape) -> None:
        """Keep the slab where it is although the viewer goes to `voxel`."""
        self._picked = voxel

    def show_form(self, form: LookForm, facts: str, depth: str) -> None:
        """Show what the chosen slab is."""
        self.region.fact.show_text(facts)
        self.depth_fact.show_text(depth)
        tip = "Middle slice of the slab" if form.thickness else "The slab is all of the region"
        for widget in (self.centre, self.slider):
            widget.setEnabled(form.thickness > 0)
            widget.setToolTip(tip)

    def _choose_axis(self, _axis: str = "") -> None:
        if self._shape is not None:
            at = AXES.index(self.axis.chosen)
            size = self._shape[at]
            for widget in (self.centre, self.slider):
                set_quietly(widget, "setMaximum", max(0, size - 1))
            set_quietly(self.thickness, "setMaximum", size)
            set_quietly(self.thickness, "setValue", 0 if size <= SLAB_SLICES else SLAB_SLICES)
            amid = size // 2 if self._layer is None else round(looked_at(self._viewer, self._layer)[at])
            self.follow_viewer(fallback=min(max(0, amid), size - 1))
        self.changed.emit()

    def _set_centre(self, value: int) -> None:
        for widget in (self.centre, self.slider):
            set_quietly(widget, "setValue", value)

    def _move(self, *_: Any) -> None:
        set_quietly(self.slider, "setValue", self.centre.value())
        self.moved.emit()

    def _build(self) -> None:
        self.axis = Choice([(axis, f"Look along {axis}") for axis in AXES])
        self.how = QComboBox()
        self.how.addItems(list(HOWS))
        self.how.setToolTip("What of the voxels behind each other is shown")
        self.region = RegionPicker(self._viewer, slab=False)
        self.centre, self.thickness = QSpinBox(), QSpinBox()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.thickness.setSpecialValueText("all")
        self.thickness.setToolTip("Slices of the slab; all takes the whole depth of the region")
        self.depth_fact = Fact()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        slices = row(QLabel("Slices"), self.thickness, QLabel("around"), self.centre)
        for text, controls in (
            ("Along", (row(self.axis, self.how),)),
            ("Region", (self.region,)),
            ("Slab", (slices, self.slider, self.depth_fact)),
        ):
            column.addSpacing(4)
            column.addWidget(labelled(text))
            for control in controls:
                column.addWidget(control)
