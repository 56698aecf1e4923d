"""The stages that a job goes through and what was seen of each: curves, scores, codebook, picture. No Qt.

Which stages a job has is read from the settings in its run folder. A job that was stopped and resumed goes
through its stages again from the first: one that is finished says so at once, and keeps what was seen of it.

Notation: a point is (step, value); scores are 0..1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_vesselkd.reports import Progress

Point = tuple[int, float]
Curve = tuple[str, tuple[Point, ...]]

FINETUNE, PRETRAIN, TEACHER, STUDENT = "finetune", "pretrain", "teacher", "student"
REPORTED_AS = {PRETRAIN: "pretrain", TEACHER: "finetune-teacher", STUDENT: "distill"}
ASKING = ("vpbsd", "vpbsd-without-codes", "vpbsd-without-pseudo")
"""Methods for which the teacher's answers are kept before the first step."""


@dataclass(frozen=True)
class Validated:
    """Scores on the held-out blocks after a step.

    Attributes
    ----------
    step : int
    loss, dice, cldice : float
        NaN where there is none.
    """

    step: int
    loss: float
    dice: float
    cldice: float


@dataclass(frozen=True)
class CodebookSeen:
    """How the codebook was used up to a step.

    Attributes
    ----------
    step : int
    usage : float
        Share of the codes that were chosen.
    perplexity : float
    dead : int
        Codes that were not chosen.
    reliance : float
        How much worse the reconstruction is with shuffled codes, as a factor.
    """

    step: int
    usage: float
    perplexity: float
    dead: int
    reliance: float


@dataclass(frozen=True)
class StageView:
    """A stage as the dock shows it.

    Attributes
    ----------
    name : {"finetune", "pretrain", "teacher", "student"}
        "finetune" is that of a student.
    asks : bool
        Whether the teacher answers before the first step.
    progress : Progress or None
        The last one that counts steps.
    losses : tuple of (step, loss)
    terms : tuple of (name, tuple of (step, value))
        What the loss is made of.
    validations : tuple of Validated
    codebook : tuple of CodebookSeen
    picture : str or None
        Name of the last picture, inside the run folder.
    made : str
        Name of the checkpoint that came out; empty before.
    changed_codes : float or None
        Share of the codes that became others while a teacher learned to segment.
    """

    name: str
    asks: bool = False
    progress: Progress | None = None
    losses: tuple[Point, ...] = ()
    terms: tuple[Curve, ...] = ()
    validations: tuple[Validated, ...] = ()
    codebook: tuple[CodebookSeen, ...] = ()
    picture: str | None = None
    made: str = ""
    changed_codes: float | None = None

    @property
    def learned(self) -> bool:
        """Whether the last step was made."""
        return bool(self.made) or (self.progress is not None and self.progress.done >= self.progress.total)

    @property
    def pictured(self) -> tuple[Any, ...]:
        """What changes when there is another picture to show."""
        return self.picture, self.validations, self.codebook


def plan_of(kind: str, config: Mapping[str, Any]) -> tuple[StageView, ...]:
    """Return the stages of a job before any of them began.

    Parameters
    ----------
    kind : str
        The command, as the run folder names it.
    config : mapping
        Its settings, as in config.toml.
    """
    if kind == "distill":
        method = config.get("distill", config).get("method", "")
        student = StageView(STUDENT, asks=method in ASKING)
        return (StageView(TEACHER), student) if "teach" in config else (student,)
    if kind == "pretrain":
        return (StageView(PRETRAIN),)
    return (StageView(TEACHER if "head_rate" in config else FINETUNE),)


def after_step(stage: StageView, event: Mapping[str, Any], progress: Progress) -> StageView:
    """Return `stage` after a ``FitProgress``; steps that a resumed run repeats replace the earlier ones."""
    step, terms = progress.done, dict(stage.terms)
    for name, value in (event.get("terms") or {}).items():
        terms[str(name)] = added(terms.get(str(name), ()), step, number(value))
    losses = added(stage.losses, step, number(event.get("loss")))
    return replace(stage, progress=progress, losses=losses, terms=tuple(terms.items()))


def after_validation(stage: StageView, event: Mapping[str, Any]) -> StageView:
    """Return `stage` after a ``Validation``."""
    scores = (number(event.get(name)) for name in ("loss", "dice", "cldice"))
    at = Validated(int(event["step"]), *scores)
    earlier = (one for one in stage.validations if one.step < at.step)
    return replace(stage, validations=(*earlier, at), picture=event.get("picture") or stage.picture)


def after_codebook(stage: StageView, event: Mapping[str, Any]) -> StageView:
    """Return `stage` after a ``CodebookReport``."""
    usage, perplexity, reliance = (number(event.get(name)) for name in ("usage", "perplexity", "reliance"))
    at = CodebookSeen(int(event["step"]), usage, perplexity, int(event.get("dead") or 0), reliance)
    earlier = (one for one in stage.codebook if one.step < at.step)
    return replace(stage, codebook=(*earlier, at), picture=event.get("picture") or stage.picture)


def after_finish(stage: StageView, event: Mapping[str, Any]) -> StageView:
    """Return `stage` after its last report."""
    changed = (event.get("facts") or {}).get("changed_codes")
    return replace(stage, made=str(event["name"]), changed_codes=None if changed is None else float(changed))


def added(points: tuple[Point, ...], step: int, value: float) -> tuple[Point, ...]:
    """Return `points` up to `step` and one more, if it is a number."""
    end = len(points)
    while end and points[end - 1][0] >= step:
        end -= 1
    return (*points[:end], (step, value)) if math.isfinite(value) else points[:end]


def number(value: Any) -> float:
    """Return a number of an event; NaN for none."""
    return math.nan if value is None else float(value)
