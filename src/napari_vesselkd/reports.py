"""What a long task yields while it runs.

A long task is a generator of small frozen reports: a script loops over it, the command line prints it, the
napari worker consumes it and can stop between two of them. Nothing below the edge uses callbacks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """Base of all reports."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, with the report's kind under ``"report"``."""
        return {"report": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Result(Report):
    """What a task has come to; other results of the same task may follow."""


@dataclass(frozen=True)
class Notice(Report):
    """Something the user should know that stops nothing (missing chunks, a constant volume, ...)."""

    text: str


@dataclass(frozen=True)
class Progress(Report):
    """How far a task has come.

    Attributes
    ----------
    done, total : int
        Finished and planned units of work.
    unit : str
        What is counted, in the plural ("blocks", "chunks", "steps").
    seconds : float
        Time since this run started, in s; work found finished by a resumed run is not in it.
    resumed : int
        Units that an earlier run had finished already; they count in `done` but not in the rate.
    """

    done: int
    total: int
    unit: str
    seconds: float
    resumed: int = 0

    @property
    def rate(self) -> float:
        """Units per second of this run; 0 before the first one."""
        fresh = self.done - self.resumed
        return fresh / self.seconds if fresh > 0 and self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left in s, or None before the first unit is done."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None
