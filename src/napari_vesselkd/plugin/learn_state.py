"""What the Learn tab shows, computed without Qt.

`Lesson` is what the project offers, `LearnForm` what the user chose, `Offer` what is known of teaching a new
student, `JobView` how far the job is; `draw_learn` turns them into a `LearnPicture`, which the tab paints.
"""

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.goals import AUTO, Goal, LearnForm, arguments
from napari_vesselkd.plugin.job_events import JobView
from napari_vesselkd.plugin.job_stages import FINETUNE, STUDENT, TEACHER, Curve, Point, StageView
from napari_vesselkd.plugin.progress_text import duration
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.stage_text import (
    Phase,
    describe_codebook,
    describe_job,
    is_staged,
    permille,
    phases,
)
from napari_vesselkd.plugin.visible import describe_count

SECONDS_PER_STEP = 0.4  # on two cores; used until a run of the project was measured
ANNOUNCED = re.compile(r"\d of \d: ")  # notices of stages that begin: the row of phases says it


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
    painted : int
        Places that were painted with no block open, to learn from.
    vessel, background : int
        Labelled voxels of the training blocks and these places.
    mips : int
        Accepted painted projections to learn from.
    mip_vessel : int
        Pixels of vessel on them.
    current : str
        Name of the project's checkpoint, "auto" before any promotion.
    """

    path: Path | None = None
    locked: str = ""
    training: int = 0
    held_out: int = 0
    painted: int = 0
    vessel: int = 0
    background: int = 0
    mips: int = 0
    mip_vessel: int = 0
    current: str = "auto"


@dataclass(frozen=True)
class Offer:
    """What is known of teaching a new student as the form says.

    Attributes
    ----------
    descriptions : dict
        What each preset does, by its name; empty until it was read.
    teacher : str
        Name of the teacher that it begins with; empty until that is known, and where there is none.
    estimate : str
        Time, memory and disk; empty until they are known.
    tight : str
        What there is too little of; empty where there is enough.
    problem : str
        Why no student can be taught; empty where one can.
    preset : str
        The preset for this machine: the paper's where there is a GPU; empty until that is known.
    """

    descriptions: Mapping[str, str] = field(default_factory=dict)
    teacher: str = ""
    estimate: str = ""
    tight: str = ""
    problem: str = ""
    preset: str = ""


@dataclass(frozen=True)
class StagePicture:
    """What the tab shows of the stage that is looked at.

    Attributes
    ----------
    name : str
    curves : tuple of (name, points)
        The loss and its terms.
    scores : tuple of (name, points)
        clDice and Dice.
    codebook : tuple of (name, points)
        The share of the codes that are used.
    steps : int
        Of the whole stage, or of what there is.
    """

    name: str = FINETUNE
    curves: tuple[Curve, ...] = ()
    curves_visible: bool = False
    scores: tuple[Curve, ...] = ()
    scores_visible: bool = False
    codebook: tuple[Curve, ...] = ()
    codebook_text: str = ""
    steps: int = 1


@dataclass(frozen=True)
class LearnPicture:
    """Everything the Learn tab shows apart from inputs, gate and checkpoints."""

    lesson: str
    parent: str
    preset: str
    descriptions: Mapping[str, str]
    teacher: str
    hint: str
    reason: str
    estimate: str
    estimate_is_problem: bool
    start: Button
    stop: Button
    resume: Button
    inputs_enabled: bool
    run_title: str
    bar_visible: bool
    bar_permille: int | None
    bar_text: str
    phases: tuple[Phase, ...]
    choices: tuple[tuple[str, bool], ...]
    stage: StagePicture
    notices: tuple[str, ...]
    failure: Failure | None
    command: str


def draw_learn(
    lesson: Lesson,
    form: LearnForm,
    job: JobView | None,
    *,
    offer: Offer = Offer(),
    looked_at: str = "",
    asked: str = "",
    measured: float | None = None,
    failure: Failure | None = None,
) -> LearnPicture:
    """Return what the tab shows.

    Parameters
    ----------
    looked_at : str
        Name of the stage whose curves are wanted; by default the latest one that has some.
    asked : str
        What was just asked of the job and has not happened yet ("Starting…"); empty otherwise.
    measured : float or None
        Seconds per step of an earlier fine-tuning in this project.
    failure : Failure or None
        Why a start or a stop did not work; the job's own failure is in `job`.
    """
    reason = why_not_learn(lesson, job, form, offer)
    active = bool(asked) or (job is not None and job.active)
    silent = lesson.path is None or active
    return LearnPicture(
        lesson=describe_lesson(lesson),
        parent=_parent(lesson),
        preset=offer.descriptions.get(form.preset, ""),
        descriptions=offer.descriptions,
        teacher=_teacher(lesson, form, offer),
        hint="" if form.goal is Goal.PRETRAIN else _hint(lesson),
        reason="" if active else reason,
        estimate="" if silent else _estimate(form, offer, measured),
        estimate_is_problem=form.staged and bool(offer.tight),
        start=Button("Start", not reason and not asked, reason or asked or form.does),
        stop=_stop(job, asked),
        resume=_resume(lesson, job, asked),
        inputs_enabled=not active and lesson.path is not None,
        run_title=f"Run {job.path.name}" if job is not None else "",
        bar_visible=job is not None or bool(asked),
        bar_permille=None if asked or job is None else permille(job),
        bar_text=asked or (describe_job(job) if job is not None else ""),
        phases=phases(job) if job is not None and is_staged(job) else (),
        choices=_choices(job),
        stage=_stage(lesson, job, looked_at),
        notices=tuple(text for text in job.notices if not ANNOUNCED.match(text)) if job is not None else (),
        failure=failure or (job.failure if job is not None else None),
        command=command_line(lesson, with_teacher(form, offer)),
    )


def why_not_learn(lesson: Lesson, job: JobView | None, form: LearnForm, offer: Offer) -> str:
    """Return why Start is disabled; empty where it is not."""
    if lesson.locked:
        return lesson.locked
    if job is not None and job.active:
        return "This project is learning already"
    problem = offer.problem if form.staged else ""
    if form.goal is Goal.PRETRAIN:
        return problem
    if form.goal is Goal.TUNE and with_teacher(form, offer).teacher == AUTO:
        problem = problem or "Looking for the latest teacher…"
    return _why_no_labels(lesson, form) or problem


def with_teacher(form: LearnForm, offer: Offer) -> LearnForm:
    """Return `form` with the name of the teacher that auto stands for, where a command needs the name."""
    if form.goal is not Goal.TUNE or form.teacher != AUTO or not offer.teacher:
        return form
    return replace(form, teacher=offer.teacher)


def _why_no_labels(lesson: Lesson, form: LearnForm) -> str:
    """Return why what is accepted does not do; empty where it does. Stages of VpbSD need voxel labels."""
    if not form.staged and lesson.mip_vessel:
        return ""
    labelled = lesson.training + lesson.painted
    if labelled == 0 and lesson.mips and form.staged:
        return "Projections alone teach no new student: accept a block on the Correct tab"
    if labelled == 0 and lesson.held_out:
        return "All accepted blocks are held out for the comparison: accept one more on the Correct tab"
    if labelled == 0:
        return "There is nothing to learn from yet: correct a block on the Correct tab and accept it"
    if lesson.vessel == 0:
        return "The accepted blocks hold only background: label some vessel, or accept a block with vessels"
    return ""


def describe_lesson(lesson: Lesson) -> str:
    """Return how many blocks and projections there are to learn from, and what is held out."""
    if lesson.path is None or lesson.training + lesson.painted + lesson.held_out + lesson.mips == 0:
        return ""
    vessel, background = (describe_count(count).rstrip() for count in (lesson.vessel, lesson.background))
    held = (
        f"{lesson.held_out} more held out for the comparison" if lesson.held_out else "none is held out yet"
    )
    parts = []
    labelled = [f"{lesson.training} accepted block{'s' if lesson.training != 1 else ''}"]
    labelled = [] if not lesson.training and (lesson.mips or lesson.painted) else labelled
    if lesson.painted:
        labelled.append(f"{lesson.painted} place{'s' if lesson.painted != 1 else ''} painted anywhere")
    if labelled:
        what = " and ".join(labelled)
        parts.append(f"{what} with {vessel} vessel and {background} background voxels")
    if lesson.mips:
        pixels = describe_count(lesson.mip_vessel).rstrip()
        many = "s" if lesson.mips != 1 else ""
        parts.append(f"{lesson.mips} painted projection{many} with {pixels} pixels of vessel")
    return f"{'; '.join(parts)}; {held}."


def describe_time(steps: int, measured: float | None) -> str:
    """Return how long a run is going to take."""
    about = f"About {duration(max(1.0, steps * (measured or SECONDS_PER_STEP)))}"
    return f"{about}, as the last run" if measured else f"{about} on two cores; goes on if the viewer closes"


def command_line(lesson: Lesson, form: LearnForm) -> str:
    """Return the equivalent command line; empty without a project."""
    if lesson.path is None:
        return ""
    return shlex.join(["vesselkd", *arguments(lesson.path, form)])


def _parent(lesson: Lesson) -> str:
    if lesson.path is None:
        return ""
    if lesson.current == "auto":
        return "Begins from the checkpoint that comes with the package."
    return f"Begins from {lesson.current}, the project's current checkpoint."


def _teacher(lesson: Lesson, form: LearnForm, offer: Offer) -> str:
    """Return which teacher the run begins with, where that is not what was chosen."""
    known = lesson.path is not None and form.teacher == AUTO and offer.teacher
    return f"Begins with {offer.teacher}." if known else ""


def _hint(lesson: Lesson) -> str:
    if lesson.path is None or lesson.training == 0 or lesson.held_out:
        return ""  # projections are never held out
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


def _estimate(form: LearnForm, offer: Offer, measured: float | None) -> str:
    if not form.staged:
        return describe_time(form.steps, measured)
    if offer.problem:
        return ""
    return ". ".join(filter(None, (offer.estimate or "Estimating…", offer.tight)))


def _choices(job: JobView | None) -> tuple[tuple[str, bool], ...]:
    """Return the stages that can be looked at, and whether there is anything to see of each."""
    if job is None or len(job.stages) < 2 or not any(stage.losses for stage in job.stages):
        return ()
    return tuple((stage.name, bool(stage.losses)) for stage in job.stages)


def _stage(lesson: Lesson, job: JobView | None, looked_at: str) -> StagePicture:
    if job is None:
        return StagePicture()
    begun = [stage for stage in job.stages if stage.losses]
    latest = begun[-1] if begun else job.stage
    stage = next((one for one in begun if one.name == looked_at), latest)
    now = stage is job.stage
    expected = bool(stage.losses and lesson.held_out and stage.name in (FINETUNE, TEACHER, STUDENT))
    codebook = tuple((one.step, one.usage) for one in stage.codebook if math.isfinite(one.usage))
    return StagePicture(
        name=stage.name,
        curves=(("loss", stage.losses), *(stage.terms if len(stage.terms) > 1 else ())),
        curves_visible=bool(stage.losses or (now and job.active and job.counted is None)),
        scores=(("clDice", _finite(stage, "cldice")), ("Dice", _finite(stage, "dice"))),
        scores_visible=bool(stage.validations) or expected,
        codebook=(("codes used", codebook),) if codebook else (),
        codebook_text=describe_codebook(stage),
        steps=stage.progress.total if stage.progress is not None else 1,
    )


def _finite(stage: StageView, name: str) -> tuple[Point, ...]:
    found = ((at.step, getattr(at, name)) for at in stage.validations)
    return tuple((step, value) for step, value in found if math.isfinite(value))
