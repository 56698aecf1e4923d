"""FitNets: the student's z predicts the teacher's continuous feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from napari_vesselkd.distillation.hints import HintMethod, Standardise, pointwise
from napari_vesselkd.distillation.method import Lesson
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class FitNetsConfig:
    """Weight of the hint; the teacher's feature is standardised, so that 1 suits every teacher."""

    weight: float = 1.0


class FitNets(HintMethod):
    """Joint, as in RepDistiller: the hint is learned beside the segmentation, in one stage."""

    name = "fitnets"
    source = "Romero et al. 2015 (arXiv 1412.6550), eq. 3; a 1x1x1 convolution as regressor"
    Config: ClassVar[type] = FitNetsConfig

    def __init__(
        self, student: Student, teacher: Teacher | None = None, config: FitNetsConfig | None = None
    ) -> None:
        super().__init__(student, teacher)
        self.config = config or FitNetsConfig()
        self.regressor = pointwise(student.config.spatial_dims, student.config.widths[-1], self.width)
        self.standardise = Standardise(self.width)

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        z, feature = self.pair(lesson)
        missed = self.regressor(z).float() - self.standardise(feature)
        return {"hint": self.config.weight * missed.square().mean()}
