"""What a run has come to, read from its folder: lines of text; and its events as reports. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_vesselkd.cli.console import clock, columns
from napari_vesselkd.jobs import JobState, JobStatus, RunFolder
from napari_vesselkd.reports import Notice, Progress, Report

RESULTS = ("FinetuneFinished", "StageFinished", "Judgement", "CrossvalFinished")
NO_VERDICT = "no held-out blocks"
MADE = {
    "finetune": "fine-tuned",
    "pretrain": "pretrained",
    "finetune-teacher": "fine-tuned",
    "distill": "distilled",
}


@dataclass(frozen=True)
class Steps(Progress):
    """Progress with a loss, or what is being done, as it was recorded."""

    loss: float | None = None
    detail: str = ""


def how_far(status: JobStatus) -> str:
    """Return " after 120 of 300 steps"; empty before the first, and at the end."""
    progress = status.progress
    if progress is None or status.state is JobState.FINISHED:
        return ""
    return f" after {progress['done']} of {progress['total']} {progress['unit']}"


def results(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """Return the last result of each kind that a run has reported."""
    return {event["report"]: event for event in run.events()[0] if event.get("report") in RESULTS}


def outcome_lines(run: RunFolder) -> list[str]:
    """Return what a finished run has come to: the checkpoint, the gate's table and verdict, what to do."""
    found = results(run)
    if "CrossvalFinished" in found:
        return comparison_lines(found["CrossvalFinished"])
    finished = found.get("StageFinished") or found.get("FinetuneFinished")
    if finished is None:
        return [f"{run.path}: finished"]
    stage, judgement = str(finished.get("stage", "finetune")), found.get("Judgement")
    lines = [_made_line(stage, finished), str(finished["checkpoint"]), ""]
    source = (run.path / run.config["source"]).resolve()
    if judgement is None:
        return [*lines, _next_line(stage, finished, source)]
    use = f"vesselkd checkpoints promote {finished['name']} --project {source}"
    return [*lines, *gate_lines(judgement), "", f"Use it from now on: {use}"]


def _made_line(stage: str, finished: Mapping[str, Any]) -> str:
    """Return what was made, from what, and how."""
    made = MADE.get(stage, stage)
    parent = f" from {finished['parent']}" if finished["parent"] else ""
    line = f"{finished['name']}: {made}{parent}, {finished['steps']} steps in {clock(finished['seconds'])}"
    changed = finished.get("facts", {}).get("changed_codes")
    return line if changed is None else f"{line}, {changed:.1%} of the codes changed"


def _next_line(stage: str, finished: Mapping[str, Any], source: Any) -> str:
    checkpoint = finished["checkpoint"]
    if stage == "pretrain":
        return f"Teach it to segment: vesselkd finetune {source} --from {checkpoint} --out RUN"
    if stage == "finetune-teacher":
        return f"Teach a student: vesselkd distill {source} --teacher {checkpoint} --out RUN"
    return f"Use it: vesselkd segment SOURCE OUTPUT --checkpoint {checkpoint}"


def comparison_lines(finished: Mapping[str, Any]) -> list[str]:
    """Return the tables of a cross-validation and where they are."""
    return [*str(finished["table"]).splitlines(), "", *finished["files"]]


def gate_lines(judgement: Mapping[str, Any]) -> list[str]:
    """Return the gate's table, one held-out block a line, and its verdict."""
    text = f"{str(judgement['verdict']).capitalize()}: {judgement['text']}."
    if judgement["verdict"] == NO_VERDICT:
        return [text]
    rows: list[tuple[str, ...]] = [("HELD-OUT BLOCK", "DICE NOW", "NEW", "CLDICE NOW", "NEW", "")]
    worst = (judgement["worst"] or {}).get("region")
    for block in judgement["blocks"]:
        name = f"{block['number']}  {block['region']}"
        rows.append((name, *_scores(block), "lowest" if block["region"] == worst else ""))
    rows.append(("all", *_scores(judgement), ""))
    gains = [judgement["dice_gain"], judgement["cldice_gain"]]
    rows.append(("gain (95 % interval)", *(cell for gain in gains for cell in _gain(gain)), ""))
    return [*columns(rows), "", text]


def _scores(found: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_score(found[key]) for key in ("dice_old", "dice_new", "cldice_old", "cldice_new"))


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _gain(gain: Sequence[float | None]) -> tuple[str, str]:
    estimate, low, high = (("-" if value is None else f"{value:+.3f}") for value in gain)
    return estimate, f"{low}..{high}"


def report_of(event: Mapping[str, Any]) -> Report | None:
    """Return an event of a run as what the console shows; None for what it does not."""
    if event.get("report") == "Notice":
        return Notice(str(event["text"]))
    if event.get("report") == "Validation":
        dice, cldice = (_score(event[key]) for key in ("dice", "cldice"))
        return Notice(f"Step {event['step']}, held-out blocks: Dice {dice}, clDice {cldice}")
    if event.get("report") in ("CellFinished", "StagesPreflight"):
        return Notice(str(event["text"]))
    if event.get("report") == "CodebookReport":
        return Notice(
            f"Step {event['step']}: {event['usage']:.0%} of the codes used, perplexity "
            f"{event['perplexity']:.0f}, codebook reliance {event['reliance']:.2f}, MSE {event['mse']:.4f}"
        )
    if "done" in event and "total" in event:
        values = (event["done"], event["total"], event["unit"], event["seconds"], event.get("resumed", 0))
        return Steps(*values, event.get("loss"), event.get("detail", ""))
    return None
