"""Losses of probabilities in [0, 1] or logits, (B, 1, *); voxels with ``valid == 0`` do not count."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from napari_vesselkd.distillation.method import mean_where

SMOOTH = 1e-5


def dice_loss(probability: Tensor, label: Tensor, valid: Tensor) -> Tensor:
    """Return ``1 - 2 sum(p y) / (sum(p) + sum(y))`` over the whole batch (VpbSD eq. 7, batch Dice)."""
    p, y = probability * valid, label * valid
    return 1 - share(2 * (p * y).sum(), p.sum() + y.sum())


def soft_dice_loss(probability: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return ``1 - (sum(p) + sum(y) - sum|p - y|) / (sum(p) + sum(y))`` over the whole batch.

    The same as `dice_loss` where the target is 0 or 1. Where it lies between, `dice_loss` is least at an
    answer of 0 or 1 and this one at ``p = y`` (Wang et al. 2023, arXiv 2303.16296, DML 1).
    """
    p, y = probability * valid, target * valid
    whole = p.sum() + y.sum()
    return 1 - share(whole - (p - y).abs().sum(), whole)


def cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean binary cross entropy of logits against a target in [0, 1]."""
    return mean_where(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), valid)


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Return ``part / whole``; 1 where both are 0."""
    return (part + SMOOTH) / (whole + SMOOTH)
