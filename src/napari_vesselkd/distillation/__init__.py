"""Methods of distillation and semi-supervised learning, each one module with its source.

A method adds terms to the student's segmentation loss; `training` runs it.
"""

from napari_vesselkd.distillation.ab import AB
from napari_vesselkd.distillation.baseline import Baseline
from napari_vesselkd.distillation.entropy import Entropy
from napari_vesselkd.distillation.fitnets import FitNets
from napari_vesselkd.distillation.hint_and_pseudo import HintAndPseudo
from napari_vesselkd.distillation.kd import KD
from napari_vesselkd.distillation.mean_teacher import MeanTeacher
from napari_vesselkd.distillation.method import Lesson, Method, TeacherLesson
from napari_vesselkd.distillation.taps import tapped
from napari_vesselkd.distillation.ua_mt import UAMT
from napari_vesselkd.distillation.vid import VID
from napari_vesselkd.distillation.vpbsd import (
    PRESETS,
    VpbSD,
    VpbSDConfig,
    VpbSDWithoutCodes,
    VpbSDWithoutPseudo,
)

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Baseline,
        KD,
        FitNets,
        VID,
        AB,
        MeanTeacher,
        UAMT,
        Entropy,
        VpbSD,
        VpbSDWithoutCodes,
        VpbSDWithoutPseudo,
        HintAndPseudo,
    )
}

__all__ = [
    "METHODS",
    "PRESETS",
    "Lesson",
    "Method",
    "TeacherLesson",
    "VpbSD",
    "VpbSDConfig",
    "tapped",
]
