"""Where the user was in a project: dock tab, open block, camera and sliders, kept in its `view.json`.

Saved when the project or the window closes, when another block is opened, and now and then.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer

from napari_vesselkd.plugin.correct_tab import CorrectTab
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.view_file import View, load_view, save_view
from napari_vesselkd.project import BlockState

EVERY_MS = 30_000


class ViewMemory(QObject):
    """Brings the view of a project back, and remembers it.

    Parameters
    ----------
    viewer : napari.Viewer
    session : ProjectSession
    correct : CorrectTab
    tab, show_tab : callable
        Name the tab that is in front; bring one there.
    """

    def __init__(
        self,
        viewer: Any,
        session: ProjectSession,
        correct: CorrectTab,
        tab: Callable[[], str],
        show_tab: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._viewer, self._session, self._correct = viewer, session, correct
        self._tab, self._show_tab = tab, show_tab
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.save)
        session.opened.connect(self.restore)
        session.closed.connect(self._timer.stop)
        correct.leaving.connect(self.save)
        correct.block_changed.connect(self.save)

    def save(self) -> None:
        """Write where the user is, if a project is open for writing."""
        project = self._session.project
        if project is not None and self._session.layer is not None and not project.read_only:
            save_view(project.path, self._view())

    def restore(self) -> None:
        """Go where the user was, and open the block that was being edited."""
        project = self._session.project
        if project is None:
            return
        view, notice = load_view(project.path)
        if notice is not None:
            self._session.warn(notice)
        if view is not None:
            self._look(view)
            with suppress(ValueError):
                self._show_tab(view.tab)
        number = self._open_block(view)
        if number is not None and not project.read_only:
            self._correct.open_number(number, move=view is None)
        self._timer.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Save when the window closes: the dock may be taken apart too late, or never."""
        if event.type() == QEvent.Type.Close:
            self._correct.flush()
            self.save()
        return bool(super().eventFilter(watched, event))

    def release(self) -> None:
        self._timer.stop()

    def _open_block(self, view: View | None) -> int | None:
        """Return the block to open: the one that was being edited, if it is open; after a crash, the last."""
        project = self._session.project
        blocks = () if project is None else project.blocks
        numbers = [block.number for block in blocks if block.state is BlockState.OPEN]
        if view is not None:
            return view.block if view.block in numbers else None
        return numbers[-1] if numbers else None

    def _view(self) -> View:
        camera, dims, block = self._viewer.scene.camera, self._viewer.dims, self._correct.block
        return View(
            tab=self._tab(),
            block=None if block is None else block.number,
            ndisplay=int(dims.ndisplay),
            point=tuple(float(value) for value in dims.point),
            centre=tuple(float(value) for value in camera.center),
            zoom=float(camera.zoom),
            angles=tuple(float(value) for value in camera.angles),
        )

    def _look(self, view: View) -> None:
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        dims.ndisplay = view.ndisplay
        offset = dims.ndim - len(view.point)
        for axis, value in enumerate(view.point):
            if 0 <= axis + offset < dims.ndim:
                dims.set_point(axis + offset, value)
        camera.center = view.centre
        camera.zoom = view.zoom
        if len(view.angles) == 3:
            camera.angles = view.angles
