"""The Correct tab: blocks of the project, opened one after the other and painted on.

What reads or writes the project's stores runs in a worker; strokes are journaled by the `BlockLayer`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.anywhere import Anywhere
from napari_vesselkd.plugin.anywhere_panel import AnywherePanel
from napari_vesselkd.plugin.block_desk import BlockDesk
from napari_vesselkd.plugin.block_layer import BlockLayer
from napari_vesselkd.plugin.correct_panel import BOX, CorrectPanel
from napari_vesselkd.plugin.correct_state import Here, Work, draw_correct, region_around
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.history_desk import HistoryDesk
from napari_vesselkd.plugin.parts import scroll_to
from napari_vesselkd.plugin.reviewing.block_list import BlockList
from napari_vesselkd.plugin.reviewing.desk import ReviewDesk
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.tools.desk import ToolDesk
from napari_vesselkd.plugin.tools.state import NO_BLOCK
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.visible import go_to, looked_at
from napari_vesselkd.project import Applied, ReviewBlock
from napari_vesselkd.proofreading import Candidate

KEPT_DRAWINGS = 8  # of removed layers; see BlockLayer
STEPPING = "Undoing, or doing again…"


class CorrectTab(QWidget):
    """Correct blocks of the project of `session`.

    `block_changed`: another block is open, or none. `leaving`: the project closes, its block is still open.
    """

    block_changed = Signal()
    leaving = Signal()

    def __init__(self, viewer: Any, events: ViewerEvents, session: ProjectSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._message = ""
        self._failure: Failure | None = None
        self._drawings: deque[Any] = deque(maxlen=KEPT_DRAWINGS)
        self.blocks = BlockDesk(viewer, session, self._drawings)
        self.list = BlockList(session)
        self.panel = CorrectPanel(viewer)
        self.desk = ToolDesk(viewer, session, self._drawings, self.panel.tools)
        canvas = viewer.window._qt_viewer.canvas.native
        self.queue = ReviewDesk(session, self.panel.queue, canvas)
        self.anywhere = Anywhere(viewer, session, self._drawings)
        self.anywhere_panel = AnywherePanel()
        self.panel.anywhere.addWidget(self.anywhere_panel)
        self.history = HistoryDesk(viewer, session, self.anywhere)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self._connect(events)
        self._paint()

    @property
    def busy(self) -> bool:
        """Whether a worker of this tab is at work."""
        desks = (self.blocks, self.desk, self.queue, self.history, self.anywhere, self.list)
        return any(desk.busy for desk in desks)

    @property
    def block(self) -> BlockLayer | None:
        """The block that is open."""
        return self.blocks.block

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The list of blocks as it is shown."""
        return self.list.candidates

    # What the buttons do

    def edit_here(self, *, cursor: bool = False) -> None:
        """Open the region that is chosen: the box, or what is amid the view or around the cursor."""
        region = self.here(cursor=cursor).region
        project = self._session.project
        if region is not None and project is not None:
            self.blocks.open(lambda: project.edit(region))

    def open_number(self, number: int, *, move: bool = True) -> None:
        """Open the block of that number; an accepted or skipped one is open again."""
        project = self._session.project
        if project is not None:
            self.blocks.open(lambda: project.edit_block(number), move=move)

    def open_selected(self) -> None:
        """Open, or reopen, the block that is selected in the list."""
        if self.list.chosen is not None:
            self._open_candidate(self.list.chosen)

    def step(self, *, back: bool = False) -> None:
        """Open the next or the previous block that is neither accepted nor skipped."""
        found = self.list.step(self._region(), back=back)
        if found is not None and found.region != (self.block and self.block.region):
            self._open_candidate(found)

    def undo(self) -> None:
        """Take back what was done last, in whichever block or anywhere."""
        self._step(False) if self.block is None else self.block.undo()

    def redo(self) -> None:
        """Do again what was undone last."""
        self._step(True) if self.block is None else self.block.redo()

    def paint_anywhere(self) -> None:
        """Begin to paint anywhere, the open block is put away; or stop it."""
        if self.anywhere.opened:
            self.anywhere.close()
        elif not self.blocks.doing and (self.block is None or self.block.save()):
            self.blocks.close()
            self.anywhere.open()
        self._paint()

    def here(self, *, cursor: bool = False) -> Here:
        """Return the region that "Edit this region" would open; by its key, around the `cursor`."""
        layer, volume = self._session.layer, self._session.volume
        drawn = self.panel.where.chosen == BOX
        if layer is None or volume is None:
            return Here(drawn=drawn)
        if drawn:
            return Here(self.panel.region.region(), drawn=True)
        point = looked_at(self._viewer, layer, cursor=cursor)
        return Here(region_around(point, self.panel.side.value(), volume.shape))

    def flush(self) -> None:
        """Save what is painted, now."""
        if self.block is not None:
            self.block.save()

    def release(self) -> None:
        """Stop: the dock or the viewer is closing; a layer that nobody would save any more goes with it."""
        self._stop()
        self.desk.release()
        self.history.release()
        self.anywhere.release()
        self.queue.release()
        block = self.block
        if block is not None:
            block.blockSignals(True)
            block.close() if _is_open(self._viewer) else block.release()
        self._drawings.clear()

    # The project changed

    def _connect(self, events: ViewerEvents) -> None:
        session, panel = self._session, self.panel
        session.opened.connect(self._opened)
        session.closing.connect(self._closing)
        session.closed.connect(self._paint)
        session.changed.connect(self._changed)
        events.view_moved.connect(self._view_moved)
        panel.pressed.connect(self._pressed)
        panel.label_pressed.connect(self._label_pressed)
        blocks = self.blocks
        for signal, call in (
            (blocks.changed, self._blocks_changed),
            (blocks.opening, self.anywhere.close),
            (blocks.opening, self.panel.put_away_box),
            (blocks.opened, self._block_opened),
            (blocks.closing, self._block_closing),
            (blocks.leaving, self.desk.leave),
            (blocks.decided, self._decided),
            (blocks.told, partial(setattr, self, "_message")),
            (blocks.failed, self._failed),
            (blocks.block_changed, self.block_changed),
        ):
            signal.connect(call)
        self.desk.changed.connect(self._paint)
        self.anywhere_panel.pressed.connect(self.paint_anywhere)
        self.history.changed.connect(self._history_changed)
        for changed in (self.anywhere.changed, self.history.changed):
            changed.connect(self._paint)
        self.anywhere.step_asked.connect(self._step)
        self.history.stepped.connect(self._stepped)
        self.history.failed.connect(self._failed)
        for listed_anew in (self.queue.found, self.queue.changed):
            listed_anew.connect(self.list.due)
        self.list.changed.connect(self._paint)
        self.list.failed.connect(self._failed)
        panel.list.chosen.connect(self._chosen)
        panel.list.opened.connect(lambda _row: self.open_selected())
        for changed in (panel.order.currentIndexChanged, panel.side.valueChanged):
            changed.connect(lambda _: self._list_changed())
        panel.where.changed.connect(lambda _: self._paint())
        panel.region.changed.connect(self._paint)

    def _pressed(self, name: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            "previous": lambda: self.step(back=True),
            "next": self.step,
            "open": self.open_selected,
            "edit": self.edit_here,
            "edit at cursor": lambda: self.edit_here(cursor=True),
            "undo": self.undo,
            "redo": self.redo,
            "accept": self.blocks.accept,
            "skip": self.blocks.skip,
        }
        self._message = ""
        actions[name]()

    def _label_pressed(self, label: int) -> None:
        painted = self.anywhere if self.anywhere.opened else self.block
        if painted is not None:
            painted.paint(label)

    def _opened(self) -> None:
        volume = self._session.volume
        self._message, self._failure = "", None
        self.list.clear()
        self.panel.region.set_layer(self._session.layer, None if volume is None else volume.shape)
        self._blocks_due()

    def _closing(self) -> None:
        self.flush()
        self.leaving.emit()
        self._stop()
        blocked = self.blockSignals(True)  # that no block is open then is not worth remembering
        self.queue.close()
        self.blocks.close()
        self.blockSignals(blocked)
        self._message, self._failure = "", None
        self.list.clear()
        self.panel.region.set_layer(None, None)

    def _stop(self) -> None:
        self.list.stop()
        self.blocks.stop()

    def _changed(self) -> None:
        if self._session.project is not None and self._session.volume is not None:
            self._blocks_due()
        self._paint()

    def _view_moved(self) -> None:
        if self.isVisible():
            self._paint()

    def _list_changed(self) -> None:
        self._failure = None
        self._blocks_due()
        self._paint()

    # The list

    def _blocks_due(self) -> None:
        self.list.side, self.list.order = self.panel.side.value(), str(self.panel.order.currentData())
        self.list.due()
        self.queue.due(self.list.side)

    def _chosen(self, row: int) -> None:
        self.list.choose(row)
        if self._session.layer is not None:
            go_to(self._viewer, self._session.layer, self.candidates[row].region)

    def _region(self) -> Region | None:
        """Return where the user is in the list: the open block, else the chosen row."""
        if self.block is not None:
            return self.block.region
        return None if self.list.chosen is None else self.list.chosen.region

    def _number_meant(self) -> int | None:
        """Return which block flag and note are about: the open one, else the chosen one if it was begun."""
        if self.block is not None:
            return self.block.number
        block = None if self.list.chosen is None else self.list.chosen.block
        return None if block is None else block.number

    def _open_candidate(self, candidate: Candidate) -> None:
        project = self._session.project
        if project is None:
            return
        if candidate.block is not None:
            self.open_number(candidate.block.number)
        else:
            self.blocks.open(lambda: project.edit(candidate.region))

    # The open block

    def _block_opened(self, block: BlockLayer) -> None:
        self.list.at(block.region)
        block.changed.connect(self._paint)
        block.step_asked.connect(self._step)
        self.desk.open(block)
        self.queue.clock.begin(block.number)

    def _block_closing(self, gone: bool) -> None:
        self.desk.close(gone=gone)
        self.queue.clock.end()
        self.list.at(None)

    def _decided(self, done: ReviewBlock) -> None:
        """Go on after the open block was accepted or skipped."""
        coming = self.list.after(done.region) if self.panel.go_on.isChecked() else None
        self.blocks.close()
        self._session.notify()
        if coming is not None:
            self._open_candidate(coming)

    def _blocks_changed(self) -> None:
        if self.blocks.doing:
            self._failure = None
        self._paint()

    def _step(self, again: bool) -> None:
        """Undo, or do again, one operation of the project's history."""
        if not self.blocks.doing:
            self.history.step(again, self.blocks.number)

    def _history_changed(self) -> None:
        if self.block is not None:
            self.block.hold(self.history.busy)

    def _stepped(self, done: Applied) -> None:
        """Show what an undo or redo did; what it did in a block that is not open, by opening that."""
        block, number = self.block, self.blocks.number
        box = None if block is None else done.within(block.number)
        if block is not None and box is not None:
            block.show_stepped(box)
        self._message = self.history.said
        coming, put_away = self.history.leads_to(done, number)
        if put_away:
            self.blocks.close()
        if coming is not None:
            self.open_number(coming)
        if done.labels_changed:
            self._session.notify()
        self._paint()

    # What is shown

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        self._paint()
        QTimer.singleShot(0, self._show_error)

    def _show_error(self) -> None:
        scroll_to(self.panel.error)

    def _paint(self) -> None:
        busy = self.blocks.doing or self.desk.painting or (STEPPING if self.history.busy else "")
        self.queue.show_block(self._number_meant())
        self.desk.paint(self._session.why_not_edit or self.blocks.doing or ("" if self.block else NO_BLOCK))
        picture = draw_correct(
            self.list.review,
            self.here(),
            self._work_state(),
            locked=self._session.why_not_edit,
            busy=busy,
            message=self._message,
            failure=self._failure,
            can_undo=self.history.can(),
            can_redo=self.history.can(again=True),
        )
        anywhere = self.anywhere
        if anywhere.opened:
            picture = replace(picture, tools_enabled=not busy, painting=anywhere.painting)
        self.panel.paint(picture)
        self.anywhere_panel.show_anywhere(anywhere, self._session.why_not_edit or self.blocks.doing)

    def _work_state(self) -> Work | None:
        block = self.block
        if block is None:
            return None
        return Work(
            number=block.number,
            region=block.region,
            labelled=bool(np.any(block.edit.voxels)),
            painting=block.painting if self.desk.paints else -1,
            can_undo=self.history.can(),
            can_redo=self.history.can(again=True),
            failure=block.failure,
            notice=block.notice,
        )


def _is_open(viewer: Any) -> bool:
    """Return whether a viewer's window is still there, when only the dock was closed."""
    try:
        return bool(viewer.window._qt_window.isVisible())
    except (RuntimeError, AttributeError):
        return False
