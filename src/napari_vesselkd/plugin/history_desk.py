"""Undo and redo of the project's one history, whatever was done last and wherever.

What only touches the open block is done at once; all else reads or writes stores, so it runs in a worker.
Presses of the key while one step is under way are counted and done after it.
"""

from collections import deque
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.plugin.anywhere import Anywhere
from napari_vesselkd.plugin.failure import Failure, describe_failure
from napari_vesselkd.plugin.project_layers import decode_again, levels_shown, refresh_labels
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import Applied, BlockState, Operation, Project

DECISIONS = {"accept": "acceptance", "skip": "skipping"}


class HistoryDesk(QObject):
    """Steps through the history of the project of `session`.

    `stepped`: an operation was undone or done again (an `Applied`). `failed`: it could not be (a `Failure`).
    `changed`: a step begins or has ended.

    Attributes
    ----------
    said : str
        What the last step did.
    """

    stepped = Signal(object)
    failed = Signal(object)
    changed = Signal()

    def __init__(self, viewer: Any, session: ProjectSession, anywhere: Anywhere) -> None:
        super().__init__()
        self._viewer, self._session, self._anywhere = viewer, session, anywhere
        self._waiting: deque[tuple[bool, int | None]] = deque()
        self._task: Task | None = None
        self.said = ""

    @property
    def busy(self) -> bool:
        return self._task is not None and self._task.running

    def can(self, *, again: bool = False) -> bool:
        """Whether there is something to undo, or to do again."""
        project = self._session.project
        return project is not None and not project.read_only and project.history.next(again=again) is not None

    def step(self, again: bool, number: int | None) -> None:
        """Undo, or do again, one operation; `number` is the open block."""
        self._waiting.append((again, number))
        if not self.busy:
            self._next()

    def leads_to(self, done: Applied, number: int | None) -> tuple[int | None, bool]:
        """Return the block to open to see what a step did, and whether block `number` is to be put away."""
        project = self._session.project
        if project is None:
            return None, False
        decided = None if done.decided is None else project.block(done.decided)
        if decided is not None and decided.state is not BlockState.OPEN:
            return None, decided.number == number
        elsewhere = [one for one in (done.decided, *done.numbers) if one and one != number]
        seen = elsewhere and project.block(elsewhere[0]).axis is None
        return (elsewhere[0] if seen else None), False

    def release(self) -> None:
        """Stop: the project or the dock is closing."""
        self._waiting.clear()
        if self._task is not None:
            self._task.abandon()

    def _next(self) -> None:
        project = self._session.project
        if project is None or project.read_only or not self._waiting:
            self._waiting.clear()
            return
        again, number = self._waiting.popleft()
        self._anywhere.hand_over()
        operation = project.history.next(again=again)
        inside = operation is not None and [one for one, _ in operation.parts] == [number]
        if operation is not None and inside and operation.tool not in DECISIONS and not self._anywhere.busy:
            self._at_once(project, again, operation)
        else:
            self._in_worker(project, again)

    def _at_once(self, project: Project, again: bool, operation: Operation) -> None:
        try:
            done = project.history.redo() if again else project.history.undo()
        except VesselKDError as error:
            self._refused(describe_failure(error))
            return
        self._tell(operation, done, again)
        self._next()

    def _in_worker(self, project: Project, again: bool) -> None:
        levels = levels_shown(self._viewer, self._session.layer)

        def step() -> tuple[Operation | None, Applied | None]:
            changed = self._anywhere.drain()
            operation = project.history.next(again=again)
            done = project.history.redo() if again else project.history.undo()
            for region in (*changed, *(() if done is None else done.labels_changed)):
                decode_again(levels, region)
            return operation, done

        self._task = run(step)
        self._task.done.connect(lambda found: self._ended(found[0], found[1], again))
        self._task.failed.connect(self._refused)
        self._task.start()
        self.changed.emit()

    def _ended(self, operation: Operation | None, done: Applied | None, again: bool) -> None:
        if operation is not None and done is not None:
            refresh_labels(self._viewer, self._session.layer)
            self._tell(operation, done, again)
        self.changed.emit()
        self._next()

    def _refused(self, failure: Failure) -> None:
        self._waiting.clear()
        self.failed.emit(failure)
        self.changed.emit()

    def _tell(self, operation: Operation, done: Applied | None, again: bool) -> None:
        self.said = told(operation, again)
        if done is not None:
            self._anywhere.stepped(done)
            self.stepped.emit(done)


def told(operation: Operation, again: bool) -> str:
    """Return what a step did, in one sentence."""
    what = DECISIONS.get(operation.tool, operation.tool)
    where = ", ".join(f"block {one}" if one else "anywhere" for one, _ in operation.parts)
    return f"{'Done again' if again else 'Taken back'}: {what}, {where}."
