"""Stage B of VpbSD: the pretrained teacher learns to segment from a few labels (eq. 7).

As published its codes stay. They can also follow the encoder, which then may change as much as it needs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_vesselkd.checkpoints import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.errors import CheckpointError, InvalidInputError
from napari_vesselkd.models import ranks
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.reports import Notice, Report
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
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.patches import Batch
from napari_vesselkd.training.pretrain import GENTLE, finished, lineage_of
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Stream, StreamPatches
from napari_vesselkd.training.timing import timed
from napari_vesselkd.training.validation import probability, watched

LOOKED_AT = 16  # patches, to see which codes changed
WATCHED = 8  # of them, to see how the codes are used
CODES = ("frozen", "following")


@dataclass(frozen=True)
class TeachConfig:
    """How a pretrained teacher is fine-tuned; the defaults are the paper's where it states them.

    Attributes
    ----------
    steps, batch, accumulate : int
        Steps; patches per pass; passes per step.
    learning_rate, head_rate : float
        Of Adam, falling exponentially to a hundredth; that of the new last layer, which a rate of 1e-5 would
        leave as it was drawn (methods 1.5).
    decoder_rate : float, optional
        That of what lies behind the codebook, `learning_rate` by default. With few steps a higher one lets
        the teacher learn to segment while a low `learning_rate` keeps the codes where they are.
    codes : {"frozen", "following"}
        Whether the codes stay, or go on being learned as in pretraining; codes that stay are left behind by
        an encoder that changes much. Of codes that follow, a `CodebookReport` says how they are used.
    skip_keep : float
        Probability that a skip connection is kept. Below 1 the decoder goes on needing its codes.
    alpha : float
        Weight of the codebook's terms (eq. 4); of frozen codes that is the commitment alone.
    reconstruction : float
        Weight of going on reconstructing (eq. 5), from the codes alone; 0 in the paper. Codes that follow an
        encoder which only segments lose what pretraining had taught them.
    cross_entropy, skeleton_recall : float
        Weights beside Dice, see `LossConfig`; 0 in the paper.
    augment : AugmentConfig
    validate_every : int
        Steps between two looks at the held-out volumes, and at codes that follow.
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
        If a value is outside its range.
    """

    steps: int = 8_600
    batch: int = 2
    accumulate: int = 1
    learning_rate: float = 1e-5
    head_rate: float = 1e-3
    decoder_rate: float | None = None
    codes: str = "frozen"
    skip_keep: float = 1.0
    alpha: float = 0.1
    reconstruction: float = 0.0
    cross_entropy: float = 0.0
    skeleton_recall: float = 0.0
    augment: AugmentConfig = GENTLE
    validate_every: int = 250
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    name: str = "teacher"

    def __post_init__(self) -> None:
        check_at_least(self, steps=1, batch=1, accumulate=1, validate_every=1, threads=1)
        check_rate(self.learning_rate)
        check_rate(self.head_rate)
        if self.decoder_rate is not None:
            check_rate(self.decoder_rate)
        check_name(self.name)
        check_weights(self, "alpha", "reconstruction", "cross_entropy", "skeleton_recall")
        check_shares(self, "skip_keep")
        if self.codes not in CODES:
            raise InvalidInputError("Codes cannot be this", value=self.codes, limit=", ".join(CODES))
        self.fit_config()  # checks the rest

    def fit_config(self, behind_codes: Sequence[str] = ()) -> FitConfig:
        """Return the loop's settings; `behind_codes` says which parameters `decoder_rate` is for."""
        decoder = (self.decoder_rate or self.learning_rate) / self.learning_rate
        return FitConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            factors={"out.": self.head_rate / self.learning_rate, **dict.fromkeys(behind_codes, decoder)},
            schedule="exponential",
            warmup=max(1, self.steps // 40),
            accumulate=self.accumulate,
            average=0.0,
            precision=self.precision,
            save_every=max(1, min(200, self.steps // 4)),
            report_every=max(1, min(20, self.validate_every, self.steps // 20)),
            seed=self.seed,
        )


def require_teacher(checkpoint: Checkpoint, *stages: str) -> None:
    """Raise CheckpointError if a checkpoint is no teacher for volumes that went through one of `stages`."""
    card = checkpoint.card
    stage = str(card.lineage.get("stage", card.architecture))
    if card.architecture != "teacher" or stage not in stages:
        raise CheckpointError(
            "This checkpoint is not the teacher that is needed here",
            value=f"{card.name}, made by {stage}",
            limit="a teacher made by " + " or ".join(stages),
            remedy="Choose another checkpoint, or make one: vesselkd pretrain, then vesselkd finetune",
        )
    if card.config.get("spatial_dims", 3) != 3:
        raise CheckpointError(
            "This teacher is one for images, which cannot learn from volumes",
            value=f"{card.name}, spatial_dims={card.config['spatial_dims']}",
            limit="3",
            remedy="Choose another checkpoint, or make one with vesselkd pretrain",
        )


def teach(material: Material, parent: Checkpoint, run: Path, config: TeachConfig) -> Iterator[Report]:
    """Fine-tune a teacher on the labelled volumes of `material`; write run/checkpoints/NAME.

    Resumes like `pretrain`.

    Yields
    ------
    Report
        `Notice`, `FitProgress` and `Validation`, `CodebookReport` where the codes follow, at the end
        `StageFinished` with the share of patches' codes that changed (``changed_codes``).

    Raises
    ------
    CheckpointError
        If `parent` is not a teacher.
    TrainingError
        If the loss is not a number: step and patches are named, the last saved state stays.
    """
    require_teacher(parent, "pretrain", "finetune-teacher")
    ranks.join()
    target = run / "checkpoints" / config.name
    if not target.with_name(f"{config.name}.safetensors").exists():
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        with timed(run):
            teacher, changed, seen = yield from _train(material, parent, run, config)
        if not ranks.is_first():
            return
        if changed > 0.3 and config.codes == "frozen":
            yield Notice(
                f"{changed:.0%} of the codes changed while the teacher learned to segment; "
                "a smaller learning rate keeps more of the patterns"
            )
        facts = {"changed_codes": round(changed, 4)}
        save_checkpoint(target, teacher.cpu(), _card(material, parent, run, config, facts, seen=seen))
    yield finished("finetune-teacher", target, load_checkpoint(target)[1])


def _train(
    material: Material, parent: Checkpoint, run: Path, config: TeachConfig
) -> Generator[Report, None, tuple[Teacher, float, CodebookReport | None]]:
    device = checked_device(config.device)
    teacher: Any = parent.load().to(device).requires_grad_(True)
    teacher.quantiser.freeze(config.codes == "frozen")
    stream = Stream(material.labelled, (teacher.config.patch,) * 3)
    batches = StreamPatches(stream, config.batch, config.augment, config.seed)
    looked_at = [batches(-1 - n).image.to(device) for n in range(-(-LOOKED_AT // config.batch))]
    before = _codes(teacher, looked_at)
    watch = CodebookWatch(teacher, torch.cat(looked_at)[:WATCHED]) if config.codes == "following" else None
    weights = LossConfig(cross_entropy=config.cross_entropy, skeleton_recall=config.skeleton_recall)

    def terms_of(net: Teacher, batch: Batch, _step: int) -> dict[str, Tensor]:
        again = config.reconstruction > 0
        view = net.view(batch.image, skip_keep=config.skip_keep, reconstruct=again, of_codes=again)
        if watch is not None:
            watch.count(view.indices)
        terms = segmentation_terms(view.logits, batch, weights) | {"codebook": config.alpha * view.loss}
        if again:
            terms["reconstruction"] = config.reconstruction * reconstruction_error(view, batch)
        return terms

    settings = config.fit_config(teacher.behind_codes)
    reports = fit(teacher, batches, terms_of, settings, run / "state.safetensors")
    if watch is not None:
        reports = watch.over(reports, config.validate_every)
    crops = material.watched
    yield from watched(
        reports, lambda crop: probability(teacher, crop.scaled()), crops, run, config.validate_every
    )
    teacher.quantiser.freeze()
    changed = float(np.mean(before != _codes(teacher, looked_at)))
    return teacher, changed, None if watch is None else watch.last


@torch.no_grad()
def _codes(teacher: Teacher, batches: list[Tensor]) -> Any:
    teacher.eval()
    return torch.cat([teacher.codes(image).flatten() for image in batches]).cpu().numpy()


def _card(
    material: Material,
    parent: Checkpoint,
    run: Path,
    config: TeachConfig,
    facts: dict[str, float],
    *,
    seen: CodebookReport | None,
) -> CheckpointCard:
    return replace(
        parent.card,
        description=f"Teacher with its codebook, fine-tuned from {parent.card.name} on labels",
        # What was measured of its parent is not true of it.
        metrics={} if seen is None else {"codebook": facts_of(seen)},
        lineage={
            "stage": "finetune-teacher",
            "parent": parent.card.name,
            "parent_sha256": parent.card.sha256,
            **material.about,
            **lineage_of(config, run),
            "facts": facts,
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
