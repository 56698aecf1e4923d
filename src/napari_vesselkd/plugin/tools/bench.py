"""The open block as the tools handle it: its layer, what is proposed on screen, the mouse, the writing.

Notation: places are (z, y, x) voxels of the volume.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.plugin.block_layer import BlockLayer
from napari_vesselkd.plugin.failure import describe_failure
from napari_vesselkd.plugin.keymap import Shortcut
from napari_vesselkd.plugin.project_layers import decode_again, levels_shown, refresh_labels
from napari_vesselkd.plugin.tools.brushing import Stroke
from napari_vesselkd.plugin.tools.gestures import Gestures, Place, sliced_axis
from napari_vesselkd.plugin.tools.hold import Hold, bind
from napari_vesselkd.plugin.tools.looking import look_at
from napari_vesselkd.plugin.tools.preview import Preview
from napari_vesselkd.plugin.tools.proposal_layer import ProposalLayer
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.rejections import Proposals, Rejections
from napari_vesselkd.volume import Volume


class Bench(QObject):
    """One open block.

    `edited`: its voxels are others, and not through `write`. `failed`: what lies outside of it, or what was
    rejected, could not be written (a `Failure`).

    Attributes
    ----------
    block : BlockLayer
    gestures : Gestures
    hold : Hold
    """

    edited = Signal()
    failed = Signal(object)

    def __init__(
        self,
        viewer: Any,
        block: BlockLayer,
        project: Project,
        *,
        image: Any,
        volume: Volume,
        drawings: deque[Any],
    ) -> None:
        super().__init__()
        self._viewer, self._project, self._image, self._volume = viewer, project, image, volume
        self.block = block
        self.gestures = Gestures(viewer, block.layer)
        self._screen = ProposalLayer(viewer, image, drawings)
        self.hold = Hold(viewer, block.layer)
        self._rejections = Rejections(project)
        self._writing = False
        self.task: Task | None = None
        block.edited.connect(self._edited)

    def bind(self, keys: Mapping[Shortcut, Callable[[], None]]) -> None:
        """Bind keys to the block's layer."""
        for shortcut, call in keys.items():
            bind(self.block.layer, shortcut, call)

    def close(self, *, gone: bool) -> None:
        """Let go of the block, whose layer may be `gone` already."""
        self.block.edited.disconnect(self._edited)
        self.gestures.close()
        if not gone:
            self.hold.let_go()
        self._screen.close()

    def scene(self) -> Scene:
        """Return the block as it is now, with its surroundings."""
        self.block.save()
        return Scene(self._project, self._volume, self.block.region, np.array(self.block.edit.voxels))

    def place(self, place: Place) -> Place | None:
        """Return a place of the block's layer as one of the volume, None outside of that."""
        z, y, x = (float(at + low) for at, low in zip(place, self.block.region.start, strict=True))
        inside = all(0 <= at + 0.5 < size for at, size in zip((z, y, x), self._volume.shape, strict=True))
        return (z, y, x) if inside else None

    def stroke(self, places: Sequence[Place]) -> Stroke:
        """Return what was drawn with the brush as napari's controls have it."""
        layer, start = self.block.layer, self.block.region.start
        points = tuple((z + start[0], y + start[1], x + start[2]) for z, y, x in places)
        flat = layer.ndim == 3 and layer.n_edit_dimensions == 2
        axis = sliced_axis(self._viewer) if flat else None
        return Stroke(points, layer.brush_size / 2, int(layer.selected_label), axis)

    def write(self, change: Preview, tool: str) -> bool:
        """Make a change as one step of undo; what lies outside of the block is brought into the labels."""
        self._writing = True
        try:
            done = self.block.apply(self._project, change, tool)
        finally:
            self._writing = False
        if done and change.outside:
            self._flush()
        return done

    def rejected(self, tool: str) -> Callable[[Scene], Proposals]:
        """Return what gives the proposals of a tool that were rejected in a scene; for a worker."""
        return lambda scene: self._rejections.known(tool, scene.block, scene)

    def reject(self, tool: str, changes: Proposals) -> bool:
        """Keep that proposals of a tool were rejected; False where that cannot be written."""
        return self._kept(lambda: self._rejections.add(tool, changes, self.scene()))

    def forget(self, tool: str) -> bool:
        """Let what was rejected of a tool in this block be proposed again; as `reject`."""
        return self._kept(lambda: self._rejections.forget(tool, self.block.region))

    def show(self, change: Preview, *, move: bool = False) -> None:
        """Show what is proposed; with `move`, go there."""
        self._screen.show(change)
        if move:
            look_at(self._viewer, self._image, change)

    def mark(self, places: Sequence[Place]) -> None:
        """Mark the places that were clicked."""
        self._screen.mark(places)

    def hide(self, *, marks: bool = True) -> None:
        """Show nothing; without `marks`, those stay."""
        self._screen.hide(marks=marks)

    def _edited(self) -> None:
        if not self._writing:
            self.edited.emit()

    def _kept(self, keep: Callable[[], None]) -> bool:
        try:
            keep()
        except VesselKDError as error:
            self.failed.emit(describe_failure(error))
            return False
        return True

    def _flush(self) -> None:
        project, viewer, image = self._project, self._viewer, self._image
        levels = levels_shown(viewer, image)

        def task() -> None:
            for region in project.flush():
                decode_again(levels, region)

        self.task = run(task)
        self.task.done.connect(lambda _: refresh_labels(viewer, image))
        self.task.failed.connect(self.failed)
        self.task.start()
