"""KD: the student imitates the teacher's softened answer, voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.distillation.method import Lesson, Method, mean_where
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class KDConfig:
    """Weights of RepDistiller (0.1, 0.9, T = 4).

    Attributes
    ----------
    temperature : float
    segmentation, weight : float
        Of the segmentation loss and of the imitation.
    band : int
        Voxels by which vessels (label or teacher) are widened. The inside and the outside of that band are
        averaged apart and count one half each, because the background would drown the vessels.
    """

    temperature: float = 4.0
    segmentation: float = 0.1
    weight: float = 0.9
    band: int = 2

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InvalidInputError(
                "The option temperature is out of range", value=self.temperature, limit="above 0"
            )


class KD(Method):
    """Imitation on all entries."""

    name = "kd"
    source = "Hinton, Vinyals and Dean 2015 (arXiv 1503.02531), section 2; binary, per voxel"
    Config = KDConfig
    needs_teacher = needs_live_teacher = True

    def __init__(
        self, student: Student, teacher: Teacher | None = None, config: KDConfig | None = None
    ) -> None:
        super().__init__(student, teacher)
        self.config = config or KDConfig()
        self.segmentation_weight = self.config.segmentation

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        logits = lesson.taught.logits
        assert logits is not None  # noqa: S101  (the teacher is live)
        each = binary_kl(lesson.logits, logits.detach(), self.config.temperature)
        near = _widened((lesson.label > 0.5) | (logits > 0), self.config.band)
        parts = [mean_where(each, side * lesson.valid) for side in (near, 1 - near)]
        return {"imitation": self.config.weight * torch.stack(parts).mean()}


def binary_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 KL(q || p)`` per voxel of two Bernoulli distributions given by their logits.

    ``q = sigmoid(teacher/T)``, ``p = sigmoid(student/T)``: what a softmax over the channels (0, logit) gives.
    """
    s, t = student.float() / temperature, teacher.float() / temperature
    q = torch.sigmoid(t)
    vessel = F.logsigmoid(t) - F.logsigmoid(s)
    other = F.logsigmoid(-t) - F.logsigmoid(-s)
    return temperature**2 * (q * vessel + (1 - q) * other)


def _widened(mask: Tensor, voxels: int) -> Tensor:
    pool = F.max_pool3d if mask.dim() == 5 else F.max_pool2d
    return pool(mask.float(), 2 * voxels + 1, stride=1, padding=voxels)
