"""What every operation of a project is stamped with: who, when, and a number that only grows."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


class Ledger:
    """Gives out the numbers of operations, one order for all journals of a project; threads take turns.

    Parameters
    ----------
    last : int
        The number given out last.

    Attributes
    ----------
    who : str
        Name of the user who works here.
    """

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.who = user_name()
        self.turn = threading.RLock()

    def stamp(self) -> dict[str, Any]:
        """Return `seq`, the next number, `who`, and `at`, the time as ISO 8601, UTC."""
        with self.turn:
            self.last += 1
            return {"seq": self.last, "who": self.who, "at": time_now()}

    def told(self, number: int, record: Mapping[str, Any]) -> None:
        """Hear what was appended to the journal of block `number`; a project's ledger remembers it."""

    def latest(self, number: int) -> bool:
        """Whether the operation done last was in block `number`."""
        return True


def user_name() -> str:
    """Return the name of the user; "unknown" where the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def time_now() -> str:
    """Return the time as ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
