"""What a command shows while it runs: reports become a bar, plain lines, or JSON lines.

Progress and notices go to stderr, results to stdout.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

from napari_vesselkd.reports import Notice, Progress, Report, Result

SECONDS_BETWEEN_LINES = 5.0


class Cancelled(Exception):
    """The user pressed Ctrl-C and the task stopped between two reports; the message says how to go on."""


class Failed(Exception):
    """A command failed without being used wrongly; the message says what to know, traceback included."""


@dataclass
class Console:
    """Where the reports of one command go.

    Attributes
    ----------
    json : bool
        Reports as JSON lines on stdout instead of progress and text.
    quiet : bool
        Neither progress nor notices on stderr.
    """

    json: bool = False
    quiet: bool = False
    _bar: _Bar | _Lines | None = field(default=None, repr=False)

    def follow(
        self,
        reports: Iterator[Report],
        *,
        again: str = "Nothing was written.",
        only_last: bool = False,
    ) -> Report:
        """Run a task to its end, show its reports, and return the last one.

        Parameters
        ----------
        reports : iterator of Report
            The task. Ctrl-C closes it after its next report.
        again : str
            What to tell after Ctrl-C.
        only_last : bool
            As JSON, print the last report alone.

        Raises
        ------
        Cancelled
            After Ctrl-C.
        """
        last: Report | None = None
        try:
            with _ctrl_c() as pressed:
                for last in reports:
                    if not only_last:
                        self.show(last)
                    elif not self.json:
                        self._show_text(last)
                    if pressed.is_set() and _goes_on(last):
                        cast(Any, reports).close()
                        raise Cancelled(f"Cancelled{_how_far(last)}. {again}")
        finally:
            self._end_bar()
        if last is None:
            raise RuntimeError("the task has reported nothing")
        if only_last and self.json:
            self.show(last)
        return last

    def show(self, report: Report) -> None:
        """Show one report: as a JSON line, or as text on stderr if it is progress or a notice."""
        if self.json:
            print_json(report.to_dict())
        else:
            self._show_text(report)

    def result(self, report: Report, lines: Iterable[str]) -> None:
        """Print the result of a command: `report` as JSON, or else `lines`."""
        if self.json:
            print_json(report.to_dict())
        else:
            self.print(lines)

    def print(self, lines: Iterable[str]) -> None:
        """Print text on stdout, unless stdout carries JSON."""
        if not self.json:
            sys.stdout.writelines(f"{line}\n" for line in lines)

    def _show_text(self, report: Report) -> None:
        if self.quiet:
            return
        if isinstance(report, Progress):
            if self._bar is None:
                self._bar = _Bar() if sys.stderr.isatty() else _Lines()
            self._bar.update(report)
        elif (text := getattr(report, "text", None)) and not isinstance(report, Result):
            self._end_bar()
            sys.stderr.write(f"{text}\n")

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Leave the terminal tidy after reports that are shown one by one."""
        try:
            yield
        finally:
            self._end_bar()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.end()
            self._bar = None


class _Bar:
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            console=RichConsole(stderr=True),
            expand=True,
        )
        self._task = self._progress.add_task("", text="")
        self._progress.start()

    def update(self, report: Progress) -> None:
        self._progress.update(
            self._task, completed=report.done, total=report.total, text=progress_text(report)
        )

    def end(self) -> None:
        self._progress.stop()


class _Lines:
    """A line of text now and then, for files and pipes."""

    def __init__(self) -> None:
        self._last = -math.inf

    def update(self, report: Progress) -> None:
        now = time.monotonic()
        if report.done == report.total or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            sys.stderr.write(f"{progress_text(report)}\n")
            sys.stderr.flush()

    def end(self) -> None:
        sys.stderr.flush()


def progress_text(report: Progress) -> str:
    """Return "12/40 steps, 3.1 steps/s, 0:00:09 left, loss 0.312"; the loss where there is one."""
    text = f"{report.done}/{report.total} {report.unit}"
    if report.rate > 0:
        text += f", {report.rate:.3g} {report.unit}/s"
    if report.seconds_left is not None and report.done < report.total:
        text += f", {clock(report.seconds_left)} left"
    if (loss := getattr(report, "loss", None)) is not None:
        text += f", loss {loss:.3f}"
    if detail := getattr(report, "detail", ""):
        text += f" ({detail})"
    return text


def clock(seconds: float) -> str:
    """Return a duration in s as h:mm:ss."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(max(map(len, rows)))] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def byte_text(count: float) -> str:
    """Return a number of bytes with the unit that reads best."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON line on stdout; NaN and infinity become null."""
    sys.stdout.write(json.dumps(plain(values), allow_nan=False) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """Return `value` made of what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _goes_on(report: Report) -> bool:
    """Tell whether a task has more to do after this report, which is not so after its result."""
    if isinstance(report, Result):
        return False
    return isinstance(report, Progress | Notice) or hasattr(report, "text")


def _how_far(report: Report) -> str:
    return f" after {report.done} of {report.total} {report.unit}" if isinstance(report, Progress) else ""


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; the second one stops at once, as usual."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def press(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)
        sys.stderr.write("\nStopping as soon as this step is done; Ctrl-C again stops at once.\n")

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
