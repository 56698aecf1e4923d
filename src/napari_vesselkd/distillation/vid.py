"""VID: variational information distillation, a Gaussian with a learned variance per channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.distillation.hints import HintMethod, pointwise
from napari_vesselkd.distillation.method import Lesson
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher

EPSILON = 1e-5


@dataclass(frozen=True)
class VIDConfig:
    """Weight, and the variance to begin with."""

    weight: float = 0.01
    variance: float = 5.0

    def __post_init__(self) -> None:
        if not self.variance > EPSILON:
            raise InvalidInputError(
                "The option variance is out of range", value=self.variance, limit="above 1e-5"
            )


class VID(HintMethod):
    """The mean is three 1x1x1 convolutions with half the teacher's channels between them (384 of 768).

    The loss can be negative; `alpha` must not decay (Adam here has no weight decay).
    """

    name = "vid"
    source = "Ahn et al. 2019 (arXiv 1904.05835), eqs 4 and 5"
    Config = VIDConfig

    def __init__(
        self, student: Student, teacher: Teacher | None = None, config: VIDConfig | None = None
    ) -> None:
        super().__init__(student, teacher)
        self.config = config or VIDConfig()
        dims, middle = student.config.spatial_dims, max(1, self.width // 2)
        self.mean = nn.Sequential(
            pointwise(dims, student.config.widths[-1], middle),
            nn.ReLU(),
            pointwise(dims, middle, middle),
            nn.ReLU(),
            pointwise(dims, middle, self.width),
        )
        start = math.log(math.expm1(self.config.variance - EPSILON))
        self.alpha = nn.Parameter(torch.full((self.width,), start))

    @property
    def variance(self) -> Tensor:
        """Of each channel (C,), ``ln(1 + exp(alpha)) + 1e-5``."""
        return F.softplus(self.alpha.float()) + EPSILON

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        z, feature = self.pair(lesson)
        loss = gaussian_surprise(feature, self.mean(z).float(), self.variance)
        return {"information": self.config.weight * loss}


def gaussian_surprise(feature: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return ``sum_c mean_v (1/2) ((f - mu)^2 / sigma^2 + ln sigma^2)`` of (B, C, *grid), variance (C,)."""
    spread = variance.view(1, -1, *(1,) * (feature.dim() - 2))
    each = 0.5 * ((feature - mean).square() / spread + spread.log())
    return each.transpose(0, 1).flatten(1).mean(1).sum()
