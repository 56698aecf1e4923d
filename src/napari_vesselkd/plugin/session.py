"""The project of one dock: opened, shown, closed.

There is one session per dock and nothing global; two viewers have two. Projects are opened and created in a
worker, because signatures are read and network drives are slow: wait for `opened`, or for `changed` with a
`failure`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.volume import Volume

if TYPE_CHECKING:
    from napari_vesselkd.project import Project

NO_PROJECT = "No project is open: press New… or Open… above the tabs"


class ProjectSession(QObject):
    """The project that one viewer works on.

    `opened`: a project and its image are there, and their layers are in the viewer. `closed`: it is gone.
    `changed`: anything else about it: its blocks, labels, checkpoint, or what went wrong.

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
        What is going on in the worker ("Opening…"); empty otherwise.
    """

    opened = Signal()
    closed = Signal()
    changed = Signal()

    def __init__(self, viewer: Any, events: ViewerEvents) -> None:
        super().__init__()
        self._viewer = viewer
        self._events = events
        self.project: Project | None = None
        self.layer: Any = None
        self.volume: Volume | None = None
        self.failure: Failure | None = None
        self.busy = ""
        self._task: Task | None = None

    @property
    def problem(self) -> str | None:
        """What went wrong last, in one sentence; None where nothing did."""
        return None if self.failure is None else f"{self.failure.headline} {self.failure.remedy}".strip()

    @property
    def why_not_edit(self) -> str:
        """Why nothing of the project can be changed here; empty where it can."""
        if self.project is None:
            return self.busy or NO_PROJECT
        if self.volume is None:
            return "The project's image was not found"
        if self.project.read_only:
            return "The project is open read-only"
        return ""

    def create(self, layer: Any, path: str | Path) -> None:
        """Make the project `path` for the image layer `layer`, and open it."""
        raise NotImplementedError

    def open(self, path: str | Path) -> None:
        """Open the project at `path` with its image; the one before is closed."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the project: its layers go, the image stays."""
        raise NotImplementedError

    def notify(self) -> None:
        """Tell everybody that something of the project changed (blocks, labels, checkpoint)."""
        self.changed.emit()

    def release(self) -> None:
        """Let go of everything: the viewer is closing."""

    def _work(self, what: str, task: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.busy, self.failure = what, None
        self._task = run(task)
        self._task.done.connect(done)
        self._task.failed.connect(self._failed)
        self._task.start()
        self.changed.emit()

    def _failed(self, failure: Failure) -> None:
        self.busy, self.failure = "", failure
        self.changed.emit()
