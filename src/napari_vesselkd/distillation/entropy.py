"""ME: entropy minimisation, the student is to be sure of itself on unlabelled images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.distillation.method import Lesson, Method, mean_where
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class EntropyConfig:
    """Weight of AdvEnt's main output; above 0.01 "all background" becomes the easy answer."""

    weight: float = 0.001


class Entropy(Method):
    """`watched` has the foreground's share, which goes to 0 where the student gives up on vessels."""

    name = "entropy"
    source = "Vu et al. 2019, AdvEnt (arXiv 1811.12833), eqs 2 and 3 (MinEnt)"
    Config = EntropyConfig
    needs_unlabelled = True

    def __init__(
        self, student: Student, teacher: Teacher | None = None, config: EntropyConfig | None = None
    ) -> None:
        super().__init__(student, teacher)
        self.config = config or EntropyConfig()

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        logits, valid = lesson.logits[lesson.unlabelled], lesson.valid[lesson.unlabelled]
        self.watched["foreground"] = mean_where(torch.sigmoid(logits.detach().float()), valid)
        return {"entropy": self.config.weight * mean_where(binary_entropy(logits), valid)}


def binary_entropy(logits: Tensor) -> Tensor:
    """Return the entropy in bits, float32: 1 at logit 0, 0 at plus or minus infinity.

    From logits, in float32: the logarithm of a half-precision probability is not finite.
    """
    z = logits.float().clamp(-80, 80)  # beyond it is 0 in float32; infinity times 0 would not be a number
    p = torch.sigmoid(z)
    return (p * F.softplus(-z) + (1 - p) * F.softplus(z)) / math.log(2)
