"""The Codes page of the Look tab: the codebook on screen.

Map the codes of a volume, see how often each is used and how they lie to each other, and go from a voxel to
its code, to all places that have it, and back.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.plugin.codes_chosen import ChosenCodes
from napari_vesselkd.plugin.codes_colours import colours_of
from napari_vesselkd.plugin.codes_engine import OpenMap
from napari_vesselkd.plugin.codes_finding import CodeReader, Found, plane_of
from napari_vesselkd.plugin.codes_layer import Picker, colour_codes, name_codes, show_codes, voxel_at
from napari_vesselkd.plugin.codes_places import CodesPlaces
from napari_vesselkd.plugin.codes_run import CodesRun
from napari_vesselkd.plugin.codes_text import describe_chosen, describe_found
from napari_vesselkd.plugin.codes_usage import CodesUsage
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.layers import labels_volume, shown_by
from napari_vesselkd.plugin.parts import Fact, Fold, labelled
from napari_vesselkd.plugin.segment_tab import SegmentTab
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.visible import go_to
from napari_vesselkd.plugin.workers import Task, delayed, run

REFRESH_MS = 150
MARGIN_CELLS = 1  # shown around a place that is gone to


class CodesPanel(QWidget):
    """The codes of an image layer of `viewer`.

    Parameters
    ----------
    viewer : napari.Viewer
    events : ViewerEvents
    session : ProjectSession
    segment : SegmentTab

    `picked` carries the `Found` of a click in the viewer.
    """

    picked = Signal(object)

    def __init__(
        self, viewer: Any, events: ViewerEvents, session: ProjectSession, segment: SegmentTab
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self.codes_layer: Any = None
        self.found: Found | None = None
        self._colours: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()
        self._reader: CodeReader | None = None
        self._plane_task: Task | None = None
        self._pick_task: Task | None = None
        self.chosen = ChosenCodes()
        self.run = CodesRun(viewer, events, session)
        self.usage = CodesUsage(self.chosen, self._view_cells, self._vessels)
        self.places = CodesPlaces(self.chosen)
        self.picker = Picker(viewer, self.pick)
        self._refresh = delayed(self, REFRESH_MS, self._refresh_layer)
        self._build()
        self._connect(events, session, segment)

    @property
    def shown(self) -> OpenMap | None:
        """The map that is shown, or None."""
        return self.run.shown

    @property
    def tasks(self) -> list[Task]:
        """Everything that is at work, or was."""
        own = [task for task in (self._plane_task, self._pick_task) if task is not None]
        return [*self.run.tasks, *self.usage.tasks, *self.places.tasks, *own]

    def release(self) -> None:
        """Stop everything: the viewer is closing."""
        self._refresh.stop()
        for part in (self.run, self.usage, self.places):
            part.release()
        for task in (self._plane_task, self._pick_task):
            if task is not None:
                task.abandon()

    # A map came or went

    def _connect(self, events: ViewerEvents, session: ProjectSession, segment: SegmentTab) -> None:
        self.run.opened.connect(self._map_opened)
        self.run.grew.connect(self._map_grew)
        self.run.ended.connect(self.places.find_again)
        self.chosen.changed.connect(self._chosen_changed)
        self.usage.counted.connect(self._paint)
        self.places.pressed.connect(self.go)
        self.pick_button.toggled.connect(self.picker.switch)
        self.clear_button.clicked.connect(lambda: self.chosen.choose(()))
        events.view_moved.connect(self.usage.view_moved)
        events.layers_changed.connect(self._layers_changed)
        session.closing.connect(self._project_closing)
        segment.finished.connect(lambda _: self.usage.grown())

    def _map_opened(self, shown: OpenMap | None) -> None:
        self._reader, self.found = None, None
        if shown is None:
            self._names = self._colours = ()
            self.chosen.choose(())
            if self.codes_layer is not None and self.codes_layer in self._viewer.layers:
                self.codes_layer.visible = False
            self.codes_layer = None
        else:
            self._names = ("",) * shown.teacher.codes
            self._colours = colours_of(shown.teacher.codes, {})
            self._reader = CodeReader(shown, self.run.root)
            self._show_layer(shown)
            self._find_plane(shown)
        self._dress()
        self.usage.show_map(shown)
        self.places.show_map(shown)
        self._paint()

    def _show_layer(self, shown: OpenMap) -> None:
        image = self.run.layer
        if image in self._viewer.layers:
            active = self._viewer.layers.selection.active
            self.codes_layer = show_codes(self._viewer, shown, image, self._colours, self.chosen.codes)
            name_codes(self.codes_layer, self._names)
            self.codes_layer.visible = True
            if active in self._viewer.layers:
                self._viewer.layers.selection.active = active

    def _map_grew(self) -> None:
        if not self._refresh.isActive():
            self._refresh.start()
        self.usage.grown()

    def _refresh_layer(self) -> None:
        if self.codes_layer is not None and self.codes_layer in self._viewer.layers:
            self.codes_layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _layers_changed(self) -> None:
        if self.codes_layer is not None and self.codes_layer not in self._viewer.layers:
            self.codes_layer = None

    def _project_closing(self) -> None:
        """Hide the codes that are kept in the project, as its other layers are."""
        if self.shown is not None and self.run.root is not None and self.codes_layer is not None:
            self.codes_layer.visible = False

    def _find_plane(self, shown: OpenMap) -> None:
        name, root = shown.teacher.name, self.run.root
        self._plane_task = run(lambda: plane_of(name, root))
        self._plane_task.done.connect(self.usage.show_plane)
        self._plane_task.failed.connect(self._failed)
        self._plane_task.start()

    # Codes are chosen: in the histogram, the plane, the viewer

    def pick(self, world: np.ndarray) -> None:
        """Find the code at a world position; what a click in the viewer does while Pick is on."""
        reader, image = self._reader, self.run.layer
        if reader is None or image is None:
            self.pick_fact.show_text("Map some codes first")
            return
        voxel = voxel_at(image, world)
        if self._pick_task is not None:
            self._pick_task.abandon()
        self._pick_task = run(lambda: reader.at(voxel))
        self._pick_task.done.connect(self._picked)
        self._pick_task.failed.connect(self._failed)
        self._pick_task.start()

    def _picked(self, found: Found) -> None:
        self.found = found
        if found.code is not None:
            self.chosen.choose((found.code,))
        self._paint()
        self.picked.emit(found)

    def _chosen_changed(self) -> None:
        if self.found is not None and self.found.code not in self.chosen.codes:
            self.found = None
        if self.codes_layer is not None and self.codes_layer in self._viewer.layers:
            colour_codes(self.codes_layer, self._colours, self.chosen.codes)
        self._paint()

    def go(self, cell: Sequence[int]) -> None:
        """Move the viewer to a cell (z, y, x)."""
        shown, image = self.shown, self.run.layer
        if shown is None or image not in self._viewer.layers:
            return
        one = shown.voxels_of(cell)
        margin = [MARGIN_CELLS * round(step) for step in shown.factors]
        go_to(self._viewer, image, _around(one, as_shape(margin)))

    # What the parts ask for

    def _view_cells(self) -> Region | None:
        view, shown = self.run.form.region.view(), self.shown
        return None if view is None or shown is None else shown.cells_of(view)

    def _vessels(self) -> Any:
        """Return the labels that lie over the volume, at the level that was mapped; None without any."""
        shown, image = self.shown, self.run.layer
        if shown is None:
            return None
        wanted = as_shape(shown.code_map.volume_shape)
        for layer in reversed(list(self._viewer.layers)):
            handle = shown_by(layer)
            if type(layer).__name__ != "Labels" or layer is self.codes_layer:
                continue
            if handle is not None and handle.store is not None and handle.store.shape == wanted:
                return handle.store
            if handle is None and layer.ndim == image.ndim and _shape(layer) == wanted:
                return labels_volume(layer)
        return None

    def _dress(self) -> None:
        self.usage.dress(self._colours, self._names, None)
        self.places.dress(self._colours)

    def _failed(self, failure: Failure) -> None:
        self.pick_fact.show_text(f"{failure.headline} {failure.remedy}".strip(), problem=True)

    def _paint(self) -> None:
        counts = None if self.usage.usage is None else self.usage.usage.counts
        there = self.shown is not None
        self.chosen_fact.show_text(describe_chosen(self.chosen.codes, counts, self._names) if there else "")
        self.clear_button.setEnabled(bool(self.chosen.codes))
        self.pick_button.setEnabled(there)
        self.pick_fact.show_text("" if self.found is None else describe_found(self.found))

    # The widgets

    def _build(self) -> None:
        self.pick_button, self.clear_button = QPushButton("Pick in the viewer"), QPushButton("Choose none")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip("While this is on, a click on the image finds the code there")
        self.clear_button.setToolTip("Show all codes again")
        self.chosen_fact, self.pick_fact = Fact(), Fact()
        self.map_fold = Fold("Code map", self.run, open_=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.map_fold)
        column.addWidget(self.usage)
        column.addWidget(labelled("Chosen"))
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.pick_button)
        line.addWidget(self.clear_button)
        column.addLayout(line)
        for widget in (self.chosen_fact, self.pick_fact, self.places):
            column.addWidget(widget)
        column.addStretch(1)


def _around(region: Region, margin: Shape) -> Region:
    return region.expanded(margin)


def _shape(layer: Any) -> Shape:
    shape = tuple((layer.data[0] if layer.multiscale else layer.data).shape)
    return as_shape((1, *shape) if len(shape) == 2 else shape[-3:])
