"""The Learn tab: fine-tune the student, or teach a new one, in a child process, then judge it.

The job's process is started and asked to stop through `jobs`, in a worker; what it does is read from its run
folder by a `JobWatch`. All decisions about what is shown are in `learn_state` and `judgement`.
"""

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vesselkd import jobs
from napari_vesselkd.errors import OutputBusyError, VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.failure import Failure, describe_failure
from napari_vesselkd.plugin.goals import LearnForm, arguments
from napari_vesselkd.plugin.job_events import JobView
from napari_vesselkd.plugin.job_stages import FINETUNE
from napari_vesselkd.plugin.job_watch import KEPT, JobWatch
from napari_vesselkd.plugin.judgement import GateState, draw_gate, needs_a_second_click
from napari_vesselkd.plugin.learn_panel import LearnPanel
from napari_vesselkd.plugin.learn_state import Lesson, Offer, draw_learn, with_teacher
from napari_vesselkd.plugin.lineage import Entry, read_entries
from napari_vesselkd.plugin.parts import scroll_to
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.teaching import ask_for_offer
from napari_vesselkd.plugin.visible import go_to
from napari_vesselkd.plugin.workers import Task, run

ENDING_LIMIT, ENDING_POLL = 60.0, 0.2  # s
STARTING, RESUMING = "Starting…", "Going on…"


class LearnTab(QWidget):
    """Learn from the project of `session`, in a process of its own."""

    segment_again = Signal()

    def __init__(self, viewer: Any, session: ProjectSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._asked = ""
        self._failure: Failure | None = None
        self._sure = False
        self._looked_at = ""
        self._made: tuple[str, ...] = ()  # checkpoints of the job that are listed
        self._offer = Offer()
        self._offered: tuple[Any, ...] = ()  # what `_offer` is about
        self._runs: tuple[Path, ...] = ()
        self._tasks: dict[str, Task] = {}
        self.watch = JobWatch(self)
        self.panel = LearnPanel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self._connect()
        self._opened()

    @property
    def job(self) -> JobView | None:
        """The job that is shown."""
        return self.watch.view

    @property
    def busy(self) -> bool:
        """Whether a worker of this tab is at work."""
        return self.watch.looking or any(task.running for task in self._tasks.values())

    def lesson(self) -> Lesson:
        """Return what the project offers to learn from."""
        project = self._session.project
        if project is None:
            return Lesson(locked=self._session.why_not_edit)
        training, mips = project.training_blocks, project.training_mips
        return Lesson(
            path=project.path,
            locked=self._session.why_not_edit,
            training=sum(not block.painted_anywhere for block in training),
            painted=sum(block.painted_anywhere for block in training),
            held_out=len(project.held_out_blocks),
            vessel=sum(block.vessel for block in training),
            background=sum(block.background for block in training),
            mips=len(mips),
            mip_vessel=sum(block.vessel for block in mips),
            current=project.current,
        )

    # What the buttons do

    def start(self) -> None:
        """Start a new run."""
        project = self._session.project
        if project is None or self._asked:
            return
        path, form = project.path, with_teacher(self.panel.goal.form(), self._offer)
        try:
            folder = project.new_run(form.kind)
        except (VesselKDError, OSError) as error:
            self._failed(describe_failure(error))
            return
        self._ask(STARTING, lambda: start_job(path, folder, form), self._started)

    def stop(self) -> None:
        """Ask the job to stop after the step it is at; asked a second time, end its process."""
        job = self.job
        if job is not None:
            now = job.state == "stopping"
            self._work("stop", lambda: stop_job(job.path, now=now), lambda _: self.watch.look())

    def resume(self) -> None:
        """Go on with a job that was stopped, failed or killed."""
        job = self.job
        if job is not None:
            self._ask(RESUMING, lambda: resume_job(job.path), lambda _: self.watch.look())

    def promote(self) -> None:
        """Use what came out of the job from now on; asks twice where nothing speaks for it."""
        job = self.job
        if job is None or not job.name:
            return
        if needs_a_second_click(job.judged) and not self._sure:
            self._sure = True
            self._paint()
            return
        self._use(job.name, job.judged.scores() if job.judged is not None else {})

    def keep(self) -> None:
        """Go on with the current checkpoint and remember that."""
        job = self.job
        if job is not None:
            self._work("keep", (job.path / KEPT).touch, lambda _: self.watch.look())

    def use(self, name: str) -> None:
        """Use an earlier checkpoint, or "auto", from now on."""
        self._use(name, {})

    def show_worst(self) -> None:
        """Move the viewer to the held-out block that came out worst."""
        job = self.job
        if job is None or job.judged is None or job.judged.worst is None or self._session.volume is None:
            return
        region = Region.parse(job.judged.worst.region, self._session.volume.shape)
        go_to(self._viewer, self._session.layer, region)

    def release(self) -> None:
        """Stop watching; the job goes on."""
        self.watch.release()
        for task in self._tasks.values():
            task.abandon()

    # The project and the job changed

    def _opened(self) -> None:
        self._failure, self._asked, self._sure, self._runs = None, "", False, ()
        self._looked_at = ""
        self.watch.attach(None)
        project = self._session.project
        if project is not None:
            runs = project.runs
            self._work("runs", lambda: runs_of(runs), self._found)
        self._list_checkpoints()
        self._paint()

    def _found(self, runs: tuple[Path, ...]) -> None:
        """Attach to the newest run: one that still runs is found again, one that ended shows its result."""
        self._runs = tuple(dict.fromkeys((*self._runs, *runs)))
        if runs and self.watch.view is None:
            self.watch.attach(runs[0])
        self._paint()

    def _choose_run(self, index: int) -> None:
        self._sure, self._looked_at = False, ""
        self.watch.attach(self._runs[index])

    def _started(self, path: Path) -> None:
        self._sure, self._looked_at = False, ""
        self._runs = tuple(dict.fromkeys((path, *self._runs)))
        self.watch.attach(path)

    def _look_at(self, stage: str) -> None:
        """Show the curves of a stage; those of the latest one follow the job again."""
        begun = [one.name for one in self.job.stages if one.losses] if self.job is not None else []
        self._looked_at = "" if begun and stage == begun[-1] else stage
        self._paint()

    def _job_changed(self) -> None:
        made = self.job.made if self.job is not None else ()
        if made != self._made:
            self._made = made
            self._list_checkpoints()
        failed = self.job is not None and self.job.failure is not None
        appeared = failed and not self.panel.error.isVisible()
        self._paint()
        if appeared:
            QTimer.singleShot(0, self._show_error)

    def _use(self, name: str, scores: dict[str, Any]) -> None:
        project = self._session.project
        if project is None:
            return
        try:
            project.promote(name, scores)
        except (VesselKDError, OSError) as error:
            self._failed(describe_failure(error))
            return
        self._sure, self._failure = False, None
        self._list_checkpoints()
        self._session.notify()

    def _list_checkpoints(self) -> None:
        project = self._session.project
        if project is None:
            self._show_entries(())
            return
        root, current, size = project.registry.root, project.current, project.image.voxel_size_um
        scores = {promotion.name: promotion.scores for promotion in project.promotions if promotion.scores}
        self._work("entries", lambda: read_entries(root, current, scores, size), self._show_entries)

    def _show_entries(self, entries: tuple[Entry, ...]) -> None:
        self.panel.checkpoints.show_entries(entries, self.lesson().locked)
        self.panel.goal.show_teachers([entry for entry in entries if entry.teacher])
        self._ask_for_offer()

    # What is said before a new student is taught

    def _form_changed(self) -> None:
        self._ask_for_offer()
        self._paint()

    def _ask_for_offer(self) -> None:
        """Find out in a worker what the form as it is now means, unless that is known already."""
        project, form = self._session.project, self.panel.goal.form()
        if project is None or not form.staged:
            return
        path, teachers = (
            project.path,
            tuple(entry for entry in self.panel.checkpoints.entries if entry.teacher),
        )
        wanted = (path, form, teachers)
        if wanted == self._offered:
            return
        self._offered = wanted
        self._offer = Offer(self._offer.descriptions)
        self._work(
            "offer",
            lambda: ask_for_offer(path, form),
            self._take_offer,
            lambda failure: self._take_offer(Offer(problem=failure.headline)),
        )

    def _take_offer(self, offer: Offer) -> None:
        self._offer = offer
        self.panel.goal.recommend(offer.preset)
        self._paint()

    # Workers

    def _ask(self, what: str, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._asked, self._failure = what, None

        def answered(result: Any) -> None:
            self._asked = ""
            done(result)
            self._paint()

        self._work("job", function, answered)
        self._paint()

    def _work(
        self,
        what: str,
        function: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Failure], None] | None = None,
    ) -> None:
        """Call `function` in a worker; the answer of one that was overtaken by another is dropped."""
        before = self._tasks.get(what)
        if before is not None:
            before.abandon()
        task = run(function)
        self._tasks[what] = task
        task.done.connect(done)
        task.failed.connect(failed or self._failed)
        task.start()

    def _failed(self, failure: Failure) -> None:
        self._asked, self._failure = "", failure
        self._paint()
        QTimer.singleShot(0, self._show_error)

    def _show_error(self) -> None:
        scroll_to(self.panel.error)

    # Painting

    def _paint(self) -> None:
        lesson, job = self.lesson(), self.job
        finetuned = job is not None and job.stage.name == FINETUNE
        self.picture = draw_learn(
            lesson,
            self.panel.goal.form(),
            job,
            offer=self._offer,
            looked_at=self._looked_at,
            asked=self._asked,
            measured=job.seconds_per_step if job is not None and finetuned else None,
            failure=self._failure or self.watch.failure,
        )
        self.panel.paint(self.picture, self.watch.pictures)
        self.panel.show_runs([path.name for path in self._runs], self._run_index())
        self.panel.gate.paint(draw_gate(gate) if (gate := self._gate(lesson, job)) is not None else None)
        self.panel.checkpoints.show_entries(self.panel.checkpoints.entries, lesson.locked)

    def _run_index(self) -> int:
        return self._runs.index(self.job.path) if self.job is not None and self.job.path in self._runs else -1

    def _gate(self, lesson: Lesson, job: JobView | None) -> GateState | None:
        project = self._session.project
        if project is None or job is None or job.state != "finished" or not job.name:
            return None
        return GateState(
            name=job.name,
            judged=job.judged,
            current=project.current,
            promoted=job.name in [promotion.name for promotion in project.promotions],
            kept=job.kept,
            sure=self._sure,
            locked=lesson.locked,
        )

    def _connect(self) -> None:
        self._session.opened.connect(self._opened)
        self._session.closed.connect(self._opened)
        self._session.changed.connect(self._paint)
        self.watch.changed.connect(self._job_changed)
        panel = self.panel
        for signal, slot in (
            (panel.start_pressed, self.start),
            (panel.stop_pressed, self.stop),
            (panel.resume_pressed, self.resume),
            (panel.goal.changed, self._form_changed),
            (panel.stage.chosen, self._look_at),
            (panel.run_chosen, self._choose_run),
            (panel.gate.promote_pressed, self.promote),
            (panel.gate.keep_pressed, self.keep),
            (panel.gate.worst_pressed, self.show_worst),
            (panel.gate.again_pressed, self.segment_again),
            (panel.checkpoints.use_pressed, self.use),
        ):
            signal.connect(slot)


def start_job(project: Path, folder: Path, form: LearnForm) -> Path:
    """Start a run of `project` in `folder`; called in a worker."""
    return jobs.start(arguments(project, form, folder), folder).path


def stop_job(path: Path, *, now: bool) -> None:
    """Ask the job of a run folder to stop, or end its process `now`; called in a worker."""
    if now:
        jobs.stop(path, wait=0)
    else:
        jobs.RunFolder.open(path).ask_to_stop()


def resume_job(path: Path) -> None:
    """Start the command of a run folder again; called in a worker.

    A process that has said its last word may still need seconds to end; it holds the run until then.
    """
    until = monotonic() + ENDING_LIMIT
    while True:
        try:
            jobs.resume(path)
            return
        except OutputBusyError:
            if monotonic() > until:
                raise
            sleep(ENDING_POLL)


def runs_of(folder: Path) -> tuple[Path, ...]:
    """Return the run folders in `folder`, the newest first; called in a worker."""
    return tuple(status.path for status in jobs.known_runs(folder))
