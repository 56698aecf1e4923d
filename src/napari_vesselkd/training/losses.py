"""Losses of logits against labels, both (B, 1, Z, Y, X); voxels with ``valid == 0`` do not count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_vesselkd.distillation.losses import cross_entropy, dice_loss, share
from napari_vesselkd.training.checking import check_weights
from napari_vesselkd.training.patches import Batch

__all__ = ["LossConfig", "dice_loss", "segmentation_terms"]


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms.

    Attributes
    ----------
    dice, cross_entropy, skeleton_recall : float
        Soft Dice over the whole batch; binary cross entropy; share of the centreline that is missed
        (skeleton recall, Kirchhoff et al. 2024, arXiv 2404.03010): thin vessels count as much as thick.

    Raises
    ------
    InvalidInputError
        If one is negative or not finite.
    """

    dice: float = 1.0
    cross_entropy: float = 1.0
    skeleton_recall: float = 0.0

    def __post_init__(self) -> None:
        check_weights(self, "dice", "cross_entropy", "skeleton_recall")


def segmentation_terms(logits: Tensor, batch: Batch, config: LossConfig | None = None) -> dict[str, Tensor]:
    """Return the weighted terms, scalars, by name; their sum is the loss."""
    config = config or LossConfig()
    probability = torch.sigmoid(logits.float())
    terms = {}
    if config.dice:
        terms["Dice"] = config.dice * dice_loss(probability, batch.label, batch.valid)
    if config.cross_entropy:
        mean = cross_entropy(logits.float(), batch.label, batch.valid)
        terms["cross entropy"] = config.cross_entropy * mean
    if config.skeleton_recall:
        line = batch.centreline * batch.valid
        missed = 1 - share((probability * line).sum(), line.sum())
        terms["skeleton recall"] = config.skeleton_recall * missed
    return terms
