"""What ``vesselkd finetune`` does: a student as the loop does it, a teacher as a stage of VpbSD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.settings import assignment, differences
from napari_vesselkd.cli.staging import Given, teach_request
from napari_vesselkd.cli.training_jobs import absolute, absolute_checkpoint, plain, run_job, source_of
from napari_vesselkd.errors import InvalidInputError, VesselKDError
from napari_vesselkd.learning import check, learn
from napari_vesselkd.learning.turn import registry_of
from napari_vesselkd.reports import Report
from napari_vesselkd.training.finetune import FinetuneConfig

KIND = "finetune"


@dataclass(frozen=True)
class FinetuneRequest:
    """Fine-tune a student.

    Attributes
    ----------
    source : Path
        PROJECT.vesselkd or DATASET.csv.
    parent : str
        Checkpoint to start from: "auto", a name, or an absolute path.
    run : Path
        The run folder.
    config : FinetuneConfig
    """

    source: Path
    parent: str
    run: Path
    config: FinetuneConfig

    def settings(self) -> dict[str, Any]:
        source = source_of(self.source, self.run)
        return {"source": source, "from": self.parent, **plain(asdict(self.config))}

    def command(self) -> list[str]:
        words = [KIND, str(self.source), "--out", str(self.run)]
        words += [] if self.parent == "auto" else ["--from", self.parent]
        for name, value in differences(self.config, FinetuneConfig()):
            words += ["--set", assignment(name, value)]
        return words

    def check(self) -> None:
        check(self.source, self.run, self.config, parent=self.parent)

    def task(self) -> Iterator[Report]:
        return learn(self.source, self.run, self.config, parent=self.parent)


def run_finetune(source: str, parent: str | None, out: str | None, given: Given, console: Console) -> None:
    """Fine-tune in a run folder, or go on there, and print the outcome; see `run_job` for errors."""
    place, start = absolute(source), absolute_checkpoint(parent or "auto")
    if _is_teacher(place, start, out):
        run_job(KIND, source, out, teach_request(place, start, given), console, shared=True)
        return
    if given.preset is not None:
        raise InvalidInputError(
            "A student is fine-tuned without a preset",
            value=given.preset,
            remedy="Give --from TEACHER, or leave --preset away",
        )
    if len(given.hold_out) > 1:
        raise InvalidInputError("One group can be held out here", value=", ".join(given.hold_out))
    group = next(iter(given.hold_out), None)
    config = given.config(FinetuneConfig, KIND, FinetuneConfig(), held_out_group=group)
    run_job(KIND, source, out, lambda run: FinetuneRequest(place, start, run, config), console)


def _is_teacher(source: Path, parent: str, out: str | None) -> bool:
    """Whether the checkpoint to start from is a teacher; a run that has begun has a copy of it."""
    if parent == "auto":
        return False
    if out is not None:
        with suppress(VesselKDError):
            kept = CheckpointRegistry().get(str(absolute(out) / "parent.safetensors"))
            return kept.card.architecture == "teacher"
    return registry_of(source).get(parent).card.architecture == "teacher"
