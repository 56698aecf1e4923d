"""Baseline: the student learns from labels alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from napari_vesselkd.distillation.method import Lesson, Method


@dataclass(frozen=True)
class BaselineConfig:
    """Nothing to choose."""


class Baseline(Method):
    """No terms."""

    name = "baseline"
    source = "VpbSD (arXiv 2411.09567), table 1, first row of the students: eq. 11 alone"
    Config = BaselineConfig

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        return {}
