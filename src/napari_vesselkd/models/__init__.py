"""Networks: tensors in, tensors out."""

from napari_vesselkd.models.normalisation import (
    fold_normalisation,
    freeze_statistics,
    is_frozen,
    thaw_statistics,
)
from napari_vesselkd.models.reach import measure_reach
from napari_vesselkd.models.student import Student, StudentConfig

__all__ = [
    "Student",
    "StudentConfig",
    "fold_normalisation",
    "freeze_statistics",
    "is_frozen",
    "measure_reach",
    "thaw_statistics",
]
