"""Painting anywhere in the volume, with no block open: the corrections as one editable layer.

napari's brush paints on an `Overlay`, which touches only the chunks under it. When a stroke has ended, and
now and then amid a long one, what was painted is handed to a worker, which journals it on the project's sheet
and brings corrections and labels, with their pyramids, in step. What the disk refuses stays in the layer and
is tried again.

Notation: voxels are (z, y, x) uint8, 0 unlabelled, 1 background, 2 vessel; a 2D image's layer is one slice.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from app_model.types import KeyCode, KeyMod
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.overlay import Overlay, Painted
from napari_vesselkd.plugin.block_layer import BACKGROUND, BRUSH, RETRIED, SAVE_MS, UNLABELLED, VESSEL
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.layers import find_layer, transform_like
from napari_vesselkd.plugin.project_layers import (
    CORRECTION_COLOURS,
    CORRECTIONS,
    decode_again,
    levels_shown,
    refresh_labels,
    remove_layer,
)
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import Applied, Project

PAINTING = f"{CORRECTIONS}, painting"
WHOLE_3D = 256**3  # voxels that napari may show in 3D at full resolution


def read_again(overlay: Overlay, boxes: Iterable[Region]) -> bool:
    """Read boxes of an overlay again from their store; return whether any of them differs."""
    differs = [overlay.changed(box) for box in boxes]
    return any(differs)


@dataclass
class Queue:
    """Strokes on their way to the disk, oldest first; those that are written are gone."""

    strokes: deque[tuple[int, list[Painted]]] = field(default_factory=deque)
    turn: Any = field(default_factory=Lock)

    def write(self, project: Project, overlay: Overlay) -> tuple[list[Region], bool]:
        """Journal all strokes and bring the stores in step.

        Returns
        -------
        tuple
            Boxes whose corrections changed, and whether the layer shows something else than they hold.
        """
        touched = []
        with self.turn:
            while self.strokes:
                stroke, painted = self.strokes[0]
                project.paint(painted, stroke=stroke)
                touched += [one.box for one in painted]
                self.strokes.popleft()
        changed = list(project.flush())
        return changed, read_again(overlay, [*touched, *changed])


class Anywhere(QObject):
    """The layer ``vesselkd: corrections, painting`` over the image of the project of `session`.

    `changed`: it was opened or closed, something was saved or refused, or another label was chosen.
    `step_asked`: undo (False) or redo (True) was pressed on it.

    Attributes
    ----------
    layer : napari.layers.Labels or None
    failure : Failure or None
        Why what is painted is not on the disk.
    saved : int
        Strokes that were saved since it was opened.
    """

    changed = Signal()
    step_asked = Signal(bool)

    def __init__(self, viewer: Any, session: ProjectSession, drawings: deque[Any]) -> None:
        super().__init__()
        self._viewer, self._session, self._drawings = viewer, session, drawings
        self._project: Project | None = None
        self._image: Any = None
        self._overlay: Overlay | None = None
        self._queue, self._stroke = Queue(), 0
        self._opening: Task | None = None
        self._writing: Task | None = None
        self._brush: float = BRUSH
        self.layer: Any = None
        self.failure: Failure | None = None
        self.saved = 0
        self._timer = QTimer(self)
        self._timer.setInterval(SAVE_MS)
        self._timer.timeout.connect(self._tick)
        session.closing.connect(self.release)

    @property
    def opened(self) -> bool:
        return self.layer is not None

    @property
    def busy(self) -> bool:
        """Whether it is being opened, or something painted is not on the disk yet."""
        opening = self._opening is not None and self._opening.running
        return opening or self.writing or bool(self._queue.strokes) or self._unsaved

    @property
    def writing(self) -> bool:
        return self._writing is not None and self._writing.running

    @property
    def painting(self) -> int:
        """The label that the tool in hand paints with."""
        return UNLABELLED if self.layer.mode == "erase" else int(self.layer.selected_label)

    @property
    def _unsaved(self) -> bool:
        return self._overlay is not None and self._overlay.dirty

    def open(self) -> None:
        """Show the corrections as a layer that can be painted on."""
        project, image = self._session.project, self._session.layer
        if self._session.why_not_edit or self.opened or project is None or self.busy:
            return
        self.failure, self.saved = None, 0

        def prepare() -> tuple[Project, Any, Overlay]:
            project.edit_anywhere()
            shape = project.image.shape
            store = project.corrections
            return project, image, Overlay(store.read, shape, filled=project.filled(), flat=image.ndim == 2)

        self._opening = run(prepare)
        self._opening.done.connect(lambda found: self._show(*found))
        self._opening.failed.connect(self._refused)
        self._opening.start()
        self.changed.emit()

    def close(self) -> None:
        """Save what is painted and take the layer away."""
        if self.layer is None:
            return
        self._hand_over()
        layer, self.layer = self.layer, None
        self._brush = layer.brush_size
        self._let_go()
        if layer in self._viewer.layers:
            remove_layer(self._viewer, layer, self._drawings)
        shown = find_layer(self._viewer, CORRECTIONS, self._image)
        if shown is not None:
            shown.visible = True
        self._write_soon()
        self.changed.emit()

    def release(self) -> None:
        """Save what is painted, here and now: the project or the dock is closing."""
        if self._opening is not None:
            self._opening.abandon()
        if self.layer is not None:
            self._hand_over()
            self.close()
        if self._writing is not None:
            self._writing.abandon()
        if self._project is not None and self._overlay is not None and self._queue.strokes:
            self._queue.write(self._project, self._overlay)

    def paint(self, label: int) -> None:
        """Paint with `label` from now on."""
        if label == UNLABELLED:
            self.layer.mode = "erase"
            return
        self.layer.selected_label = label
        if self.layer.mode == "erase":
            self.layer.mode = "paint"

    def drain(self) -> list[Region]:
        """Write what was handed over, in the worker that calls this; return the boxes that changed."""
        if self._project is None or self._overlay is None:
            return []
        return self._queue.write(self._project, self._overlay)[0]

    def stepped(self, done: Applied) -> None:
        """Show what an undo or redo changed."""
        if self._overlay is not None and read_again(self._overlay, done.labels_changed):
            self._refresh()

    def _show(self, project: Project, image: Any, overlay: Overlay) -> None:
        if project is not self._session.project or image not in self._viewer.layers:
            return
        self._project, self._image, self._overlay = project, image, overlay
        shown = find_layer(self._viewer, CORRECTIONS, image)
        if shown is not None:
            shown.visible = False
        self._three_dimensions()
        self.layer = self._viewer.add_labels(
            overlay,
            multiscale=False,
            name=PAINTING,
            opacity=0.7,
            colormap=DirectLabelColormap(color_dict=CORRECTION_COLOURS),
            **transform_like(image),
        )
        self.layer.brush_size = self._brush
        self.layer.selected_label = VESSEL
        self.layer.mode = "paint"
        self._bind()
        self._timer.start()
        self._viewer.layers.selection.active = self.layer
        self.changed.emit()

    def _bind(self) -> None:
        layer = self.layer
        for keys, call in (
            (KeyCode.KeyQ, lambda: self.paint(VESSEL)),
            (KeyCode.KeyW, lambda: self.paint(BACKGROUND)),
            (KeyMod.CtrlCmd | KeyCode.KeyZ, lambda: self.step_asked.emit(False)),
            (KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ, lambda: self.step_asked.emit(True)),
        ):
            layer.bind_key(keys, lambda _layer, call=call: call(), overwrite=True)
        layer.events.paint.connect(self._stroke_ended)
        layer.events.selected_label.connect(self._label_chosen)
        layer.events.mode.connect(self._label_chosen)
        self._viewer.layers.events.removed.connect(self._removed)
        self._viewer.dims.events.ndisplay.connect(self._three_dimensions, position="first")

    def _let_go(self) -> None:
        self._timer.stop()
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._viewer.dims.events.ndisplay.disconnect(self._three_dimensions)

    def _three_dimensions(self, _event: Any = None) -> None:
        """Hide the layer in 3D, where napari would read all of a large volume at full resolution."""
        if self.layer is not None and self._overlay is not None and self._overlay.size > WHOLE_3D:
            self.layer.visible = self._viewer.dims.ndisplay == 2

    def hand_over(self) -> None:
        """Give what is painted to the worker, now."""
        self._stroke_ended()

    def _stroke_ended(self, _event: Any = None) -> None:
        self._hand_over()
        self._stroke += 1
        self._write_soon()

    def _tick(self) -> None:
        held = bool(getattr(self.layer, "_block_history", False))  # napari is amid a stroke
        if self._unsaved:
            self._hand_over()
            self._stroke += 0 if held else 1
        self._write_soon()

    def _hand_over(self) -> None:
        painted = [] if self._overlay is None else self._overlay.take()
        if painted:
            self._queue.strokes.append((self._stroke, painted))

    def _write_soon(self) -> None:
        project, overlay, queue = self._project, self._overlay, self._queue
        if self.writing or not queue.strokes or project is None or overlay is None:
            return
        levels, count = levels_shown(self._viewer, self._image), len(queue.strokes)

        def write() -> bool:
            changed, differs = queue.write(project, overlay)
            for region in changed:
                decode_again(levels, region)
            return differs

        self._writing = run(write)
        self._writing.done.connect(lambda differs: self._written(differs, count))
        self._writing.failed.connect(self._refused)
        self._writing.start()

    def _written(self, differs: bool, count: int) -> None:
        self.failure = None
        self.saved += count
        refresh_labels(self._viewer, self._image)
        if differs:
            self._refresh()
        self.changed.emit()
        self._write_soon()

    def _refresh(self) -> None:
        if self.layer is not None:
            self.layer.refresh(extent=False)

    def _refused(self, failure: Failure) -> None:
        """Say why what is painted is not saved; the timer tries again."""
        said = replace(failure, remedy=RETRIED) if self._queue.strokes else failure
        if self.failure is None or self.failure.headline != said.headline:
            self.failure = said
            self.changed.emit()

    def _label_chosen(self, _event: Any = None) -> None:
        if self.layer is not None and self.layer.selected_label > VESSEL:
            self.layer.selected_label = VESSEL
        self.changed.emit()

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.close()
