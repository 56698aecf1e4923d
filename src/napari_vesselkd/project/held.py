"""A project folder held by at most one writer: its state, and events that change it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from napari_vesselkd.errors import ProjectBusyError
from napari_vesselkd.labels import Journal
from napari_vesselkd.project.opening import Found


class Held:
    """What an open project rests on; a context manager that closes it.

    Attributes
    ----------
    path : Path
        The folder.
    read_only : bool
        True where another process holds the project, or the disk or the caller wants it so.
    notices : tuple of str
        What to tell the user about the state in which the project was found.
    """

    def __init__(self, found: Found) -> None:
        self.path: Path = found.folder.path
        self.read_only = found.lock is None
        self.notices = found.notices
        self._folder, self._state = found.folder, found.state
        self._lock, self._seen = found.lock, found.journal_bytes
        self._journal = None if found.lock is None else Journal(found.folder.journal)
        self._turn = threading.RLock()
        for entry in found.adopted:
            if self._journal is None:
                self._state.follow(entry.to_event())
            else:
                self._note(entry.to_event())

    @property
    def id(self) -> str:
        """What tells this project from every other."""
        return self._folder.id

    def require_writable(self) -> None:
        """Raise ProjectBusyError if the project is open read-only."""
        if self.read_only:
            raise ProjectBusyError(
                "The project is open read-only here",
                value=self.path,
                remedy="Close it where else it is open, then open it again",
            )

    def refresh(self) -> None:
        """Take in what another process has done since a read-only project was opened."""
        if not self.read_only:
            return
        journal = self._folder.journal
        size = journal.stat().st_size if journal.is_file() else -1  # gone: reading it says so
        if size != self._seen:
            self._state, self._seen = self._folder.read_events()[0], size

    def close(self) -> None:
        """Close the journal and let others write; a second call does nothing."""
        with self._turn:
            if self._journal is not None:
                self._journal.close()
            if self._lock is not None:
                self._lock.release()
            self._journal = self._lock = None
            self.read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _note(self, event: Mapping[str, Any]) -> None:
        """Journal an event, then let it change the state: what is not on the disk has not happened."""
        if self._journal is None:
            self.require_writable()
        else:
            self._journal.append({**event, "project": self.id})
        self._state.follow(event)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._turn:
            self.require_writable()
            yield
