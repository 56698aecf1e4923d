"""Painting on a projection: begin, go on, propose what it means in 3D, write it, accept.

While somebody paints, the slab and its picture stay as they are: the page or dock that shows it asks `slab`.
Opening, accepting and back-projecting run in a worker.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_vesselkd.geometry import AXES, Region
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.looking.annotating_bar import AnnotateBar
from napari_vesselkd.plugin.looking.annotating_layer import TOOL, ProposedVoxels
from napari_vesselkd.plugin.looking.annotating_plane import ALONG, PaintedPlane
from napari_vesselkd.plugin.looking.annotating_state import check_slab, describe_slabs, draw_painting
from napari_vesselkd.plugin.looking.picture_view import PictureView
from napari_vesselkd.plugin.looking.shots import Shot
from napari_vesselkd.plugin.project_layers import refresh_labels
from napari_vesselkd.plugin.session import NO_PROJECT, ProjectSession
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import Project
from napari_vesselkd.projections.project import Axis
from napari_vesselkd.proofreading.mip_annotation import BackProjection, back_project


@dataclass(frozen=True)
class Stage:
    """What the annotator asks of the page or dock around it, each by the name of an axis.

    Attributes
    ----------
    shot : callable
        The picture that is shown, or None.
    view : callable
        The widget that shows it.
    show : callable
        Show the slab of the annotation, or what the controls say again.
    layer : callable
        The image layer that is projected.
    """

    shot: Callable[[str], Shot | None]
    view: Callable[[str], PictureView]
    show: Callable[[], None]
    layer: Callable[[], Any]


class Annotator(QObject):
    """Paints on the projections of one page or dock.

    `changed`: painting begins or ends.

    Parameters
    ----------
    session_of : callable
        Returns the project session of the viewer, or None where its dock is not open.

    Attributes
    ----------
    plane : PaintedPlane or None
        What is being painted.
    proposal : ProposedVoxels
    """

    changed = Signal()

    def __init__(
        self, viewer: Any, bar: AnnotateBar, stage: Stage, session_of: Callable[[], ProjectSession | None]
    ) -> None:
        super().__init__()
        self._viewer, self.bar, self._stage, self._session_of = viewer, bar, stage, session_of
        self._session: ProjectSession | None = None
        self.plane: PaintedPlane | None = None
        self.proposal = ProposedVoxels(viewer)
        self._failure: Failure | None = None
        self._busy, self._notice = "", ""
        self._task: Task | None = None
        bar.started.connect(self.start)
        bar.opened.connect(self.open)
        for button, call in (
            (bar.undo, lambda: self.plane and self.plane.undo()),
            (bar.redo, lambda: self.plane and self.plane.redo()),
            (bar.rest, lambda: self.plane and self.plane.rest_is_background()),
            (bar.show3d, self.propose),
            (bar.take, self.take),
            (bar.accept, self.accept),
            (bar.leave, self.leave),
        ):
            button.clicked.connect(call)
        self.follow_session()

    @property
    def slab(self) -> Region | None:
        """The slab that is painted on; None while nobody paints."""
        return None if self.plane is None else self.plane.region

    @property
    def axis(self) -> Axis | None:
        """The axis of the slab that is painted on; None while nobody paints."""
        return None if self.plane is None else self.plane.axis

    @property
    def running(self) -> bool:
        return self._task is not None and self._task.running

    def follow_session(self) -> None:
        """Look for the project of the viewer; its dock may have been opened meanwhile."""
        session = self._session_of()
        if session is not self._session and session is not None:
            self._session = session
            session.closing.connect(self._closing)
            for signal in (session.opened, session.closed, session.changed):
                signal.connect(self._project_changed)
        self._project_changed()

    # Begin and end

    def start(self, axis: str) -> None:
        """Paint on the projection that is shown along `axis`."""
        self.follow_session()
        shot = self._stage.shot(axis)
        if self._refusal() or shot is None or self.plane is not None:
            self._paint()
            return
        region, project = shot.region, self._project()

        def begin() -> BlockEdit:
            check_slab(region)
            return project.edit_mip(region, AXES.index(axis))

        self._work("Opening…", begin, self._opened)

    def open(self, number: int) -> None:
        """Go on with the annotation of that number."""
        self.leave()
        if self.plane is None and not self._refusal():
            project = self._project()
            self._work("Opening…", lambda: project.edit_block(number), self._opened)

    def leave(self) -> None:
        """Stop painting, unless the disk refuses a stroke; the annotation stays in the project as it is."""
        if self.plane is not None and self.plane.save():
            self._put_away()

    def _closing(self) -> None:
        """Stop painting: the project is closing."""
        if self.plane is None or self._session is None:
            return
        if not self.plane.save():
            self._session.warn(
                f"The last stroke on MIP {self.plane.edit.number} could not be saved: it is lost"
            )
        self._put_away()

    def _put_away(self) -> None:
        if self.plane is None:
            return
        plane, self.plane, self._notice = self.plane, None, ""
        plane.close()
        self.proposal.remove()
        self._paint()
        self.changed.emit()
        self._stage.show()

    def release(self) -> None:
        """Stop: the viewer is closing."""
        if self._task is not None:
            self._task.abandon()
        if self.plane is not None:
            self.plane.edit.close()
        self.blockSignals(True)

    def refresh_view(self) -> None:
        """Lay what is painted over its picture again: the picture is another one."""
        if self.plane is not None:
            self.plane.refresh()

    # What it means

    def propose(self) -> None:
        """Propose the voxels behind what is painted, in a layer that can be edited."""
        session, plane = self._session, self.plane
        if session is None or session.volume is None or plane is None:
            return
        volume, labels = session.volume, plane.labels
        self._work(
            "Looking for the vessels behind…",
            lambda: back_project(labels, volume.read(labels.region), volume.voxel_size_um),
            self._propose,
        )

    def take(self) -> None:
        """Write what is proposed, as it was edited, into the open block or the corrections; one step of undo.

        The open block is an ordinary layer that somebody may be painting on, so that is written at once.
        """
        project, session, change = self._project(), self._session, self.proposal.change()
        if session is None or change is None:
            return
        correct = getattr(dock_in(self._viewer), "correct", None)
        block = getattr(correct, "block", None)
        image = session.layer
        if block is None or block.region.intersection(change.region) is None:
            self._work("Writing…", lambda: self.proposal.write(project, change, image), self._taken)
        elif block.apply(project, change.preview(block.region), TOOL):
            text = f"Written into block {block.number} and around it: {change.text}"
            self._work("Writing…", lambda: self.proposal.flush(project, image), lambda _: self._taken(text))
        else:
            self._failure = block.failure
            self._paint()

    def accept(self) -> None:
        """Let a student learn from the annotation as it is."""
        if self.plane is None or not self.plane.save():
            return
        project, number = self._project(), self.plane.edit.number
        self._work("Accepting…", lambda: project.accept(number), lambda _: self._accepted())

    # What the workers answer

    def _opened(self, edit: BlockEdit) -> None:
        volume = None if self._session is None else self._session.volume
        if volume is None or edit.axis is None:  # the project was closed meanwhile
            edit.close()
            return
        pixel = min(step for at, step in enumerate(volume.voxel_size_um) if at != edit.axis)
        self.bar.set_scale(pixel, volume.voxel_size_known)
        view = self._stage.view(ALONG[edit.axis])
        self.plane = PaintedPlane(self._project(), edit, view, self.bar, volume.voxel_size_um)
        self.plane.changed.connect(self._plane_changed)
        self._paint()
        self.changed.emit()
        self._stage.show()

    def _plane_changed(self) -> None:
        self._notice = ""
        self._paint()

    def _propose(self, found: BackProjection) -> None:
        if self._session is not None and self.plane is not None and self._session.layer is not None:
            self.proposal.show(found, self._session.layer)

    def _taken(self, text: str) -> None:
        self.proposal.remove()
        if self._session is not None:
            refresh_labels(self._viewer, self._session.layer)
            self._session.notify()
        self._notice = text

    def _accepted(self) -> None:
        self.leave()
        if self._session is not None:
            self._session.notify()

    # Around

    def _project(self) -> Project:
        assert self._session is not None  # noqa: S101  (asked before)
        assert self._session.project is not None  # noqa: S101
        return self._session.project

    def _refusal(self) -> str:
        """Return why nothing can be painted here; empty where it can."""
        session = self._session
        if session is None:
            return NO_PROJECT
        if session.why_not_edit:
            return session.why_not_edit
        if self._stage.layer() is not session.layer:
            return "This is not the image of the open project: choose its layer above"
        if session.volume is not None and session.volume.shape[0] == 1:
            return "A 2D image has no projections to paint on"
        return ""

    def _work(self, what: str, call: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do something in a worker; one thing at a time, and nobody paints meanwhile."""
        if self._busy:
            return
        self._busy, self._failure, self._notice = what, None, ""
        self._lock(True)
        self._task = run(call)
        self._task.done.connect(lambda result: self._done(done, result))
        self._task.failed.connect(self._failed)
        self._task.start()
        self._paint()

    def _done(self, done: Callable[[Any], None], result: Any) -> None:
        self._busy = ""
        self._lock(False)
        done(result)
        self._paint()

    def _failed(self, failure: Failure) -> None:
        self._busy, self._failure = "", failure
        self._lock(False)
        self._paint()

    def _lock(self, locked: bool) -> None:
        if self.plane is not None:
            self.plane.locked = locked

    def _project_changed(self) -> None:
        """Take over what happened elsewhere: the project was closed, something was undone."""
        if self.plane is not None:
            self.plane.take_over()
        project = None if self._session is None else self._session.project
        self.bar.list_slabs([] if project is None else describe_slabs(project.blocks))
        self._paint()

    def _paint(self) -> None:
        plane = self.plane
        self.bar.show_picture(
            draw_painting(
                None if plane is None else plane.painting(self.proposal.count),
                refusal=self._refusal(),
                busy=self._busy,
                failure=self._failure or (None if plane is None else plane.failure),
                notice=self._notice or ("" if plane is None else plane.notice),
            )
        )


def dock_in(viewer: Any) -> Any:
    """Return the VesselKD dock of `viewer`; None while it is not open."""
    docks: Iterator[Any] = iter(viewer.window.dock_widgets.values())
    return next((one for one in docks if isinstance(getattr(one, "session", None), ProjectSession)), None)


def session_in(viewer: Any) -> ProjectSession | None:
    """Return the project session of `viewer`; None while its dock is not open."""
    session: ProjectSession | None = getattr(dock_in(viewer), "session", None)
    return session
