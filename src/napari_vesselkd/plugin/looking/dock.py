"""The dock of the three projections: slabs along z, y and x around one voxel, linked with the viewer."""

from collections.abc import Generator, Iterator
from typing import Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_vesselkd.geometry import AXES, Region, Shape
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.looking.annotating import Annotator, Stage, session_in
from napari_vesselkd.plugin.looking.annotating_bar import AnnotateBar
from napari_vesselkd.plugin.looking.choosing import LayerChooser
from napari_vesselkd.plugin.looking.cursor import ViewerCursor, clipped, cursor_of
from napari_vesselkd.plugin.looking.latest import LatestTask
from napari_vesselkd.plugin.looking.panes import ThreePanes
from napari_vesselkd.plugin.looking.shots import Shot, Sources, Wanted, shooting
from napari_vesselkd.plugin.looking.slabs import (
    THICKNESS_UM,
    cube_around,
    lengths_of,
    slab_of,
    slices_of,
    stepped,
)
from napari_vesselkd.plugin.looking.state import HOWS, describe_voxel
from napari_vesselkd.plugin.parts import Choice, ErrorPanel, Fact, style_sheet
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.visible import visible_region
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.projections.project import Axis

VIEW, WHOLE = "View", "Whole"
ALONG: tuple[Axis, ...] = ("z", "y", "x")
DELAY_MS = 60
SIZE = QSize(420, 560)
GUIDE = "Click a picture: the viewer and the other two go to that voxel. Wheel: move its slab."


class ProjectionDock(QWidget):
    """Projections along z, y and x of an image layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer this dock belongs to; each viewer has its own.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._viewer = viewer
        self._voxel: Shape | None = None
        self._task: Task | None = None
        self._stale = True
        self.events_ = ViewerEvents(viewer)
        self.cursor_ = cursor_of(viewer)
        self.latest = LatestTask(lambda report: isinstance(report, Shot))
        self.layers = LayerChooser(viewer, self.events_)
        self._build()
        self._timer = delayed(self, DELAY_MS, self.project)
        stage = Stage(
            self.panes.shots.get, self.panes.views.__getitem__, self.project, lambda: self.layers.layer
        )
        self.annotator = Annotator(viewer, self.annotate, stage, lambda: session_in(viewer))
        self.annotate.bind_keys(self)
        self._connect()
        viewer.events.theme.connect(self._dress)
        self._dress()
        self.layers.list_layers()
        parts = (self.annotator, self.latest, self.cursor_, self.layers, self.events_)
        self.destroyed.connect(lambda: _release(*parts))

    @property
    def voxel(self) -> Shape | None:
        """The voxel of the finest level around which the slabs lie; None without a volume."""
        return self._voxel

    @property
    def settled(self) -> bool:
        """Whether the pictures are those of the controls and the viewer as they are now."""
        busy = self._timer.isActive() or self.latest.running or self._stale
        return not busy and not (self._task is not None and self._task.running)

    def region(self) -> Region | None:
        """Return the region that the three pictures show; None where nothing of the layer is on screen."""
        source, layer, voxel = self.layers.source, self.layers.layer, self._voxel
        if source is None or voxel is None:
            return None
        shape = source.volume.shape
        if self.where.chosen == WHOLE or self._viewer.dims.ndisplay == 3:
            return Region.whole(shape)
        view = visible_region(self._viewer, layer, slab=1)
        hidden = self._hidden_axis()
        if view is None or hidden is None:
            return view
        return cube_around(view, hidden, voxel, shape, source.volume.voxel_size_um)

    def project(self) -> None:
        """Compute the three pictures."""
        self._stale = False
        sources, region = self.layers.sources(), self.region()
        if sources is None or region is None or self._voxel is None or not self.isVisible():
            self._paint()
            return
        if (
            self.annotator.slab is not None
        ):  # the pictures stay as they are, but for the one that is painted on
            self._show_painted(sources, self.annotator.slab)
            return
        volume = sources.projector.volume
        self.panes.set_lengths(lengths_of(region, volume.voxel_size_um))
        thickness = slices_of(self.thickness.value(), volume.voxel_size_um)
        slabs: dict[Axis, Region] = {
            axis: slab_of(region, axis, self._voxel, slices, volume.shape)
            for axis, slices in zip(ALONG, thickness, strict=True)
        }
        how, pixels = HOWS[self.how.currentText()], self.panes.pixels()
        wishes = [Wanted(slab, axis, how, pixels) for axis, slab in slabs.items()]
        self.latest.ask(lambda: _all_three(sources, wishes))
        self._paint()

    def _show_painted(self, sources: Sources, slab: Region) -> None:
        axis = self.annotator.axis
        shot = self.panes.shots.get(axis or "")
        if axis is not None and (shot is None or shot.region != slab or shot.wanted.how != "max"):
            wanted = Wanted(slab, axis, "max", self.panes.pixels())
            self.latest.ask(lambda: shooting(sources, wanted))
        self._paint()

    def go_to(self, voxel: Shape, layer: Any) -> None:
        """Take the viewer and the pictures to a voxel of `layer`."""
        if layer is self.layers.layer and layer in self._viewer.layers:
            self._voxel = voxel
            self.cursor_.go_to(layer, voxel)
            self._later()

    # What happens

    def _connect(self) -> None:
        self.layers.chosen.connect(self._choose_layer)
        self.layers.changed.connect(self._later)
        self.events_.view_moved.connect(self._view_moved)
        self.cursor_.moved.connect(self._paint_cursor)
        self.where.changed.connect(self._later)
        self.how.currentIndexChanged.connect(self._later)
        self.thickness.valueChanged.connect(self._later)
        self.panes.picked.connect(self._pick)
        self.panes.hovered.connect(self._hover)
        self.panes.left.connect(self._paint_cursor)
        self.panes.scrolled.connect(self._scroll)
        self.latest.reported.connect(self._show)
        self.latest.failed.connect(self._failed)
        self.latest.ended.connect(self._paint)

    def _choose_layer(self) -> None:
        self.annotator.leave()
        self.panes.clear()
        source = self.layers.source
        self._voxel = (
            None if source is None else clipped(self.cursor_.voxel(self.layers.layer), self.layers.layer)
        )
        unit = " µm" if source is None or source.volume.voxel_size_known else " voxels"
        self.thickness.setSuffix(unit)
        self._later()

    def _view_moved(self) -> None:
        """Follow the slider along its axis; along the others the slabs stay around the last voxel picked."""
        hidden, source = self._hidden_axis(), self.layers.source
        if self._voxel is not None and source is not None and hidden is not None:
            layer = self.layers.layer
            point = layer.world_to_data(self._viewer.dims.point[-layer.ndim :])
            at = round(float(point[-3:][hidden])) - self._voxel[hidden]
            self._voxel = stepped(self._voxel, AXES[hidden], at, source.volume.shape)
        self._later()

    def _hidden_axis(self) -> int | None:
        """Return which of z, y, x (0, 1, 2) is the slider's, in 2D."""
        if self._viewer.dims.ndisplay == 3 or self.layers.layer is None or self.layers.layer.ndim < 3:
            return None
        shown = {axis - (self._viewer.dims.ndim - 3) for axis in self._viewer.dims.displayed}
        return next((axis for axis in range(3) if axis not in shown), None)

    def _pick(self, axis: str, down: float, across: float) -> None:
        shot, sources, layer = self.panes.shots.get(axis), self.layers.sources(), self.layers.layer
        if shot is None or sources is None:
            return
        row, column = shot.pixel(down, across)
        projector = sources.projector
        if self._task is not None and self._task.running:
            self._task.abandon()
        self._task = run(lambda: projector.voxel_at(shot.shown, row, column))
        self._task.done.connect(lambda voxel: self.go_to(voxel, layer))
        self._task.failed.connect(self._failed)
        self._task.start()

    def _scroll(self, axis: str, steps: int) -> None:
        if self._voxel is None or self.layers.source is None or axis == self.annotator.axis:
            return
        self.go_to(stepped(self._voxel, axis, steps, self.layers.source.volume.shape), self.layers.layer)

    def _later(self, *_: Any) -> None:
        self._stale = True
        if not self._timer.isActive():
            self._timer.start()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.annotator.follow_session()
        self._later()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._later()

    # What is shown

    def _show(self, report: Any) -> None:
        if isinstance(report, Shot):
            self.error.show_failure(None)
            self.panes.show_shot(report)
            self.annotator.refresh_view()
            self._paint_cursor()

    def _failed(self, failure: Failure) -> None:
        self.error.show_failure(failure)

    def _hover(self, axis: str, down: float, across: float) -> None:
        shot = self.panes.shots.get(axis)
        if shot is not None:
            self.place.show_text(describe_voxel(shot.shown, *shot.pixel(down, across)))

    def _paint_cursor(self) -> None:
        if self.layers.layer in self._viewer.layers and self.layers.source is not None:
            self.panes.show_voxel(self.cursor_.voxel(self.layers.layer))

    def _paint(self) -> None:
        refusal = self.layers.refusal or ""
        if not refusal and self.region() is None:
            refusal = "The volume is off screen: move the view over it, or choose Whole"
        self.place.show_text(refusal or self.place.text() or GUIDE)

    def _build(self) -> None:
        self.where = Choice(
            [
                (VIEW, "What is on screen, and as much of the axis of the slider"),
                (WHOLE, "The whole volume"),
            ]
        )
        self.how = QComboBox()
        self.how.addItems(list(HOWS))
        self.how.setToolTip("What of the voxels behind each other is shown")
        self.thickness = QDoubleSpinBox()
        self.thickness.setRange(0, 1e6)
        self.thickness.setDecimals(0)
        self.thickness.setSingleStep(10)
        self.thickness.setValue(THICKNESS_UM)
        self.thickness.setSpecialValueText("all")
        self.thickness.setToolTip("Thickness of the three slabs; all takes the whole region")
        self.panes, self.place, self.error = ThreePanes(), Fact(), ErrorPanel()
        self.annotate = AnnotateBar(ALONG)
        controls = QHBoxLayout()
        controls.setSpacing(4)
        for widget in (self.where, QLabel("Slab"), self.thickness, self.how):
            controls.addWidget(widget, stretch=0 if isinstance(widget, QLabel) else 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(5)
        column.addWidget(self.layers)
        column.addLayout(controls)
        column.addWidget(self.panes, stretch=1)
        column.addWidget(self.place)
        column.addWidget(self.annotate)
        column.addWidget(self.error)

    def sizeHint(self) -> QSize:
        return SIZE

    def _dress(self, _event: Any = None) -> None:
        self.setStyleSheet(style_sheet(self._viewer.theme))


def _all_three(sources: Sources, wishes: list[Wanted]) -> Iterator[Any]:
    """Yield the pictures of all axes, coarse ones of all before the finer ones of any."""
    waiting = [shooting(sources, wanted) for wanted in wishes]
    try:
        while waiting:
            for shots in list(waiting):
                if not (yield from _next_shot(shots)):
                    waiting.remove(shots)
    finally:
        for shots in waiting:
            close = getattr(shots, "close", None)
            if close is not None:
                close()


def _next_shot(shots: Iterator[Any]) -> Generator[Any, None, bool]:
    """Yield what `shots` yields up to its next picture; return whether there was one."""
    for report in shots:
        yield report
        if isinstance(report, Shot):
            return True
    return False


def _release(
    annotator: Annotator, latest: LatestTask, cursor: ViewerCursor, layers: LayerChooser, events: ViewerEvents
) -> None:
    annotator.release()
    latest.abandon()
    cursor.release()
    layers.release()
    events.close()
