"""Pictures of slabs while the slab moves: the newest wish wins, what is shown is never far behind."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.plugin.workers import Task, delayed

PATIENCE_MS = 1000  # a wish that showed nothing for so long gives way to the next one


class LatestTask(QObject):
    """Runs one task at a time; of the wishes that come meanwhile, the latest.

    The running task is cancelled for a newer wish as soon as it has shown something, or after `PATIENCE_MS`:
    cancelled at once, a slab that is dragged would show nothing until it rests.

    `reported` carries what the task yields; `ended` says that nothing runs any more; `failed` carries the
    `Failure`.
    """

    reported = Signal(object)
    failed = Signal(object)
    ended = Signal()

    def __init__(self, shows: Callable[[Any], bool]) -> None:
        super().__init__()
        self._shows = shows
        self._next: Callable[[], Iterator[Any]] | None = None
        self._started = 0.0
        self._has_shown = False
        self.task: Task | None = None
        self._timer = delayed(self, PATIENCE_MS, self._give_way)

    @property
    def running(self) -> bool:
        return self._next is not None or (self.task is not None and self.task.running)

    def ask(self, make: Callable[[], Iterator[Any]]) -> None:
        """Run the generator that `make` returns, now or as soon as the one before gives way."""
        if self.task is None or not self.task.running:
            self._start(make)
            return
        self._next = make
        waited = (time.perf_counter() - self._started) * 1000
        if self._has_shown or waited >= PATIENCE_MS:
            self.task.cancel()
        elif not self._timer.isActive():
            self._timer.start(round(PATIENCE_MS - waited))

    def stop(self) -> None:
        """Cancel what runs and forget what waits."""
        self._next = None
        self._timer.stop()
        if self.task is not None:
            self.task.cancel()

    def abandon(self) -> None:
        """Stop and tell nobody: whoever listened is going away."""
        self._next = None
        self._timer.stop()
        self.blockSignals(True)
        if self.task is not None:
            self.task.abandon()

    def _start(self, make: Callable[[], Iterator[Any]]) -> None:
        self._timer.stop()
        self._next, self._has_shown, self._started = None, False, time.perf_counter()
        self.task = Task(make)
        self.task.reported.connect(self._receive)
        self.task.failed.connect(self.failed)
        for signal in (self.task.done, self.task.cancelled, self.task.failed):
            signal.connect(self._finish)
        self.task.start()

    def _receive(self, report: Any) -> None:
        if self._shows(report):
            self._has_shown = True
            if self._next is not None and self.task is not None:
                self.task.cancel()
        self.reported.emit(report)

    def _give_way(self) -> None:
        if self._next is not None and self.task is not None:
            self.task.cancel()

    def _finish(self, *_: Any) -> None:
        if self._next is not None:
            self._start(self._next)
        else:
            self.ended.emit()
