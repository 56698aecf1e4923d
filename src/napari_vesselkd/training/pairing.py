"""What learns in a run of distillation, a student and its method, and whether they fit patch and teacher."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

import torch
from torch import nn

from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.distillation import METHODS, Method
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.models import Student, StudentConfig, thaw_statistics
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.training.bundled import RECIPES, Recipe
from napari_vesselkd.values import coerced

if TYPE_CHECKING:
    from napari_vesselkd.training.distill import DistillConfig


class Pair(nn.Module):
    """What is trained together: the student, and what its method adds (regressors, moving averages)."""

    def __init__(self, student: Student, method: Method) -> None:
        super().__init__()
        self.student, self.method = student, method


def paired(student: Student, teacher: Teacher | None, config: DistillConfig) -> Pair:
    """Return a student with its method.

    Raises
    ------
    InvalidInputError
        If the patch does not fit the student or the teacher, these do not fit each other, or an option of the
        method is unknown or cannot be used.
    """
    check_patch(config, student, teacher)
    return Pair(student, METHODS[config.method](student, teacher, method_config(config)))


def check_patch(config: DistillConfig, student: Student, teacher: Teacher | None) -> None:
    """Raise InvalidInputError if the patch does not fit the student or the teacher."""
    side = 64 if teacher is None else teacher.config.patch
    for name, network in (("student", student), ("teacher", teacher)):
        try:
            if network is not None:
                network.check_sides(config.patch)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"The patch does not fit the {name}",
                value=",".join(map(str, config.patch)),
                limit=error.limit,
                remedy=f"Leave the setting patch away, or give {side},{side},{side}",
            ) from error


def check_networks(voxel_size_um: VoxelSize, teacher: Teacher | None, config: DistillConfig) -> None:
    """Raise what `paired` would raise for a new student of volumes of this voxel size (z, y, x)."""
    with torch.random.fork_rng(devices=()):
        paired(new_student(recipe_for(voxel_size_um, config), config), teacher, config)


def method_config(config: DistillConfig) -> Any:
    """Return the method's own configuration, with the options as the types that its fields have.

    Raises
    ------
    InvalidInputError
        If one is unknown, of another type, negative or not finite.
    """
    kind = METHODS[config.method].Config
    hints, known = get_type_hints(kind), [one.name for one in fields(kind)]
    values = {}
    for name, value in config.options.items():
        if name not in known:
            raise InvalidInputError(
                f"The method {config.method} has no such option",
                value=name,
                limit=", ".join(known) or "none",
            )
        values[name] = found = coerced(f"options.{name}", value, hints[name])
        if not all(0 <= part < math.inf for part in (found if isinstance(found, tuple) else (found,))):
            raise InvalidInputError(f"The option {name} is out of range", value=value, limit="0 or more")
    return kind(**values)


def keeps_soft(config: DistillConfig) -> bool:
    """Whether a teacher's answers are kept as probabilities, see `TeacherCache`."""
    return bool(getattr(method_config(config), "soft", False))


def recipe_for(voxel_size_um: VoxelSize, config: DistillConfig) -> Recipe | None:
    """Return the bundled student's recipe whose network to take; None for the paper's."""
    if config.student == "paper":
        return None
    if config.student != "auto":
        return RECIPES[config.student]
    z, y, x = voxel_size_um
    return RECIPES["coarse-z" if z / (y * x) ** 0.5 > RECIPES["isotropic"].anisotropy[1] else "isotropic"]


def new_student(recipe: Recipe | None, config: DistillConfig, start: Checkpoint | None = None) -> Student:
    """Return the student to teach: with random weights, or those of `start`.

    Raises
    ------
    InvalidInputError
        If `start` has another network.
    """
    torch.manual_seed(config.seed)
    student = Student(StudentConfig() if recipe is None else recipe.model)
    if start is not None:
        loaded: Any = start.load()
        if loaded.config != student.config:
            raise InvalidInputError(
                "The checkpoint to start from has another network than the student",
                value=start.card.name,
                limit=str(student.config),
                remedy="Leave it out, or choose --set student=...",
            )
        student = loaded.requires_grad_(True)
    thaw_statistics(student)
    return student
