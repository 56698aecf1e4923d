"""The inputs of the Segment tab: volume, checkpoint, region, output and the options under Advanced.

No field needs to be touched: each has a default that says what it means.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin.chosen_volume import Chosen, default_output
from napari_vesselkd.plugin.parts import Choice, Fact, Fold, labelled, set_quietly
from napari_vesselkd.plugin.region_picker import RegionPicker
from napari_vesselkd.plugin.segment_state import Form, Picture, Target
from napari_vesselkd.plugin.voxel_size_row import VoxelSizeRow

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
PROJECT, FILE = "Project", "File"
NO_PROBABILITY = "A project keeps labels only; choose File under Output"


class SegmentForm(QWidget):
    """All inputs; `changed` is emitted after any of them changed."""

    changed = Signal()
    volume_changed = Signal()
    size_typed = Signal(object)
    level_changed = Signal()
    target_changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._default_output = ""
        self.layers: list[Any] = []
        self.volume = QComboBox()
        self.volume.setToolTip("The image layer to segment; any layer of napari will do")
        self.volume_fact = Fact()
        self.voxel_size = VoxelSizeRow()
        self.level = QComboBox()
        self.level.setToolTip("The resolution level to work on: coarser is faster and finds thicker vessels")
        self.checkpoint = QComboBox()
        self.checkpoint.addItem("auto", "auto")
        self.checkpoint.setToolTip("The trained network; auto chooses by the voxel size")
        self.checkpoint_fact = Fact()
        self.region = RegionPicker(viewer)
        self.into = Choice(
            [
                (PROJECT, "Into the open project, with your corrections on top"),
                (FILE, "Into a file of its own"),
            ]
        )
        self.into.setVisible(False)
        self.output = QLineEdit()
        self.output.setToolTip("Where the labels go: .ome.zarr, .tif or .nii.gz")
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip("Choose the output")
        self.output_fact = Fact()
        self.advanced = self._make_advanced()
        self._lay_out()
        self._connect()

    def form(self, chosen: Chosen | None, refusal: str | None, project: Target | None = None) -> Form:
        """Return what the user chose; `project` is the one that could be written into."""
        target = project if self.into.chosen == PROJECT else None
        return Form(
            chosen=chosen,
            refusal=refusal,
            checkpoint=str(self.checkpoint.currentData()),
            where=self.region.where,
            region=self.region.region(),
            level=0 if target is not None else max(0, self.level.currentIndex()),
            target=target,
            project_open=project is not None,
            output=self.output.text(),
            device=self.device.currentText(),
            precision=self.precision.currentText(),
            threshold=_value(self.threshold),
            block=_value(self.block),
            halo=_value(self.halo),
            upper_percentile=_value(self.upper),
            probability=self.probability.isChecked(),
            restart=self.restart.isChecked(),
        )

    @property
    def layer(self) -> Any:
        """The layer that is chosen, or None."""
        index = self.volume.currentIndex()
        return self.layers[index] if 0 <= index < len(self.layers) else None

    def set_volumes(self, layers: Sequence[Any], current: Any) -> None:
        """List these layers; keep or select `current`."""
        blocked = self.volume.blockSignals(True)
        self.layers = list(layers)
        self.volume.clear()
        self.volume.addItems([layer.name for layer in layers])
        if current in self.layers:
            self.volume.setCurrentIndex(self.layers.index(current))
        self.volume.setEnabled(bool(layers))
        self.volume.blockSignals(blocked)

    def set_checkpoints(self, entries: Sequence[tuple[str, str]]) -> None:
        """List checkpoints as (name, description) after auto; keeps the one that was chosen."""
        blocked = self.checkpoint.blockSignals(True)
        kept = self.checkpoint.currentData()
        while self.checkpoint.count() > 1:
            self.checkpoint.removeItem(1)
        for name, description in entries:
            self.checkpoint.addItem(name, name)
            self.checkpoint.setItemData(self.checkpoint.count() - 1, description, Qt.ItemDataRole.ToolTipRole)
        self.checkpoint.setCurrentIndex(max(0, self.checkpoint.findData(kept)))
        self.checkpoint.blockSignals(blocked)

    def set_levels(self, chosen: Chosen | None) -> None:
        """List the levels of a volume; keeps the one that was chosen where there is one."""
        shapes = chosen.level_shapes if chosen is not None and chosen.levels > 1 else ()
        texts = [f"Level {at} · {' × '.join(map(str, shape))}" for at, shape in enumerate(shapes)]
        if texts != [self.level.itemText(at) for at in range(self.level.count())]:
            blocked = self.level.blockSignals(True)
            self.level.clear()
            self.level.addItems(texts)
            self.level.blockSignals(blocked)

    def suggest_output(self, chosen: Chosen) -> None:
        """Fill in the default output, unless the user wrote another one."""
        if self.output.text() in ("", self._default_output):
            self._default_output = str(default_output(chosen, max(0, self.level.currentIndex())))
            set_quietly(self.output, "setText", self._default_output)
            self.output.setToolTip(self._default_output)

    def paint(self, picture: Picture) -> None:
        """Show the facts under the inputs and lock them while a run is active."""
        self.volume_fact.show_text(picture.volume_text)
        self.voxel_size.setVisible(picture.size_visible)
        self.voxel_size.show_size(picture.voxel_size_um, picture.size_locked)
        self.level.setVisible(picture.level_visible)
        self.checkpoint_fact.show_text(picture.checkpoint_text)
        self.region.fact.show_text(picture.region_text)
        self.into.setVisible(picture.into_visible)
        self.output_row.setVisible(picture.output_visible)
        self.output_fact.show_text(picture.output_text, problem=picture.output_is_problem)
        for widget in (
            self.volume, self.level, self.checkpoint, self.region, self.into, self.output_row, self.options,
        ):  # fmt: skip
            widget.setEnabled(
                picture.inputs_enabled and (widget is not self.volume or self.volume.count() > 0)
            )
        self.probability.setEnabled(picture.output_visible)
        tip = "As an image of bytes beside the labels" if picture.output_visible else NO_PROBABILITY
        self.probability.setToolTip(tip)

    def _make_advanced(self) -> Fold:
        self.options = QWidget()
        form = QFormLayout(self.options)
        form.setContentsMargins(0, 2, 0, 2)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.threshold = _optional_float(0.0, 1.0, 0.05, "checkpoint's")
        self.device, self.precision = QComboBox(), QComboBox()
        self.device.addItems(DEVICES)
        self.precision.addItems(PRECISIONS)
        self.block = _optional_int(32, 1024, 32, "from memory")
        self.halo = _optional_int(0, 512, 8, "checkpoint's")
        self.upper = _optional_float(50.0, 100.0, 0.5, "checkpoint's")
        self.probability = QCheckBox("Also write the probability")
        self.restart = QCheckBox("Start over: replace the output")
        tips = (
            ("Threshold", self.threshold, "Voxels of at least this probability are vessel"),
            ("Device", self.device, "Where the network runs; auto takes a GPU if there is one"),
            ("Precision", self.precision, "auto takes the fastest that keeps the result"),
            ("Block", self.block, "Edge of a block in voxels; smaller needs less memory"),
            ("Halo", self.halo, "Context voxels on each side of a block"),
            ("Upper percentile", self.upper, "Intensity that becomes white before the network sees it"),
        )
        for text, widget, tip in tips:
            widget.setToolTip(tip)
            form.addRow(text, widget)
        form.addRow(self.probability)
        form.addRow(self.restart)
        return Fold("Advanced", self.options)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        self.output_row = QWidget()
        line = QHBoxLayout(self.output_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.output, stretch=1)
        line.addWidget(self.browse)
        rows: tuple[tuple[str, tuple[QWidget, ...]], ...] = (
            ("Volume", (self.volume, self.volume_fact, self.voxel_size, self.level)),
            ("Checkpoint", (self.checkpoint, self.checkpoint_fact)),
            ("Region", (self.region,)),
            ("Output", (self.into, self.output_row, self.output_fact)),
        )
        for text, widgets in rows:
            column.addWidget(labelled(text))
            for widget in widgets:
                column.addWidget(widget)
            column.addSpacing(6)
        column.addWidget(self.advanced)
        for combo in (self.volume, self.level, self.checkpoint):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(12)

    def _connect(self) -> None:
        self.volume.currentIndexChanged.connect(lambda _: self.volume_changed.emit())
        self.voxel_size.typed.connect(self.size_typed)
        self.level.currentIndexChanged.connect(lambda _: self.level_changed.emit())
        self.into.changed.connect(lambda _: self.target_changed.emit())
        self.region.changed.connect(self.changed)
        self.output.textChanged.connect(lambda _: self.changed.emit())
        self.browse.clicked.connect(self._browse)
        for combo in (self.checkpoint, self.device, self.precision):
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        for box in (self.threshold, self.block, self.halo, self.upper):
            box.valueChanged.connect(lambda _: self.changed.emit())
        for check in (self.probability, self.restart):
            check.toggled.connect(lambda _: self.changed.emit())

    def _browse(self) -> None:
        start = self.output.text() or str(Path.home())
        endings = "Labels (*.ome.zarr *.tif *.nii.gz)"
        options = QFileDialog.Option.DontConfirmOverwrite
        path, _ = QFileDialog.getSaveFileName(self, "Output", start, endings, options=options)
        if path:
            self.output.setText(path)


def _optional_int(low: int, high: int, step: int, unset: str) -> QSpinBox:
    """Return a spin box from `low` to `high`; one step below `low` means "not set" and reads `unset`."""
    box = QSpinBox()
    box.setRange(low - step, high)
    box.setSingleStep(step)
    box.setSpecialValueText(unset)
    box.setValue(low - step)
    return box


def _optional_float(low: float, high: float, step: float, unset: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(2)
    box.setRange(low - step, high)
    box.setSingleStep(step)
    box.setSpecialValueText(unset)
    box.setValue(low - step)
    return box


def _value(box: Any) -> Any:
    """Return the number in an optional spin box, or None where it is not set."""
    return None if box.value() == box.minimum() else box.value()
