"""The projections of the Look tab: a slab of the volume along one axis, live, linked with the viewer.

Projections are computed in a worker; small ones follow the view and the slider by themselves, larger ones
wait for Project.
"""

import math
from pathlib import Path
from typing import Any

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.geometry import AXES, Shape
from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.looking.annotating import Annotator, Stage
from napari_vesselkd.plugin.looking.annotating_bar import AnnotateBar
from napari_vesselkd.plugin.looking.choosing import LayerChooser
from napari_vesselkd.plugin.looking.crop import crop_task, show_crop
from napari_vesselkd.plugin.looking.cursor import cursor_of
from napari_vesselkd.plugin.looking.latest import LatestTask
from napari_vesselkd.plugin.looking.picture_view import PictureView
from napari_vesselkd.plugin.looking.shots import Shot, Wanted, save_shot, shooting, show_projection
from napari_vesselkd.plugin.looking.slab_form import SlabForm
from napari_vesselkd.plugin.looking.state import LookForm, describe_voxel, draw_look
from napari_vesselkd.plugin.parts import ErrorPanel, Fact
from napari_vesselkd.plugin.segment_tab import SegmentTab
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.visible import describe_count
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.projections import Crop
from napari_vesselkd.projections.levels import AUTOMATIC_VOXELS, choose_level, region_at

DELAY_MS = 150
FILES = "PNG figure (*.png);;TIFF, raw values (*.tif)"


class ProjectionsPage(QWidget):
    """Project a slab of an image layer of `viewer`."""

    def __init__(
        self, viewer: Any, events: ViewerEvents, segment: SegmentTab, session: ProjectSession
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._shot: Shot | None = None
        self._failure: Failure | None = None
        self._stale = True
        self._short: Task | None = None
        self.cursor_ = cursor_of(viewer)
        self.latest = LatestTask(lambda report: isinstance(report, Shot))
        self.layers = LayerChooser(viewer, events)
        self._build()
        self._timer = delayed(self, DELAY_MS, self._follow)
        stage = Stage(lambda _: self._shot, lambda _: self.picture, self.project, lambda: self.layers.layer)
        self.annotator = Annotator(viewer, self.annotate, stage, lambda: session)
        self.annotate.bind_keys(self)
        self._connect(events, segment)
        self.layers.list_layers()

    @property
    def projection(self) -> Shot | None:
        """What is shown, or None."""
        return self._shot

    @property
    def settled(self) -> bool:
        """Whether the picture is that of the form as it is now, and nothing is being computed."""
        busy = self._timer.isActive() or self.latest.running or self._stale
        return not busy and not (self._short is not None and self._short.running)

    def current_form(self) -> LookForm:
        return self.form.current()

    def project(self) -> None:
        """Compute the projection; what the Project button does."""
        form = self.current_form()
        sources, slab = self.layers.sources(), self.annotator.slab or form.slab
        if sources is None or slab is None:
            return
        pixels = round(max(self.picture.width(), 256) * self.devicePixelRatioF())
        painted = self.annotator.axis
        wanted = Wanted(slab, painted or form.axis, "max" if painted else form.how, pixels)
        self._stale = False
        self.latest.ask(lambda: shooting(sources, wanted))
        self._paint()

    def add_as_layer(self) -> Any:
        """Show the projection in the viewer, in the layer ``vesselkd: MIP <axis>``."""
        if self._shot is None or self.layers.layer not in self._viewer.layers:
            return None
        return show_projection(self._viewer, self._shot, self.layers.layer)

    def save(self, path: str | None = None) -> None:
        """Save a figure as PNG or the values as TIFF; asks for a path where none is given."""
        shot = self._shot
        if shot is None:
            return
        if path is None:
            name = f"{shot.name}-{shot.wanted.how}-{shot.axis}.png"
            path, _ = QFileDialog.getSaveFileName(self, "Save the projection", str(Path.home() / name), FILES)
        if path:
            target = Path(path)
            self._do(
                run(lambda: save_shot(shot, target)), lambda saved: self.saved.show_text(f"Saved {saved}")
            )

    def _save_clicked(self) -> None:
        self.save()

    def show_in_3d(self) -> None:
        """Put the slab into the viewer as a crop that 3D can show."""
        slab, source = self.current_form().slab, self.layers.source
        if slab is None or source is None:
            return
        layer = self.layers.layer
        self._do(Task(crop_task(self._viewer, source.volume, slab)), lambda crop: self._add_crop(crop, layer))

    def pick(self, down: float, across: float) -> None:
        """Take the viewer to the voxel that made a pixel; what a click on the picture does."""
        shot, sources, layer = self._shot, self.layers.sources(), self.layers.layer
        if shot is None or sources is None:
            return
        row, column = shot.pixel(down, across)
        projector = sources.projector
        self._do(
            run(lambda: projector.voxel_at(shot.shown, row, column)), lambda voxel: self._go(voxel, layer)
        )

    def release(self) -> None:
        """Stop: the viewer is closing."""
        self._timer.stop()
        self.annotator.release()
        self.latest.abandon()
        self.cursor_.release()
        self.layers.release()
        if self._short is not None:
            self._short.abandon()

    # The viewer changed

    def _connect(self, events: ViewerEvents, segment: SegmentTab) -> None:
        events.view_moved.connect(self._view_moved)
        segment.finished.connect(self.layers.labels_changed)
        self.layers.chosen.connect(self._choose_layer)
        self.layers.changed.connect(self._changed)
        self.form.changed.connect(self._changed)
        self.form.moved.connect(self._moved)
        self.picture.clicked.connect(self.pick)
        self.picture.hovered.connect(self._hover)
        self.picture.left.connect(self._paint_cursor)
        self.cursor_.moved.connect(self._paint_cursor)
        self.project_button.clicked.connect(self.project)
        self.layer_button.clicked.connect(self.add_as_layer)
        self.save_button.clicked.connect(self._save_clicked)
        self.crop_button.clicked.connect(self.show_in_3d)
        self.axes_button.clicked.connect(self._open_axes)
        self.latest.reported.connect(self._show)
        self.latest.failed.connect(self._failed)
        self.latest.ended.connect(self._paint)
        self.annotator.changed.connect(self._make_room)

    def _choose_layer(self) -> None:
        source = self.layers.source
        if self._shot is not None and (source is None or self._shot.name != source.volume.name):
            self._shot = None
        self.annotator.leave()
        self.form.set_layer(self.layers.layer if source else None, source.volume.shape if source else None)

    def _make_room(self) -> None:
        """Put away what chooses the slab while somebody paints on it."""
        for widget in (self.layers, self.form, self.buttons):
            widget.setVisible(self.annotator.slab is None)

    def _view_moved(self) -> None:
        self.form.follow_viewer()
        self._changed()

    def _changed(self, *_: Any) -> None:
        self._stale = True
        self._timer.start()
        self._paint()

    def _moved(self) -> None:
        """Follow a control while it moves."""
        self.saved.show_text("")
        self._stale = True
        self._follow()

    def _open_axes(self) -> None:
        from napari_vesselkd.plugin.commands import show_projections

        show_projections(self._viewer)

    # The projection

    def _follow(self) -> None:
        """Project by itself what is cheap, while somebody looks."""
        painting = self.annotator.slab is not None  # then the picture stays as it is
        if self._stale and self.isVisible() and not painting and self._voxels() <= AUTOMATIC_VOXELS:
            self.project()
        self._stale = self._stale and not painting
        self._paint()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._timer.start()
        self.annotator.follow_session()

    def _voxels(self) -> int:
        slab, sources = self.current_form().slab, self.layers.sources()
        if sources is None or slab is None:
            return 0
        shapes = sources.projector.shapes
        level = choose_level(shapes, slab)
        return math.prod(region_at(slab, shapes[0], shapes[level]).shape)

    def _show(self, report: Any) -> None:
        if not isinstance(report, Shot):
            return
        self._shot, self._failure = report, None
        rows, columns = report.gray.shape
        top, left, bottom, right = report.source
        self.picture.show_picture(
            report.preview,
            report.height_um,
            report.width_um,
            source=(top / rows, left / columns, bottom / rows, right / columns),
            bar=report.known,
        )
        self.annotator.refresh_view()
        self._paint_cursor()
        self._paint()

    def _go(self, voxel: Shape, layer: Any) -> None:
        if layer in self._viewer.layers:
            self.form.stay_for(voxel)
            self.cursor_.go_to(layer, voxel)

    def _add_crop(self, crop: Crop, layer: Any) -> None:
        if layer in self._viewer.layers:
            show_crop(self._viewer, crop, layer)
            coarse = f", level {crop.level}" if crop.level else ""
            z, y, x = crop.region.shape
            self.saved.show_text(f"In 3D: {z} × {y} × {x} voxels{coarse}. The slices are hidden, not gone.")

    def _do(self, task: Task, done: Any) -> None:
        """Run something short beside the projections; the one before gives way."""
        if self._short is not None and self._short.running:
            self._short.abandon()
        self._short = task
        task.done.connect(done)
        task.done.connect(lambda _: self._paint())
        task.failed.connect(self._failed)
        task.start()
        self._paint()

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        self._paint()

    # What is shown

    def _hover(self, down: float, across: float) -> None:
        if self._shot is not None:
            row, column = self._shot.pixel(down, across)
            self.place.setText(describe_voxel(self._shot.shown, row, column))

    def _paint_cursor(self) -> None:
        """Draw the viewer's place on the picture."""
        shot, layer = self._shot, self.layers.layer
        if shot is None or layer not in self._viewer.layers:
            self.picture.show_cross(None)
            return
        self.picture.show_cross(shot.share(self.cursor_.voxel(layer)))

    def _paint(self) -> None:
        form = self.current_form()
        state = draw_look(
            form,
            refusal=self.layers.refusal,
            busy=self.latest.running,
            has_picture=self._shot is not None,
            failure=self._failure,
            voxels=self._voxels(),
        )
        self.form.show_form(form, state.facts, self._slab_fact(form))
        self.project_button.setEnabled(state.project_enabled)
        self.project_button.setToolTip(state.project_tooltip)
        for button, tip in (
            (self.layer_button, f"Add or update the layer vesselkd: MIP {form.axis}"),
            (self.save_button, "PNG: a figure with a scale bar; TIFF: the raw values"),
        ):
            button.setEnabled(state.saves_enabled)
            button.setToolTip(state.saves_tooltip or tip)
        flat = self.layers.source is not None and self.layers.source.volume.shape[0] == 1
        self.crop_button.setEnabled(self.layers.source is not None and form.slab is not None and not flat)
        self.picture.setVisible(self._shot is not None)
        self.annotate.setVisible(self._shot is not None)
        self.place.setVisible(self._shot is not None)
        self.hint.show_text(state.hint)
        self.error.show_failure(state.failure)

    def _slab_fact(self, form: LookForm) -> str:
        slab, source = form.slab, self.layers.source
        if slab is None or source is None:
            return ""
        at = AXES.index(form.axis)
        depth = slab.shape[at] * source.volume.voxel_size_um[at]
        unit = "µm" if source.volume.voxel_size_known else "voxels"
        return f"{depth:.4g} {unit} deep · {describe_count(slab.size)}voxels"

    # The widgets

    def _build(self) -> None:
        self.form = SlabForm(self._viewer)
        self.hint, self.saved = Fact(), Fact()
        self.place = QLabel()
        self.place.setToolTip("The voxel behind the pixel under the mouse; click to go there")
        self.picture = PictureView()
        self.picture.setToolTip("Click: go to the voxel that made this pixel")
        self.project_button = QPushButton(keymap.with_keys("Project", keymap.PROJECT))
        self.project_button.setShortcut(QKeySequence(keymap.PROJECT.keys))
        self.layer_button, self.save_button = QPushButton("Add as layer"), QPushButton("Save…")
        self.crop_button, self.axes_button = QPushButton("Show in 3D"), QPushButton("Three axes…")
        self.crop_button.setToolTip(
            "Add this slab as the layer vesselkd: 3D, as fine as the graphics card allows"
        )
        self.axes_button.setToolTip("Projections along z, y and x side by side, in a dock of their own")
        self.error, self.annotate = ErrorPanel(), AnnotateBar()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        self.buttons = self._buttons()
        for item in (
            self.layers,
            self.form,
            self.hint,
            self.picture,
            self.place,
            self.annotate,
            self.buttons,
            self.saved,
        ):
            column.addWidget(item)
        column.addWidget(self.error)
        column.addStretch(1)

    def _buttons(self) -> QWidget:
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for index, button in enumerate((self.project_button, self.save_button, self.layer_button)):
            grid.addWidget(button, 0, 2 * index, 1, 2)
        for index, button in enumerate((self.crop_button, self.axes_button)):
            grid.addWidget(button, 1, 3 * index, 1, 3)
        return box
