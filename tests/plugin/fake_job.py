"""A job for the Learn tab's tests: `python fake_job.py RUN` writes what fine-tuning writes, as it is let go.

It goes on by one step for each that the file RUN/allowed permits, so that tests decide how far it is. Other
files in RUN make it fail (`fail_at`), or end without a held-out block (`no_held_out`).
"""

import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import TrainingError
from napari_vesselkd.jobs import RunFolder, Stopped, recorded
from napari_vesselkd.projections import write_png
from napari_vesselkd.reports import Notice, Progress, Report

STEPS = 6
BLOCK = {
    "region": "0:16,0:32,32:64",
    "number": 2,
    "dice_new": 0.83,
    "dice_old": 0.84,
    "cldice_new": 0.85,
    "cldice_old": 0.86,
}


@dataclass(frozen=True)
class FitProgress(Progress):
    loss: float = 0.0
    terms: dict = field(default_factory=dict)
    learning_rate: float = 0.0


@dataclass(frozen=True)
class Validation(Report):
    step: int
    loss: float
    dice: float
    cldice: float
    picture: str | None


@dataclass(frozen=True)
class FinetuneFinished(Report):
    checkpoint: str
    name: str
    steps: int
    seconds: float
    threshold: float


@dataclass(frozen=True)
class Judgement(Report):
    candidate: str
    current: str
    blocks: tuple
    dice_new: float
    dice_old: float
    cldice_new: float
    cldice_old: float
    dice_gain: tuple
    cldice_gain: tuple
    worst: dict | None
    verdict: str
    text: str


def task(run: Path):
    saved = run / "saved"
    first = int(saved.read_text()) if saved.exists() else 0
    yield Notice("This is not a real job")
    yield Progress(1, 2, "blocks", 0.1)
    for step in range(first + 1, STEPS + 1):
        wait_for(run, step)
        fail_if_asked(run, step)
        if step % 2 == 0:
            saved.write_text(str(step))
        yield FitProgress(
            step, STEPS, "steps", float(step - first), first, 1 / step, {"Dice": 1 / step}, 1e-3
        )
        write_png(run / f"held-out-{step}.png", np.full((16, 76, 3), 20 * step, np.uint8))
        yield Validation(step, 0.3, 0.7 + step / 100, 0.8 + step / 100, f"held-out-{step}.png")
    wait_for(run, STEPS + 1)
    name = run.name.replace("finetune", "brain")
    yield FinetuneFinished(str(add_checkpoint(run, name)), name, STEPS, 12.0, 0.5)
    yield judgement(run, name)


def judgement(run: Path, name: str) -> Judgement:
    if (run / "no_held_out").exists():
        nan = float("nan")
        nothing = (nan, nan, nan)
        text = "No held-out block: nothing to compare on"
        return Judgement(
            name, "auto", (), nan, nan, nan, nan, nothing, nothing, None, "no held-out blocks", text
        )
    gain = (0.031, 0.012, 0.05)
    return Judgement(name, "auto", (BLOCK,), 0.84, 0.81, 0.88, 0.85, gain, gain, BLOCK, "better", "Better")


def fail_if_asked(run: Path, step: int) -> None:
    """Raise what the test wants to see at `step`."""
    if (run / "fail_at").exists() and int((run / "fail_at").read_text()) == step:
        raise TrainingError("The loss is not a number", value="nan", remedy="Give fewer steps")


def add_checkpoint(run: Path, name: str, **changes: str) -> Path:
    """Put another bundled checkpoint into the project, as the real job does with its own."""
    other = CheckpointRegistry().choose((1, 1, 1))
    folder = run.parent.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    card = json.loads(other.path.with_suffix(".json").read_text())
    card |= {"name": name, "lineage": {"parent": "student-coarse-z", "learned_from": {"corrected block": 2}}}
    card |= changes
    (folder / f"{name}.json").write_text(json.dumps(card))
    return Path(shutil.copy(other.path, folder / f"{name}.safetensors"))


def wait_for(run: Path, step: int) -> None:
    """Wait until the test allows `step`; not for ever, should the test have died."""
    until = time.monotonic() + 200
    while not allows(run / "allowed", step):
        if (run / "stop").exists():
            raise Stopped
        if time.monotonic() > until:
            sys.exit(3)
        time.sleep(0.02)


def allows(path: Path, step: int) -> bool:
    return path.exists() and int(path.read_text() or 0) >= step


def main() -> None:
    path = Path(sys.argv[1])
    run = RunFolder.create(
        path, kind="finetune", command=["finetune", "--out", str(path)], config={"steps": STEPS}
    )
    for report in recorded(run, lambda: task(path)):
        print(report, flush=True)


if __name__ == "__main__":
    main()
