"""The Codes page of the Look tab: the codebook on screen.

Map the codes of a volume, see how often each is used and how they lie to each other, and go from a voxel to
its code, to all places that have it, and back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.plugin.codes.chosen import ChosenCodes
from napari_vesselkd.plugin.codes.compare import CodesCompare
from napari_vesselkd.plugin.codes.comparing import ChangedCells, MarkedCells
from napari_vesselkd.plugin.codes.details import CodesDetails
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.codes.finding import plane_of
from napari_vesselkd.plugin.codes.layer import (
    ARTEFACTS,
    CHANGED,
    colour_codes,
    name_codes,
    show_codes,
    show_marked,
)
from napari_vesselkd.plugin.codes.meaning import CodesMeaning, rows_of
from napari_vesselkd.plugin.codes.noting import CodeNoting
from napari_vesselkd.plugin.codes.places import CodesPlaces
from napari_vesselkd.plugin.codes.run import CodesRun
from napari_vesselkd.plugin.codes.saving import save_views
from napari_vesselkd.plugin.codes.usage import CodesUsage
from napari_vesselkd.plugin.failure import describe_failure
from napari_vesselkd.plugin.layers import find_layer, labels_volume, shown_by
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.plugin.parts import Fold
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

    Attributes
    ----------
    chosen : ChosenCodes
        What the histogram, the plane, the layer and the gallery follow.
    codes_layer : napari.layers.Labels or None
    """

    def __init__(
        self, viewer: Any, events: ViewerEvents, session: ProjectSession, segment: SegmentTab
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self.codes_layer: Any = None
        self._plane: Task | None = None
        self._fractions: np.ndarray | None = None
        self.chosen, self.noting = ChosenCodes(), CodeNoting()
        self.run = CodesRun(viewer, events, session)
        self.usage = CodesUsage(self.chosen, self._view_cells, self.vessels)
        self.details = CodesDetails(viewer, self.run, self.chosen, self.noting)
        self.places = CodesPlaces(self.chosen)
        self._refresh = delayed(self, REFRESH_MS, self._refresh_layer)
        self.meaning = CodesMeaning(self.chosen, self.noting, self.vessels)
        self.compare = CodesCompare(self.chosen)
        self.map_fold = Fold("Code map", self.run, open_=True)
        self.meaning_fold, self.compare_fold = Fold("Meaning", self.meaning), Fold("Compare", self.compare)
        self.png_button = QPushButton("Save PNG…")
        self.png_button.setToolTip("Save the histogram and the codebook as a picture")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        self.usage.buttons.addWidget(self.png_button)
        for widget in (self.map_fold, self.usage, self.details, self.places):
            column.addWidget(widget)
        for fold in (self.meaning_fold, self.compare_fold):
            column.addWidget(fold)
        column.addStretch(1)
        self._connect(events, session, segment)

    @property
    def shown(self) -> OpenMap | None:
        """The map that is shown, or None."""
        return self.run.shown

    @property
    def tasks(self) -> list[Task]:
        """Everything that is at work, or was."""
        found = [task for part in self._parts for task in part.tasks]
        return found if self._plane is None else [*found, self._plane]

    @property
    def _parts(self) -> tuple[Any, ...]:
        explored = (self.usage, self.details, self.places, self.meaning, self.compare)
        return (self.run, *explored, self.noting)

    @property
    def idle(self) -> bool:
        """Whether nothing is at work or about to begin."""
        timers = (self._refresh, self.run.timer, self.usage.timer, self.places.timer)
        return not any(task.running for task in self.tasks) and not any(one.isActive() for one in timers)

    def release(self) -> None:
        """Stop everything: the viewer is closing."""
        self._refresh.stop()
        for part in self._parts:
            part.release()
        if self._plane is not None:
            self._plane.abandon()

    def go(self, cell: Sequence[int]) -> None:
        """Move the viewer to a cell (z, y, x)."""
        shown, image = self.shown, self.run.layer
        if shown is None or image not in self._viewer.layers:
            return
        margin = as_shape([MARGIN_CELLS * round(step) for step in shown.factors])
        go_to(self._viewer, image, shown.voxels_of(cell).expanded(margin))

    # A map came, grew or went

    def _connect(self, events: ViewerEvents, session: ProjectSession, segment: SegmentTab) -> None:
        self.run.opened.connect(self._map_opened)
        self.run.grew.connect(self._map_grew)
        self.run.ended.connect(self.places.find_again)
        self.run.computed.connect(self._show_computed)
        self.chosen.changed.connect(self._colour)
        self.noting.changed.connect(self._dress)
        self.usage.counted.connect(self._counted)
        self.meaning.described.connect(self._described)
        self.compare.changed.connect(self._show_changed)
        self.details.mask_pressed.connect(self.show_artefacts)
        self.png_button.clicked.connect(self._save_clicked)
        self.places.pressed.connect(self.go)
        events.view_moved.connect(self.usage.view_moved)
        events.layers_changed.connect(self._layers_changed)
        session.closing.connect(self._project_closing)
        segment.finished.connect(lambda _: self.usage.grown())

    def _map_opened(self, shown: OpenMap | None) -> None:
        if shown is None:
            self._hide()
            self.codes_layer = None
        self._fractions = None
        self.chosen.choose(())
        self.noting.take(shown)
        if shown is not None:
            self._show_layer(shown)
            self._find_plane(shown)
        for part in (self.usage, self.details, self.places, self.meaning, self.compare):
            part.show_map(shown)

    def _show_computed(self, share: float) -> None:
        """Say on the fold how much is mapped; it folds away where a whole map was found on disk."""
        shown = self.shown
        text = "Code map"
        if shown is not None:
            text += f" · {shown.teacher.name}, " + ("all mapped" if share >= 1 else f"{share:.0%} mapped")
        self.map_fold.header.setText(text)
        if shown is not None and share >= 1 and not self.run.has_run:
            self.map_fold.header.setChecked(False)

    def _show_layer(self, shown: OpenMap) -> None:
        image = self.run.layer
        if image not in self._viewer.layers:
            return
        active = self._viewer.layers.selection.active
        self.codes_layer = show_codes(self._viewer, shown, image, self.noting.colours, self.chosen.codes)
        name_codes(self.codes_layer, self.noting.names)
        self.codes_layer.visible = True
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def _map_grew(self) -> None:
        if not self._refresh.isActive():
            self._refresh.start()
        self.usage.grown()

    def _layer_there(self) -> bool:
        return self.codes_layer is not None and self.codes_layer in self._viewer.layers

    def _refresh_layer(self) -> None:
        if self._layer_there():
            self.codes_layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _hide(self) -> None:
        if self._layer_there():
            self.codes_layer.visible = False

    def _layers_changed(self) -> None:
        if not self._layer_there():
            self.codes_layer = None

    def _project_closing(self) -> None:
        """Hide the codes that are kept in the project, as its other layers are."""
        if self.run.root is not None:
            self._hide()

    def _find_plane(self, shown: OpenMap) -> None:
        name, root = shown.teacher.name, self.run.root
        self._plane = run(lambda: plane_of(name, root))
        self._plane.done.connect(self.usage.show_plane)
        self._plane.failed.connect(self.details.fail)
        self._plane.start()

    # Everything follows what is chosen and what is said about codes

    def _colour(self) -> None:
        if self._layer_there():
            colour_codes(self.codes_layer, self.noting.colours, self.chosen.codes)

    def _dress(self) -> None:
        self._colour()
        if self._layer_there() and self.noting.names:
            name_codes(self.codes_layer, self.noting.names)
        if find_layer(self._viewer, ARTEFACTS, self.run.layer) is not None:
            self.show_artefacts()
        self.usage.dress(self.noting.colours, self.noting.names, self._fractions)
        self.places.dress(self.noting.colours)

    def _counted(self) -> None:
        usage = self.usage.usage
        self.details.show_usage(usage)
        self.compare.show_usage(usage, self.usage.where.chosen)

    def _described(self, table: Any) -> None:
        self._fractions = table.vessel_fraction if np.isfinite(table.vessel_fraction).any() else None
        self.details.describe(rows_of(table))
        self._dress()

    # Layers that are asked for, and the picture

    def _show_changed(self, changed: ChangedCells) -> None:
        shown, image = self.shown, self.run.layer
        if shown is not None and image in self._viewer.layers and changed.found.compared:
            show_marked(self._viewer, CHANGED, shown, image, changed.cells)

    def show_artefacts(self) -> Any:
        """Show where the codes that are marked as artefact lie, in the layer ``vesselkd: artefacts``."""
        shown, image = self.shown, self.run.layer
        if shown is None or image not in self._viewer.layers:
            return None
        cells = LiveLevel(MarkedCells(shown.code_map.codes, self.noting.artefacts))
        return show_marked(self._viewer, ARTEFACTS, shown, image, cells)

    def save_png(self, path: str | None = None) -> None:
        """Save the histogram and the plane as a picture; asks for a path where none is given."""
        shown = self.shown
        if shown is None:
            return
        if path is None:
            place = str(Path.home() / f"{shown.code_map.name}.png")
            path, _ = QFileDialog.getSaveFileName(self, "Save the usage and the codebook", place, "*.png")
        if path:
            try:
                written = save_views(Path(path), (self.usage.histogram, self.usage.plot))
                self.usage.fact.show_text(f"Saved {written}")
            except (VesselKDError, OSError) as error:
                self.details.fail(describe_failure(error))

    def _save_clicked(self) -> None:
        self.save_png()

    # What the parts ask for

    def _view_cells(self) -> Region | None:
        view, shown = self.run.form.region.view(), self.shown
        return None if view is None or shown is None else shown.cells_of(view)

    def vessels(self) -> Any:
        """Return the labels that lie over the volume, at the level that was mapped; None without any."""
        shown, image = self.shown, self.run.layer
        if shown is None:
            return None
        wanted = as_shape(shown.code_map.volume_shape)
        for layer in reversed(list(self._viewer.layers)):
            handle = shown_by(layer)
            if type(layer).__name__ != "Labels" or (handle is not None and handle.source is not image):
                continue
            if handle is not None and handle.store is not None and handle.store.shape == wanted:
                return handle.store
            if handle is None and layer.ndim == image.ndim and _shape(layer) == wanted:
                return labels_volume(layer)
        return None


def _shape(layer: Any) -> Shape:
    shape = tuple((layer.data[0] if layer.multiscale else layer.data).shape)
    return as_shape((1, *shape) if len(shape) == 2 else shape[-3:])
