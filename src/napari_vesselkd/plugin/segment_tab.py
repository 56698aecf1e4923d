"""The Segment tab: watches the viewer, keeps the form's state, runs the pre-flight and the segmentation.

All decisions about what is shown are in `segment_state`; all threads are `workers.Task`s.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import Region, VoxelSize
from napari_vesselkd.plugin.chosen_volume import Chosen, chosen_of
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.layers import (
    LayerVolume,
    current_steps,
    is_candidate,
    refusal,
    show_labels,
    shown_by,
    volume_of,
)
from napari_vesselkd.plugin.parts import scroll_to, set_quietly
from napari_vesselkd.plugin.rescaling import place_level, set_voxel_size
from napari_vesselkd.plugin.run_panel import RunPanel
from napari_vesselkd.plugin.segment_form import SegmentForm
from napari_vesselkd.plugin.segment_state import Estimate, Form, Phase, RunState, Target, Where, draw
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.streaming import (
    LabelsReady,
    Outcome,
    checkpoints_at_hand,
    estimate_run,
    stream,
)
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.reports import Notice, Progress, Report

ESTIMATE_DELAY_MS = 300
REFRESH_MS = 150


class SegmentTab(QWidget):
    """Segment an image layer of `viewer` with a checkpoint, block by block."""

    finished = Signal(object)

    def __init__(self, viewer: Any, events: ViewerEvents, session: ProjectSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._layer: Any = None
        self._source: LayerVolume | None = None
        self._refusal: str | None = None
        self._estimate = Estimate()
        self._run = RunState()
        self._focus: Region | None = None
        self._labels: Any = None
        self._task: Task | None = None
        self._estimating: Task | None = None
        self._loading: Task | None = None
        self._shown_target: Target | None = None
        self._into: Any = None
        self.form = SegmentForm(viewer)
        self.panel = RunPanel()
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.addWidget(self.form)
        column.addWidget(self.panel)
        column.addStretch(1)
        self._estimate_timer = delayed(self, ESTIMATE_DELAY_MS, self._start_estimate)
        self._refresh_timer = delayed(self, REFRESH_MS, self._refresh_labels)
        self._connect(events)
        self._list_layers()
        self._list_checkpoints()

    # What other parts of the plugin use

    @property
    def state(self) -> RunState:
        return self._run

    @property
    def labels(self) -> Any:
        """The layer that shows the last run, or None."""
        return self._labels

    @property
    def source(self) -> tuple[Any, LayerVolume | None]:
        """The image layer that is chosen, and its volume."""
        return self._layer, self._source

    def current_form(self) -> Form:
        return self.form.form(self._chosen(), self._refusal, self._target())

    def start(self) -> None:
        """Run what the form says; what the Run button does."""
        form = self.current_form()
        if self._task is not None and self._task.running:
            return
        if self._source is None or form.region is None:
            return
        self._into = project = self._project(form)
        volume, layer = self._volume(form), self._layer
        handle = shown_by(layer)
        truth = handle.truth if handle is not None else None
        factors = tuple(np.divide(volume.at_level(form.level).voxel_size_um, volume.voxel_size_um))
        self._run = RunState(phase=Phase.STARTING)
        set_quietly(self.form.restart, "setChecked", False)
        self._look()
        self._task = Task(lambda: stream(volume, form, self.focus, truth, project))
        self._task.reported.connect(lambda report: self._receive(report, layer, factors))
        self._task.done.connect(self._done)
        self._task.failed.connect(self._failed)
        self._task.cancelled.connect(lambda: self._end(Phase.CANCELLED))
        self._task.paused.connect(lambda: self._set_phase(Phase.PAUSED))
        self._task.resumed.connect(lambda: self._set_phase(Phase.RUNNING))
        self._task.start()
        self._paint()

    def focus(self) -> Region | None:
        """Return what is on screen, in voxels of the level worked on; called from the run's thread."""
        return self._focus

    def toggle_pause(self) -> None:
        if self._task is None:
            return
        if self._run.phase is Phase.PAUSED:
            self._task.resume()
        elif self._run.phase is Phase.RUNNING:
            self._task.pause()
            self._set_phase(Phase.PAUSING)

    def cancel(self) -> None:
        if self._task is not None and self._task.running:
            self._task.cancel()
            self._set_phase(Phase.CANCELLING)

    def release(self) -> None:
        """Stop everything: the viewer is closing."""
        for task in (self._task, self._estimating, self._loading):
            if task is not None:
                task.abandon()

    # The viewer changed

    def _connect(self, events: ViewerEvents) -> None:
        events.layers_changed.connect(self._list_layers)
        events.view_moved.connect(self._view_moved)
        events.layer_moved.connect(self._reload)
        self.form.volume_changed.connect(self._choose_layer)
        self.form.changed.connect(self._form_changed)
        self.form.size_typed.connect(self._resize)
        self.form.level_changed.connect(self._choose_level)
        self.form.target_changed.connect(self._choose_target)
        self._session.opened.connect(self._project_opened)
        self._session.closing.connect(self._project_closing)
        self._session.closed.connect(self._choose_target)
        self._session.changed.connect(self._project_changed)
        self.panel.run_pressed.connect(self.start)
        self.panel.pause_pressed.connect(self.toggle_pause)
        self.panel.cancel_pressed.connect(self.cancel)

    def _list_layers(self) -> None:
        layers = [layer for layer in self._viewer.layers if is_candidate(layer)]
        active = self._viewer.layers.selection.active
        current = self._layer if self._layer in layers else None
        current = current or (active if active in layers else None) or (layers[-1] if layers else None)
        self.form.set_volumes(layers, current)
        if self.form.layer is not self._layer:
            self._choose_layer()
        else:
            self._paint()

    def _choose_layer(self) -> None:
        self._layer = self.form.layer
        if not self._run.phase.active:
            self._run = RunState()
            set_quietly(self.form.output, "setText", "")
            self.form.voxel_size.forget()
        self._reload()

    def _reload(self) -> None:
        """Read the chosen layer again: another one, or its transform or position changed."""
        self._source, self._refusal = None, None
        if self._layer is not None:
            self._refusal = refusal(self._layer)
            if self._refusal is None:
                try:
                    self._source = volume_of(self._layer, current_steps(self._viewer, self._layer))
                except VesselKDError as error:
                    self._refusal = str(error)
        chosen = self._chosen()
        self.form.region.set_layer(self._layer if chosen else None, chosen.shape if chosen else None)
        self.form.set_levels(chosen)
        if chosen is not None:
            self.form.suggest_output(chosen)
        self._form_changed()

    def _resize(self, size_um: VoxelSize) -> None:
        """Give the chosen layer the voxel size that was typed."""
        if self._layer is not None:
            set_voxel_size(self._viewer, self._layer, size_um)
            self._viewer.reset_view()
            self._reload()

    def _choose_level(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self.form.suggest_output(chosen)
        self._form_changed()

    # The project

    def _choose_target(self) -> None:
        """Another project, or another choice of where the labels go: other checkpoints, another output."""
        self._list_checkpoints()
        self._list_layers()
        self._form_changed()

    def _project_opened(self) -> None:
        """Choose the project's image, and write into the project."""
        if self._session.layer in self.form.layers:
            self.form.volume.setCurrentIndex(self.form.layers.index(self._session.layer))
        self._choose_target()

    def _project_closing(self) -> None:
        """Stop writing into the project; what is finished is kept."""
        if self._into is not None:
            self.cancel()

    def _project_changed(self) -> None:
        target = self._target()
        if target != self._shown_target:
            self._shown_target = target
            self._choose_target()

    def _target(self) -> Target | None:
        """Return the project that the chosen layer is the image of, or None."""
        project = self._session.project
        if project is None or self._session.volume is None or self._layer is not self._session.layer:
            return None
        accepted = sum(not one.painted_anywhere for one in project.training_blocks)
        accepted += len(project.held_out_blocks)
        return Target(project.path, project.current, accepted)

    def _project(self, form: Form) -> Any:
        """Return the project to write into, or None."""
        return self._session.project if form.target is not None else None

    def _volume(self, form: Form) -> Any:
        """Return what is segmented: the image as the project knows it, or the layer's."""
        if form.target is not None:
            return self._session.volume
        return self._source.volume if self._source is not None else None

    def _view_moved(self) -> None:
        self._look()
        if self._layer is not None and self._layer.ndim > 3:
            self._reload()
        elif self.form.region.where is Where.VIEW and not self._run.phase.active:
            self._form_changed()

    def _look(self) -> None:
        form = replace(self.current_form(), region=self.form.region.view())
        self._focus = form.level_region

    def _form_changed(self) -> None:
        self._estimate_timer.start()
        self._estimate = replace(self._estimate, busy=True, problem=None)
        self._paint()

    def _chosen(self) -> Chosen | None:
        return None if self._source is None else chosen_of(self._layer, self._source, self._source.volume)

    # The pre-flight

    def _list_checkpoints(self) -> None:
        project = self._project(self.current_form())
        root = project.registry.root if project is not None else None
        if self._loading is not None:
            self._loading.abandon()
        self._loading = run(lambda: checkpoints_at_hand(root))
        self._loading.done.connect(self.form.set_checkpoints)
        self._loading.failed.connect(self._failed)
        self._loading.start()

    def _start_estimate(self) -> None:
        form = self.current_form()
        if self._source is None or form.region is None or self._run.phase.active:
            self._estimate = Estimate()
            self._paint()
            return
        if self._estimating is not None and self._estimating.running:
            self._estimate_timer.start()
            return
        volume, project = self._volume(form), self._project(form)
        self._estimating = run(lambda: estimate_run(volume, form, project))
        self._estimating.done.connect(self._estimated)
        self._estimating.failed.connect(self._estimate_failed)
        self._estimating.start()

    def _estimated(self, estimate: Estimate) -> None:
        if not self._estimate_timer.isActive():
            self._estimate = estimate
        self._paint()

    def _estimate_failed(self, failure: Failure) -> None:
        if not self._estimate_timer.isActive():
            text = f"{failure.headline} {failure.remedy}".strip()
            self._estimate = Estimate(problem=text)
        self._paint()

    # The run

    def _receive(self, report: Report, layer: Any, factors: Sequence[float]) -> None:
        if isinstance(report, LabelsReady):
            if layer in self._viewer.layers:
                self._labels = show_labels(self._viewer, report.store, layer, live=report.live)
                place_level(self._labels, layer, factors)
        elif isinstance(report, Outcome):
            lines = filter(None, (self._run.result, report.text))
            self._run = replace(self._run, result="\n".join(lines))
        elif isinstance(report, Notice):
            self._run = replace(self._run, notices=(*self._run.notices, report.text))
        elif isinstance(report, Progress):
            phase = Phase.RUNNING if self._run.phase is Phase.STARTING else self._run.phase
            self._run = replace(self._run, progress=report, phase=phase)
            if not self._refresh_timer.isActive():
                self._refresh_timer.start()
        self._paint()

    def _refresh_labels(self) -> None:
        if self._labels is not None and self._labels in self._viewer.layers:
            self._labels.refresh(thumbnail=False, highlight=False, extent=False)

    def _done(self, report: Report) -> None:
        self._end(Phase.FINISHED)
        self.finished.emit(report)
        if self._target() is not None:
            self._session.notify()

    def _failed(self, failure: Failure) -> None:
        self._run = replace(self._run, failure=failure)
        self._end(Phase.FAILED)
        QTimer.singleShot(0, self._show_error)

    def _show_error(self) -> None:
        scroll_to(self.panel.error)

    def _end(self, phase: Phase) -> None:
        self._run = replace(self._run, phase=phase)
        self._refresh_timer.stop()
        if self._labels is not None and self._labels in self._viewer.layers:
            self._labels.refresh()
        self._form_changed()

    def _set_phase(self, phase: Phase) -> None:
        self._run = replace(self._run, phase=phase)
        self._paint()

    def _paint(self) -> None:
        picture = draw(self.current_form(), self._estimate, self._run)
        self.form.paint(picture)
        self.panel.paint(picture)
