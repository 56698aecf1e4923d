"""What a method of distillation or semi-supervised learning is: terms added to the segmentation loss.

Notation: B batch, of which the first `labelled` entries have labels; C channels; * is (Z, Y, X) or (Y, X),
`grid` the cells of a feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.student import Student

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import Teacher


@dataclass(frozen=True)
class TeacherLesson:
    """What the teacher says about a batch; nothing in it has a gradient.

    Attributes
    ----------
    codes : Tensor (B, width, *grid), optional
        Looked up, and divided by the RMS of the codebook.
    pseudo : Tensor (B, 1, *), optional
        Probability of vessel in [0, 1], or 0 and 1.
    confident : Tensor (B, 1, *), optional
        1 where `pseudo` counts.
    logits : Tensor (B, 1, *), optional
        For methods with `needs_live_teacher`.
    features : mapping of str to Tensor (B, C, *grid)
        By the names in `Method.teacher_taps`, for methods with `needs_live_teacher`.
    """

    codes: Tensor | None = None
    pseudo: Tensor | None = None
    confident: Tensor | None = None
    logits: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """One training step, as a method sees it.

    Attributes
    ----------
    image : Tensor (B, 1, *)
        In [0, 1].
    label, valid : Tensor (B, 1, *)
        0 or 1; labels are 0 beyond `labelled`, and no loss counts voxels where `valid` is 0.
    labelled : int
        Entries that have labels, the first ones of the batch.
    logits : Tensor (B, 1, *)
        Of the student.
    features : mapping of str to Tensor (B, C, *grid)
        Of the student, by the names in `Method.student_taps`.
    teacher : TeacherLesson or None
        None for methods with ``needs_teacher = False``.
    step, steps : int
        The number of this step, from 0, and of all steps.
    """

    image: Tensor
    label: Tensor
    valid: Tensor
    labelled: int
    logits: Tensor
    features: Mapping[str, Tensor]
    teacher: TeacherLesson | None
    step: int
    steps: int

    @property
    def taught(self) -> TeacherLesson:
        """The teacher's part, for methods that need it."""
        assert self.teacher is not None  # noqa: S101  (given to every method that needs a teacher)
        return self.teacher

    @property
    def unlabelled(self) -> slice:
        """The entries without labels."""
        return slice(self.labelled, None)


class Method(nn.Module):
    """Base of all methods. Regressors and averaged networks are submodules; teacher and student never are.

    What is trained beside the student is what needs a gradient here. Nothing of it is exported.

    Parameters
    ----------
    student : Student
    teacher : Teacher, optional
        Only looked at, for its widths and module paths.
    config : frozen dataclass, optional
        The method's own, of type `Config`.

    Attributes
    ----------
    name, source : str
        What it is called, and the paper and equation it follows.
    needs_teacher, needs_live_teacher, needs_unlabelled : bool
        Whether a lesson must hold what the teacher says, its logits and features too (which are not kept on
        disk), and unlabelled entries.
    student_taps, teacher_taps : tuple of str
        Names of features that the lessons must hold (see `taps`).
    segmentation_weight : float
        Of the segmentation loss on labels.
    watched : dict of str to Tensor
        Scalars of the last lesson that are worth watching and are not minimised.

    Raises
    ------
    InvalidInputError
        If it needs a teacher and there is none.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    Config: ClassVar[type]
    needs_teacher: ClassVar[bool] = False
    needs_live_teacher: ClassVar[bool] = False
    needs_unlabelled: ClassVar[bool] = False
    student_taps: tuple[str, ...] = ()
    teacher_taps: tuple[str, ...] = ()
    segmentation_weight: float = 1.0

    def __init__(self, student: Student, teacher: Teacher | None = None, config: Any = None) -> None:
        super().__init__()
        self.watched: dict[str, Tensor] = {}
        if self.needs_teacher and teacher is None:
            raise InvalidInputError(
                f"The method {self.name} needs a teacher, and there is none",
                remedy="Give a teacher's checkpoint, or choose the method baseline",
            )

    def terms(self, lesson: Lesson, student: nn.Module) -> dict[str, Tensor]:
        """Return the weighted scalars, by name, that are added to the segmentation loss."""
        raise NotImplementedError

    def after_step(self, student: nn.Module, step: int) -> None:
        """Follow the student, whose weights have just changed."""


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `values` where `mask`, of the same shape, is 1; 0 where it is 1 nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1)
