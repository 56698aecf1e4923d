"""Which teacher, student and preset a run begins with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError, InvalidInputError
from napari_vesselkd.learning.turn import choose_student, is_project, kept_copy, registry_of
from napari_vesselkd.training.bundled import RECIPES
from napari_vesselkd.training.finetune import recipe_of
from napari_vesselkd.training.presets import PRESETS, Preset
from napari_vesselkd.training.teach import require_teacher

SMALL_TEACHER = "teacher-small"
TEACHER_STAGES = ("pretrain", "finetune-teacher")


def choose_teacher(source: str | Path, name: str | None) -> Checkpoint:
    """Return the teacher of that name or path; for "auto" a project's latest one, else the bundled one.

    Raises
    ------
    CheckpointNotFoundError, CheckpointError
        If there is none, or it is no teacher.
    InvalidInputError
        If `name` is None.
    """
    if name is None:
        raise InvalidInputError("A teacher is needed", value="none", remedy="Give --teacher CHECKPOINT")
    registry = registry_of(source)
    if name != "auto":
        found = registry.get(name)
        require_teacher(found, *TEACHER_STAGES)
        return found
    own = [card for card in registry.list() if card.architecture == "teacher" and card.name != SMALL_TEACHER]
    if is_project(source) and own:
        return registry.get(max(own, key=lambda card: card.created).name)
    try:
        return registry.get(SMALL_TEACHER)
    except CheckpointNotFoundError as error:
        raise CheckpointNotFoundError(
            "There is no teacher to start from",
            value=name,
            limit="a teacher in the project, or the bundled one",
            remedy="Make one (vesselkd pretrain), and give its path",
        ) from error


def preset_of(preset: str | Preset) -> Preset:
    """Return the preset of that name; InvalidInputError where there is none."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise InvalidInputError("There is no such preset", value=preset, limit=", ".join(PRESETS))
    return PRESETS[preset]


def student_in_use(source: str | Path, run: Path, preset: Preset) -> Checkpoint | None:
    """Return the run's copy of the student to begin with: the one in use, where the preset says so."""
    if not preset.from_current or preset.distill.student != "auto":
        return None
    with suppress(CheckpointError, CheckpointNotFoundError, InvalidInputError):
        found = kept_copy(run / "start.safetensors", lambda: choose_student(source, "auto"))
        recipe_of(found.card)
        return found
    return None


def network_of(student: Checkpoint) -> str:
    """Return how `DistillConfig.student` names the network of a student."""
    recipe = recipe_of(student.card)
    return next(name for name, one in RECIPES.items() if one == recipe)
