"""What the codes mean: described from the image and the vessels under them, as a table, saved as CSV."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.plugin.codes.chosen import ChosenCodes
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.codes.noting import CodeNoting
from napari_vesselkd.plugin.codes.table_view import CodeTableView, Column
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.parts import Fact
from napari_vesselkd.plugin.progress_text import describe_progress_of
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.reports import Progress, Report

if TYPE_CHECKING:
    from napari_vesselkd.patterns.meaning import CodeTable

COLUMNS = (
    ("use %", "Share of the cells that have the code", "{:.2g}", "share"),
    ("vessel", "Vessel fraction of the voxels under the code", "{:.0%}", "vessel_fraction"),
    ("radius", "Mean radius of the vessels under the code, in µm", "{:.2g}", "radius_um"),
    ("tort.", "Tortuosity: length along the vessels over that straight on", "{:.2f}", "tortuosity"),
    ("bright", "Mean intensity under the code", "{:.3g}", "intensity"),
    ("depth", "Mean depth (z) of the code, in µm", "{:.3g}", "depth_um"),
)
NO_LABELS = "No labels lie over this volume: nothing is said about vessels. Segment it to have them."


class CodesMeaning(QWidget):
    """Describes the codes of a map; `described` carries the `CodeTable`, again and again as it gets better.

    Parameters
    ----------
    chosen : ChosenCodes
    noting : CodeNoting
    vessels : callable
        Returns labels of the level that was mapped, or None.
    """

    described = Signal(object)

    def __init__(self, chosen: ChosenCodes, noting: CodeNoting, vessels: Callable[[], Any]) -> None:
        super().__init__()
        self.table: CodeTable | None = None
        self._chosen, self._noting, self._vessels = chosen, noting, vessels
        self._shown: OpenMap | None = None
        self._task: Task | None = None
        self._saving: Task | None = None
        self._build()
        self.describe_button.clicked.connect(self.describe)
        self.stop_button.clicked.connect(self._stop)
        self.csv_button.clicked.connect(self._save_clicked)
        self.view.chosen_pressed.connect(chosen.choose)
        chosen.changed.connect(lambda: self.view.show_chosen(chosen.codes))
        noting.changed.connect(lambda: self.view.codes.dress(noting.colours, noting.names))
        self._paint()

    def show_map(self, shown: OpenMap | None) -> None:
        """Describe this map from now on."""
        self._stop()
        self._shown, self.table = shown, None
        self.view.codes.show((), np.zeros(0, np.int64))
        self.fact.show_text("")
        self._paint()

    def describe(self) -> None:
        """Look at the image and the vessels under every code; what the Describe button does."""
        shown = self._shown
        if shown is None or (self._task is not None and self._task.running):
            return
        labels = self._vessels()
        self.labels_fact.show_text("" if labels is not None else NO_LABELS)
        self.fact.show_text("Looking at the places…")
        self._task = Task(lambda: _described(shown, labels))
        self._task.reported.connect(self._receive)
        self._task.done.connect(lambda _: self._paint())
        self._task.cancelled.connect(self._paint)
        self._task.failed.connect(self._failed)
        self._task.start()
        self._paint()

    def save_csv(self, path: str | None = None) -> None:
        """Save the table; asks for a path where none is given."""
        table, shown = self.table, self._shown
        if table is None or shown is None:
            return
        if path is None:
            place = str(Path.home() / f"{shown.code_map.name}.csv")
            path, _ = QFileDialog.getSaveFileName(self, "Save the table of codes", place, "*.csv")
        if path:
            target, notes = Path(path), self._noting.notes
            self._saving = run(lambda: table.to_csv(target, notes))
            self._saving.done.connect(lambda written: self.fact.show_text(f"Saved {written}"))
            self._saving.failed.connect(self._failed)
            self._saving.start()

    def _save_clicked(self) -> None:
        self.save_csv()

    def release(self) -> None:
        for task in self.tasks:
            task.abandon()

    @property
    def tasks(self) -> list[Task]:
        return [task for task in (self._task, self._saving) if task is not None]

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _receive(self, report: Report) -> None:
        if isinstance(report, Progress):
            self.fact.show_text(" · ".join(describe_progress_of(report, ended=False, finished=False)))
            return
        table: Any = report
        self.table = table
        columns = [
            Column(title, tip, text, (100 if title.endswith("%") else 1) * getattr(table, name))
            for title, tip, text, name in COLUMNS
        ]
        there = [column for column in columns if np.isfinite(column.values).any()]
        self.view.codes.show(there, np.flatnonzero(table.cells))
        self.view.show_chosen(self._chosen.codes)
        if table.seen >= 1:
            self.fact.show_text(f"{int((table.cells > 0).sum())} codes, from all cells that are mapped")
        self.described.emit(table)
        self._paint()

    def _failed(self, failure: Failure) -> None:
        self.fact.show_text(f"{failure.headline} {failure.remedy}".strip(), problem=True)
        self._paint()

    def _paint(self) -> None:
        busy = self._task is not None and self._task.running
        self.describe_button.setEnabled(self._shown is not None and not busy)
        self.stop_button.setEnabled(busy)
        self.csv_button.setEnabled(self.table is not None)
        self.view.setVisible(self.table is not None)

    def _build(self) -> None:
        self.describe_button, self.stop_button = QPushButton("Describe codes"), QPushButton("Stop")
        self.csv_button = QPushButton("Save CSV…")
        self.describe_button.setToolTip("Find the image and the vessels under every code")
        self.csv_button.setToolTip("Save the table with the names, one row per code")
        self.fact, self.labels_fact = Fact(), Fact()
        self.view = CodeTableView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.describe_button, stretch=2)
        line.addWidget(self.stop_button, stretch=1)
        line.addWidget(self.csv_button, stretch=2)
        column.addLayout(line)
        for widget in (self.fact, self.labels_fact, self.view):
            column.addWidget(widget)


def rows_of(table: "CodeTable") -> dict[int, dict[str, Any]]:
    """Return what the table says of each code that is used."""
    names: Sequence[str] = ("vessel_fraction", "radius_um", "tortuosity", "intensity", "depth_um", "distance")
    return {
        int(code): {name: float(getattr(table, name)[code]) for name in names}
        for code in np.flatnonzero(table.cells)
    }


def _described(shown: OpenMap, labels: Any) -> Iterator[Report]:
    from napari_vesselkd.patterns.meaning import describe_codes

    yield from describe_codes(shown.code_map, shown.volume, labels)
