"""The quality of the open block while it is painted on, and how far a second reviewer agrees.

Everything is computed in workers: a moment after a stroke the numbers follow it. Where two reviewers differ
is the layer `vesselkd: differences`.
"""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.edits import VESSEL
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.layers import KEY, Shown, transform_like
from napari_vesselkd.plugin.project_layers import remove_layer
from napari_vesselkd.plugin.quality_estimate import BlockProbability, block_probability
from napari_vesselkd.plugin.quality_panel import QualityPanel
from napari_vesselkd.plugin.quality_state import Measured, Second, draw_quality
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.visible import go_to
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.proofreading.reviewers import (
    ONLY_FIRST,
    ONLY_SECOND,
    Agreement,
    Reviewed,
    began,
    compare,
    reviews_in,
    reviews_of,
)
from napari_vesselkd.proofreading.tools import Quality, quality

DIFFERENCES = "vesselkd: differences"
AFTER_STROKE_MS = 700
AROUND = 24  # voxels to each side of a difference that is gone to
COMPARING, READING = "Comparing…", "Reading the other project…"
ESTIMATING = "The model looks at the block…"
COLOURS: dict[Any, Any] = {
    None: "transparent",
    0: "transparent",
    ONLY_FIRST: "#2fe0b0",  # not the orange of the vessels that it lies on
    ONLY_SECOND: "#b57bff",
}


class BlockQuality(QObject):
    """Measures the block that is open in the Correct tab `tab`, and shows it in its panel.

    Attributes
    ----------
    panel : QualityPanel
    measured : Measured or None
        What is shown of the open block.
    second : Second
        Who else corrected it.
    """

    def __init__(self, viewer: Any, session: ProjectSession, tab: Any) -> None:
        super().__init__()
        self._viewer, self._session, self._tab = viewer, session, tab
        self.panel = QualityPanel()
        tab.panel.quality.addWidget(self.panel)
        self.measured: Measured | None = None
        self.second = Second()
        self._reviews: tuple[Reviewed, ...] = ()
        self._probability: BlockProbability | None = None
        self._failure: Failure | None = None
        self._busy = self._estimating = ""
        self._measuring: Task | None = None
        self._reading: Task | None = None
        self._model: Task | None = None
        self._again = False
        self._block: Any = None
        self._layer: Any = None
        self._drawings: deque[Any] = deque(maxlen=4)
        self._timer = delayed(self, AFTER_STROKE_MS, self._measure)
        tab.block_changed.connect(self._block_changed)
        tab.leaving.connect(self._close)
        self.panel.pressed.connect(self._pressed)
        self.panel.chosen.connect(self._chosen)
        self._paint()

    @property
    def busy(self) -> bool:
        """Whether anything is being computed or waited for."""
        tasks = (self._measuring, self._reading, self._model)
        return self._timer.isActive() or any(task is not None and task.running for task in tasks)

    def compare_with(self, path: str | Path) -> None:
        """Compare with the accepted blocks of another person's project of the same image."""
        project, block = self._session.project, self._block
        if project is None or block is None or self._busy:
            return
        region, image = block.region, project.image.signature
        self._busy, self._failure = READING, None
        self._reading = run(lambda: reviews_in(path, region, image))
        self._reading.done.connect(self._add)
        self._reading.failed.connect(self._failed)
        self._reading.start()
        self._paint()

    def release(self) -> None:
        """Stop: the dock or the viewer is closing."""
        self._stop()

    # What changed

    def _block_changed(self) -> None:
        block = self._tab.block
        if block is self._block:
            return
        self._close()
        self._block = block
        if block is not None:
            block.edited.connect(self._edited)
            self._timer.start(0)
            path = block.edit.path
            self._reading = run(lambda: reviews_of(path))
            self._reading.done.connect(self._found)
            self._reading.failed.connect(self._failed)
            self._reading.start()
        self._paint()

    def _close(self) -> None:
        """Forget the block: it is closed."""
        self._stop()
        self._block, self.measured, self.second, self._reviews = None, None, Second(), ()
        self._failure, self._busy, self._estimating = None, "", ""
        self._probability, self._again = None, False
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.visible = False
        self._paint()

    def _stop(self) -> None:
        self._timer.stop()
        for task in (self._measuring, self._reading, self._model):
            if task is not None:
                task.abandon()
        self._measuring = self._reading = self._model = None

    def _edited(self) -> None:
        if self.measured is not None:
            self.measured = Measured(self.measured.before, self.measured.now, stale=True)
        self._timer.start()
        self._paint()

    def _pressed(self, name: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            "estimate": self._estimate,
            "other": self._ask,
            "show": self._show_or_hide,
            "go": self._go,
        }
        self._failure = None
        actions[name]()

    def _ask(self) -> None:
        near = str(self._session.project.path.parent) if self._session.project else str(Path.home())
        title = "The second reviewer's project: NAME.vesselkd"
        path = QFileDialog.getExistingDirectory(self.panel, title, near)
        if path:
            self.compare_with(path)

    # The numbers

    def _measure(self) -> None:
        block, volume = self._block, self._session.volume
        if block is None or volume is None:
            return
        if self._measuring is not None and self._measuring.running:
            self._again = True
            return
        self._again = False
        before = None if self.measured is None else self.measured.before
        other = self._reviews[self.second.chosen] if self.second.chosen >= 0 else None
        task = partial(
            _measured,
            block.edit.path,
            block.voxels().copy(),
            block.region,
            volume.voxel_size_um,
            before=before,
            probability=self._probability,
            other=other,
        )
        self._measuring = run(task)
        self._measuring.done.connect(self._show)
        self._measuring.failed.connect(self._failed)
        self._measuring.start()

    def _show(self, found: tuple[Measured, Agreement | None]) -> None:
        self.measured, agreement = found
        self._busy = ""
        shown = self.second.shown and agreement is not None
        self.second = Second(self.second.names, self.second.chosen, agreement, shown)
        self._show_layer()
        if self._again:
            self._timer.start()
        self._paint()

    def _estimate(self) -> None:
        project, volume, block = self._session.project, self._session.volume, self._block
        if project is None or volume is None or block is None or self._estimating:
            return
        region = block.region
        self._estimating = ESTIMATING
        self._model = Task(lambda: block_probability(project, volume, region))
        self._model.done.connect(self._estimated)
        self._model.failed.connect(self._failed)
        self._model.start()
        self._paint()

    def _estimated(self, found: BlockProbability) -> None:
        self._probability, self._estimating = found, ""
        self._timer.start(0)
        self._paint()

    def _failed(self, failure: Failure) -> None:
        self._busy = self._estimating = ""
        self._failure = failure
        self._paint()

    # The second reviewer

    def _found(self, reviews: tuple[Reviewed, ...]) -> None:
        """Offer what others made of this block, without the one who works now."""
        project = self._session.project
        self._reviews = tuple(one for one in reviews if project is None or one.who != project.reviewer)
        self._offer(-1)

    def _add(self, reviews: tuple[Reviewed, ...]) -> None:
        self._busy = ""
        self._reviews = (*self._reviews, *reviews)
        self._offer(len(self._reviews) - len(reviews))
        self._timer.start(0)

    def _offer(self, chosen: int) -> None:
        self.second = Second(tuple(one.who for one in self._reviews), chosen)
        self._paint()

    def _chosen(self, row: int) -> None:
        self.second = Second(self.second.names, row, None, self.second.shown)
        self._busy = COMPARING
        self._timer.start(0)
        self._paint()

    def _show_or_hide(self) -> None:
        second = self.second
        self.second = Second(second.names, second.chosen, second.agreement, not second.shown)
        self._show_layer()
        self._paint()

    def _go(self) -> None:
        found, layer = self.second.agreement, self._session.layer
        if found is None or found.largest is None or layer is None:
            return
        z, y, x = found.largest
        around = Region((z, y, x), (z + 1, y + 1, x + 1)).expanded((AROUND,) * 3)
        go_to(self._viewer, layer, around.intersection(found.region) or found.region)
        self._viewer.dims.set_point(self._viewer.dims.ndim - 3, _height(layer, z))

    def _show_layer(self) -> None:
        """Bring the layer of differences in step with what is found."""
        found, image = self.second.agreement, self._session.layer
        there = self._layer is not None and self._layer in self._viewer.layers
        if found is None or image is None or not self.second.shown:
            if there:
                self._layer.visible = False
            return
        data = found.difference[0] if image.ndim == 2 else found.difference
        place = transform_like(image, found.region.start)
        if there and self._layer.metadata[KEY].source is image and self._layer.data.shape == data.shape:
            self._layer.data = data
            self._layer.affine = place.get("affine", np.eye(data.ndim + 1))
            self._layer.translate = place.get("translate", self._layer.translate)
        else:
            if there:
                remove_layer(self._viewer, self._layer, self._drawings)
            self._layer = self._add_layer(data, place)
        self._layer.visible = True

    def _add_layer(self, data: np.ndarray, place: dict[str, Any]) -> Any:
        """Add the layer; what was selected stays selected, as the keys belong to it."""
        active = self._viewer.layers.selection.active
        layer = self._viewer.add_labels(
            data,
            name=DIFFERENCES,
            opacity=0.9,
            colormap=DirectLabelColormap(color_dict=COLOURS),
            metadata={KEY: Shown(source=self._session.layer)},
            **place,
        )
        layer.editable = False
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active
        return layer

    def _paint(self) -> None:
        self.panel.paint(
            draw_quality(
                self.measured,
                self.second,
                open_=self._block is not None,
                busy=self._busy,
                estimating=self._estimating,
                failure=self._failure,
            )
        )


def _measured(
    journal: Path,
    voxels: np.ndarray,
    region: Region,
    voxel_size_um: tuple[float, float, float],
    *,
    before: Quality | None,
    probability: BlockProbability | None,
    other: Reviewed | None,
) -> tuple[Measured, Agreement | None]:
    """Measure a block as it began and as it is, and compare it with another's; in a worker."""
    chance = None if probability is None else probability.values
    if before is None or (chance is not None and math.isnan(before.estimated_dice)):
        before = quality(began(journal) == VESSEL, voxel_size_um, probability=chance)
    now = quality(voxels == VESSEL, voxel_size_um, probability=chance)
    return Measured(before, now), None if other is None else compare(voxels, region, other)


def _height(layer: Any, z: int) -> float:
    """Return where slice z of the image lies along the viewer's axis of slices."""
    index = [0.0] * layer.ndim
    index[-3] = z
    return float(np.asarray(layer.data_to_world(index))[-3])
