"""The continuous feature in place of the codes, and pseudo-labels: what quantising the hint is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_vesselkd.distillation.fitnets import FitNets, FitNetsConfig
from napari_vesselkd.distillation.method import Lesson
from napari_vesselkd.distillation.vpbsd import PseudoConfig, pseudo_term
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class HintAndPseudoConfig(PseudoConfig):
    """Learning from pseudo-labels, and the weight of the hint."""

    hint: float = 1.0


class HintAndPseudo(FitNets):
    """FitNets on all entries, with the pseudo-labels of VpbSD."""

    name = "hint-and-pseudo"
    source = "VpbSD (arXiv 2411.09567), table 3, baseline + L_mid + L_pse"
    Config = HintAndPseudoConfig
    needs_unlabelled = True

    def __init__(
        self, student: Student, teacher: Teacher | None = None, config: HintAndPseudoConfig | None = None
    ) -> None:
        chosen = config or HintAndPseudoConfig()
        super().__init__(student, teacher, FitNetsConfig(chosen.hint))
        self.pseudo_config = chosen

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        pseudo = pseudo_term(lesson, self.pseudo_config, self.watched)
        return {**super().terms(lesson, student), "pseudo-labels": pseudo}
