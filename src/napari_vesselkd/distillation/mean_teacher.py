"""Mean Teacher: the student agrees with a moving average of itself on noisy unlabelled images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from napari_vesselkd.distillation.method import Lesson, Method, mean_where
from napari_vesselkd.distillation.ramp import ramp
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class MeanTeacherConfig:
    """Values of SSL4MIS.

    Attributes
    ----------
    weight, ramp : float
        Largest weight, and the share of the steps in which it grows (30,000 of 30,000 iterations).
    decay : float
        Of the moving average, at its largest.
    noise, most_noise : float
        Standard deviation and limit of what is added to the average's image, in units of its [0, 1].
    """

    weight: float = 0.1
    ramp: float = 1.0
    decay: float = 0.99
    noise: float = 0.1
    most_noise: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise InvalidInputError("The option decay is out of range", value=self.decay, limit="0..1")


class MeanTeacher(Method):
    """The average has the student's layers and runs in evaluation mode, whatever mode the student is in.

    SSL4MIS runs it in training mode, for the dropout of its networks; the student here has no dropout and
    keeps no batch statistics, so both modes give the same.
    """

    name = "mean-teacher"
    source = "Tarvainen and Valpola 2017 (arXiv 1703.01780), section 2; settings of SSL4MIS"
    Config = MeanTeacherConfig
    needs_unlabelled = True

    def __init__(self, student: Student, teacher: Teacher | None = None, config: Any = None) -> None:
        super().__init__(student, teacher)
        self.config: MeanTeacherConfig = config or self.Config()
        self.average = copy.deepcopy(student).requires_grad_(False).eval()

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        part = lesson.unlabelled
        image, valid = lesson.image[part], lesson.valid[part]
        said = self.ask(image)
        counts = self.counts(image, said, lesson) * valid
        apart = (torch.sigmoid(lesson.logits[part].float()) - said).square()
        weight = self.config.weight * ramp(lesson.step, lesson.steps, self.config.ramp)
        return {"consistency": weight * mean_where(apart, counts)}

    @torch.no_grad()
    def ask(self, image: Tensor) -> Tensor:
        """Return the average's probability (b, 1, *) for a noisy copy of the image."""
        most = self.config.most_noise
        noise = (torch.randn_like(image) * self.config.noise).clamp(-most, most)
        return torch.sigmoid(self.average(image + noise).float())

    def counts(self, image: Tensor, said: Tensor, lesson: Lesson) -> Tensor:
        """Return 1 for each voxel (b, 1, *) that is to agree: all of them."""
        return torch.ones_like(said)

    @torch.no_grad()
    def after_step(self, student: nn.Module, step: int) -> None:
        """Average the weights: ``decay = min(1 - 1/(step + 1), config.decay)``, 0 after the first step."""
        decay = min(1 - 1 / (step + 1), self.config.decay)
        for kept, new in zip(self.average.parameters(), student.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        for kept_too, as_it_is in zip(self.average.buffers(), student.buffers(), strict=True):
            kept_too.copy_(as_it_is)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the average."""
        super().train(mode)
        self.average.eval()
        return self
