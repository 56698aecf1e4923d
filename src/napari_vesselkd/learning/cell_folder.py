"""The folder of a cross-validation: what is finished of its cells, and who works on which.

A finished cell is a JSON file in DIR/cells, written aside and then renamed, and a cell is worked on under a
lock of its own, so that processes and machines that see the same folder share the work, and a cell whose
process was killed is free again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_vesselkd.learning.cells import Cell


@dataclass(frozen=True)
class CellFolder:
    """The folder of a cross-validation."""

    out: Path

    def make(self) -> None:
        (self.out / "cells").mkdir(parents=True, exist_ok=True)
        (self.out / "locks").mkdir(exist_ok=True)

    @contextmanager
    def held(self, cell: Cell) -> Iterator[bool]:
        """Hold a cell; False where another process does."""
        lock = FileLock(self.out / "locks" / f"{cell.name}.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def fold_folder(self, cell: Cell) -> Path:
        """Return where everything of the cell's fold and seed is."""
        return self.out / f"fold-{cell.fold}" / f"seed-{cell.seed}"

    def place(self, cell: Cell) -> Path:
        """Return where a cell is worked on."""
        return self.fold_folder(cell) / cell.what

    def has(self, cell: Cell) -> bool:
        """Whether a cell is finished."""
        return self._result_path(cell).exists()

    def result(self, cell: Cell) -> dict[str, Any]:
        """Return what a finished cell holds; nothing of one that is not."""
        found: dict[str, Any] = {}
        if self.has(cell):
            found = json.loads(self._result_path(cell).read_text(encoding="utf-8"))
        return found

    def failed(self) -> set[str]:
        """Return the names of the cells whose training could not go on."""
        paths = (self.out / "cells").glob("*.json")
        return {path.stem for path in paths if "error" in json.loads(path.read_text(encoding="utf-8"))}

    def write(self, cell: Cell, values: Mapping[str, Any]) -> None:
        """Finish a cell."""
        path = self._result_path(cell)
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps({"cell": cell.name, **values}, indent=1) + "\n", encoding="utf-8")
        aside.replace(path)

    def forget(self, cell: Cell) -> None:
        """Take back that a cell is finished."""
        self._result_path(cell).unlink(missing_ok=True)

    def _result_path(self, cell: Cell) -> Path:
        return self.out / "cells" / f"{cell.name}.json"
