"""How long a run has taken over all its sessions, kept in a file of its folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_vesselkd.checkpoints.files import write_aside
from napari_vesselkd.models import ranks

FILE = "seconds.txt"


@contextmanager
def timed(run: Path) -> Iterator[None]:
    """Add the time spent inside to that of the run, also when it is interrupted."""
    began = time.monotonic()
    try:
        yield
    finally:
        if ranks.is_first():
            _note(run, seconds_of(run) + time.monotonic() - began)


def _note(run: Path, seconds: float) -> None:
    with suppress(OSError):  # a full disk has its own message
        run.mkdir(parents=True, exist_ok=True)
        write_aside(run / FILE, f"{seconds:.1f}\n".encode()).replace(run / FILE)


def seconds_of(run: Path) -> float:
    """Return the seconds so far, 0 where none are noted."""
    with suppress(OSError, ValueError):
        return float((run / FILE).read_text())
    return 0.0
