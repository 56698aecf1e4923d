"""Watches the run folder of a job, never from the GUI thread.

A timer starts a short task in a worker: it asks for the state, reads the lines that were added to the events
since the last look, folds them into the `JobView` and decodes new pictures. The GUI thread only takes the
result. (Not one long task: a viewer that is closed would have to wait for it, and asks first.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.jobs import RunFolder
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.job_events import JobView, failure_of, fold
from napari_vesselkd.plugin.job_stages import StageView, plan_of
from napari_vesselkd.plugin.workers import Task, delayed, run

ACTIVE_MS = 400
ENDED_MS = 2000
TAIL_BYTES = 6000
KEPT = "kept"  # a file in the run folder: the user kept the current checkpoint


@dataclass(frozen=True, eq=False)
class Seen:
    """What was read of a run folder.

    Attributes
    ----------
    view : JobView
    offset : int
        Bytes of the events that are in `view`.
    pictures : dict
        The picture that each stage of `view` names, by the stage's name.
    """

    view: JobView
    offset: int = 0
    pictures: Mapping[str, QImage] = field(default_factory=dict)


class JobWatch(QObject):
    """The job that a tab shows; `changed` is emitted when there is something new to show."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._seen: Seen | None = None
        self._task: Task | None = None
        self._timer = delayed(self, ENDED_MS, self.look)
        self.failure: Failure | None = None

    @property
    def view(self) -> JobView | None:
        """The job as it was at the last look; None where none is watched."""
        return self._seen.view if self._seen is not None else None

    @property
    def pictures(self) -> Mapping[str, QImage]:
        """The last picture of each stage, by the stage's name."""
        return self._seen.pictures if self._seen is not None else {}

    def attach(self, path: Path | None) -> None:
        """Watch the run folder `path` from now on, from its first event; None watches nothing."""
        self._timer.stop()
        self.failure = None
        self._seen = None if path is None else Seen(JobView(path, "running"))
        self.changed.emit()
        self.look()

    def look(self) -> None:
        """Read what is new, now."""
        seen = self._seen
        if seen is None or (self._task is not None and self._task.running):
            return
        self._task = run(lambda: look(seen))
        self._task.done.connect(self._take)
        self._task.failed.connect(self._failed)
        self._task.start()

    @property
    def looking(self) -> bool:
        """Whether a look is under way."""
        return self._task is not None and self._task.running

    def release(self) -> None:
        """Stop watching; the job goes on."""
        self._timer.stop()
        self._seen = None
        if self._task is not None:
            self._task.abandon()

    def _take(self, seen: Seen) -> None:
        if self._seen is None or seen.view.path != self._seen.view.path:
            self.look()
            return
        new = seen.view != self._seen.view or seen.pictures is not self._seen.pictures
        self._seen, self.failure = seen, None
        self._wait()
        if new:
            self.changed.emit()

    def _failed(self, failure: Failure) -> None:
        self.failure = failure
        self._wait()
        self.changed.emit()

    def _wait(self) -> None:
        active = self._seen is not None and self._seen.view.active
        self._timer.start(ACTIVE_MS if active else ENDED_MS)


def look(seen: Seen) -> Seen:
    """Return `seen` with what the run folder holds now; called in a worker.

    The state is asked for first: whatever a job wrote before it ended is then among the events.
    """
    path = seen.view.path
    try:
        folder = RunFolder.open(path)
    except VesselKDError:
        return _gone(seen)
    status = folder.status()
    if status.state == "missing":
        return _gone(seen)
    events, offset = folder.events(seen.offset)
    printed = tail(path / "output.log") if status.state in ("failed", "crashed") else ""
    failure = failure_of(status.state, status.error, printed, path)
    kept = (path / KEPT).exists()
    before = seen.view if seen.view.kind else _planned(seen.view, folder)
    view = replace(fold(before, events), state=str(status.state), failure=failure, kept=kept)
    return Seen(view, offset, _read_pictures(path, seen, view.stages))


def tail(path: Path) -> str:
    """Return the end of a text file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _gone(seen: Seen) -> Seen:
    path = seen.view.path
    view = replace(seen.view, state="missing", failure=failure_of("missing", None, "", path))
    return replace(seen, view=view)


def _planned(view: JobView, folder: RunFolder) -> JobView:
    return replace(view, kind=folder.kind, stages=plan_of(folder.kind, folder.config))


def _read_pictures(path: Path, seen: Seen, stages: Sequence[StageView]) -> Mapping[str, QImage]:
    """Return the pictures of the stages; one that did not change or cannot be read yet stays."""
    known = {stage.name: stage.pictured for stage in seen.view.stages}
    new = {}
    for stage in stages:
        if stage.picture is not None and stage.pictured != known.get(stage.name):
            picture = QImage(str(path / stage.picture))
            new.update({} if picture.isNull() else {stage.name: picture})
    return {**seen.pictures, **new} if new else seen.pictures
