"""What the user says about codes: read with the map, saved in a worker, told to all that shows codes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.plugin.codes.colours import colours_of
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.workers import Task, run

if TYPE_CHECKING:
    from napari_vesselkd.patterns.notes import CodeNotes


class CodeNoting(QObject):
    """Names, colours and artefacts of the codes of one checkpoint.

    `changed`: something else is said. `failed` carries the `Failure` of what could not be saved.

    Attributes
    ----------
    names : tuple of str
        Of every code, empty without one.
    colours : tuple of str
        ``#rrggbb`` of every code.
    problem : str
        Why the notes cannot be read; nothing can be said then.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.colours: tuple[str, ...] = ()
        self.problem = ""
        self._notes: CodeNotes | None = None
        self._count = 0
        self._task: Task | None = None
        self._waiting: list[tuple[tuple[int, ...], dict[str, object]]] = []

    @property
    def artefacts(self) -> tuple[int, ...]:
        """Codes that were marked as artefact."""
        return () if self._notes is None else self._notes.artefacts

    @property
    def notes(self) -> "CodeNotes | None":
        return self._notes

    @property
    def tasks(self) -> list[Task]:
        return [] if self._task is None else [self._task]

    def take(self, shown: OpenMap | None) -> None:
        """Speak about the codes of this map from now on."""
        self._notes = None if shown is None else shown.notes
        self._count = 0 if shown is None else shown.teacher.codes
        self.problem = "" if shown is None else shown.notes_problem
        self._read()

    def name(self, code: int) -> str:
        return self.names[code] if code < len(self.names) else ""

    def say(
        self,
        codes: Iterable[int],
        *,
        name: str | None = None,
        colour: str | None = None,
        artefact: bool | None = None,
    ) -> None:
        """Say something about codes and save it; what is None stays, "" takes back a name or a colour."""
        values = {"name": name, "colour": colour, "artefact": artefact}
        self._waiting.append((tuple(codes), {key: one for key, one in values.items() if one is not None}))
        self._save_next()

    def release(self) -> None:
        if self._task is not None:
            self._task.blockSignals(True)  # what was said is still saved

    def _save_next(self) -> None:
        notes = self._notes
        if notes is None or not self._waiting or (self._task is not None and self._task.running):
            return
        codes, values = self._waiting.pop(0)
        self._task = run(lambda: _save(notes, codes, values))
        self._task.done.connect(lambda _: self._saved())
        self._task.failed.connect(self._not_saved)
        self._task.start()

    def _saved(self) -> None:
        self._read()
        self._save_next()

    def _not_saved(self, failure: object) -> None:
        self.failed.emit(failure)
        self._saved()

    def _read(self) -> None:
        said = {} if self._notes is None else self._notes.codes
        self.names = tuple(said[code].name if code in said else "" for code in range(self._count))
        own = {code: note.colour for code, note in said.items() if note.colour}
        self.colours = colours_of(self._count, own)
        self.changed.emit()


def _save(notes: "CodeNotes", codes: Sequence[int], values: dict[str, object]) -> None:
    for code in codes:
        notes.set(code, **values)  # type: ignore[arg-type]
