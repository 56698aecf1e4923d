"""The painted projection that is open: what is on screen and its journal, stroke by stroke."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_vesselkd.errors import OutputError, VesselKDError
from napari_vesselkd.geometry import Region, VoxelSize
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.plugin.failure import Failure, describe_failure
from napari_vesselkd.plugin.looking.annotating_bar import AnnotateBar
from napari_vesselkd.plugin.looking.annotating_state import COLOURS, Painting, stamp
from napari_vesselkd.plugin.looking.picture_view import PictureView
from napari_vesselkd.project import Project
from napari_vesselkd.projections.project import Axis
from napari_vesselkd.projections.rays import RayLabels

ALONG: tuple[Axis, ...] = ("z", "y", "x")
BRUSH, REST = "MIP brush", "MIP rest is background"
RETRY_MS = 1000
RETRIED = "It stays on screen, and is saved by itself as soon as the disk takes it: make room on it"
ELSEWHERE = "What was done last is not on this projection: take it back where it was done"


class PaintedPlane(QObject):
    """Strokes of the mouse on `view` become labels of rays.

    `changed`: something was recorded, undone or refused.

    Attributes
    ----------
    edit : BlockEdit
        The annotation in the project.
    plane : ndarray (rows, columns) uint8
        What is on screen: 0 unlabelled, 1 background, 2 vessel.
    failure : Failure or None
        Why what is painted is not on the disk.
    notice : str
    locked : bool
        Whether strokes are ignored: it is being accepted.
    """

    changed = Signal()

    def __init__(
        self, project: Project, edit: BlockEdit, view: PictureView, bar: AnnotateBar, voxel_size_um: VoxelSize
    ) -> None:
        super().__init__()
        self._project, self.edit, self.view, self._bar = project, edit, view, bar
        self._last: tuple[float, float] | None = None
        self._unsaved = ""
        self._timer = QTimer(self)
        self._timer.setInterval(RETRY_MS)
        self._timer.timeout.connect(self.save)
        self.failure: Failure | None = None
        self.notice, self.locked = edit.notice or "", False
        row, column = (step for at, step in enumerate(voxel_size_um) if at != self.at)
        self.pixel_um = (row, column)
        self.plane = np.squeeze(np.array(edit.voxels), self.at)
        for signal, call in self._strokes():
            signal.connect(call)
        bar.brush.valueChanged.connect(self._resize)
        self._resize()

    @property
    def region(self) -> Region:
        """The slab."""
        return self.edit.region

    @property
    def at(self) -> int:
        """The number of the slab's axis."""
        assert self.edit.axis is not None  # noqa: S101  (that is what makes it a projection)
        return self.edit.axis

    @property
    def axis(self) -> Axis:
        return ALONG[self.at]

    @property
    def labels(self) -> RayLabels:
        """What is painted now."""
        return RayLabels(self.region, self.at, np.expand_dims(self.plane.copy(), self.at))

    def painting(self, proposed: int) -> Painting:
        """Return what the bar says of it; `proposed` voxels are shown in 3D."""
        background, vessel = (int(np.count_nonzero(self.plane == one)) for one in (1, 2))
        return Painting(
            self.edit.number,
            self.region,
            self.at,
            vessel,
            background,
            self.plane.size,
            self.edit.can_undo,
            self.edit.can_redo,
            proposed,
        )

    def refresh(self) -> None:
        """Lay what is painted over the picture again: the picture is another one."""
        self.view.show_overlay(COLOURS[self.plane])

    def take_over(self) -> None:
        """Show what the journal says, unless somebody is amid a stroke or one is not saved yet."""
        if self._last is None and not self._unsaved and not self.edit.closed:
            self.plane = np.squeeze(np.array(self.edit.voxels), self.at)
            self.refresh()

    def rest_is_background(self) -> None:
        """Label every pixel that is not labelled yet as background."""
        self.plane[self.plane == 0] = 1
        self._record(REST)

    def undo(self) -> None:
        """Take back what was done last on this projection, also in an earlier session."""
        self._step(undo=True)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._step(undo=False)

    def save(self) -> bool:
        """Journal what is on screen; False where the disk refuses it still."""
        self.end_stroke()
        if self._unsaved:
            self._record(self._unsaved)
        return not self._unsaved

    def end_stroke(self) -> None:
        """Journal the stroke that is under way."""
        if self._last is not None:
            self._last = None
            self._record(BRUSH)

    def close(self) -> None:
        """Stop painting; the annotation stays in the project as it is."""
        self.save()
        self._timer.stop()
        for signal, call in self._strokes():
            signal.disconnect(call)
        self._bar.brush.valueChanged.disconnect(self._resize)
        self.view.paint_with(None)
        self.view.show_overlay(None)
        with suppress(VesselKDError):
            self.edit.close()

    def _press(self, down: float, across: float) -> None:
        self._last = None
        self._drag(down, across)

    def _drag(self, down: float, across: float) -> None:
        if self.locked:
            return
        here = (down * self.plane.shape[0], across * self.plane.shape[1])
        stamp(self.plane, (self._last or here, here), self._bar.radius_um, self.pixel_um, self._bar.label)
        self._last = here
        self.refresh()

    def _record(self, tool: str) -> None:
        """Journal the difference; what the disk refuses stays on screen and is tried again."""
        self._unsaved = ""
        try:
            self.edit.record(np.expand_dims(self.plane, self.at), tool=tool)
            self.failure, self.notice = None, ""
        except OutputError as error:
            self._unsaved = tool
            self.failure = replace(describe_failure(error), remedy=RETRIED)
        except VesselKDError as error:
            self.failure = describe_failure(error)
            self.take_over()
        self._timer.start() if self._unsaved else self._timer.stop()
        self.refresh()
        self.changed.emit()

    def _step(self, *, undo: bool) -> None:
        if self.locked or not self.save():
            return
        history = self._project.history
        candidate = history.next(again=not undo)
        if candidate is None or candidate.number != self.edit.number:
            self.notice = ELSEWHERE
        else:
            try:
                _ = history.undo() if undo else history.redo()
                self.failure, self.notice = None, ""
            except VesselKDError as error:
                self.failure = describe_failure(error)
        self.take_over()
        self.changed.emit()

    def _resize(self, _value: float = 0.0) -> None:
        self.view.paint_with(self._bar.radius_um)

    def _strokes(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        return (
            (self.view.pressed, self._press),
            (self.view.dragged, self._drag),
            (self.view.released, self.end_stroke),
            (self.view.scrolled, self._bar.resize_brush),
        )
