"""Networks: tensors in, tensors out."""

import os

# Read once, when torch is loaded. By default threads wait for each other in busy loops: where another process
# has the processor, a pass takes up to twenty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
from napari_vesselkd.models.teacher import Teacher, TeacherConfig

__all__ = [
    "Student",
    "StudentConfig",
    "Teacher",
    "TeacherConfig",
    "fold_normalisation",
    "freeze_statistics",
    "is_frozen",
    "measure_reach",
    "set_statistics",
    "statistics_of",
    "thaw_statistics",
]
