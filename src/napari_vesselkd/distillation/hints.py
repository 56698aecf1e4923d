"""The student's deepest feature z against a feature of the teacher: grids, channels, scales.

Notation: g_S, g_T the grids of the two features (cells per axis).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.distillation.method import Lesson, Method
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher

SETTLED_AFTER = 100


def z_tap(student: Student) -> str:
    """Return the name of z (B, widths[-1], *grid): the last down-convolution, before any activation."""
    return f"down.{len(student.down) - 1}"


def aligned(z: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Return both features, float32, averaged to their common grid, the smaller number of cells per axis.

    Codes are never repeated to a finer grid: that would force several cells of the student to be the same.
    Where the student's grid is the coarser one, codes are averaged instead (methods 1.6).
    """
    grid = [min(sides) for sides in zip(z.shape[2:], feature.shape[2:], strict=True)]
    return _pooled(z.float(), grid), _pooled(feature.float(), grid)


def pointwise(dims: int, width_in: int, width_out: int) -> nn.Module:
    """Return a 1x1x1 (or 1x1) convolution."""
    kind = nn.Conv3d if dims == 3 else nn.Conv2d
    return kind(width_in, width_out, 1)


class Standardise(nn.Module):
    """Subtract a mean per channel and divide by a standard deviation, both measured on the first batches.

    They are measured in training mode only, over the first 100 batches together, and then stay; all of it is
    in buffers of the method, so that a run goes on as it was and the student's weights know nothing of it.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.batches: Tensor
        self.cells: Tensor
        self.mean: Tensor
        self.squares: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("cells", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("squares", torch.zeros(channels))

    def forward(self, feature: Tensor) -> Tensor:
        """Return the feature (B, C, *grid), standardised."""
        if self.training and int(self.batches) < SETTLED_AFTER:
            self._measure(feature)
        shape = (1, -1, *(1,) * (feature.dim() - 2))
        variance = self.squares / self.cells.clamp_min(1)
        return (feature - self.mean.view(shape)) * torch.rsqrt(variance + 1e-5).view(shape)

    @torch.no_grad()
    def _measure(self, feature: Tensor) -> None:
        values = feature.movedim(1, 0).flatten(1)  # (C, B * cells)
        count, mean = values.shape[1], values.mean(1)
        total, change = self.cells + count, mean - self.mean
        squares = (values - mean[:, None]).square().sum(1)
        self.squares += squares + change.square() * self.cells * count / total
        self.mean += change * count / total
        self.cells.copy_(total)
        self.batches += 1


class HintMethod(Method):
    """A method that compares z with one live feature of the teacher.

    Attributes
    ----------
    width : int
        Channels of that feature.
    """

    needs_teacher = needs_live_teacher = True

    def __init__(self, student: Student, teacher: Teacher | None = None, config: Any = None) -> None:
        super().__init__(student, teacher, config)
        assert teacher is not None  # noqa: S101  (the base class has checked it)
        tap, self.width = self.feature_of(teacher)
        self.student_taps, self.teacher_taps = (z_tap(student),), (tap,)

    def feature_of(self, teacher: Teacher) -> tuple[str, int]:
        """Return the name and the channels of the teacher's feature: z before the codebook."""
        return teacher.z_tap, teacher.z_width

    def pair(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """Return the student's z and the teacher's feature on their common grid, float32."""
        feature = lesson.taught.features[self.teacher_taps[0]]
        return aligned(lesson.features[self.student_taps[0]], feature.detach())


def _pooled(feature: Tensor, grid: list[int]) -> Tensor:
    if list(feature.shape[2:]) == grid:
        return feature
    pool: Callable[..., Tensor] = F.adaptive_avg_pool3d if len(grid) == 3 else F.adaptive_avg_pool2d
    return pool(feature, grid)
