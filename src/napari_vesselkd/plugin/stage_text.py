"""How a job that goes through stages reads: its phases, what it does now, time left over all of them. No Qt.

A phase is a stage, the teacher's answers before a student, or the comparison at the end.
"""

from dataclasses import dataclass
from enum import Enum

from napari_vesselkd.plugin.job_events import ANSWERS_UNIT, JobView
from napari_vesselkd.plugin.job_stages import FINETUNE, PRETRAIN, STUDENT, TEACHER, StageView
from napari_vesselkd.plugin.progress_text import describe_progress_of, duration
from napari_vesselkd.reports import Progress

ANSWERS, GATE = "answers", "gate"
TITLES = {
    FINETUNE: "Student",
    PRETRAIN: "Teacher",
    TEACHER: "Teacher",
    ANSWERS: "Answers",
    STUDENT: "Student",
    GATE: "Compare",
}
ENDED = {
    "stopping": ["Stopping after this step"],
    "stopped": ["Stopped; Resume goes on"],
    "failed": ["Stopped by an error"],
    "crashed": ["It ended unexpectedly; Resume goes on"],
    "missing": ["Its folder is gone"],
    "finished": ["Finished"],
}
GATE_SHARE = 0.02  # of the bar
LEAST_PACE, MOST_PACE = 0.05, 50.0
LISTS = 2  # of patches that the teacher answers for: labelled and unlabelled ones


class Where(Enum):
    """Where a phase is: behind, going on, or to come."""

    DONE = "done"
    NOW = "now"
    NEXT = "next"


@dataclass(frozen=True)
class Phase:
    """One phase: its name, how far it is (0..1), and where."""

    name: str
    share: float
    where: Where

    @property
    def title(self) -> str:
        """What it is called on screen."""
        return TITLES[self.name]


def phases(job: JobView) -> tuple[Phase, ...]:
    """Return the phases of a job in their order."""
    names = _names(job)
    now = len(names) if job.state == "finished" else names.index(_now(job))
    return tuple(
        Phase(name, 1.0, Where.DONE)
        if index < now
        else Phase(name, _share(job, name), Where.NOW)
        if index == now
        else Phase(name, 0.0, Where.NEXT)
        for index, name in enumerate(names)
    )


def is_staged(job: JobView) -> bool:
    """Whether a job has more to go through than steps and a comparison."""
    return len(job.stages) > 1 or job.stage.asks


def describe_job(job: JobView) -> str:
    """Return the text under the bar: state, what is done now, how fast, time left."""
    parts, now = list(ENDED.get(job.state, [])), _now(job)
    counted = f": {job.counted.done} of {job.counted.total} {job.counted.unit}" if job.counted else "…"
    progress, finished = job.progress, job.state == "finished"
    if job.active and now == GATE:
        parts.append(f"Comparing with the current checkpoint{counted}")
    elif job.active and now == ANSWERS and _asked(job) is not None:
        parts.append(f"Teacher's answers{counted.replace(ANSWERS_UNIT, 'patches')}")
    elif job.active and (progress is None or job.counted is not None):
        parts.append(f"Preparing{counted}")
    elif progress is not None and not is_staged(job):
        parts += describe_progress_of(progress, ended=not job.active, finished=finished)
    elif progress is not None and not finished:
        # The time left is said for all stages together.
        steps = describe_progress_of(progress, ended=not job.active, finished=False)[:2]
        parts.append(f"{TITLES[now]}: {' · '.join(steps)}")
    text = " · ".join(parts)
    return "\n".join(filter(None, (text, describe_left(job))))


def describe_left(job: JobView) -> str:
    """Return how long a staged job that runs will take from now on; empty where that is not known."""
    if not job.active or not is_staged(job) or _now(job) == GATE:
        return ""
    left = seconds_left(job)
    if left is not None:
        return f"About {duration(left)} left over all stages"
    here = _left_here(job)
    return "" if here is None else f"{duration(here)} left in this stage"


def seconds_left(job: JobView) -> float | None:
    """Return the time left over all stages, in s; None while nothing was estimated or measured.

    Stages to come take what was estimated, times what this one takes against its estimate.
    """
    now, here = _now(job), _left_here(job)
    names = _names(job)
    later = names[names.index(now) + 1 :]
    if here is None or any(name != GATE and name not in job.estimated for name in (now, *later)):
        return None
    pace = min(MOST_PACE, max(LEAST_PACE, _whole(job) / max(job.estimated[now], 1e-9)))
    return here + pace * sum(job.estimated.get(name, 0.0) for name in later)


def permille(job: JobView) -> int | None:
    """Return how much of a job is done, 0..1000; None while that is not known."""
    if job.state == "finished":
        return 1000
    if not is_staged(job):
        return _permille_of_steps(job)
    found = phases(job)
    weights = _weights(job, found)
    done = sum(weight * phase.share for weight, phase in zip(weights, found, strict=True))
    return round(1000 * done / sum(weights))


def describe_codebook(stage: StageView) -> str:
    """Return the figures of the last look at the codebook, or how many codes changed; empty without any."""
    if stage.codebook:
        seen = stage.codebook[-1]
        return (
            f"Codebook: {seen.usage:.0%} of the codes used, {seen.dead} unused, "
            f"perplexity {seen.perplexity:.0f}, reliance {seen.reliance:.2f}"
        )
    if stage.changed_codes is not None:
        return f"{stage.changed_codes:.0%} of the codes changed while the teacher learned to segment"
    return ""


def _names(job: JobView) -> tuple[str, ...]:
    names = [name for stage in job.stages for name in ([ANSWERS] * stage.asks + [stage.name])]
    return (*names, GATE) if job.stages[-1].name in (FINETUNE, STUDENT) else tuple(names)


def _now(job: JobView) -> str:
    stage = job.stage
    if stage.learned and job.at == len(job.stages) - 1:
        return GATE if stage.name in (FINETUNE, STUDENT) else stage.name
    before_steps = stage.progress is None and not stage.losses
    return ANSWERS if stage.asks and before_steps else stage.name


def _share(job: JobView, name: str) -> float:
    """Return how far the phase is that a job is in, 0..1."""
    if name == ANSWERS:
        return _answered(job) / LISTS
    progress = job.counted if name == GATE else job.progress
    return progress.done / progress.total if progress is not None and progress.total else 0.0


def _answered(job: JobView) -> float:
    """Return how many lists of patches the teacher has answered for, with the fraction of the last one."""
    asked = _asked(job)
    part = asked.done / asked.total if asked is not None and asked.total else 0.0
    return min(float(LISTS), job.answered + (part if part < 1 else 0.0))


def _left_here(job: JobView) -> float | None:
    """Return the time left in the phase that a job is in, in s."""
    progress = _measured(job)
    if progress is None or progress.rate <= 0:
        return None
    if _now(job) == ANSWERS:
        return (LISTS - _answered(job)) * progress.total / progress.rate
    return progress.seconds_left


def _whole(job: JobView) -> float:
    """Return what the phase that a job is in takes in all, in s, as measured."""
    progress = _measured(job)
    if progress is None or progress.rate <= 0:
        return 0.0
    return (LISTS if _now(job) == ANSWERS else 1) * progress.total / progress.rate


def _measured(job: JobView) -> Progress | None:
    return _asked(job) if _now(job) == ANSWERS else job.progress


def _asked(job: JobView) -> Progress | None:
    """Return how many patches the teacher has answered for, of the list it is at; None where it is not."""
    counted = job.counted
    return counted if counted is not None and counted.unit == ANSWERS_UNIT else None


def _weights(job: JobView, found: tuple[Phase, ...]) -> list[float]:
    """Return how much of the bar each phase takes: as its estimated time, else equal parts."""
    stages = [phase.name for phase in found if phase.name != GATE]
    known = all(job.estimated.get(name, 0.0) > 0 for name in stages)
    whole = sum(job.estimated[name] for name in stages) if known else float(len(stages))
    each = job.estimated if known else dict.fromkeys(stages, 1.0)
    return [GATE_SHARE * whole if phase.name == GATE else each[phase.name] for phase in found]


def _permille_of_steps(job: JobView) -> int | None:
    progress = job.counted if job.active and job.counted is not None else job.progress
    if progress is None or not progress.total:
        return None if job.active else 0
    return round(1000 * progress.done / progress.total)
