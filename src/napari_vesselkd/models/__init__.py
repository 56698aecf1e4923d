"""Networks: tensors in, tensors out."""

from napari_vesselkd.models.normalisation import (
    fold_normalisation,
    freeze_statistics,
    is_frozen,
    set_statistics,
    statistics_of,
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
    "set_statistics",
    "statistics_of",
    "thaw_statistics",
]
