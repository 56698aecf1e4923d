"""The widgets of the Learn tab; they paint a `LearnPicture` and emit what was pressed."""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.checkpoint_list import CheckpointList
from napari_vesselkd.plugin.curves import CurvePlot, Series
from napari_vesselkd.plugin.gate_view import GateView
from napari_vesselkd.plugin.held_out_view import HeldOutView
from napari_vesselkd.plugin.learn_state import LearnForm, LearnPicture
from napari_vesselkd.plugin.parts import PRIMARY, Copyable, ErrorPanel, Fact, Fold, NoticePanel, labelled
from napari_vesselkd.plugin.run_panel import paint_button

LOSS, DICE, CLDICE = "#5aa9e6", "#e6a23c", "#57c08a"


class LearnPanel(QWidget):
    """Everything of the Learn tab, top to bottom in the order of the work."""

    start_pressed = Signal()
    stop_pressed = Signal()
    resume_pressed = Signal()
    form_changed = Signal()
    run_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.lesson, self.parent_fact, self.hint = Fact(), Fact(), Fact()
        self.estimate, self.reason = Fact(), Fact()
        self.settings = self._make_settings()
        self.start, self.stop, self.resume = QPushButton("Start"), QPushButton("Stop"), QPushButton("Resume")
        self.start.setObjectName(PRIMARY)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar_text = Fact()
        self.run_title = labelled("")
        self.runs = QComboBox()
        self.runs.setToolTip("The runs of this project, the newest first")
        self.error, self.notices = ErrorPanel(), NoticePanel()
        self.loss = CurvePlot("The loss appears here with the first steps")
        self.scores = CurvePlot("Scores on held-out blocks appear here", unit_range=True)
        self.held_out = HeldOutView()
        self.gate = GateView()
        self.checkpoints = CheckpointList()
        self.command = Copyable()
        self.command_fold = Fold("Command line", self.command)
        self.running = self._make_running()
        self._lay_out()
        self._connect()

    def form(self) -> LearnForm:
        """Return what the user chose."""
        return LearnForm(steps=self.steps.value(), phantom_share=self.phantoms.value() / 100)

    def paint(self, picture: LearnPicture, held_out: QImage | None) -> None:
        """Show everything but the gate and the checkpoints."""
        self.lesson.show_text(picture.lesson)
        self.parent_fact.show_text(picture.parent)
        self.hint.show_text(picture.hint)
        self.estimate.show_text(picture.estimate)
        self.reason.show_text(picture.reason)
        for button, state, shortcut in (
            (self.start, picture.start, keymap.RUN),
            (self.resume, picture.resume, keymap.PAUSE),
            (self.stop, picture.stop, keymap.CANCEL),
        ):
            paint_button(button, state, shortcut)
        self.options.setEnabled(picture.inputs_enabled)
        self.running.setVisible(picture.bar_visible)
        self.run_title.setText(picture.run_title)
        self._paint_bar(picture)
        self.error.show_failure(picture.failure)
        self.notices.show_notices(picture.notices)
        self.loss.setVisible(picture.loss_visible)
        self.loss.show_series([Series("loss", LOSS, picture.losses)], picture.steps)
        scores = [Series("clDice", CLDICE, picture.cldice), Series("Dice", DICE, picture.dice)]
        self.scores.show_series(scores, picture.steps)
        self.scores.setVisible(picture.scores_visible)
        self.held_out.show_picture(held_out)
        self.command_fold.setVisible(bool(picture.command))
        self.command.show_text(picture.command)

    def show_runs(self, texts: Sequence[str], current: int) -> None:
        """List the runs; one alone needs no choice."""
        blocked = self.runs.blockSignals(True)
        if [self.runs.itemText(index) for index in range(self.runs.count())] != list(texts):
            self.runs.clear()
            self.runs.addItems(list(texts))
        self.runs.setCurrentIndex(current)
        self.runs.setVisible(len(texts) > 1)
        self.run_title.setVisible(len(texts) == 1)
        self.runs.blockSignals(blocked)

    def _paint_bar(self, picture: LearnPicture) -> None:
        if picture.bar_permille is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(picture.bar_permille)
        self.bar_text.show_text(picture.bar_text)

    def _make_settings(self) -> Fold:
        self.options = QWidget()
        form = QFormLayout(self.options)
        form.setContentsMargins(0, 2, 0, 2)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.steps, self.phantoms = QSpinBox(), QSpinBox()
        self.steps.setRange(10, 100_000)
        self.steps.setSingleStep(50)
        self.steps.setValue(LearnForm().steps)
        self.phantoms.setRange(0, 90)
        self.phantoms.setSingleStep(10)
        self.phantoms.setSuffix(" %")
        self.phantoms.setValue(round(100 * LearnForm().phantom_share))
        tips = (
            ("Steps", self.steps, "More steps learn more and take longer"),
            ("Phantoms", self.phantoms, "Share of made-up vessels among what is seen: against forgetting"),
        )
        for text, widget, tip in tips:
            widget.setToolTip(tip)
            form.addRow(text, widget)
        return Fold("Settings", self.options)

    def _make_running(self) -> QWidget:
        part = QWidget()
        column = QVBoxLayout(part)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        for widget in (self.run_title, self.runs, self.bar, self.bar_text, self.notices):
            column.addWidget(widget)
        for widget in (self.gate, self.loss, self.scores, self.held_out):
            column.addWidget(widget)
        return part

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.start, stretch=2)
        buttons.addWidget(self.resume, stretch=1)
        buttons.addWidget(self.stop, stretch=1)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(5)
        column.addWidget(labelled("Learn from the corrections"))
        for widget in (self.lesson, self.parent_fact, self.hint, self.reason, self.settings, self.estimate):
            column.addWidget(widget)
        column.addLayout(buttons)
        for widget in (self.error, self.running, self.checkpoints, self.command_fold):
            column.addWidget(widget)
        column.addStretch(1)

    def _connect(self) -> None:
        self.start.clicked.connect(self.start_pressed)
        self.stop.clicked.connect(self.stop_pressed)
        self.resume.clicked.connect(self.resume_pressed)
        self.runs.activated.connect(self.run_chosen)
        for box in (self.steps, self.phantoms):
            box.valueChanged.connect(lambda _: self.form_changed.emit())
