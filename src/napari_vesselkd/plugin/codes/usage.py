"""How often codes are used, and how they lie to each other: the histogram and the plane of the Codes page."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.codes.chosen import ChosenCodes
from napari_vesselkd.plugin.codes.colours import ramp_colour
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.codes.finding import usage_of
from napari_vesselkd.plugin.codes.histogram import Bar, CodeHistogram
from napari_vesselkd.plugin.codes.plane_view import CodebookPlot
from napari_vesselkd.plugin.codes.text import BY_NUMBER, BY_USE, bars_of, describe_usage
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.parts import Choice, Fact, labelled
from napari_vesselkd.plugin.workers import Task, delayed
from napari_vesselkd.reports import Progress

if TYPE_CHECKING:
    from napari_vesselkd.patterns.codebook_map import CodebookMap
    from napari_vesselkd.patterns.usage import Usage

EVERYWHERE, IN_VIEW, VESSELS = "Everywhere", "In view", "Vessels"
WHERE = {EVERYWHERE: "here", IN_VIEW: "in view", VESSELS: "with vessels"}
DELAY_MS = 400
REST = 5  # times as long as the last count took
SLOW_SECONDS = 1.0


class CodesUsage(QWidget):
    """Counts the codes of a map and shows them; clicks choose codes.

    Parameters
    ----------
    chosen : ChosenCodes
    view : callable
        Returns what is on screen, in cells, or None.
    vessels : callable
        Returns labels of the level that was mapped, or None where no layer has them.

    `counted`: the usage is another one.
    """

    counted = Signal()

    def __init__(
        self,
        chosen: ChosenCodes,
        view: Callable[[], Region | None],
        vessels: Callable[[], Any],
    ) -> None:
        super().__init__()
        self.usage: Usage | None = None
        self._chosen, self._view, self._vessels = chosen, view, vessels
        self._shown: OpenMap | None = None
        self._plane: CodebookMap | None = None
        self._colours: Sequence[str] = ()
        self._names: Sequence[str] = ()
        self._fractions: np.ndarray | None = None
        self._task: Task | None = None
        self._counting, self._began, self._seconds = "", 0.0, 0.0
        self.timer = delayed(self, DELAY_MS, self._count)
        self._build()
        for view_ in (self.histogram, self.plot):
            view_.chosen_pressed.connect(chosen.choose)
        chosen.changed.connect(self._paint_chosen)
        self.where.changed.connect(lambda _: self._count())
        self.order.changed.connect(lambda _: self._paint())

    def show_map(self, shown: OpenMap | None) -> None:
        """Count this map from now on."""
        self._shown, self.usage = shown, None
        self._paint()
        self.timer.start(0)

    def show_plane(self, plane: "CodebookMap | None") -> None:
        """Show where the codes lie to each other."""
        self._plane = plane
        self._paint()

    def dress(self, colours: Sequence[str], names: Sequence[str], fractions: np.ndarray | None) -> None:
        """Give the codes their colours (``#rrggbb``) and names.

        Parameters
        ----------
        colours, names : sequences of str, N each
        fractions : ndarray (N,) or None
            Vessel fraction under each code, 0..1, NaN where unknown; the dots then have its colours.
        """
        self._colours, self._names, self._fractions = colours, names, fractions
        self._paint()

    def grown(self) -> None:
        """Count again soon: more of the map is computed. A large map is counted less often."""
        if not self.timer.isActive():
            self.timer.start(max(DELAY_MS, round(REST * 1000 * self._seconds)))

    def view_moved(self) -> None:
        if self.where.chosen == IN_VIEW:
            self.grown()

    def release(self) -> None:
        self.timer.stop()
        if self._task is not None:
            self._task.abandon()

    @property
    def tasks(self) -> list[Task]:
        return [] if self._task is None else [self._task]

    # Counting

    def _count(self) -> None:
        shown, where = self._shown, self.where.chosen
        if shown is None:
            return
        if self._task is not None and self._task.running:
            if where == self._counting:
                self.timer.start(DELAY_MS)
                return
            self._task.abandon()
        labels = self._vessels() if where == VESSELS else None
        cells = self._view() if where == IN_VIEW else None
        if where == VESSELS and labels is None:
            self.fact.show_text("No layer of labels lies over this volume: segment it first", problem=True)
            return
        self._counting, self._began = where, time.perf_counter()
        self._task = Task(lambda: usage_of(shown, cells, labels))
        self._task.reported.connect(self._receive)
        self._task.done.connect(lambda usage: self._take(shown, usage))
        self._task.failed.connect(self._failed)
        self._task.start()

    def _take(self, shown: OpenMap, usage: "Usage") -> None:
        if shown is not self._shown:
            return
        self._seconds = time.perf_counter() - self._began
        self.usage = usage
        self._paint()
        self.counted.emit()

    def _receive(self, report: Any) -> None:
        if isinstance(report, Progress) and report.seconds > SLOW_SECONDS:
            self.fact.show_text(f"Counting… {report.done / max(1, report.total):.0%}")

    def _failed(self, failure: Failure) -> None:
        self.fact.show_text(f"{failure.headline} {failure.remedy}".strip(), problem=True)

    # The pictures

    def _paint(self) -> None:
        usage = self.usage
        if usage is None or len(self._colours) < len(usage.counts):
            self.histogram.show_bars((), 0)
            self.plot.show_codes(np.zeros((0, 2)), (0.0, 0.0), (), "")
            self.fact.show_text("" if self._shown is None else "Counting…")
            return
        counts = usage.counts
        bars = bars_of(counts, self._colours, self._names, self.order.chosen)
        self.histogram.show_bars(bars, usage.cells)
        self.fact.show_text(describe_usage(usage, WHERE[self.where.chosen]))
        self._paint_plane(counts)
        self._paint_chosen()

    def _paint_plane(self, counts: np.ndarray) -> None:
        plane = self._plane
        if plane is None or len(plane.points) != len(counts):
            return
        bars = bars_of(counts, self._colours, self._names, BY_NUMBER)
        legend = "colour: code"
        if self._fractions is not None:
            bars = [
                Bar(bar.code, bar.count, _of_fraction(share), bar.name)
                for bar, share in zip(bars, self._fractions, strict=True)
            ]
            legend = "colour: vessel, blue 0 to red"
        self.plot.show_codes(plane.points, plane.explained, bars, legend)

    def _paint_chosen(self) -> None:
        self.histogram.show_chosen(self._chosen.codes)
        self.plot.show_chosen(self._chosen.codes)

    def _build(self) -> None:
        self.where = Choice(
            (
                (EVERYWHERE, "Count all cells of the volume that are mapped"),
                (IN_VIEW, "Count the cells on screen"),
                (VESSELS, "Count the cells with a vessel, from the labels over the volume"),
            )
        )
        self.order = Choice(
            (
                (BY_USE, "The most used code first; codes that are not used are left out"),
                (BY_NUMBER, "All codes by their number"),
            )
        )
        self.fact = Fact()
        self.histogram = CodeHistogram("The codes of this volume are not mapped yet")
        self.plot = CodebookPlot("The codebook is drawn here once some codes are mapped")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(labelled("Usage"))
        column.addWidget(self.where)
        column.addWidget(self.histogram)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.order)
        self.buttons.addStretch(1)
        column.addLayout(self.buttons)
        column.addWidget(self.fact)
        column.addWidget(labelled("Codebook"))
        column.addWidget(self.plot)


def _of_fraction(share: float) -> str:
    return "#808080" if np.isnan(share) else ramp_colour(share / MOST_VESSEL)


MOST_VESSEL = 0.5  # vessel fraction that is quite red: a cell is seldom all vessel
