"""What the networks of a cross-validation begin with, where it is not random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.errors import CheckpointError, InvalidInputError
from napari_vesselkd.learning.cells import CrossvalConfig
from napari_vesselkd.learning.choosing import choose_teacher, network_of
from napari_vesselkd.learning.turn import choose_student, kept_copy


@dataclass(frozen=True)
class Starts:
    """Checkpoints to begin with; None: random weights.

    Attributes
    ----------
    teacher : Checkpoint, optional
        The teacher of every fold is fine-tuned from it, not pretrained there.
    student : Checkpoint, optional
        Every student of every method begins with its weights.
    """

    teacher: Checkpoint | None = None
    student: Checkpoint | None = None

    def settled(self, config: CrossvalConfig) -> CrossvalConfig:
        """Return `config` with the intensity window and the student's network of the checkpoints.

        Raises
        ------
        InvalidInputError
            If the two were trained with different windows, or the student has none of the bundled networks.
        """
        found = [one for one in (self.teacher, self.student) if one is not None]
        uppers = {float(one.card.intensity["upper"]) for one in found}
        if len(uppers) > 1:
            raise InvalidInputError(
                "The teacher and the student to begin with need different intensity windows",
                value=" and ".join(f"{one.card.name}: {one.card.intensity['upper']:g} %" for one in found),
                limit="the same upper percentile",
                remedy="Leave --student or --teacher away, or give another",
            )
        if uppers:
            config = replace(config, pretrain=replace(config.pretrain, upper=uppers.pop()))
        if self.student is not None:
            config = replace(config, distill=replace(config.distill, student=network_of(self.student)))
        return config


def starts_of(source: Path, config: CrossvalConfig, folder: Path | None = None) -> Starts:
    """Return the checkpoints that `config` names; with `folder` its own copies of them, made once.

    Raises
    ------
    CheckpointNotFoundError, CheckpointError
        If there is none of that name, or it is of the wrong kind.
    InvalidInputError
        If the student is made for other voxels.
    """
    teacher = student = None
    if config.teacher is not None:
        name = config.teacher
        teacher = _kept(folder, "teacher", lambda: choose_teacher(source, name))
    if config.student is not None:
        student = _kept(folder, "student", lambda: _student(source, str(config.student)))
    return Starts(teacher, student)


def _student(source: Path, name: str) -> Checkpoint:
    found = choose_student(source, name)
    if found.card.architecture != "student":
        raise CheckpointError(
            "This checkpoint is not a student",
            value=f"{found.card.name}, a {found.card.architecture}",
            remedy="Give --student another one; `vesselkd checkpoints list` shows them",
        )
    return found


def _kept(folder: Path | None, what: str, chosen: Callable[[], Checkpoint]) -> Checkpoint:
    """Return what was chosen, or the folder's copy of it; several processes may ask at a time."""
    if folder is None:
        return chosen()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".start-{what}.lock"):
        return kept_copy(folder / f"start-{what}.safetensors", chosen)
