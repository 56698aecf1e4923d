"""Comparing on the Codes page: this usage with another one, this map with that of another checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.patterns.code_map import CODES_ENDING
from napari_vesselkd.plugin.codes.chosen import ChosenCodes
from napari_vesselkd.plugin.codes.comparing import (
    ChangedCells,
    Difference,
    Kept,
    compare_with,
    describe_changed,
    describe_difference,
    difference_of,
    other_maps,
)
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.parts import Fact, labelled, set_quietly
from napari_vesselkd.plugin.workers import Task, run

if TYPE_CHECKING:
    from napari_vesselkd.patterns.usage import Usage

OTHER = "Another file…"


class CodesCompare(QWidget):
    """Compares; `changed` carries `ChangedCells` of two maps."""

    changed = Signal(object)

    def __init__(self, chosen: ChosenCodes) -> None:
        super().__init__()
        self.kept: Kept | None = None
        self.difference: Difference | None = None
        self._chosen = chosen
        self._shown: OpenMap | None = None
        self._usage: Usage | None = None
        self._where = ""
        self._maps: tuple[Path, ...] = ()
        self._listing: Task | None = None
        self._differing: Task | None = None
        self._comparing: Task | None = None
        self._build()
        self.keep_button.clicked.connect(self.keep)
        self.choose_button.clicked.connect(self._choose)
        self.compare_button.clicked.connect(self._compare_clicked)
        self._paint()

    def show_map(self, shown: OpenMap | None) -> None:
        """Compare this map from now on."""
        self._shown, self._usage, self.difference = shown, None, None
        self.map_fact.show_text("")
        self.list_maps()
        self._paint()

    def list_maps(self) -> None:
        """Look for other maps beside the one that is shown."""
        shown = self._shown
        self._list(())
        if shown is not None:
            self._listing = run(lambda: other_maps(shown))
            self._listing.done.connect(self._list)
            self._listing.start()

    def show_usage(self, usage: "Usage | None", where: str) -> None:
        """Take the usage that is shown now; `where` says of what it is."""
        self._usage, self._where = usage, where
        kept = self.kept
        self.difference = None
        comparable = usage is not None and usage.cells and kept is not None and kept.usage is not usage
        if usage is not None and kept is not None and comparable and kept.sha256 == self._sha256:
            before = kept.usage
            if self._differing is not None:
                self._differing.abandon()
            self._differing = run(lambda: difference_of(usage, before))
            self._differing.done.connect(self._differ)
            self._differing.failed.connect(lambda failure: _say(self.usage_fact, failure))
            self._differing.start()
        self._paint()

    def keep(self) -> None:
        """Keep the usage that is shown; what is shown next is compared with it."""
        shown, usage = self._shown, self._usage
        if shown is None or usage is None:
            return
        self.kept = Kept(f"{shown.code_map.volume_name}, {self._where.lower()}", shown.code_map.sha256, usage)
        self.difference = None
        self._paint()

    def compare(self, path: str | None = None) -> None:
        """Compare with the map that is chosen in the list; asks for a file where none is."""
        shown = self._shown
        if shown is None or (self._comparing is not None and self._comparing.running):
            return
        at = self.map.currentIndex()
        if path is None and 0 <= at < len(self._maps):
            path = str(self._maps[at])
        if path is None:
            path = QFileDialog.getExistingDirectory(self, "A code map of the same image", str(Path.home()))
        if path:
            other = Path(path)
            self._comparing = Task(lambda: compare_with(shown, other))
            self._comparing.done.connect(self._compared)
            self._comparing.failed.connect(lambda failure: _say(self.map_fact, failure))
            self._comparing.start()
            self.map_fact.show_text("Comparing…")

    def _compare_clicked(self) -> None:
        self.compare()

    def release(self) -> None:
        for task in self.tasks:
            task.abandon()

    @property
    def tasks(self) -> list[Task]:
        every = (self._listing, self._differing, self._comparing)
        return [task for task in every if task is not None]

    @property
    def _sha256(self) -> str:
        return "" if self._shown is None else self._shown.code_map.sha256

    def _list(self, maps: Sequence[Path]) -> None:
        self._maps = tuple(maps)
        texts = [*(path.name.removesuffix(CODES_ENDING) for path in maps), OTHER]
        self.map.clear()
        self.map.addItems(texts)
        set_quietly(self.map, "setCurrentIndex", 0)

    def _differ(self, difference: Difference) -> None:
        self.difference = difference
        self._paint()

    def _compared(self, changed: ChangedCells) -> None:
        self.map_fact.show_text(describe_changed(changed))
        self.changed.emit(changed)

    def _choose(self) -> None:
        if self.difference is not None:
            self._chosen.choose(self.difference.certain)

    def _paint(self) -> None:
        kept, difference = self.kept, self.difference
        self.keep_button.setEnabled(self._usage is not None and self._usage.cells > 0)
        self.choose_button.setEnabled(difference is not None and bool(difference.certain))
        self.compare_button.setEnabled(self._shown is not None)
        if kept is None:
            text = "Keep the usage of one region or volume, then look at another one."
        elif self._shown is not None and kept.sha256 != self._sha256:
            text = f"Kept: {kept.text}, of another checkpoint: the codes mean something else."
        elif difference is None:
            text = f"Kept: {kept.text}. Look at another region or volume to compare."
        else:
            text = describe_difference(difference, kept)
        self.usage_fact.show_text(text)

    def _build(self) -> None:
        self.keep_button = QPushButton("Keep this usage")
        self.choose_button = QPushButton("Choose what differs")
        self.keep_button.setToolTip("Compare what is counted next with what is counted now")
        self.choose_button.setToolTip("Choose the codes whose usage surely differs (95 % interval)")
        self.map, self.compare_button = QComboBox(), QPushButton("Compare")
        self.map.setToolTip("A code map of the same image, made with another checkpoint")
        self.map.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.map.setMinimumContentsLength(12)
        self.usage_fact, self.map_fact = Fact(), Fact()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for title, controls, fact in (
            ("Two regions or volumes", (self.keep_button, self.choose_button), self.usage_fact),
            ("Two checkpoints", (self.map, self.compare_button), self.map_fact),
        ):
            column.addWidget(labelled(title))
            line = QHBoxLayout()
            line.setSpacing(4)
            for control in controls:
                line.addWidget(control, stretch=1)
            column.addLayout(line)
            column.addWidget(fact)


def _say(fact: Fact, failure: Failure) -> None:
    fact.show_text(f"{failure.headline} {failure.remedy}".strip(), problem=True)
