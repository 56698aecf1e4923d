"""A job that teaches a new student, as the Learn tab sees it: `python fake_stages.py RUN [--teacher T]`.

It goes on as the test lets it, like `fake_job`: steps 1 to 3 are the teacher's, 4 and 5 its answers, 6 to 9
the student's.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fake_job import (
    FitProgress,
    Validation,
    add_checkpoint,
    fail_if_asked,
    judgement,
    wait_for,
)

from napari_vesselkd.jobs import RunFolder, recorded
from napari_vesselkd.projections import write_png
from napari_vesselkd.reports import Notice, Progress, Report

TEACHER, ANSWERS, STUDENT, END = (1, 3), (4, 5), (6, 9), 10
CONFIG = {"preset": "quick", "teach": {"steps": 3}, "distill": {"method": "vpbsd", "steps": 4}}
ESTIMATED = {"teacher": 30.0, "answers": 10.0, "student": 60.0}


@dataclass(frozen=True)
class StageFinished(Report):
    stage: str
    checkpoint: str
    name: str
    parent: str
    steps: int
    seconds: float
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class StagesPreflight(Report):
    stages: dict


def task(run: Path):
    name = f"brain-{run.name}"
    yield StagesPreflight(ESTIMATED)
    yield Progress(1, 2, "blocks", 0.1)
    yield from stage(run, "teach", TEACHER, ("Dice", "codebook"))
    taught = made(run, f"{name}-teacher", architecture="teacher", normalisation="windows")
    yield StageFinished(
        "finetune-teacher", taught, f"{name}-teacher", "small", 3, 3.0, {"changed_codes": 0.12}
    )
    yield Notice("2 of 2: distilling a new student")
    yield from answers(run)
    yield from stage(run, "distill", STUDENT, ("Dice", "cross entropy", "codes", "pseudo-labels"))
    wait_for(run, END)
    yield StageFinished("distill", made(run, name), name, "", 4, 4.0)
    yield judgement(run, name)


def stage(run: Path, folder: str, allowed: tuple[int, int], terms):
    first, last = allowed
    total, saved = last - first + 1, run / f"saved-{folder}"
    before = int(saved.read_text()) if saved.exists() else 0
    (run / folder).mkdir(exist_ok=True)
    for step in range(before + 1, total + 1):
        wait_for(run, first + step - 1)
        fail_if_asked(run, first + step - 1)
        saved.write_text(str(step))
        parts = {name: (1 + at) / step for at, name in enumerate(terms)}
        seconds = 2.0 * (step - before)
        yield FitProgress(step, total, "steps", seconds, before, sum(parts.values()), parts, 1e-3)
        picture = f"{folder}/held-out.png"
        write_png(run / picture, np.full((16, 76, 3), 20 * (first + step), np.uint8))
        yield Validation(step, 0.3, 0.7 + step / 100, 0.8 + step / 100, picture)


def answers(run: Path):
    for step in range(ANSWERS[0], ANSWERS[1] + 1):
        if not (run / f"asked-{step}").exists():
            wait_for(run, step)
            (run / f"asked-{step}").touch()
            yield Progress(16, 16, "teacher patches", 2.0)


def made(run: Path, name: str, **card) -> str:
    path = run.parent.parent / "checkpoints" / f"{name}.safetensors"
    return str(path if path.exists() else add_checkpoint(run, name, **card))


def main() -> None:
    path = Path(sys.argv[1])
    run = RunFolder.create(
        path, kind="distill", command=["distill", "--out", str(path), *sys.argv[2:]], config=CONFIG
    )
    for report in recorded(run, lambda: task(path)):
        print(report, flush=True)


if __name__ == "__main__":
    main()
