"""The Look tab: a maximum-intensity projection of a slab, with a prediction over it.

Projections are computed in a worker; small ones follow the view by themselves, larger ones wait for Project.
"""

import math
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import AXES, as_shape
from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.failure import Failure, describe_failure
from napari_vesselkd.plugin.layers import (
    LayerVolume,
    current_steps,
    is_candidate,
    labels_volume,
    refusal,
    shown_by,
    volume_of,
)
from napari_vesselkd.plugin.look_state import LookForm, draw_look
from napari_vesselkd.plugin.parts import Choice, ErrorPanel, Fact, labelled, set_quietly
from napari_vesselkd.plugin.picture_view import PictureView
from napari_vesselkd.plugin.projecting import Projection, project, save_projection, show_projection
from napari_vesselkd.plugin.region_picker import RegionPicker
from napari_vesselkd.plugin.segment_tab import SegmentTab
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.visible import SLAB_SLICES, describe_count
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.projections.levels import AUTOMATIC_VOXELS, choose_level, region_at

DELAY_MS = 350
NOTHING = "nothing"


class LookTab(QWidget):
    """Project a slab of an image layer of `viewer`."""

    def __init__(self, viewer: Any, events: ViewerEvents, segment: SegmentTab) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Any = None
        self._source: LayerVolume | None = None
        self._refusal: str | None = None
        self._projection: Projection | None = None
        self._failure: Failure | None = None
        self._task: Task | None = None
        self._stale = True
        self._layers: list[Any] = []
        self._overlays: list[Any] = []
        self._build()
        self._timer = delayed(self, DELAY_MS, self._follow)
        self._connect(events, segment)
        self._list_layers()

    @property
    def projection(self) -> Projection | None:
        """What is shown, or None."""
        return self._projection

    def current_form(self) -> LookForm:
        return LookForm(
            region=self.region.region(),
            axis=self.axis.chosen,
            centre=self.centre.value(),
            thickness=self.thickness.value(),
        )

    def project(self) -> None:
        """Compute the projection; what the Project button does."""
        form = self.current_form()
        slab = form.slab
        if self._source is None or slab is None:
            return
        if self._task is not None and self._task.running:
            self._timer.start()
            return
        volume, labels = self._source.volume, self._labels()
        self._stale = False
        self._task = run(lambda: project(volume, slab, form.axis, labels))
        self._task.done.connect(self._show)
        self._task.failed.connect(self._failed)
        self._task.start()
        self._paint()

    def add_as_layer(self) -> Any:
        """Show the projection in the viewer, in the layer ``vesselkd: MIP <axis>``."""
        if self._projection is None or self._layer not in self._viewer.layers:
            return None
        return show_projection(self._viewer, self._projection, self._layer)

    def save(self, path: str | None = None) -> None:
        """Save the picture as PNG; asks for a path where none is given."""
        if self._projection is None:
            return
        if path is None:
            name = f"{self._projection.name}-mip-{self._projection.axis}.png"
            path, _ = QFileDialog.getSaveFileName(
                self, "Save the projection", str(Path.home() / name), "*.png"
            )
        if path:
            try:
                save_projection(self._projection, Path(path))
                self.saved.show_text(f"Saved {path}")
            except (VesselKDError, OSError) as error:
                self._failed(describe_failure(error))

    def _save_clicked(self) -> None:
        self.save()

    def release(self) -> None:
        """Stop: the viewer is closing."""
        self._timer.stop()
        if self._task is not None:
            self._task.abandon()

    # The viewer changed

    def _connect(self, events: ViewerEvents, segment: SegmentTab) -> None:
        events.layers_changed.connect(self._list_layers)
        events.view_moved.connect(self._view_moved)
        events.layer_moved.connect(self._choose_layer)
        segment.finished.connect(self._changed)
        self.volume.currentIndexChanged.connect(self._choose_layer)
        self.overlay.currentIndexChanged.connect(self._changed)
        self.axis.changed.connect(self._choose_axis)
        self.region.changed.connect(self._changed)
        for box in (self.centre, self.thickness):
            box.valueChanged.connect(self._changed)
        self.project_button.clicked.connect(self.project)
        self.layer_button.clicked.connect(self.add_as_layer)
        self.save_button.clicked.connect(self._save_clicked)

    def _list_layers(self) -> None:
        layers = [layer for layer in self._viewer.layers if is_candidate(layer)]
        overlays = [layer for layer in self._viewer.layers if _can_lie_over(layer)]
        active = self._viewer.layers.selection.active
        current = self._layer if self._layer in layers else None
        current = current or (active if active in layers else None) or (layers[-1] if layers else None)
        kept = self._overlay()
        new = [layer for layer in overlays if layer not in self._overlays and layer.visible]
        self._layers, self._overlays = layers, overlays
        _fill(self.volume, [layer.name for layer in layers], layers.index(current) if current else -1)
        chosen = new[-1] if new else kept
        at = overlays.index(chosen) + 1 if chosen in overlays else 0
        _fill(self.overlay, [NOTHING, *[layer.name for layer in overlays]], at)
        self.volume.setEnabled(bool(layers))
        if current is not self._layer or current is None:
            self._choose_layer()
        else:
            self._changed()

    def _choose_layer(self, _index: int = 0) -> None:
        index = self.volume.currentIndex()
        layer = self._layers[index] if 0 <= index < len(self._layers) else None
        if layer is not self._layer:
            self._projection = None
        self._layer, self._source, self._refusal = layer, None, None
        if layer is None:
            self._refusal = "Open a volume first: File > Open, or File > Open Sample > VesselKD"
        else:
            self._refusal = refusal(layer)
        if self._refusal is None:
            try:
                self._source = volume_of(layer, current_steps(self._viewer, layer))
            except VesselKDError as error:
                self._refusal = str(error)
        self.region.set_layer(
            layer if self._source else None, self._source.volume.shape if self._source else None
        )
        self._choose_axis()

    def _choose_axis(self, _axis: str = "") -> None:
        if self._source is not None:
            size = self._source.volume.shape[AXES.index(self.axis.chosen)]
            set_quietly(self.centre, "setMaximum", max(0, size - 1))
            set_quietly(self.thickness, "setMaximum", size)
            set_quietly(self.thickness, "setValue", 0 if size <= SLAB_SLICES else SLAB_SLICES)
            self._centre_on_slider(fallback=size // 2)
        self._changed()

    def _view_moved(self) -> None:
        self._centre_on_slider()
        self._changed()

    def _centre_on_slider(self, fallback: int | None = None) -> None:
        """Move the slab to the current slice, where the projected axis is the slider's."""
        at = AXES.index(self.axis.chosen)
        shown = [axis - (self._viewer.dims.ndim - 3) for axis in self._viewer.dims.displayed]
        if self._layer is not None and at not in shown and self._layer.ndim >= 3:
            point = self._layer.world_to_data(self._viewer.dims.point[-self._layer.ndim :])
            set_quietly(self.centre, "setValue", round(float(point[-3:][at])))
        elif fallback is not None:
            set_quietly(self.centre, "setValue", fallback)

    def _changed(self, *_: Any) -> None:
        self._stale = True
        self._timer.start()
        self._paint()

    # The projection

    def _follow(self) -> None:
        """Project by itself what is cheap, while somebody looks."""
        if self._stale and self.isVisible() and self._voxels() <= AUTOMATIC_VOXELS:
            self.project()
        self._paint()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._timer.start()

    def _voxels(self) -> int:
        slab = self.current_form().slab
        if self._source is None or slab is None:
            return 0
        shapes = tuple(as_shape(level.shape) for level in self._source.volume.levels)
        level = choose_level(shapes, slab)
        return math.prod(region_at(slab, shapes[0], shapes[level]).shape)

    def _overlay(self) -> Any:
        index = self.overlay.currentIndex() - 1
        return self._overlays[index] if 0 <= index < len(self._overlays) else None

    def _labels(self) -> Any:
        layer = self._overlay()
        return None if layer is None else labels_volume(layer)

    def _show(self, projection: Projection) -> None:
        self._projection, self._failure = projection, None
        self.picture.show_picture(projection.rgb, projection.height_um, projection.width_um)
        self.saved.show_text("")
        self._paint()

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        self._paint()

    def _paint(self) -> None:
        form = self.current_form()
        state = draw_look(
            form,
            refusal=self._refusal,
            busy=self._task is not None and self._task.running,
            has_picture=self._projection is not None,
            failure=self._failure,
            voxels=self._voxels(),
        )
        self.region.fact.show_text(state.facts)
        self.thickness_fact.show_text(self._slab_fact(form))
        self.centre.setEnabled(form.thickness > 0)
        self.centre.setToolTip(
            "Middle slice of the slab" if form.thickness else "The slab is all of the region"
        )
        self.project_button.setEnabled(state.project_enabled)
        self.project_button.setToolTip(state.project_tooltip)
        for button, tip in (
            (self.layer_button, f"Add or update the layer vesselkd: MIP {form.axis}"),
            (self.save_button, "Save the picture with a scale bar"),
        ):
            button.setEnabled(state.saves_enabled)
            button.setToolTip(state.saves_tooltip or tip)
        self.picture.setVisible(self._projection is not None)
        self.hint.show_text(state.hint)
        self.error.show_failure(state.failure)

    def _slab_fact(self, form: LookForm) -> str:
        slab = form.slab
        if slab is None or self._source is None:
            return ""
        at = AXES.index(form.axis)
        depth = slab.shape[at] * self._source.volume.voxel_size_um[at]
        unit = "µm" if self._source.volume.voxel_size_known else "voxels"
        return f"{depth:.4g} {unit} deep · {describe_count(slab.size)}voxels"

    # The widgets

    def _build(self) -> None:
        self.volume, self.overlay = QComboBox(), QComboBox()
        for combo, tip in (
            (self.volume, "The image layer to project"),
            (self.overlay, "Labels to draw over it"),
        ):
            combo.setToolTip(tip)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(12)
        self.axis = Choice([(axis, f"Look along {axis}") for axis in AXES])
        self.region = RegionPicker(self._viewer, slab=False)
        self.centre, self.thickness = QSpinBox(), QSpinBox()
        self.thickness.setSpecialValueText("all")
        self.thickness.setToolTip("Slices of the slab; all takes the whole depth of the region")
        self.thickness_fact, self.hint, self.saved = Fact(), Fact(), Fact()
        self.picture = PictureView()
        self.project_button = QPushButton(keymap.with_keys("Project", keymap.PROJECT))
        self.project_button.setShortcut(QKeySequence(keymap.PROJECT.keys))
        self.layer_button, self.save_button = QPushButton("Add as layer"), QPushButton("Save PNG…")
        self.error = ErrorPanel()
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(3)
        for text, control in (
            ("Volume", self.volume),
            ("Over it", self.overlay),
            ("Along", self.axis),
            ("Region", self.region),
            ("Slab", self._slab_row()),
        ):
            column.addWidget(labelled(text))
            column.addWidget(control)
            column.addSpacing(4)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.project_button, self.layer_button, self.save_button):
            buttons.addWidget(button)
        for item in (self.thickness_fact, self.hint, self.picture):
            column.addWidget(item)
        column.addLayout(buttons)
        column.addWidget(self.saved)
        column.addWidget(self.error)
        column.addStretch(1)

    def _slab_row(self) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        for text, box in (("Slices", self.thickness), ("around", self.centre)):
            line.addWidget(QLabel(text))
            line.addWidget(box, stretch=1)
        return row


def _can_lie_over(layer: Any) -> bool:
    """Return whether a layer's labels can cover a volume: a block being corrected is a part of one."""
    handle = shown_by(layer)
    return type(layer).__name__ == "Labels" and (handle is None or handle.block is None)


def _fill(combo: QComboBox, texts: list[str], current: int) -> None:
    blocker = QSignalBlocker(combo)
    combo.clear()
    combo.addItems(texts)
    combo.setCurrentIndex(current)
    blocker.unblock()
