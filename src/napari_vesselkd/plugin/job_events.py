"""What the events of a job say, folded into one picture of it. No Qt.

A job writes its reports as JSON lines into its run folder. `fold` takes the lines that came since and gives
the next `JobView`; a run that was stopped and resumed repeats steps, which replace the ones drawn before.

Notation: a point is (step, value); scores are 0..1.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_vesselkd.plugin.failure import Failure, in_the_dock
from napari_vesselkd.plugin.judgement import Judged
from napari_vesselkd.reports import Progress

Point = tuple[int, float]

ACTIVE = ("running", "stopping")
RESUMABLE = ("stopped", "failed", "crashed")


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
class JobView:
    """A job as the dock shows it.

    Attributes
    ----------
    path : Path
        Its run folder.
    state : str
        "running", "stopping", "stopped", "finished", "failed", "crashed" or "missing".
    progress : Progress or None
        The last one that counts steps.
    stage : Progress or None
        What is prepared before the first step (blocks copied, phantoms made); None from then on.
    losses : tuple of (step, loss)
    validations : tuple of Validated
    picture : str or None
        Name of the last picture of a held-out block, inside the run folder.
    name : str
        Of the checkpoint that came out; empty before.
    judged : Judged or None
        What the gate said.
    notices : tuple of str
    failure : Failure or None
        Why it ended early.
    kept : bool
        Whether the user looked at the result and kept the current checkpoint.
    """

    path: Path
    state: str
    progress: Progress | None = None
    stage: Progress | None = None
    losses: tuple[Point, ...] = ()
    validations: tuple[Validated, ...] = ()
    picture: str | None = None
    name: str = ""
    judged: Judged | None = None
    notices: tuple[str, ...] = ()
    failure: Failure | None = None
    kept: bool = False

    @property
    def active(self) -> bool:
        """Whether its process lives."""
        return self.state in ACTIVE

    @property
    def resumable(self) -> bool:
        """Whether the same command would go on with it."""
        return self.state in RESUMABLE

    @property
    def seconds_per_step(self) -> float | None:
        """Return the time of one step, or None before the first one."""
        rate = self.progress.rate if self.progress is not None else 0.0
        return 1 / rate if rate > 0 else None


def fold(view: JobView, events: Iterable[Mapping[str, Any]]) -> JobView:
    """Return `view` after `events`, as read from the run folder; events of other kinds are passed over."""
    losses, validations, notices = list(view.losses), list(view.validations), list(view.notices)
    changes: dict[str, Any] = {}
    for event in events:
        kind = event.get("report")
        if kind == "started":
            changes.update(progress=None, stage=None)
        elif kind == "Notice":
            notices.append(str(event["text"]))
        elif kind == "FitProgress":
            progress = _progress(event)
            changes.update(progress=progress, stage=None)
            _append(losses, progress.done, _number(event.get("loss")))
        elif kind == "Validation":
            at = _validated(event)
            validations = [*(old for old in validations if old.step < at.step), at]
            changes["picture"] = event.get("picture") or changes.get("picture", view.picture)
        elif kind == "FinetuneFinished":
            changes["name"] = str(event["name"])
        elif kind == "Judgement":
            changes["judged"] = Judged.of(event)
        elif "done" in event and "total" in event:
            changes["stage"] = _progress(event)
    return replace(
        view,
        losses=tuple(losses),
        validations=tuple(validations),
        notices=tuple(dict.fromkeys(notices)),
        **changes,
    )


def failure_of(state: str, error: Mapping[str, Any] | None, output: str, path: Path) -> Failure | None:
    """Return why a job ended early, or None where it did not.

    Parameters
    ----------
    state : str
        As `JobView.state`.
    error : mapping or None
        What the job wrote about its error: what, remedy, where, traceback.
    output : str
        The end of what the process printed.
    path : Path
        The run folder.
    """
    if state == "missing":
        return Failure(
            "The folder of this run is gone.",
            "Start again; what was learned before is under Checkpoints.",
            str(path),
            expected=True,
        )
    if state == "failed" and error is not None:
        where = f" ({error['where']})" if error.get("where") else ""
        headline = str(error.get("what") or "The job failed").rstrip(".")
        details = str(error.get("traceback") or "") or output
        return Failure(f"{headline}{where}.", in_the_dock(str(error.get("remedy") or "")), details, True)
    if state in ("failed", "crashed"):
        return Failure(
            "The job ended without a word: it was killed, or the computer ran out of memory.",
            "Resume goes on from the last step that was saved.",
            output or f"Nothing was printed. Run folder: {path}",
            expected=False,
        )
    return None


def _progress(event: Mapping[str, Any]) -> Progress:
    return Progress(
        done=int(event["done"]),
        total=int(event["total"]),
        unit=str(event.get("unit", "steps")),
        seconds=float(event.get("seconds", 0.0)),
        resumed=int(event.get("resumed", 0)),
    )


def _validated(event: Mapping[str, Any]) -> Validated:
    scores = (_number(event.get(name)) for name in ("loss", "dice", "cldice"))
    return Validated(int(event["step"]), *scores)


def _append(points: list[Point], step: int, value: float) -> None:
    while points and points[-1][0] >= step:
        points.pop()
    if math.isfinite(value):
        points.append((step, value))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
