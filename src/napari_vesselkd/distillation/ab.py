"""AB: the student learns on which side of zero the teacher's neurons are (activation boundaries)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_vesselkd.distillation.hints import HintMethod, pointwise
from napari_vesselkd.distillation.method import Lesson
from napari_vesselkd.distillation.taps import channels_of
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class ABConfig:
    """How boundaries are learned.

    Attributes
    ----------
    weight, margin : float
    stage : float
        Share of the steps, from the first on, in which they are learned: 30 of RepDistiller's 240 epochs.
    """

    weight: float = 0.1
    margin: float = 1.0
    stage: float = 30 / 240


class AB(HintMethod):
    """Initialisation: the term is there in the first eighth of the steps, then there is none.

    The segmentation is learned meanwhile too, unlike in the paper: every method then sees as many labelled
    steps. The teacher's feature is what goes into an activation, whose sign has a meaning; the student's is
    z behind a connector (1x1x1 convolution and group normalisation, for batches are small).
    """

    name = "ab"
    source = "Heo et al. 2019 (arXiv 1811.03233), eq. 3; mean instead of sum"
    Config = ABConfig

    def __init__(
        self, student: Student, teacher: Teacher | None = None, config: ABConfig | None = None
    ) -> None:
        super().__init__(student, teacher)
        self.config = config or ABConfig()
        self.connector = nn.Sequential(
            pointwise(student.config.spatial_dims, student.config.widths[-1], self.width),
            nn.GroupNorm(math.gcd(self.width, 8), self.width),
        )

    def feature_of(self, teacher: Teacher) -> tuple[str, int]:
        tap, config = teacher.preactivation_tap, teacher.config
        return tap, channels_of(teacher, tap, (config.patch,) * config.spatial_dims)

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        if lesson.step >= self.config.stage * lesson.steps:
            return {}
        z, feature = self.pair(lesson)
        loss = boundary_loss(self.connector(z).float(), feature, self.config.margin)
        return {"boundaries": self.config.weight * loss}


def boundary_loss(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """Return the mean of ``(s + m)^2 [s > -m, t <= 0] + (s - m)^2 [s <= m, t > 0]``."""
    above = (student + margin).clamp_min(0).square()
    below = (margin - student).clamp_min(0).square()
    return below.where(teacher > 0, above).mean()
