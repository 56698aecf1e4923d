"""A task whose reports are written into its run folder, and which stops when it is asked to there."""

from __future__ import annotations

import json
import math
import os
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_vesselkd.errors import OutputBusyError, OutputError, VesselKDError
from napari_vesselkd.jobs.known import remember
from napari_vesselkd.jobs.run_folder import RunFolder, now
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import output_errors

LAST_WORD_BYTES = 1024


class Stopped(KeyboardInterrupt):
    """The job was asked to stop, in its run folder."""


def recorded(run: RunFolder, task: Callable[[], Iterator[Report]]) -> Iterator[Report]:
    """Run a task, pass its reports on, and write each into ``events.jsonl``.

    The first event is "started", the last "finished", "stopped" or "failed" (with ``error``: what, remedy,
    where, traceback); after a kill there is no last one.

    Parameters
    ----------
    run : RunFolder
    task : callable
        Makes the generator of reports.

    Raises
    ------
    OutputBusyError
        If another process works on this run.
    OutputError
        If the disk is full, or the run folder was deleted; the task is closed.
    Stopped
        If `RunFolder.ask_to_stop` was called; the task is closed.
    """
    with _held(run), _Events(run.events_path) as events:
        run.stop_path.unlink(missing_ok=True)
        run.note_session(os.getpid())
        remember(run.path)
        events.write({"report": "started", "pid": os.getpid()})
        reports: Iterator[Report] = iter(())
        last: Report | None = None
        try:
            reports = task()
            for last in reports:
                events.write(plain(last.to_dict()))
                yield last
                if run.stop_path.exists():
                    raise Stopped("Stopped; run the same command again to go on.")
        except (GeneratorExit, KeyboardInterrupt):
            _close(reports)
            run.stop_path.unlink(missing_ok=True)
            events.write_if_possible({"report": "stopped"})
            raise
        except BaseException as error:
            _close(reports)
            if not events.still_there() and not isinstance(error, OutputError):
                raise _deleted(run.path) from error
            events.write_if_possible({"report": "failed", "error": _described(error, last)})
            raise
        events.write({"report": "finished"})


def _close(reports: Iterator[Report]) -> None:
    if isinstance(reports, Generator):
        reports.close()


class _Events:
    """The file of events, open for appending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = -1
        self.end = 0

    def __enter__(self) -> _Events:
        with output_errors(self.path):
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._end_torn_line()
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.file)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append one event; OutputError where the folder is gone or the disk is full."""
        if not self.still_there():
            raise _deleted(self.path.parent)
        line = json.dumps({"time": now(), **event}, allow_nan=False).encode() + b"\n"
        with output_errors(self.path):
            try:
                left = memoryview(line)
                while left:
                    left = left[os.write(self.file, left) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self.file, self.end)
                raise
        self.end += len(line)

    def write_if_possible(self, event: Mapping[str, Any]) -> None:
        """Append a last word, on a full disk in place of the latest events; another error is on its way."""
        try:
            self.write(event)
        except OSError:
            with suppress(OSError):
                self._make_room()
                error = {**event.get("error", {}), "traceback": ""}
                self.write({**event, "error": error} if "error" in event else event)

    def _make_room(self) -> None:
        """Cut the latest events off."""
        content = self.path.read_bytes()
        self.end = content.rfind(b"\n", 0, max(0, len(content) - LAST_WORD_BYTES)) + 1
        os.ftruncate(self.file, self.end)

    def still_there(self) -> bool:
        """Whether the file has not been deleted."""
        try:
            return os.path.samestat(os.fstat(self.file), self.path.stat())
        except OSError:
            return False

    def _end_torn_line(self) -> None:
        """Cut off what a crash left behind the last whole line."""
        content = self.path.read_bytes()
        self.end = content.rfind(b"\n") + 1
        os.ftruncate(self.file, self.end)


def _deleted(path: Path) -> OutputError:
    return OutputError(
        "The run folder was deleted while the job was running",
        value=path,
        remedy="Start again in a new folder",
    )


@contextmanager
def _held(run: RunFolder) -> Iterator[None]:
    """Hold the run, so that no second process works on it."""
    lock = FileLock(run.path / ".lock", timeout=0, thread_local=False)
    with output_errors(run.path):
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputBusyError(
                "Another process works on this run",
                value=run.path,
                remedy="Wait for it (`vesselkd jobs attach RUN`), or stop it (`vesselkd jobs stop RUN`)",
            ) from error
    try:
        yield
    finally:
        lock.release()


def plain(value: Any) -> Any:
    """Return `value` made of what JSON knows; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def _described(error: BaseException, last: Report | None) -> dict[str, str]:
    """Return an error as the dock and ``jobs list`` show it."""
    known = isinstance(error, VesselKDError)
    done, total, unit = (getattr(last, name, None) for name in ("done", "total", "unit"))
    return {
        "what": _headline(error) if known else f"{type(error).__name__}: {error}",
        "remedy": (error.remedy or "") if isinstance(error, VesselKDError) else "",
        "where": "" if done is None else f"after {done} of {total} {unit}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def _headline(error: Any) -> str:
    text = str(error.what)
    if error.value is not None:
        text += f": {error.value}"
    if error.limit is not None:
        text += f" (allowed: {error.limit})"
    return text
