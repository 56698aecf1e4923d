"""What the Learn tab shows, computed without Qt.

`Lesson` is what the project offers, `LearnForm` what the user chose, `JobView` how far the job is;
`draw_learn` turns the three into a `LearnPicture`, which the tab paints.
"""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.job_events import JobView, Point
from napari_vesselkd.plugin.progress_text import describe_progress_of, duration
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.visible import describe_count

STEPS = 150
PHANTOM_SHARE = 0.25
SECONDS_PER_STEP = 0.4  # on two cores; used until a run of the project was measured


@dataclass(frozen=True)
class Lesson:
    """What a project offers to learn from.

    Attributes
    ----------
    path : Path or None
        The project; None without one.
    locked : str
        Why nothing can be learned whatever the blocks are (no project, read-only); empty otherwise.
    training, held_out : int
        Accepted blocks to learn from, and to compare on.
    vessel, background : int
        Labelled voxels of the training blocks.
    current : str
        Name of the project's checkpoint, "auto" before any promotion.
    """

    path: Path | None = None
    locked: str = ""
    training: int = 0
    held_out: int = 0
    vessel: int = 0
    background: int = 0
    current: str = "auto"


@dataclass(frozen=True)
class LearnForm:
    """What the user chose.

    Attributes
    ----------
    steps : int
    phantom_share : float
        Share of the patches that come from phantoms, 0..1: against forgetting.
    """

    steps: int = STEPS
    phantom_share: float = PHANTOM_SHARE


@dataclass(frozen=True)
class LearnPicture:
    """Everything the Learn tab shows apart from inputs, gate and checkpoints."""

    lesson: str
    parent: str
    hint: str
    reason: str
    estimate: str
    start: Button
    stop: Button
    resume: Button
    inputs_enabled: bool
    run_title: str
    bar_visible: bool
    bar_permille: int | None
    bar_text: str
    losses: tuple[Point, ...]
    loss_visible: bool
    dice: tuple[Point, ...]
    cldice: tuple[Point, ...]
    scores_visible: bool
    steps: int
    notices: tuple[str, ...]
    failure: Failure | None
    command: str


def draw_learn(
    lesson: Lesson,
    form: LearnForm,
    job: JobView | None,
    *,
    asked: str = "",
    measured: float | None = None,
    failure: Failure | None = None,
) -> LearnPicture:
    """Return what the tab shows.

    Parameters
    ----------
    asked : str
        What was just asked of the job and has not happened yet ("Starting…"); empty otherwise.
    measured : float or None
        Seconds per step of an earlier run of this project.
    failure : Failure or None
        Why a start or a stop did not work; the job's own failure is in `job`.
    """
    reason = why_not_learn(lesson, job)
    active = bool(asked) or (job is not None and job.active)
    return LearnPicture(
        lesson=describe_lesson(lesson),
        parent=_parent(lesson),
        hint=_hint(lesson),
        reason="" if active else reason,
        estimate="" if lesson.path is None or active else describe_time(form.steps, measured),
        start=Button("Start", not reason and not asked, reason or asked or "Learn from the accepted blocks"),
        stop=_stop(job, asked),
        resume=_resume(lesson, job, asked),
        inputs_enabled=not active and lesson.path is not None,
        run_title=f"Run {job.path.name}" if job is not None else "",
        bar_visible=job is not None or bool(asked),
        bar_permille=_permille(job, asked),
        bar_text=asked or (describe_job(job) if job is not None else ""),
        losses=job.losses if job is not None else (),
        loss_visible=job is not None and bool(job.losses or (job.active and job.stage is None)),
        dice=_finite(job, "dice"),
        cldice=_finite(job, "cldice"),
        scores_visible=job is not None and bool(job.validations or (job.losses and lesson.held_out)),
        steps=_steps(job, form),
        notices=job.notices if job is not None else (),
        failure=failure or (job.failure if job is not None else None),
        command=command_line(lesson, form),
    )


def why_not_learn(lesson: Lesson, job: JobView | None) -> str:
    """Return why Start is disabled; empty where it is not."""
    if lesson.locked:
        return lesson.locked
    if job is not None and job.active:
        return "This project is learning already"
    if lesson.training == 0 and lesson.held_out:
        return "All accepted blocks are held out for the comparison: accept one more on the Correct tab"
    if lesson.training == 0:
        return "There is nothing to learn from yet: correct a block on the Correct tab and accept it"
    if lesson.vessel == 0:
        return "The accepted blocks hold only background: label some vessel, or accept a block with vessels"
    return ""


def describe_lesson(lesson: Lesson) -> str:
    """Return how many blocks there are to learn from, their labelled voxels, and what is held out."""
    if lesson.path is None or lesson.training + lesson.held_out == 0:
        return ""
    vessel, background = (describe_count(count).rstrip() for count in (lesson.vessel, lesson.background))
    held = (
        f"{lesson.held_out} more held out for the comparison" if lesson.held_out else "none is held out yet"
    )
    blocks = f"{lesson.training} accepted block{'s' if lesson.training != 1 else ''}"
    return f"{blocks} with {vessel} vessel and {background} background voxels; {held}."


def describe_time(steps: int, measured: float | None) -> str:
    """Return how long a run is going to take."""
    about = f"About {duration(max(1.0, steps * (measured or SECONDS_PER_STEP)))}"
    return f"{about}, as the last run" if measured else f"{about} on two cores; goes on if the viewer closes"


def finetune_arguments(project: Path, form: LearnForm, run: Path | None = None) -> list[str]:
    """Return the words after ``vesselkd`` that learn as `form` says; `run` is the run folder."""
    words = ["finetune", str(project)]
    words += ["--out", str(run)] if run is not None else []
    defaults = LearnForm()
    words += ["--set", f"steps={form.steps}"] if form.steps != defaults.steps else []
    if form.phantom_share != defaults.phantom_share:
        words += ["--set", f"phantom_share={form.phantom_share:g}"]
    return words


def command_line(lesson: Lesson, form: LearnForm) -> str:
    """Return the equivalent command line; empty without a project."""
    if lesson.path is None:
        return ""
    return shlex.join(["vesselkd", *finetune_arguments(lesson.path, form)])


def describe_job(job: JobView) -> str:
    """Return the text under the bar: state, steps, rate, time left."""
    progress = job.progress
    parts = {
        "stopping": ["Stopping after this step"],
        "stopped": ["Stopped; Resume goes on"],
        "failed": ["Stopped by an error"],
        "crashed": ["It ended unexpectedly; Resume goes on"],
        "missing": ["Its folder is gone"],
        "finished": ["Finished"],
    }.get(job.state, [])
    learned = progress is not None and progress.done >= progress.total
    stage = f": {job.stage.done} of {job.stage.total} {job.stage.unit}" if job.stage is not None else "…"
    if job.active and learned:
        parts.append(f"Comparing with the current checkpoint{stage}")
    elif job.active and (progress is None or job.stage is not None):
        parts.append(f"Preparing{stage}")
    elif progress is not None:
        parts += describe_progress_of(progress, ended=not job.active, finished=job.state == "finished")
    return " · ".join(parts)


def _parent(lesson: Lesson) -> str:
    if lesson.path is None:
        return ""
    if lesson.current == "auto":
        return "Begins from the checkpoint that comes with the package."
    return f"Begins from {lesson.current}, the project's current checkpoint."


def _hint(lesson: Lesson) -> str:
    if lesson.path is None or lesson.training == 0 or lesson.held_out:
        return ""
    return "One of your next accepted blocks will be held out; until then nothing can be compared."


def _stop(job: JobView | None, asked: str) -> Button:
    if asked:
        return Button("Stop", False, asked)
    if job is None or not job.active:
        return Button("Stop", False, "Nothing is running")
    if job.state == "stopping":
        return Button("Stop now", True, "End its process at once; Resume goes on from the last saved step")
    return Button("Stop", True, "Stop after this step; Resume goes on from there")


def _resume(lesson: Lesson, job: JobView | None, asked: str) -> Button:
    if asked or lesson.locked:
        return Button("Resume", False, asked or lesson.locked)
    if job is None or not job.resumable:
        why = "It is running" if job is not None and job.active else "No run was stopped before its end"
        return Button("Resume", False, why)
    return Button("Resume", True, "Go on with this run from the last step that was saved")


def _permille(job: JobView | None, asked: str) -> int | None:
    if asked or job is None:
        return None
    if job.state == "finished":
        return 1000
    progress = job.stage if job.active and job.stage is not None else job.progress
    if progress is None or not progress.total:
        return None if job.active else 0
    return round(1000 * progress.done / progress.total)


def _finite(job: JobView | None, name: str) -> tuple[Point, ...]:
    found = () if job is None else job.validations
    return tuple((at.step, getattr(at, name)) for at in found if math.isfinite(getattr(at, name)))


def _steps(job: JobView | None, form: LearnForm) -> int:
    return job.progress.total if job is not None and job.progress is not None else form.steps
