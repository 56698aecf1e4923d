"""The widgets of the Learn tab; they paint a `LearnPicture` and emit what was pressed."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.checkpoint_list import CheckpointList
from napari_vesselkd.plugin.gate_view import GateView
from napari_vesselkd.plugin.goal_form import GoalForm
from napari_vesselkd.plugin.learn_state import LearnPicture
from napari_vesselkd.plugin.parts import PRIMARY, Copyable, ErrorPanel, Fact, Fold, NoticePanel, labelled
from napari_vesselkd.plugin.phase_view import PhaseRow
from napari_vesselkd.plugin.run_panel import paint_button
from napari_vesselkd.plugin.stage_view import StageCurves


class LearnPanel(QWidget):
    """Everything of the Learn tab, top to bottom in the order of the work."""

    start_pressed = Signal()
    stop_pressed = Signal()
    resume_pressed = Signal()
    run_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.lesson, self.hint, self.estimate, self.reason = Fact(), Fact(), Fact(), Fact()
        self.goal = GoalForm()
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
        self.phases, self.stage = PhaseRow(), StageCurves()
        self.gate = GateView()
        self.checkpoints = CheckpointList()
        self.command = Copyable()
        self.command_fold = Fold("Command line", self.command)
        self.running = self._make_running()
        self._lay_out()
        self._connect()

    def paint(self, picture: LearnPicture, pictures: Mapping[str, QImage]) -> None:
        """Show everything but the gate and the checkpoints; `pictures` are those of the stages, by name."""
        self.lesson.show_text(picture.lesson)
        self.hint.show_text(picture.hint)
        self.goal.paint(picture)
        self.estimate.show_text(picture.estimate, problem=picture.estimate_is_problem)
        self.reason.show_text(picture.reason)
        for button, state, shortcut in (
            (self.start, picture.start, keymap.RUN),
            (self.resume, picture.resume, keymap.PAUSE),
            (self.stop, picture.stop, keymap.CANCEL),
        ):
            paint_button(button, state, shortcut)
        self.running.setVisible(picture.bar_visible)
        self.run_title.setText(picture.run_title)
        self.phases.show_phases(picture.phases)
        self._paint_bar(picture)
        self.error.show_failure(picture.failure)
        self.notices.show_notices(picture.notices)
        self.stage.paint(picture.stage, picture.choices, pictures.get(picture.stage.name))
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

    def _make_running(self) -> QWidget:
        part = QWidget()
        column = QVBoxLayout(part)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        for widget in (self.run_title, self.runs, self.phases, self.bar, self.bar_text, self.notices):
            column.addWidget(widget)
        column.addWidget(self.gate)
        column.addWidget(self.stage)
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
        for widget in (self.lesson, self.hint, self.goal, self.reason, self.estimate):
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
