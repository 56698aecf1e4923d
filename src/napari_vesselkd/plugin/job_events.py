"""What the events of a job say, folded into one picture of it. No Qt.

A job writes its reports as JSON lines into its run folder. `fold` takes the lines that came since and gives
the next `JobView`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_vesselkd.plugin.failure import Failure, in_the_dock
from napari_vesselkd.plugin.job_stages import (
    FINETUNE,
    REPORTED_AS,
    STUDENT,
    StageView,
    after_codebook,
    after_finish,
    after_step,
    after_validation,
)
from napari_vesselkd.plugin.judgement import Judged
from napari_vesselkd.reports import Progress

Event = Mapping[str, Any]

ACTIVE = ("running", "stopping")
RESUMABLE = ("stopped", "failed", "crashed")
ANSWERS_UNIT = "teacher patches"  # as `training.teacher_cache` counts them


@dataclass(frozen=True)
class JobView:
    """A job as the dock shows it.

    Attributes
    ----------
    path : Path
        Its run folder.
    state : str
        "running", "stopping", "stopped", "finished", "failed", "crashed" or "missing".
    kind : str
        The command, as the run folder names it; empty before the first look.
    stages : tuple of StageView
        What it goes through, at least one.
    at : int
        Which of them it is in.
    counted : Progress or None
        What is counted beside steps, now: blocks copied, answers of the teacher, blocks compared.
    answered : int
        How many lists of patches the teacher has answered for: the labelled ones, then the unlabelled.
    estimated : dict
        Seconds that each part was estimated to take, by name; empty where that is not known.
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
    kind: str = ""
    stages: tuple[StageView, ...] = (StageView(FINETUNE),)
    at: int = 0
    counted: Progress | None = None
    answered: int = 0
    estimated: Mapping[str, float] = field(default_factory=dict)
    judged: Judged | None = None
    notices: tuple[str, ...] = ()
    failure: Failure | None = None
    kept: bool = False

    @property
    def stage(self) -> StageView:
        """The stage that it is in, or ended in."""
        return self.stages[self.at]

    @property
    def progress(self) -> Progress | None:
        """The steps of the stage that it is in."""
        return self.stage.progress

    @property
    def name(self) -> str:
        """Of the student that came out, which the gate is about; empty before."""
        last = self.stages[-1]
        return last.made if last.name in (FINETUNE, STUDENT) else ""

    @property
    def made(self) -> tuple[str, ...]:
        """Names of all checkpoints that came out so far."""
        return tuple(stage.made for stage in self.stages if stage.made)

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


def fold(view: JobView, events: Iterable[Event]) -> JobView:
    """Return `view` after `events`, as read from the run folder; events of other kinds are passed over."""
    for event in events:
        view = _after(view, event)
    return view


def _after(view: JobView, event: Event) -> JobView:
    known = _AFTER.get(str(event.get("report")))
    if known is not None:
        return known(view, event)
    if "done" in event and "total" in event:
        progress = _progress(event)
        whole = progress.unit == ANSWERS_UNIT and progress.done >= progress.total
        return replace(view, counted=progress, answered=view.answered + whole)
    return view


def _again(view: JobView, _event: Event) -> JobView:
    """Return `view` at the start of a session: its stages are gone through from the first again."""
    stages = tuple(stage if stage.made else replace(stage, progress=None) for stage in view.stages)
    return replace(view, stages=stages, at=0, counted=None)


def _stage_finished(view: JobView, event: Event) -> JobView:
    """Return `view` in the stage after the one that reports its end."""
    reported = [REPORTED_AS.get(stage.name) for stage in view.stages]
    if event.get("stage") not in reported:
        return view
    index = reported.index(event["stage"])
    done = _with(replace(view, at=index), after_finish(view.stages[index], event), counted=None)
    return replace(done, at=min(index + 1, len(view.stages) - 1))


def _with(view: JobView, stage: StageView, **changes: Any) -> JobView:
    """Return `view` with another state of the stage that it is in."""
    stages = (*view.stages[: view.at], stage, *view.stages[view.at + 1 :])
    return replace(view, stages=stages, **changes)


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


def _progress(event: Event) -> Progress:
    return Progress(
        done=int(event["done"]),
        total=int(event["total"]),
        unit=str(event.get("unit", "steps")),
        seconds=float(event.get("seconds", 0.0)),
        resumed=int(event.get("resumed", 0)),
    )


_AFTER: dict[str, Callable[[JobView, Event], JobView]] = {
    "started": _again,
    "Notice": lambda view, event: replace(
        view, notices=tuple(dict.fromkeys((*view.notices, str(event["text"]))))
    ),
    "StagesPreflight": lambda view, event: replace(view, estimated=dict(event.get("stages") or {})),
    "FitProgress": lambda view, event: _with(
        view, after_step(view.stage, event, _progress(event)), counted=None
    ),
    "Validation": lambda view, event: _with(view, after_validation(view.stage, event)),
    "CodebookReport": lambda view, event: _with(view, after_codebook(view.stage, event)),
    "FinetuneFinished": lambda view, event: _with(view, after_finish(view.stage, event)),
    "StageFinished": _stage_finished,
    "Judgement": lambda view, event: replace(view, judged=Judged.of(event)),
}
