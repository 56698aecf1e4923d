"""VpbSD: the student learns from labels, from the teacher's pseudo-labels and from its vessel patterns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from napari_vesselkd.distillation.hints import aligned, z_tap
from napari_vesselkd.distillation.losses import cross_entropy, soft_dice_loss
from napari_vesselkd.distillation.method import Lesson, Method, mean_where
from napari_vesselkd.distillation.ramp import ramp
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher

RAMP = 80 / 300


@dataclass(frozen=True)
class PseudoConfig:
    """Learning from pseudo-labels.

    Attributes
    ----------
    pseudo : float
        Weight, at its largest, of the Dice loss on them.
    pseudo_ramp : float
        Share of the steps in which it grows; 0: it is constant.
    pseudo_cross_entropy : float
        Weight of the binary cross entropy on them, beside Dice; 0 as published. Dice alone hardly minds
        background that is called vessel, and a student can come to flood volumes that are sparser than those.
    soft : bool
        Whether they are the teacher's probabilities (methods 1.10); else ``probability > 0.5``, as published.
    confident : (float, float)
        Soft ones count where they lie below the first or above the second.
    """

    pseudo: float = 1.0
    pseudo_ramp: float = RAMP
    pseudo_cross_entropy: float = 0.0
    soft: bool = False
    confident: tuple[float, float] = (0.1, 0.9)


@dataclass(frozen=True)
class VpbSDConfig(PseudoConfig):
    """Learning from pseudo-labels and codes.

    Attributes
    ----------
    codes : float
        Weight, at its largest, of the distance to the codes, whose RMS is 1.
    codes_ramp : float
        Share of the steps in which it grows; 0: it is constant.
    """

    codes: float = 1.0
    codes_ramp: float = 0.0


# Which weight is ramped and which is 1 or 0.1 is lost in the paper's text (methods 1.7): A, the default, is
# the natural reading; B and C are the others.
PRESETS: dict[str, VpbSDConfig] = {
    "A": VpbSDConfig(),
    "B": VpbSDConfig(pseudo_ramp=0.0, codes_ramp=RAMP),
    "C": VpbSDConfig(codes=0.1),
}


class VpbSD(Method):
    """All terms of eq. 10.

    Attributes
    ----------
    codes_are_averaged : bool
        Whether the student's grid is coarser than the codes' along some axis, so that several codes are
        averaged into one target; choose smaller strides then.

    Raises
    ------
    InvalidInputError
        If the student's z and the teacher's codes have not the same number of channels.
    """

    name = "vpbsd"
    source = "VpbSD (arXiv 2411.09567), eqs 9, 10 and 12"
    Config = VpbSDConfig
    needs_teacher = True
    needs_unlabelled = True
    with_codes: ClassVar[bool] = True
    with_pseudo: ClassVar[bool] = True

    def __init__(self, student: Student, teacher: Teacher | None = None, config: Any = None) -> None:
        super().__init__(student, teacher)
        self.config: VpbSDConfig = config or VpbSDConfig()
        self.codes_are_averaged = False
        if self.with_codes and teacher is not None:
            _check_widths(student, teacher)
            self.student_taps = (z_tap(student),)
            strides = zip(student.total_stride, teacher.total_stride, strict=True)
            self.codes_are_averaged = any(mine > its for mine, its in strides)

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        config, terms = self.config, dict[str, Tensor]()
        if self.with_codes:
            weight = config.codes * ramp(lesson.step, lesson.steps, config.codes_ramp)
            terms["codes"] = weight * self.code_distance(lesson)
        if self.with_pseudo:
            terms["pseudo-labels"] = pseudo_term(lesson, config, self.watched)
        return terms

    def code_distance(self, lesson: Lesson) -> Tensor:
        """Return ``mean |z - q|`` over all entries (eq. 9).

        What was filled by reflection counts too: both networks see it.
        """
        codes = lesson.taught.codes
        assert codes is not None  # noqa: S101  (the method needs a teacher)
        z, q = aligned(lesson.features[self.student_taps[0]], codes.detach())
        return (z - q).abs().mean()


class VpbSDWithoutCodes(VpbSD):
    """Pseudo-labels alone."""

    name = "vpbsd-without-codes"
    source = "VpbSD (arXiv 2411.09567), table 3, without L_cb"
    with_codes = False


class VpbSDWithoutPseudo(VpbSD):
    """Codes alone, on labelled and unlabelled entries."""

    name = "vpbsd-without-pseudo"
    source = "VpbSD (arXiv 2411.09567), table 3, without L_pse"
    with_pseudo = False


def pseudo_term(lesson: Lesson, config: PseudoConfig, watched: dict[str, Tensor]) -> Tensor:
    """Return the weighted loss against the pseudo-labels of the unlabelled entries (eq. 12, and more)."""
    part = lesson.unlabelled
    target, counts = pseudo_labels(lesson, config)
    watched["confident"] = mean_where(counts, lesson.valid[part])
    logits = lesson.logits[part].float()
    loss = soft_dice_loss(torch.sigmoid(logits), target, counts)
    if config.pseudo_cross_entropy:
        loss = loss + config.pseudo_cross_entropy * cross_entropy(logits, target, counts)
    return config.pseudo * ramp(lesson.step, lesson.steps, config.pseudo_ramp) * loss


@torch.no_grad()
def pseudo_labels(lesson: Lesson, config: PseudoConfig) -> tuple[Tensor, Tensor]:
    """Return the targets of the unlabelled entries in [0, 1], and 1 where they count, both (b, 1, *)."""
    part, taught = lesson.unlabelled, lesson.taught
    if taught.pseudo is not None:
        probability = taught.pseudo[part].float()
    else:
        assert taught.logits is not None  # noqa: S101  (a live teacher gives logits)
        probability = torch.sigmoid(taught.logits[part].float())
    counts = lesson.valid[part]
    if taught.confident is not None:
        counts = counts * taught.confident[part]
    if not config.soft:
        return (probability > 0.5).float(), counts
    low, high = config.confident
    return probability, counts * ((probability < low) | (probability > high))


def _check_widths(student: Student, teacher: Teacher) -> None:
    width, its = student.config.widths[-1], teacher.config.quantiser.width
    if width != its:
        raise InvalidInputError(
            "The student's deepest feature and the teacher's codes have different numbers of channels",
            value=f"{width} and {its}",
            limit="the same number",
            remedy=f"Train a teacher with codes of width {width}, or a student that ends in it",
        )
