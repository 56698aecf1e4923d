"""The upper part of the Codes page at work: watches the viewer, estimates, maps codes, opens maps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.chosen_volume import Chosen, chosen_of
from napari_vesselkd.plugin.codes import form as codes_form
from napari_vesselkd.plugin.codes.engine import (
    OpenMap,
    estimate_codes,
    open_map,
    stream_codes,
    teachers_at_hand,
)
from napari_vesselkd.plugin.codes.state import CodesForm, TeacherChoice, draw_codes
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.layers import (
    LayerVolume,
    current_steps,
    is_candidate,
    refusal,
    volume_of,
)
from napari_vesselkd.plugin.parts import set_quietly
from napari_vesselkd.plugin.segment_state import Estimate, Phase, RunState, Where
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.workers import Task, delayed, run
from napari_vesselkd.reports import Notice, Progress, Report

ESTIMATE_DELAY_MS = 300


class CodesRun(QWidget):
    """Maps the codes of an image layer of `viewer`.

    `opened` carries an `OpenMap`: another map is there, or None: there is none. `grew`: more of it is
    computed. `ended`: a run is over. `computed` carries the share 0..1 of the map that is computed.
    """

    opened = Signal(object)
    computed = Signal(float)
    grew = Signal()
    ended = Signal()

    def __init__(self, viewer: Any, events: ViewerEvents, session: ProjectSession) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self.layer: Any = None
        self.source: LayerVolume | None = None
        self.shown: OpenMap | None = None
        self._refusal: str | None = None
        self._looking = True
        self._estimate, self._run = Estimate(), RunState()
        self._computed: float | None = None
        self._focus: Region | None = None
        self._into: Any = None
        self._key: object = None
        self._task: Task | None = None
        self._estimating: Task | None = None
        self._loading: Task | None = None
        self._opening: Task | None = None
        self.form = codes_form.CodesForm(viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        self.timer = delayed(self, ESTIMATE_DELAY_MS, self._look_closer)
        self._connect(events)
        self._list_layers()
        self._project_opened()  # the page may be made after it

    # What other parts use

    @property
    def state(self) -> RunState:
        return self._run

    @property
    def has_run(self) -> bool:
        """Whether codes of the chosen layer were mapped in this window."""
        return self._run.phase is not Phase.IDLE

    @property
    def root(self) -> Path | None:
        """The folder of the project's checkpoints; None for the user's."""
        project = self._project()
        return project.registry.root if project is not None else None

    def current_form(self) -> CodesForm:
        project = self._project()
        return CodesForm(
            chosen=self._chosen(),
            refusal=self._refusal,
            teacher=self.form.choice,
            looking=self._looking,
            where=self.form.region.where,
            region=self.form.region.region(),
            level=self.form.level.value() if project is None else 0,
            project=project.path if project is not None else None,
            restart=self.form.restart.isChecked(),
        )

    def start(self) -> None:
        """Map what the form says; what the Map codes button does."""
        form = self.current_form()
        if self.source is None or form.region is None or (self._task is not None and self._task.running):
            return
        volume = self._volume()
        self._into = project = self._project()
        self._run = RunState(phase=Phase.STARTING)
        set_quietly(self.form.restart, "setChecked", False)
        self._look()
        self._task = Task(lambda: stream_codes(volume, form, project, self.focus))
        self._task.reported.connect(self._receive)
        self._task.done.connect(lambda _: self._end(Phase.FINISHED))
        self._task.failed.connect(self._failed)
        self._task.cancelled.connect(lambda: self._end(Phase.CANCELLED))
        self._task.start()
        self._paint()

    def focus(self) -> Region | None:
        """Return what is on screen, in voxels of the level that is mapped; called from the run's thread."""
        return self._focus

    def cancel(self) -> None:
        if self._task is not None and self._task.running:
            self._task.cancel()
            self._run = replace(self._run, phase=Phase.CANCELLING)
            self._paint()

    def release(self) -> None:
        """Stop everything: the viewer is closing."""
        self.timer.stop()
        for task in self.tasks:
            task.abandon()

    @property
    def tasks(self) -> list[Task]:
        """What is at work, or was."""
        every = (self._task, self._estimating, self._loading, self._opening)
        return [task for task in every if task is not None]

    # The viewer changed

    def _connect(self, events: ViewerEvents) -> None:
        events.layers_changed.connect(self._list_layers)
        events.view_moved.connect(self._view_moved)
        events.layer_moved.connect(self._reload)
        self.form.volume_changed.connect(self._choose_layer)
        self.form.changed.connect(self._form_changed)
        self.form.run_pressed.connect(self.start)
        self.form.stop_pressed.connect(self.cancel)
        self._session.opened.connect(self._project_opened)
        self._session.closing.connect(self._project_closing)
        self._session.closed.connect(self._list_teachers)

    def _list_layers(self) -> None:
        layers = [layer for layer in self._viewer.layers if is_candidate(layer)]
        active = self._viewer.layers.selection.active
        current = self.layer if self.layer in layers else None
        current = current or (active if active in layers else None) or (layers[-1] if layers else None)
        self.form.set_volumes(layers, current)
        if self.form.layer is not self.layer or current is None:
            self._choose_layer()
        else:
            self._paint()

    def _choose_layer(self) -> None:
        if self.form.layer is not self.layer:
            self.cancel()
        self.layer = self.form.layer
        if not self._run.phase.active:
            self._run = RunState()
        self._reload()

    def _reload(self) -> None:
        """Read the chosen layer again: another one, or its transform or position changed."""
        self.source, self._refusal = None, None
        if self.layer is not None:
            self._refusal = refusal(self.layer)
            if self._refusal is None:
                try:
                    self.source = volume_of(self.layer, current_steps(self._viewer, self.layer))
                except VesselKDError as error:
                    self._refusal = str(error)
        chosen = self._chosen()
        self.form.region.set_layer(self.layer if chosen else None, chosen.shape if chosen else None)
        self.form.set_levels(chosen.levels if chosen else 1)
        self._form_changed()

    def _view_moved(self) -> None:
        self._look()
        if self.layer is not None and self.layer.ndim > 3:
            self._reload()
        elif self.form.region.where is Where.VIEW and not self._run.phase.active:
            self._form_changed()

    def _look(self) -> None:
        form = replace(self.current_form(), region=self.form.region.view())
        self._focus = form.level_region

    def _form_changed(self) -> None:
        self.timer.start()
        self._estimate = replace(self._estimate, busy=True, problem=None)
        self._paint()

    def _chosen(self) -> Chosen | None:
        return None if self.source is None else chosen_of(self.layer, self.source, self._volume())

    # The project

    def _project(self) -> Any:
        """Return the project that the chosen layer is the image of, or None."""
        session = self._session
        known = session.project is not None and session.volume is not None
        return session.project if known and self.layer is session.layer and self.layer is not None else None

    def _volume(self) -> Any:
        """Return what is mapped: the image as the project knows it, or the layer's."""
        if self._project() is not None:
            return self._session.volume
        return self.source.volume if self.source is not None else None

    def _project_opened(self) -> None:
        if self._session.layer in self.form.layers:
            self.form.volume.setCurrentIndex(self.form.layers.index(self._session.layer))
        self._list_teachers()

    def _project_closing(self) -> None:
        """Stop writing into the project; what is finished is kept."""
        if self._into is not None:
            self.cancel()

    # What is found out in workers: the teachers, the pre-flight, the map that is kept

    def _list_teachers(self) -> None:
        root = self.root
        if self._loading is not None:
            self._loading.abandon()
        self._looking = True
        self._loading = run(lambda: teachers_at_hand(root))
        self._loading.done.connect(self._teachers_found)
        self._loading.failed.connect(self._failed)
        self._loading.start()

    def _teachers_found(self, teachers: Sequence[TeacherChoice]) -> None:
        self._looking = False
        self.form.set_teachers(teachers)
        self._form_changed()

    def _look_closer(self) -> None:
        """Open the map that is kept, if it is another one, and run the pre-flight."""
        form, project = self.current_form(), self._project()
        if self._run.phase.active:
            return
        self._open(form)
        if self.source is None or form.region is None or form.teacher is None:
            self._estimate = Estimate()
            self._paint()
            return
        if self._estimating is not None and self._estimating.running:
            self.timer.start()
            return
        volume = self._volume()
        self._estimating = run(lambda: estimate_codes(volume, form, project))
        self._estimating.done.connect(self._estimated)
        self._estimating.failed.connect(self._estimate_failed)
        self._estimating.start()

    def _open(self, form: CodesForm) -> None:
        volume, root = self._volume(), self.root
        key = (form.path, self.layer, form.teacher)
        if key == self._key:
            return
        self._key = key
        self._take(None)
        if volume is None or form.path is None:
            return
        if self._opening is not None:
            self._opening.abandon()
        self._opening = run(lambda: _with_share(open_map(volume, form, root)))
        self._opening.done.connect(lambda found: self._take(*found))
        self._opening.failed.connect(self._not_opened)
        self._opening.start()

    def _take(self, shown: OpenMap | None, computed: float | None = None) -> None:
        if shown is None and self.shown is None:
            return
        self.shown, self._computed = shown, computed
        self.opened.emit(shown)
        self.computed.emit(computed or 0.0)
        self._paint()

    def _not_opened(self, failure: Failure) -> None:
        self._run = replace(self._run, failure=failure)
        self._paint()

    def _estimated(self, estimate: Estimate) -> None:
        if not self.timer.isActive():
            self._estimate = estimate
        self._paint()

    def _estimate_failed(self, failure: Failure) -> None:
        if not self.timer.isActive():
            self._estimate = Estimate(problem=f"{failure.headline} {failure.remedy}".strip())
        self._paint()

    # The run

    def _receive(self, report: Report) -> None:
        if isinstance(report, OpenMap):
            self._take(report)
        elif isinstance(report, Notice):
            self._run = replace(self._run, notices=(*self._run.notices, report.text))
        elif isinstance(report, Progress):
            phase = Phase.RUNNING if self._run.phase is Phase.STARTING else self._run.phase
            self._run = replace(self._run, progress=report, phase=phase)
            self.grew.emit()
        self._paint()

    def _failed(self, failure: Failure) -> None:
        self._run = replace(self._run, failure=failure)
        self._end(Phase.FAILED)

    def _end(self, phase: Phase) -> None:
        self._run = replace(self._run, phase=phase)
        self._into = None
        self.grew.emit()
        self.ended.emit()
        self._count()
        self._form_changed()

    def _count(self) -> None:
        """Find out how much of the map is computed now."""
        shown = self.shown
        if shown is None:
            return
        self._opening = run(shown.code_map.computed)
        self._opening.done.connect(self._counted)
        self._opening.start()

    def _counted(self, share: float) -> None:
        self._computed = share
        self.computed.emit(share)
        self._paint()

    def _paint(self) -> None:
        self.form.paint(draw_codes(self.current_form(), self._estimate, self._run, computed=self._computed))


def _with_share(shown: OpenMap | None) -> tuple[OpenMap | None, float | None]:
    return shown, None if shown is None else shown.code_map.computed()
