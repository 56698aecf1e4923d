"""The only bridge between generators of reports and napari's threads.

A long task below this edge is a generator of reports. `Task` runs one in a napari worker: reports arrive in
the GUI thread, it can be paused and cancelled between two of them, its generator is closed in the thread
that ran it (so locks and files are released at once), and an error arrives as a `Failure` with its traceback
instead of being raised somewhere else.
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal

from napari_vesselkd.plugin.failure import Failure, describe_failure

TURN_SECONDS = 0.0005
NICE = 5
LEAVING_MS = 30_000
THREADS = 8  # Qt's own limit is one per core: two long tasks on two cores would hold up every short one


@atexit.register
def wait_for_threads() -> None:
    """Let threads come to their end before Python does: a report from one to Qt's remains would abort it."""
    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.waitForDone(LEAVING_MS)


def delayed(parent: QObject, milliseconds: int, call: Callable[[], Any]) -> QTimer:
    """Return a timer that runs `call` once, `milliseconds` after its latest start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(call)
    return timer


class _ClosingWorker(GeneratorWorker):
    """A generator worker that closes the generator it ran, in the thread that ran it."""

    source: Iterator[Any] | None = None

    def work(self) -> Any:
        yield_to_the_viewer()
        try:
            return super().work()
        finally:
            _close(self.source)


class Task(QObject):
    """One generator of reports running in a napari worker.

    Exactly one of `done`, `failed`, `cancelled` is emitted, always in the GUI thread, after the generator has
    been closed.

    Parameters
    ----------
    make : callable
        Returns the generator; called in the worker thread, so it may import and open things slowly.
    """

    reported = Signal(object)
    done = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    paused = Signal()
    resumed = Signal()

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        super().__init__()
        self._make = make
        self._ended = False
        self._failure: Failure | None = None
        self._result: Any = None
        self._worker = create_worker(self._reports, _start_thread=False, _worker_class=_ClosingWorker)
        self._worker.yielded.connect(self._receive)
        self._worker.paused.connect(self.paused)
        self._worker.resumed.connect(self.resumed)
        self._worker.finished.connect(self._finish)

    def start(self) -> "Task":
        pool = QThreadPool.globalInstance()
        pool.setMaxThreadCount(max(THREADS, pool.maxThreadCount()))
        self._worker.start()
        return self

    def cancel(self) -> None:
        """Stop after the report that is being worked on."""
        self._worker.quit()

    def abandon(self) -> None:
        """Stop as `cancel` does and tell nobody: whoever listened is going away."""
        self.blockSignals(True)
        self._worker.quit()

    def pause(self) -> None:
        """Hold before the next report."""
        self._worker.pause()

    def resume(self) -> None:
        self._worker.resume()

    @property
    def running(self) -> bool:
        return not self._ended

    @property
    def cancelling(self) -> bool:
        return bool(self._worker.abort_requested) and not self._ended

    def _reports(self) -> Generator[Any, None, None]:
        try:
            source = self._make()
            self._worker.source = source
            yield from source
        except Exception as error:
            self._failure = describe_failure(error)

    def _receive(self, report: Any) -> None:
        self._result = report
        self.reported.emit(report)

    def _finish(self) -> None:
        self._ended = True
        if self._failure is not None:
            self.failed.emit(self._failure)
        elif self._worker.abort_requested:
            self.cancelled.emit()
        else:
            self.done.emit(self._result)


def run(function: Callable[[], Any]) -> Task:
    """Return a task that calls `function` once, off the GUI thread; `done` carries what it returned."""

    def once() -> Iterator[Any]:
        yield function()

    return Task(once)


def _close(source: Iterator[Any] | None) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


def yield_to_the_viewer() -> None:
    """Let the GUI thread go first: less priority for this thread and its children, shorter turns in Python.

    A thread that computes in Python keeps the interpreter for a turn of 5 ms by default; the GUI thread waits
    for one after each array it copies, which adds up to hundreds of ms per refresh.
    """
    sys.setswitchinterval(TURN_SECONDS)
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
