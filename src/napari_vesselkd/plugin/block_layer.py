"""The block that is being corrected: one ordinary Labels layer, everything painted on it in the journal.

napari's own tools paint on a numpy array, unmodified. Nothing of ours runs while the brush moves: napari says
when a stroke has ended, and a timer compares the array with what is in the journal, for long strokes and for
whatever else changes it. What the disk refuses stays in the layer and is tried again.

Notation: voxels are (z, y, x) uint8, 0 unlabelled, 1 background, 2 vessel; a 2D image's block is one slice.
"""

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectError, VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.plugin.failure import Failure, describe_failure
from napari_vesselkd.plugin.layers import KEY, STUDENT, Shown, find_layer, transform_like
from napari_vesselkd.plugin.project_layers import CORRECTION_COLOURS, CORRECTIONS, remove_layer
from napari_vesselkd.plugin.tools.preview import Preview
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import Project

BLOCK = "vesselkd: block"
SAVE_MS = 400
UNLABELLED, BACKGROUND, VESSEL = 0, 1, 2
BRUSH = 4
RETRIED = "It stays in the layer, and is saved by itself as soon as the disk takes it: make room on it"
VALUES_SAID = "A block has the labels 0 (unlabelled), 1 (background) and 2 (vessel) only."


class BlockLayer(QObject):
    """One block of a project as the layer ``vesselkd: block`` over the image layer `image`.

    `changed`: a change was saved, undone or refused, or another label was selected. `edited`: the voxels are
    others now. `painter_chosen`: somebody wants to paint with a label. `step_asked`: undo (False) or redo
    (True) was pressed, everything painted is saved. `removed`: somebody took the layer out of the viewer; the
    block stays open in the project.

    Attributes
    ----------
    edit : BlockEdit
    layer : napari.layers.Labels
    failure : Failure or None
        Why what is painted is not on the disk.
    notice : str
        What the user should know about the labels.
    """

    changed = Signal()
    edited = Signal()
    painter_chosen = Signal()
    step_asked = Signal(bool)
    removed = Signal()

    def __init__(
        self, viewer: Any, image: Any, edit: BlockEdit, drawings: deque[Any], *, brush: float = BRUSH
    ) -> None:
        super().__init__()
        self._viewer, self._drawings = viewer, drawings
        self.edit = edit
        self.failure: Failure | None = None
        self.notice = edit.notice or ""
        self._invalid = False
        self._stroke = 0
        self._closed = False
        self._held: str | None = None  # the mode that the layer had when it was held
        self._sync: Task | None = None
        self._unsynced = False
        self._hidden = _hide([find_layer(viewer, name, image) for name in (STUDENT, CORRECTIONS)])
        voxels = np.array(edit.voxels)
        self.layer = viewer.add_labels(
            voxels[0] if image.ndim == 2 else voxels,
            name=BLOCK,
            opacity=0.7,
            colormap=colours_in(viewer.dims.ndisplay),
            metadata={KEY: Shown(source=image, block=edit)},
            **transform_like(image, edit.region.start),
        )
        self.layer.brush_size = brush
        self.layer.selected_label = VESSEL
        self.layer.mode = "paint"
        self._bind()
        self._timer = QTimer(self)
        self._timer.setInterval(SAVE_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    @property
    def number(self) -> int:
        return self.edit.number

    @property
    def region(self) -> Region:
        return self.edit.region

    @property
    def unsaved(self) -> bool:
        """Whether the layer holds something that the journal does not."""
        voxels = self.voxels()
        return voxels.shape != self.edit.voxels.shape or not np.array_equal(voxels, self.edit.voxels)

    def voxels(self) -> np.ndarray:
        """Return what the layer holds, (z, y, x)."""
        data = np.asarray(self.layer.data)
        return data[None] if data.ndim == 2 else data

    def paint(self, label: int) -> None:
        """Paint with `label` from now on."""
        self.painter_chosen.emit()
        if label == UNLABELLED:
            self.layer.mode = "erase"
            return
        self.layer.selected_label = label
        if self.layer.mode == "erase":
            self.layer.mode = "paint"

    @property
    def painting(self) -> int:
        """The label that the tool in hand paints with."""
        return UNLABELLED if self.layer.mode == "erase" else int(self.layer.selected_label)

    def save(self) -> bool:
        """Journal what the layer holds; False where that failed, then it is tried again."""
        if self._closed or self._held is not None:
            return True
        try:
            self._check_place()
            box = self.edit.record(self.voxels(), stroke=self._stroke)
        except VesselKDError as error:
            self._refused(error)
            return False
        recovered, self.failure, self._invalid = self.failure is not None, None, False
        if box is not None:
            self._sync_soon()
            self.edited.emit()
        if box is not None or recovered:
            self.changed.emit()
        return True

    def apply(self, project: Project, change: Preview, tool: str) -> bool:
        """Make the change that a tool proposes, as one step of undo; False where it was refused.

        What of it lies outside of the block goes into the project's corrections, in the same step.
        """
        if self._closed or not self.save():
            return False
        try:
            self._check_place()
            done = project.apply(change.region, change.values, change.where, tool=tool, number=self.number)
        except VesselKDError as error:
            self._refused(error)
            return False
        self._stroke += 1
        box = done.within(self.number)
        if box is not None:
            self._take(box.relative_to(self.region.start))
        self._sync_soon()
        self.edited.emit()
        self.changed.emit()
        return True

    def undo(self) -> None:
        """Ask for what was done last to be taken back, also in an earlier session."""
        saved = self.save()
        if not saved and self._invalid:
            self._take(Region.whole(self.edit.region.shape))  # what cannot be saved is the last stroke
            self.save()
        elif saved:
            self.step_asked.emit(False)

    def redo(self) -> None:
        """Ask for what was undone last to be done again."""
        if self.save():
            self.step_asked.emit(True)

    def lock(self, locked: bool) -> None:
        """Let nobody paint while the block is being accepted."""
        self.layer.editable = not locked
        if not locked:
            self.layer.mode = "paint"

    def close(self) -> None:
        """Save, close the journal and take the layer away; the block stays open in the project.

        What cannot be saved stays in the viewer, as a layer of its own.
        """
        if self._closed:
            return
        kept = not self.save()
        self._let_go()
        if self.layer in self._viewer.layers:
            if kept:
                self.layer.name = f"block {self.number}, not saved"
                self.layer.metadata = {}
            else:
                remove_layer(self._viewer, self.layer, self._drawings)
        _show(self._viewer, self._hidden)

    def release(self) -> None:
        """Save and close the journal: the viewer is closing, nothing is to be touched on screen."""
        if not self._closed:
            self._let_go()

    def _let_go(self) -> None:
        self.save()
        self._closed = True
        self._timer.stop()
        if self._sync is not None:
            self._sync.abandon()
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self._viewer.dims.events.ndisplay.disconnect(self._view_turned)
        try:
            self.edit.close()
        except VesselKDError as error:
            self.failure = describe_failure(error)

    def _bind(self) -> None:
        layer = self.layer
        for keys, call in (
            (KeyCode.KeyQ, lambda: self.paint(VESSEL)),
            (KeyCode.KeyW, lambda: self.paint(BACKGROUND)),
            (KeyMod.CtrlCmd | KeyCode.KeyZ, self.undo),
            (KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ, self.redo),
        ):
            layer.bind_key(keys, lambda _layer, call=call: call(), overwrite=True)
        layer.events.paint.connect(self._stroke_ended)
        layer.events.selected_label.connect(self._label_selected)
        layer.events.mode.connect(self._mode_chosen)
        self._viewer.layers.events.removed.connect(self._layer_removed)
        self._viewer.dims.events.ndisplay.connect(self._view_turned)

    def _stroke_ended(self, _event: Any = None) -> None:
        self.save()
        self._stroke += 1

    def _tick(self) -> None:
        held = bool(getattr(self.layer, "_block_history", False))  # napari is amid a stroke
        if self.unsaved:
            self.save()
            self._stroke += 0 if held else 1
        elif self.failure is not None:
            self.save()

    def hold(self, held: bool) -> None:
        """Record and paint nothing while a worker undoes or redoes: the layer is behind the journal then.

        Recorded, what the layer still shows would do again what was just undone.
        """
        if self._closed or held == (self._held is not None):
            return
        if held:
            self._held = str(self.layer.mode)
            self.layer.editable = False
        else:
            mode, self._held = self._held, None
            self.layer.editable = True
            self.layer.mode = mode

    def show_stepped(self, box: Region) -> None:
        """Show what an undo or redo changed inside a box of the volume."""
        self._stroke += 1
        self._take(box.relative_to(self.region.start))
        self._sync_soon()
        self.edited.emit()
        self.changed.emit()

    def _take(self, box: Region) -> None:
        """Put the journal's voxels of `box` into the layer."""
        self.voxels()[box.slices] = self.edit.voxels[box.slices]
        self.layer.refresh(extent=False)

    def _check_place(self) -> None:
        """Raise ProjectError where the journal was moved or deleted: writing would go nowhere, silently."""
        if not self.edit.path.is_file():
            raise ProjectError(
                "The project's folder is gone: what is painted is kept in the layer only",
                value=self.edit.path.parent.parent,
                remedy="Bring the folder back; saving then goes on by itself",
            )

    def _refused(self, error: VesselKDError) -> None:
        failure = describe_failure(error)
        if isinstance(error, OutputError):
            failure = replace(failure, remedy=RETRIED)
        self._invalid = isinstance(error, InvalidInputError)
        if self.failure is None or self.failure.headline != failure.headline:
            self.failure = failure
            self.changed.emit()

    def _sync_soon(self) -> None:
        """Bring the journal to the disk in a worker: against a power cut, which needs no hurry."""
        if self._sync is not None and self._sync.running:
            self._unsynced = True
            return
        self._unsynced = False
        self._sync = run(self.edit.sync)
        self._sync.done.connect(self._synced)
        self._sync.failed.connect(self._sync_failed)
        self._sync.start()

    def _synced(self, _result: Any = None) -> None:
        if self._unsynced and not self._closed:
            self._sync_soon()

    def _sync_failed(self, failure: Failure) -> None:
        self.failure = failure
        self.changed.emit()

    def _label_selected(self, _event: Any = None) -> None:
        if self.layer.selected_label > VESSEL:
            self.layer.selected_label = VESSEL
            self.notice = VALUES_SAID
        self.changed.emit()

    def _mode_chosen(self, _event: Any = None) -> None:
        self.changed.emit()

    def _view_turned(self, _event: Any = None) -> None:
        self.layer.colormap = colours_in(self._viewer.dims.ndisplay)

    def _layer_removed(self, event: Any) -> None:
        if event.value is self.layer and not self._closed:
            self._let_go()
            _show(self._viewer, self._hidden)
            self.removed.emit()


def colours_in(ndisplay: int) -> DirectLabelColormap:
    """Return the colours of the labels; in 3D background is clear, else it would hide all vessels inside."""
    clear = {BACKGROUND: "transparent"} if ndisplay == 3 else {}
    return DirectLabelColormap(color_dict={**CORRECTION_COLOURS, **clear})


def _hide(layers: list[Any]) -> list[Any]:
    """Hide layers that would show through where something is erased; return those that were visible."""
    shown = [layer for layer in layers if layer is not None and layer.visible]
    for layer in shown:
        layer.visible = False
    return shown


def _show(viewer: Any, layers: list[Any]) -> None:
    for layer in layers:
        if layer in viewer.layers:
            layer.visible = True
