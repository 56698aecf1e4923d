"""Strokes of the threshold brush: shown while they are drawn, computed one after the other, none lost.

Notation: points are (z, y, x) voxels of the volume.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_vesselkd.geometry import Shape
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.tools.preview import Preview, preview
from napari_vesselkd.plugin.tools.proposing import Suggestion, brush_stroke
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.plugin.workers import Task, run

Places = Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Stroke:
    """What was drawn, and with what brush.

    Attributes
    ----------
    points : tuple of (z, y, x)
    radius : float
        In voxels of the smallest side.
    value : int
        1 background, 2 vessel.
    axis : int or None
        Only in the slice of its first point across this axis; None paints a ball.
    """

    points: tuple[tuple[float, float, float], ...]
    radius: float
    value: int
    axis: int | None


class Brushing(QObject):
    """Computes strokes in a worker.

    `shown` carries the preview of a stroke that is being drawn, `finished` that of one that has ended, None
    where the image supports nothing under it.
    """

    shown = Signal(object)
    finished = Signal(object)
    failed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._scene: Callable[[], Scene] | None = None
        self._live: Stroke | None = None
        self._ended: deque[Stroke] = deque()
        self._ending = False
        self._task: Task | None = None

    @property
    def task(self) -> Task | None:
        return self._task

    def draw(self, stroke: Stroke, scene: Callable[[], Scene]) -> None:
        """Show what a stroke that goes on would paint, as soon as there is time."""
        self._live, self._scene = stroke, scene
        self._next()

    def end(self, stroke: Stroke, scene: Callable[[], Scene]) -> None:
        """Compute a stroke that has ended."""
        self._live, self._scene = None, scene
        self._ended.append(stroke)
        self._next()

    @property
    def waiting(self) -> bool:
        """Whether a stroke has ended and is not painted yet."""
        return bool(self._ended) or self._ending

    def rest(self) -> None:
        """Show nothing more of the stroke that is being drawn; those that have ended are painted."""
        self._live = None

    def stop(self) -> None:
        """Give up what is not painted yet."""
        self._ending = False
        self._live = None
        self._ended.clear()
        if self._task is not None:
            self._task.abandon()
            self._task = None

    def _next(self) -> None:
        if self._task is not None and self._task.running:
            return
        ends = bool(self._ended)
        stroke = self._ended.popleft() if ends else self._live
        if stroke is None or self._scene is None:
            return
        if not ends:
            self._live = None
        self._ending = ends
        scene = self._scene()
        self._task = run(lambda: paint(stroke, scene))
        self._task.done.connect(lambda found: self._computed(found, ends=ends))
        self._task.failed.connect(self._failed)
        self._task.start()

    def _computed(self, found: Preview | None, *, ends: bool) -> None:
        self._ending = False
        if ends:
            self.finished.emit(found)
        elif not self._ended:
            self.shown.emit(found)
        self._next()

    def _failed(self, failure: Failure) -> None:
        self._ending = False
        self.failed.emit(failure)
        self._next()


def paint(stroke: Stroke, scene: Scene) -> Preview | None:
    """Return what a stroke paints, None where that is nothing."""
    scene.project.flush()
    points = dense(stroke.points, stroke.radius, scene.shape)
    if not points:
        return None
    radius_um = stroke.radius * min(scene.voxel_size_um)
    found = brush_stroke(scene, points, radius_um, stroke.value)
    if stroke.axis is not None:
        found = tuple(_flat(one, stroke.axis, points[0]) for one in found)
    return preview(found[0], scene) if found else None


def dense(points: Places, radius: float, shape: Shape) -> list[tuple[float, float, float]]:
    """Return points of a line through `points`, at most half a radius apart, those inside of `shape`."""
    path = np.asarray(points, float).reshape(-1, 3)
    steps = [path[:1]]
    for one, other in itertools.pairwise(path):
        count = max(1, int(np.ceil(np.abs(other - one).max() / max(radius / 2, 0.5))))
        steps.append(one + (other - one) * np.arange(1, count + 1)[:, None] / count)
    found = np.concatenate(steps)
    voxels = np.floor(found + 0.5)
    inside = ((voxels >= 0) & (voxels < np.asarray(shape))).all(axis=1)
    return [(float(z), float(y), float(x)) for z, y, x in found[inside]]


def _flat(suggestion: Suggestion, axis: int, point: tuple[float, float, float]) -> Suggestion:
    """Return the part of a suggestion in the slice of a point across `axis`."""
    changes = []
    for one in suggestion.changes:
        at = int(np.floor(point[axis] + 0.5)) - one.region.start[axis]
        keep = np.zeros(one.mask.shape[axis], bool)
        keep[max(at, 0) : max(at + 1, 0)] = True
        shape = [1, 1, 1]
        shape[axis] = len(keep)
        changes.append(replace(one, mask=one.mask & keep.reshape(shape)))
    return replace(suggestion, changes=tuple(changes))
