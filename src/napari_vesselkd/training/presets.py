"""The three ways to go through the stages of VpbSD that are offered by name (docs/adr/0008)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import TeacherConfig
from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.distill import DistillConfig
from napari_vesselkd.training.pretrain import PretrainConfig
from napari_vesselkd.training.teach import TeachConfig


@dataclass(frozen=True)
class Preset:
    """The settings of all stages.

    Attributes
    ----------
    description : str
        One sentence for people.
    from_current : bool
        Whether the student begins with the weights of the one in use, where the networks are the same.
    """

    description: str
    pretrain: PretrainConfig
    teach: TeachConfig
    distill: DistillConfig
    from_current: bool = False


SMALL = TeacherConfig(network="segresnet", feature_size=12)  # Swin UNETR takes 15 times as long on a CPU
ENTROPY = {"pseudo_cross_entropy": 1.0}  # as of the labels; Dice alone let a student flood sparse stacks
EVIDENCE: dict[str, Any] = {"options": {"soft": True, **ENTROPY}, "skeleton_recall": 1.0, "average": 0.995}

PRESETS = {
    "published": Preset(
        "As in the paper where it says how: batches of 2, Dice alone, hard pseudo-labels; for a GPU",
        PretrainConfig(teacher=TeacherConfig(quantiser=QuantiserConfig(kind="gumbel"))),
        TeachConfig(),
        DistillConfig(student="paper"),
    ),
    "evidence": Preset(
        "With what later work found better: codes by moving averages, soft pseudo-labels of eight mirrorings "
        "where the teacher is sure, skeleton recall; for a GPU",
        PretrainConfig(),
        TeachConfig(cross_entropy=1.0, skeleton_recall=1.0, augment=AugmentConfig()),
        DistillConfig(cross_entropy=1.0, augment=AugmentConfig(), **EVIDENCE),
    ),
    "quick": Preset(
        "A small teacher and few steps, for a CPU",
        PretrainConfig(teacher=SMALL, steps=300, look_every=100),
        TeachConfig(
            steps=150,
            learning_rate=1e-6,  # 7 % of the codes change; at the paper's 1e-5 30 %, and it is no better
            decoder_rate=1e-4,
            augment=AugmentConfig(),
            cross_entropy=1.0,
            skeleton_recall=1.0,
            validate_every=50,
        ),
        DistillConfig(
            options=ENTROPY,
            steps=300,
            learning_rate=5e-3,
            cross_entropy=1.0,
            augment=AugmentConfig(),
            skeleton_recall=1.0,
            average=0.98,
            pool=100,
            validate_every=50,
        ),
        from_current=True,
    ),
}
