"""The queue in the background: kept up to date by a worker; flags, notes and the time per block."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.reviewing.clock import BlockClock
from napari_vesselkd.plugin.reviewing.panel import QueuePanel
from napari_vesselkd.plugin.reviewing.state import Looking, draw_queue
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice, Progress

DELAY_MS = 1500  # after the project changed last: a segmentation changes it with every block
RENEW_SECONDS = 10.0  # between two lists made while blocks are being looked at


class ReviewDesk(QObject):
    """Keeps the queue of the session's project up to date; takes flags, notes and times.

    `found`: the list should be made again. `changed`: a block's flag, note or time is another.

    Attributes
    ----------
    looking : Looking
    """

    found = Signal()
    changed = Signal()

    def __init__(self, session: ProjectSession, panel: QueuePanel, canvas: Any) -> None:
        super().__init__()
        self._session, self._panel = session, panel
        self.looking = Looking()
        self._side = 0
        self._task: Task | None = None
        self._keeping: list[Task] = []
        self._leaving = False
        self._renewed = 0.0
        self._block: int | None = None
        self._timer = delayed(self, DELAY_MS, self.look)
        self.clock = BlockClock(self._add_seconds, canvas)
        panel.turned.connect(self._turned)
        panel.flagged.connect(self._flag)
        panel.noted.connect(self._note)

    @property
    def running(self) -> bool:
        """Whether blocks are being looked at."""
        return self._task is not None and self._task.running

    @property
    def busy(self) -> bool:
        """Whether a flag, a note or a time is being written."""
        return bool(self._keeping)

    # The work in the background

    def due(self, side: int) -> None:
        """Look soon, unless stopped by hand: the project, its blocks or their side may have changed."""
        if side != self._side and self.running:
            self._give_up()
        changed, self._side = side != self._side, side
        if self._session.project is None or self._session.volume is None:
            return
        if changed or not self.looking.stopped:
            self.looking = replace(self.looking, stopped=False)
            self._timer.start()

    def look(self) -> None:
        """Begin to look at what changed."""
        project, volume, side = self._session.project, self._session.volume, self._side
        if project is None or volume is None or not side:
            return
        if self.running:
            self._timer.start()
            return

        def make() -> Iterator[Any]:
            from napari_vesselkd.learning.review_queue import update_queue

            project.refresh()
            return update_queue(project, side=side, volume=volume)

        self.looking = Looking(running=True, reliability=self.looking.reliability)
        self._renewed = monotonic()
        task = self._task = Task(make)
        task.reported.connect(self._reported)
        task.done.connect(self._done)
        task.failed.connect(self._failed)
        task.cancelled.connect(self._cancelled)
        task.start()
        self.paint()

    def stop(self) -> None:
        """Stop after the block at hand; what was found is kept."""
        self._timer.stop()
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Stop: the project is closing."""
        self._leave()
        self.looking, self._side = Looking(), 0
        self.show_block(None)

    def release(self) -> None:
        """Stop: the dock is closing."""
        self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self.clock.end()
        self._leaving = False
        for task in self._keeping:
            task.abandon()
        self._keeping.clear()
        self._give_up()

    def _give_up(self) -> None:
        self._timer.stop()
        if self._task is not None:
            self._task.abandon()
            self._task = None

    def _turned(self) -> None:
        if self.running:
            self.stop()
        else:
            self.look()

    def _reported(self, report: Any) -> None:
        from napari_vesselkd.learning.review_queue import BlockLookedAt, QueueReady

        if isinstance(report, BlockLookedAt):
            self.looking = replace(self.looking, done=report.done, total=report.total)
            if monotonic() - self._renewed > RENEW_SECONDS:
                self._renewed = monotonic()
                self.found.emit()
        elif isinstance(report, QueueReady):
            self.looking = replace(
                self.looking, done=report.blocks, total=report.blocks, reliability=report.reliability
            )
            if report.looked_at:
                self.found.emit()
        elif isinstance(report, Notice):
            self.looking = replace(self.looking, notice=report.text)
        elif not isinstance(report, Progress):
            return
        self.paint()

    def _done(self, _report: Any) -> None:
        self.looking = replace(self.looking, running=False)
        self.paint()

    def _failed(self, failure: Failure) -> None:
        self.looking = replace(self.looking, running=False, failure=failure)
        self.paint()

    def _cancelled(self) -> None:
        self.looking = replace(self.looking, running=False, stopped=True)
        self.found.emit()
        self.paint()

    # The block that is worked on

    def show_block(self, number: int | None) -> None:
        """Let flag and note be about the block of that number."""
        self._block = number
        self.paint()

    def paint(self) -> None:
        """Show everything."""
        project = self._session.project
        blocks = () if project is None else project.blocks
        block = next((one for one in blocks if one.number == self._block), None)
        locked = self._session.why_not_edit
        self._panel.paint(draw_queue(self.looking, block, locked=locked))

    def _flag(self, on: bool) -> None:
        self._remark(lambda project, number: project.flag(number, on))

    def _note(self, text: str) -> None:
        self._remark(lambda project, number: project.annotate(number, text))

    def _remark(self, do: Callable[[Project, int], Any]) -> None:
        if self._block is not None:
            self._keep(self._block, do)

    def _add_seconds(self, number: int, seconds: float) -> None:
        self._keep(number, lambda project, block: project.add_seconds(block, round(seconds, 1)))

    def _keep(self, number: int, do: Callable[[Project, int], Any]) -> None:
        """Write something about a block, in a worker: another one may be writing a whole block just then."""
        project = self._session.project
        if project is None or project.read_only:
            return
        if self._leaving:
            with suppress(VesselKDError):  # a second of a clock is not worth keeping a window open
                do(project, number)
            return
        task = run(lambda: do(project, number))
        self._keeping.append(task)
        task.done.connect(lambda _: self._kept(task))
        task.failed.connect(lambda failure: self._kept(task, failure))
        task.start()

    def _kept(self, task: Task, failure: Failure | None = None) -> None:
        self._keeping.remove(task)
        self.looking = replace(self.looking, failure=failure or self.looking.failure)
        self.changed.emit()
        self.paint()
