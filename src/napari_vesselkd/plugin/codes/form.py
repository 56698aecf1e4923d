"""The inputs of a code map, its buttons and its progress: the upper part of the Codes page."""

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin.codes.state import CodesPicture, TeacherChoice
from napari_vesselkd.plugin.parts import (
    PRIMARY,
    Copyable,
    ErrorPanel,
    Fact,
    Fold,
    NoticePanel,
    labelled,
    row,
    set_quietly,
)
from napari_vesselkd.plugin.region_picker import RegionPicker
from napari_vesselkd.plugin.run_panel import paint_button


class CodesForm(QWidget):
    """Paints a `CodesPicture`; says what the user changed or pressed."""

    volume_changed = Signal()
    changed = Signal()
    run_pressed = Signal()
    stop_pressed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.layers: list[Any] = []
        self.teachers: tuple[TeacherChoice, ...] = ()
        self.volume, self.teacher = QComboBox(), QComboBox()
        for combo, tip in (
            (self.volume, "The image layer whose places are given codes"),
            (self.teacher, "A checkpoint with a codebook"),
        ):
            combo.setToolTip(tip)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(12)
        self.region = RegionPicker(viewer)
        self.level = QSpinBox()
        self.level.setToolTip("Resolution level to map; 0 is the finest")
        self.restart = QCheckBox("Start over")
        self.restart.setToolTip("Replace the map that is kept instead of going on with it")
        self.run, self.stop = QPushButton("Map codes"), QPushButton("Stop")
        self.run.setObjectName(PRIMARY)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.volume_fact, self.teacher_fact, self.estimate = Fact(), Fact(), Fact()
        self.reason, self.bar_text, self.kept = Fact(), Fact(), Fact()
        self.notices, self.error = NoticePanel(), ErrorPanel()
        self.command = Copyable()
        self.command_fold = Fold("Command line", self.command)
        self._lay_out()
        self._connect()

    @property
    def layer(self) -> Any:
        """The image layer that is chosen, or None."""
        index = self.volume.currentIndex()
        return self.layers[index] if 0 <= index < len(self.layers) else None

    @property
    def choice(self) -> TeacherChoice | None:
        """The teacher that is chosen."""
        index = self.teacher.currentIndex()
        return self.teachers[index] if 0 <= index < len(self.teachers) else None

    def set_volumes(self, layers: Sequence[Any], current: Any) -> None:
        """List these image layers."""
        self.layers = list(layers)
        _fill(self.volume, [layer.name for layer in layers], self.layers.index(current) if current else -1)

    def set_teachers(self, teachers: Sequence[TeacherChoice]) -> None:
        """List these teachers; the one that was chosen stays, if it is there."""
        before = self.choice
        self.teachers = tuple(teachers)
        names = [teacher.name for teacher in teachers]
        at = names.index(before.name) if before is not None and before.name in names else 0
        _fill(self.teacher, names, at if names else -1)

    def set_levels(self, levels: int) -> None:
        set_quietly(self.level, "setMaximum", max(0, levels - 1))

    def paint(self, picture: CodesPicture) -> None:
        """Show everything."""
        self.volume_fact.show_text(picture.volume_text)
        self.teacher_fact.show_text(picture.teacher_text, problem=picture.teacher_is_problem)
        self.region.fact.show_text(picture.region_text)
        self.level_row.setVisible(picture.level_visible)
        self.estimate.show_text(picture.estimate_text, problem=picture.estimate_is_problem)
        for button, state in ((self.run, picture.run), (self.stop, picture.stop)):
            paint_button(button, state)
        self.reason.show_text(picture.reason)
        self.bar.setVisible(picture.bar_visible)
        if picture.bar_permille is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(picture.bar_permille)
        self.bar_text.show_text(picture.bar_text)
        self.kept.show_text(picture.kept_text)
        self.notices.show_notices(picture.notices)
        self.error.show_failure(picture.failure)
        self.command_fold.setVisible(bool(picture.command))
        self.command.show_text(picture.command)
        for control in (self.volume, self.teacher, self.region, self.level, self.restart):
            control.setEnabled(picture.inputs_enabled)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        self.level_row = row(QLabel("Level"), self.level)
        for text, parts in (
            ("Volume", (self.volume, self.volume_fact)),
            ("Teacher", (self.teacher, self.teacher_fact)),
            ("Region", (self.region, self.level_row)),
        ):
            column.addWidget(labelled(text))
            for part in parts:
                column.addWidget(part)
            column.addSpacing(4)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.run, stretch=2)
        buttons.addWidget(self.stop, stretch=1)
        buttons.addWidget(self.restart)
        column.addWidget(self.estimate)
        column.addLayout(buttons)
        for widget in (self.reason, self.bar, self.bar_text, self.error, self.notices):
            column.addWidget(widget)
        column.addWidget(self.kept)
        column.addWidget(self.command_fold)

    def _connect(self) -> None:
        self.volume.currentIndexChanged.connect(lambda _: self.volume_changed.emit())
        for signal in (self.teacher.currentIndexChanged, self.level.valueChanged):
            signal.connect(lambda _: self.changed.emit())
        self.restart.toggled.connect(lambda _: self.changed.emit())
        self.region.changed.connect(self.changed)
        self.run.clicked.connect(self.run_pressed)
        self.stop.clicked.connect(self.stop_pressed)


def _fill(combo: QComboBox, texts: list[str], current: int) -> None:
    blocked = combo.blockSignals(True)
    combo.clear()
    combo.addItems(texts)
    combo.setCurrentIndex(current)
    combo.blockSignals(blocked)
