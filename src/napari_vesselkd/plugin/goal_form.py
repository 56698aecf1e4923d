"""The inputs of the Learn tab: what to learn, and the few settings of either."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QComboBox, QFormLayout, QRadioButton, QSpinBox, QVBoxLayout, QWidget

from napari_vesselkd.plugin.goals import AUTO, BOTH_STAGES, METHODS, PRESETS, QUICK, TIPS, Goal, LearnForm
from napari_vesselkd.plugin.learn_state import LearnPicture
from napari_vesselkd.plugin.lineage import Entry
from napari_vesselkd.plugin.parts import Fact, Fold


class GoalForm(QWidget):
    """What to learn and how; `changed` is emitted after any of it changed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.parent_fact, self.preset_fact, self.teacher_fact = Fact(), Fact(), Fact()
        self.group, self.goals = QButtonGroup(self), {}
        for goal in Goal:
            button = QRadioButton(goal.value)
            button.setToolTip(TIPS[goal])
            self.group.addButton(button)
            self.goals[goal] = button
        self.goals[Goal.FINETUNE].setChecked(True)
        self._preset_chosen = False
        self.finetuning, self.teaching = self._make_finetuning(), self._make_teaching()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (*self.goals.values(), self.finetuning, self.teaching):
            column.addWidget(widget)
        self._show_goal()
        self._connect()

    def form(self) -> LearnForm:
        """Return what the user chose."""
        return LearnForm(
            steps=self.steps.value(),
            phantom_share=self.phantoms.value() / 100,
            goal=next(goal for goal, button in self.goals.items() if button.isChecked()),
            preset=str(self.preset.currentData()),
            teacher=str(self.teacher.currentData()),
            method=str(self.method.currentData() or BOTH_STAGES),
        )

    def paint(self, picture: LearnPicture) -> None:
        """Show the facts; lock the inputs while a job runs."""
        self.parent_fact.show_text(picture.parent)
        self.preset_fact.show_text(picture.preset)
        self.teacher_fact.show_text(picture.teacher)
        for widget in (*self.goals.values(), self.options, self.preset, self.teacher, self.method):
            widget.setEnabled(picture.inputs_enabled)
        for at in range(self.preset.count()):
            tip = picture.descriptions.get(str(self.preset.itemData(at)), "")
            self.preset.setItemData(at, tip, Qt.ItemDataRole.ToolTipRole)

    def show_teachers(self, entries: Sequence[Entry]) -> None:
        """List these teachers after auto; keeps the one that was chosen where it is still there."""
        names = [AUTO, *(entry.name for entry in entries)]
        if names == [self.teacher.itemData(at) for at in range(self.teacher.count())]:
            return
        chosen, blocked = self.teacher.currentData(), self.teacher.blockSignals(True)
        self.teacher.clear()
        self.teacher.addItem("Auto", AUTO)
        for at, entry in enumerate(entries, 1):
            self.teacher.addItem(entry.title, entry.name)
            self.teacher.setItemData(at, entry.detail, Qt.ItemDataRole.ToolTipRole)
        self.teacher.setCurrentIndex(max(0, self.teacher.findData(chosen)))
        self.teacher.blockSignals(blocked)
        if self.teacher.currentData() != chosen:
            self.changed.emit()

    def recommend(self, preset: str) -> None:
        """Choose this preset, unless somebody has chosen one."""
        if not self._preset_chosen and preset in PRESETS:
            self.preset.setCurrentIndex(self.preset.findData(preset))

    def _make_finetuning(self) -> QWidget:
        self.options = QWidget()
        form = _form(self.options)
        self.steps, self.phantoms = QSpinBox(), QSpinBox()
        self.steps.setRange(10, 100_000)
        self.steps.setSingleStep(50)
        self.steps.setValue(LearnForm().steps)
        self.phantoms.setRange(0, 90)
        self.phantoms.setSingleStep(10)
        self.phantoms.setSuffix(" %")
        self.phantoms.setValue(round(100 * LearnForm().phantom_share))
        self.steps.setToolTip("More steps learn more and take longer")
        self.phantoms.setToolTip("Share of made-up vessels among what is seen: against forgetting")
        form.addRow("Steps", self.steps)
        form.addRow("Phantoms", self.phantoms)
        part = QWidget()
        column = QVBoxLayout(part)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.parent_fact)
        column.addWidget(Fold("Settings", self.options))
        return part

    def _make_teaching(self) -> QWidget:
        part = QWidget()
        form = _form(part)
        self.preset, self.teacher, self.method = QComboBox(), QComboBox(), QComboBox()
        for name, title in PRESETS.items():
            self.preset.addItem(title, name)
        self.preset.setCurrentIndex(self.preset.findData(QUICK))
        self.preset.setToolTip("The settings to start from")
        for name, title in METHODS.items():
            self.method.addItem(title, name)
        self.method.setToolTip("How the student is taught; all but the first leave the teacher as it is")
        self.teacher.addItem("Auto", AUTO)
        self.teacher.setToolTip("The teacher to begin with; auto: the project's latest, else the bundled one")
        for box in (self.preset, self.teacher, self.method):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(10)
        form.addRow("Preset", self.preset)
        form.addRow(self.preset_fact)
        form.addRow("Teacher", self.teacher)
        form.addRow(self.teacher_fact)
        form.addRow("Method", self.method)
        self._teaching_form = form
        return part

    def _show_goal(self) -> None:
        goal = self.form().goal
        self.finetuning.setVisible(goal is Goal.FINETUNE)
        self.teaching.setVisible(goal is not Goal.FINETUNE)
        for row in (self.teacher, self.teacher_fact):
            self._teaching_form.setRowVisible(row, goal in (Goal.TEACH, Goal.TUNE))
        self._teaching_form.setRowVisible(self.method, goal is Goal.TEACH)

    def _connect(self) -> None:
        self.group.buttonClicked.connect(lambda _: self._show_goal())
        self.group.buttonClicked.connect(lambda _: self.changed.emit())
        for box in (self.steps, self.phantoms):
            box.valueChanged.connect(lambda _: self.changed.emit())
        for choice in (self.preset, self.teacher, self.method):
            choice.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.preset.activated.connect(self._choose_preset)

    def _choose_preset(self, _index: int) -> None:
        self._preset_chosen = True


def _form(part: QWidget) -> QFormLayout:
    form = QFormLayout(part)
    form.setContentsMargins(0, 2, 0, 2)
    form.setSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form
