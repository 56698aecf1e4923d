"""The block that is open: opened, accepted, skipped and put away; one at a time.

What reads or writes the project's stores runs in a worker; what the block shows is the `BlockLayer`.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.plugin.block_layer import BRUSH, BlockLayer
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.project_layers import decode_again, levels_shown, refresh_labels
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.visible import go_to
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import BlockState, Project, ReviewBlock

OPENING, ACCEPTING, SKIPPING = "Opening the block…", "Accepting…", "Skipping…"


class BlockDesk(QObject):
    """Opens the blocks of the project of `session`, and says what became of them.

    `changed`: a worker begins or ends, or the open block is another. `opening`: a block is about to be shown.
    `opened` and `closing`: of the block's layer; `closing` with whether it was taken out of the viewer.
    `leaving`: a block is about to be accepted or skipped; `decided`: it was (a `ReviewBlock`).
    `told`: what became of it, in a sentence. `failed`: it could not be done (a `Failure`). `block_changed`:
    another block is open, or none.

    Attributes
    ----------
    block : BlockLayer or None
    doing : str
        What a worker is doing; empty where none is.
    """

    changed = Signal()
    opening = Signal()
    opened = Signal(object)
    closing = Signal(bool)
    leaving = Signal()
    decided = Signal(object)
    told = Signal(str)
    failed = Signal(object)
    block_changed = Signal()

    def __init__(self, viewer: Any, session: ProjectSession, drawings: deque[Any]) -> None:
        super().__init__()
        self._viewer, self._session, self._drawings = viewer, session, drawings
        self.block: BlockLayer | None = None
        self.doing = ""
        self._brush: float = BRUSH
        self._task: Task | None = None

    @property
    def busy(self) -> bool:
        return bool(self.doing) or (self._task is not None and self._task.running)

    @property
    def number(self) -> int | None:
        """Of the open block."""
        return None if self.block is None else self.block.number

    def open(self, edit: Callable[[], BlockEdit], *, move: bool = True) -> None:
        """Open the block that `edit` gives, in place of the one that is open; with `move`, go there."""
        if self._session.why_not_edit or self.doing or (self.block is not None and not self.block.save()):
            self.changed.emit()
            return
        self._work(OPENING, edit, lambda found: self._show(found, move=move))

    def accept(self) -> None:
        """Take the open block into the corrections."""
        self._finish(ACCEPTING, Project.accept)

    def skip(self) -> None:
        """Set the open block aside."""
        self._finish(SKIPPING, Project.skip)

    def close(self) -> None:
        """Put the open block away; it stays open in the project."""
        self.closing.emit(False)
        block, self.block = self.block, None
        if block is not None:
            self._brush = block.layer.brush_size
            block.close()
            if block.failure is not None:
                self._session.warn(
                    f"Block {block.number} could not be saved: {block.failure.headline} What is painted is "
                    "still in the layer list; save it from there, or open the block again and repeat it."
                )
            self.block_changed.emit()

    def stop(self) -> None:
        """Let the worker end without being heard: the project or the dock is closing."""
        self.doing = ""
        if self._task is not None:
            self._task.abandon()

    def _show(self, edit: BlockEdit, *, move: bool) -> None:
        self.doing, layer = "", self._session.layer
        if layer is None:
            self.changed.emit()
            return
        if self.block is not None and edit is self.block.edit:  # open already: closed, nothing could be saved
            if move:
                go_to(self._viewer, layer, edit.region)
            self.changed.emit()
            return
        self.close()
        self.opening.emit()
        block = self.block = BlockLayer(self._viewer, layer, edit, self._drawings, brush=self._brush)
        block.removed.connect(self._removed)
        self.opened.emit(block)
        if move:
            go_to(self._viewer, layer, edit.region)
        self._viewer.layers.selection.active = block.layer
        self.block_changed.emit()
        self._session.notify()

    def _removed(self) -> None:
        self.closing.emit(True)
        block, self.block = self.block, None
        if block is not None:
            self.told.emit(
                f"The layer of block {block.number} was removed. The block stays open with everything that "
                "was painted: open it from the list to go on."
            )
        self.block_changed.emit()
        self._session.notify()

    def _finish(self, what: str, do: Callable[[Project, int], ReviewBlock]) -> None:
        """Accept or skip the open block."""
        project, block = self._session.project, self.block
        if project is None or block is None or self.doing or not block.save():
            self.changed.emit()
            return
        self.leaving.emit()
        levels = levels_shown(self._viewer, self._session.layer)
        block.lock(True)

        def task() -> ReviewBlock:
            done = do(project, block.number)
            decode_again(levels, done.region)
            return done

        self._work(what, task, self._finished)

    def _finished(self, done: ReviewBlock) -> None:
        self.doing = ""
        held = ", and held out" if done.held_out else ""
        verb = "accepted" + held if done.state is BlockState.ACCEPTED else "skipped"
        self.told.emit(f"Block {done.number} is {verb}.")
        refresh_labels(self._viewer, self._session.layer)
        self.decided.emit(done)

    def _work(self, what: str, task: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.doing = what
        self._task = run(task)
        self._task.done.connect(done)
        self._task.failed.connect(self._refused)
        self._task.start()
        self.changed.emit()

    def _refused(self, failure: Failure) -> None:
        self.doing = ""
        if self.block is not None:
            self.block.lock(False)
        self.failed.emit(failure)
