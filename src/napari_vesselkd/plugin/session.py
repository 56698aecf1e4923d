"""The project of one dock: opened, shown, closed.

There is one session per dock and nothing global; two viewers have two. Projects are opened and created in a
worker, because signatures are read and network drives are slow: wait for `opened`, or for `changed` with a
`failure`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.errors import ProjectError, SourceNotFoundError, VesselKDError
from napari_vesselkd.plugin.failure import Failure, describe_failure
from napari_vesselkd.plugin.layers import current_steps, volume_of
from napari_vesselkd.plugin.project_layers import (
    ProjectLabels,
    hide_project,
    image_volumes,
    layer_of,
    open_labels,
    show_project,
)
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import Project
from napari_vesselkd.volume import Volume

NO_PROJECT = "No project is open: press New… or Open… above the tabs"
OPENING, CREATING, LOOKING = "Opening the project…", "Making the project…", "Looking at the image…"


@dataclass(frozen=True, eq=False)
class _Opened:
    """A project as a worker opened it; without its image, `failure` says why."""

    project: Project
    labels: ProjectLabels | None = None
    volume: Volume | None = None
    layer: Any = None
    failure: Failure | None = None


class ProjectSession(QObject):
    """The project that one viewer works on.

    `opened`: a project and its image are there, and their layers are in the viewer. `closing`: it is about to
    be closed. `closed`: it is gone. `changed`: anything else about it: its blocks, labels, checkpoint, or
    what went wrong.

    Attributes
    ----------
    project : Project or None
    layer : napari.layers.Image or None
        The image layer of the project.
    volume : Volume or None
        The image as the project knows it: its voxel size and channel.
    failure : Failure or None
        What went wrong last, as error panels show it.
    busy : str
        What is going on in the worker ("Opening the project…"); empty otherwise.
    notices : tuple of str
        What the user should know about the state in which the project was found.
    """

    opened = Signal()
    closing = Signal()
    closed = Signal()
    changed = Signal()

    def __init__(self, viewer: Any, events: ViewerEvents) -> None:
        super().__init__()
        self._viewer = viewer
        self.project: Project | None = None
        self.layer: Any = None
        self.volume: Volume | None = None
        self.failure: Failure | None = None
        self.busy = ""
        self.notices: tuple[str, ...] = ()
        self._task: Task | None = None
        self._gone = Event()
        events.layers_changed.connect(self._layers_changed)

    @property
    def problem(self) -> str | None:
        """What went wrong last, in one sentence; None where nothing did."""
        return None if self.failure is None else f"{self.failure.headline} {self.failure.remedy}".strip()

    @property
    def image_missing(self) -> bool:
        """Whether a project is open whose image was not found."""
        return self.project is not None and self.volume is None and not self.busy

    @property
    def why_not_edit(self) -> str:
        """Why nothing of the project can be changed here; empty where it can."""
        if self.project is None or self.busy:
            return self.busy or NO_PROJECT
        if self.volume is None:
            return "The project's image was not found: choose its place above the tabs"
        if self.layer is None:
            return "The layer of the project's image was removed: open the project again"
        if self.project.read_only:
            return "The project is read-only here: close it where else it is open, then open it again"
        return ""

    def create(self, layer: Any, path: str | Path) -> None:
        """Make the project `path` for the image layer `layer`, and open it."""
        if self.busy:
            return
        try:
            volume = volume_of(layer, current_steps(self._viewer, layer)).volume
        except VesselKDError as error:
            self._failed(describe_failure(error))
            return
        path = Path(path).expanduser()
        self._work(CREATING, lambda: _create(path, volume, layer), self._show)

    def open(self, path: str | Path) -> None:
        """Open the project at `path` with its image; the one before is closed."""
        if self.busy:
            return
        path = Path(path).expanduser()
        if self.project is not None and self.project.path.absolute() == path.absolute():
            self.close()  # else this viewer would itself be the one that holds the project
        at_hand = image_volumes(self._viewer)
        self._work(OPENING, lambda: _open(path, at_hand), self._show)

    def locate_image(self, path: str | Path) -> None:
        """Say where the image of the open project has moved to; remembered if it is the image."""
        project = self.project
        if project is None or self.busy:
            return
        self._work(LOOKING, lambda: _with_image(project, Path(path)), self._show)

    def close(self) -> None:
        """Close the project: its layers are hidden, the image stays."""
        project = self.project
        if project is None:
            return
        self.closing.emit()
        failure = _closed(project)
        hide_project(self._viewer, project)
        self.project = self.layer = self.volume = None
        self.failure, self.notices = failure, ()
        self.closed.emit()
        self.changed.emit()

    def dismiss(self) -> None:
        """Put away the notices and the error: the user has read them."""
        self.notices = ()
        if not self.image_missing:
            self.failure = None
        self.changed.emit()

    def notify(self) -> None:
        """Tell everybody that something of the project changed (blocks, labels, checkpoint)."""
        self.changed.emit()

    def warn(self, notice: str) -> None:
        """Add a notice."""
        self.notices = (*self.notices, notice)
        self.changed.emit()

    def release(self) -> None:
        """Let go of everything: the viewer is closing."""
        self._gone.set()
        if self._task is not None:
            self._task.abandon()
        if self.project is not None:
            _closed(self.project)

    def _work(self, what: str, task: Callable[[], _Opened], done: Callable[[_Opened], None]) -> None:
        self.busy, self.failure = what, None
        self._task = run(lambda: _unless(self._gone, task))
        self._task.done.connect(done)
        self._task.failed.connect(self._failed)
        self._task.start()
        self.changed.emit()

    def _show(self, opened: _Opened) -> None:
        """Take what the worker opened."""
        if self.project is not None and self.project is not opened.project:
            self.close()
        self.busy = ""
        if self.project is not opened.project:
            self.notices = opened.project.notices
        self.project, self.volume, self.failure = opened.project, opened.volume, opened.failure
        if opened.volume is not None and opened.labels is not None:
            layer = opened.layer if opened.layer in self._viewer.layers else None
            self.layer = layer_of(self._viewer, opened.volume) if layer is None else layer
            show_project(self._viewer, opened.labels, self.layer)
            self.opened.emit()
        self.changed.emit()

    def _failed(self, failure: Failure) -> None:
        self.busy, self.failure = "", failure
        self.changed.emit()

    def _layers_changed(self) -> None:
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.layer = None
            self.changed.emit()


def _unless(gone: Event, task: Callable[[], _Opened]) -> _Opened:
    """Do `task` in the worker; what nobody waits for any more is closed there."""
    opened = task()
    if gone.is_set():
        _closed(opened.project)
    return opened


def _create(path: Path, volume: Volume, layer: Any) -> _Opened:
    project = Project.create(path, volume)
    return _Opened(project, open_labels(project), volume, layer)


def _open(path: Path, at_hand: list[tuple[Any, Volume]]) -> _Opened:
    project = Project.open(path)
    try:
        found = _with_image(project)
        return found if found.volume is not None else _with_layer(project, at_hand) or found
    except BaseException:
        project.close()
        raise


def _with_image(project: Project, path: Path | None = None) -> _Opened:
    """Open the image; where it is not found or another one, the project stays open without."""
    try:
        volume = project.open_image(path)
    except VesselKDError as error:
        return _Opened(project, failure=describe_failure(error))
    return _Opened(project, open_labels(project), volume)


def _with_layer(project: Project, at_hand: list[tuple[Any, Volume]]) -> _Opened | None:
    """Take the image from a layer of the viewer that shows it, also one without a file."""
    for layer, volume in at_hand:
        try:
            project.check(volume)
        except (ProjectError, SourceNotFoundError, OSError):
            continue
        return _Opened(project, open_labels(project), volume, layer)
    return None


def _closed(project: Project) -> Failure | None:
    """Close `project`; return what the disk said against it."""
    try:
        project.close()
    except (VesselKDError, OSError) as error:
        return describe_failure(error)
    return None
