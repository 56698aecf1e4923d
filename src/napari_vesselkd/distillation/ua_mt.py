"""UA-MT: Mean Teacher that listens only where the average is certain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.distillation.mean_teacher import MeanTeacher, MeanTeacherConfig
from napari_vesselkd.distillation.method import Lesson, mean_where
from napari_vesselkd.distillation.ramp import ramp
from napari_vesselkd.errors import InvalidInputError


@dataclass(frozen=True)
class UAMTConfig(MeanTeacherConfig):
    """Values of UA-MT.

    Attributes
    ----------
    passes : int
        Stochastic passes of the average that the uncertainty is taken from.
    dropout : float
        Of channels in those passes.
    certain : (float, float)
        Largest entropy that counts, as a share of ln 2: ``certain[0] + certain[1] ramp``.
    """

    passes: int = 8
    dropout: float = 0.5
    certain: tuple[float, float] = (0.75, 0.25)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.passes >= 1:
            raise InvalidInputError("The option passes is out of range", value=self.passes, limit="1 or more")
        if not 0 <= self.dropout < 1:
            raise InvalidInputError(
                "The option dropout is out of range", value=self.dropout, limit="0 to below 1"
            )


class UAMT(MeanTeacher):
    """Certain where the entropy of the mean of the stochastic passes is low.

    The published V-Net has dropout at its bottleneck and at its last level. The student has none, and stays
    as it is; the average drops channels at the same two places, in the stochastic passes only. Without that
    they would differ by the noise of the image alone. What the student is to agree with is a pass without
    dropout, so that with every voxel certain this is Mean Teacher.

    Vessels are often what is uncertain: `watched` has the share of the average's foreground voxels that are
    left out.
    """

    name = "ua-mt"
    source = "Yu et al. 2019 (arXiv 1907.07034), eqs 2 to 4; settings of its code"
    Config = UAMTConfig

    def counts(self, image: Tensor, said: Tensor, lesson: Lesson) -> Tensor:
        config = cast(UAMTConfig, self.config)
        first, more = config.certain
        limit = (first + more * ramp(lesson.step, lesson.steps, config.ramp)) * math.log(2)
        certain = (self.uncertainty(image) < limit).float()
        vessel = (said > 0.5).float() * lesson.valid[lesson.unlabelled]
        self.watched["masked foreground"] = mean_where(1 - certain, vessel)
        return certain

    @torch.no_grad()
    def uncertainty(self, image: Tensor) -> Tensor:
        """Return the entropy (b, 1, *), in nats, of the mean probability of the stochastic passes."""
        config = cast(UAMTConfig, self.config)
        total = torch.zeros_like(image, dtype=torch.float32)
        with dropped((self.average.down[-1], self.average.decoder[0]), config.dropout):
            for _ in range(config.passes):
                total += self.ask(image)
        mean = total / config.passes
        return cast(Tensor, torch.special.entr(mean) + torch.special.entr(1 - mean))


@contextmanager
def dropped(modules: tuple[nn.Module, ...], probability: float) -> Iterator[None]:
    """Drop whole channels of what comes out of the modules; the others are scaled up."""

    def drop(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        kind: Callable[..., Tensor] = F.dropout3d if output.dim() == 5 else F.dropout2d
        return kind(output, probability, training=True)

    hooks = [module.register_forward_hook(drop) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
