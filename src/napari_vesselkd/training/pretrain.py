"""Stage A of VpbSD: the teacher and its codebook learn to reconstruct unlabelled volumes (eqs 4 to 6).

With its skip connections a U-shaped net reconstructs without looking at the codebook. They are therefore
dropped: all of them in the first half of the steps, half of them, per sample, in the second (methods 1.4).
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_vesselkd.checkpoints import CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import ranks
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.reports import Report, Result
from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.checking import (
    check_at_least,
    check_name,
    check_rate,
    check_shares,
    check_weights,
)
from napari_vesselkd.training.codebook_watch import (
    CodebookReport,
    CodebookWatch,
    facts_of,
    reconstruction_error,
)
from napari_vesselkd.training.fit import FitConfig, fit
from napari_vesselkd.training.patches import Batch
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Stream, StreamPatches
from napari_vesselkd.training.timing import seconds_of, timed
from napari_vesselkd.training.validation import PICTURE

GENTLE = AugmentConfig(gamma=1.0, contrast=0.1, brightness=0.1, blur=0.0, noise=0.03, low_resolution=1.0)
LOOKED_AT = 8  # patches


@dataclass(frozen=True)
class PretrainConfig:
    """How a teacher is pretrained; the defaults are the paper's where it states them.

    Attributes
    ----------
    teacher : TeacherConfig
    steps, batch, accumulate : int
        Steps; patches per pass; passes per step.
    learning_rate : float
        Of Adam, after two of a hundred steps of warm-up, falling exponentially to a hundredth.
    alpha : float
        Weight of the codebook's terms (eq. 4).
    skip_keep : (float, float)
        Probability that a skip connection is kept, in the first and second half of the steps.
    upper : float
        Percentile of the intensity window.
    look_every : int
        Steps between two looks at the codebook.
    seed : int
    device, precision : str
        "auto", "cpu", "cuda", "cuda:N" or "mps"; "fp32" or "bf16".
    threads : int, optional
        CPU threads; all by default.
    name : str
        Of the checkpoint.

    Raises
    ------
    InvalidInputError
        If a value is outside its range, or the teacher is not one for volumes.
    """

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    steps: int = 23_000
    batch: int = 2
    accumulate: int = 1
    learning_rate: float = 1e-3
    alpha: float = 0.1
    skip_keep: tuple[float, float] = (0.0, 0.5)
    upper: float = 95.0
    look_every: int = 250
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    name: str = "teacher-pretrained"

    def __post_init__(self) -> None:
        check_at_least(self, steps=1, batch=1, accumulate=1, look_every=1, threads=1)
        check_rate(self.learning_rate)
        check_weights(self, "alpha")
        check_shares(self, "skip_keep")
        check_name(self.name)
        if self.teacher.spatial_dims != 3:
            raise InvalidInputError(
                "Teachers are trained on volumes; those for images can be used in Python alone",
                value=f"teacher.spatial_dims={self.teacher.spatial_dims}",
                limit="3",
                remedy="Leave the setting away; an image is learned from as a volume of one slice",
            )
        self.fit_config()  # checks the rest

    def fit_config(self) -> FitConfig:
        """Return the loop's settings."""
        return FitConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            schedule="exponential",
            warmup=max(1, self.steps // 40),
            accumulate=self.accumulate,
            average=0.0,
            precision=self.precision,
            save_every=max(1, min(200, self.steps // 4)),
            report_every=max(1, min(20, self.look_every, self.steps // 20)),
            seed=self.seed,
        )


@dataclass(frozen=True)
class StageFinished(Result):
    """A stage of VpbSD wrote its checkpoint.

    Attributes
    ----------
    stage : {"pretrain", "finetune-teacher", "distill"}
    checkpoint : str
        Path of its weights.
    name, parent : str
        Of it, and of what it was trained from ("" for none).
    steps : int
    seconds : float
        Of training, over all its sessions, in s.
    facts : dict
        What else is worth knowing, by name.
    """

    stage: str
    checkpoint: str
    name: str
    parent: str
    steps: int
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


def pretrain(material: Material, run: Path, config: PretrainConfig) -> Iterator[Report]:
    """Pretrain a teacher on the images of `material`; write run/checkpoints/NAME.

    A run that was stopped or killed goes on where its state was last saved, and ends with the same weights on
    the CPU as one that was not. Processes that torchrun started share the work; the first one alone reports.

    Yields
    ------
    Report
        `FitProgress` and `CodebookReport`, at the end `StageFinished`.

    Raises
    ------
    TrainingError
        If the loss is not a number: step and patches are named, the last saved state stays.
    """
    ranks.join()
    target = run / "checkpoints" / config.name
    if not target.with_name(f"{config.name}.safetensors").exists():
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        teacher = Teacher(config.teacher).to(checked_device(config.device))
        with timed(run):
            last = yield from _train(teacher, material, run, config)
        if not ranks.is_first():
            return
        save_checkpoint(target, teacher.cpu(), _card(material, run, config, last))
    yield finished("pretrain", target, load_checkpoint(target)[1])


def _train(
    teacher: Teacher, material: Material, run: Path, config: PretrainConfig
) -> Generator[Report, None, CodebookReport | None]:
    side = config.teacher.patch
    batches = StreamPatches(Stream(material.all, (side,) * 3), config.batch, GENTLE, config.seed)
    looked_at = torch.cat([batches(-1 - n).image for n in range(-(-LOOKED_AT // config.batch))])
    watch = CodebookWatch(teacher, looked_at, run / PICTURE)

    def terms_of(net: Teacher, batch: Batch, step: int) -> dict[str, Tensor]:
        net.quantiser.progress.fill_(step / config.steps)
        view = net.view(batch.image, skip_keep=config.skip_keep[2 * step >= config.steps], reconstruct=True)
        watch.count(view.indices)
        return {
            "reconstruction": reconstruction_error(view, batch),
            "codebook": config.alpha * view.loss,
        }

    reports = fit(teacher, batches, terms_of, config.fit_config(), run / "state.safetensors")
    yield from watch.over(reports, config.look_every)
    return watch.last


def _card(
    material: Material, run: Path, config: PretrainConfig, last: CodebookReport | None
) -> CheckpointCard:
    return CheckpointCard(
        name=config.name,
        description="Teacher with its codebook, pretrained by reconstruction; it does not segment yet",
        architecture="teacher",
        config=config.teacher.to_dict(),
        intensity={"lower": 0.0, "upper": config.upper},
        normalisation="windows",
        lineage={
            "stage": "pretrain",
            "parent": None,
            **material.about,
            **lineage_of(config, run),
        },
        metrics={} if last is None else {"codebook": facts_of(last)},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def lineage_of(config: Any, run: Path) -> dict[str, Any]:
    """Return what the card of every stage notes about its making."""
    return {
        "config": json.loads(json.dumps(asdict(config))),
        "seconds": round(seconds_of(run), 1),
        "torch": torch.__version__,
    }


def finished(stage: str, target: Path, card: CheckpointCard) -> StageFinished:
    """Return the last report of a stage, from its card."""
    return StageFinished(
        stage=stage,
        checkpoint=str(target.with_name(f"{target.name}.safetensors")),
        name=target.name,
        parent=str(card.lineage["parent"] or ""),
        steps=int(card.lineage["config"]["steps"]),
        seconds=float(card.lineage["seconds"]),
        facts=dict(card.lineage.get("facts", {})),
    )
