"""What a cross-validation is made of: what is compared, and the cells of work that this comes to.

A cell is a teacher, its answers about patches, or a method, each for a fold and a seed; the best threshold of
the image for a fold; at last what the networks cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.training.checking import check_at_least
from napari_vesselkd.training.distill import DistillConfig, distill_by
from napari_vesselkd.training.pretrain import PretrainConfig
from napari_vesselkd.training.teach import TeachConfig

TEACHER, ANSWERS, THRESHOLD, COSTS = "teacher", "answers", "threshold", "costs"


@dataclass(frozen=True)
class CrossvalConfig:
    """What is compared, and how it is trained.

    Attributes
    ----------
    methods : tuple of str
        Of `napari_vesselkd.distillation.METHODS`.
    folds, seeds : int
    labelled : int, optional
        Labelled volumes to learn from, drawn by the seed; the others count as unlabelled. All by default.
    teacher, student : str, optional
        Names or paths of checkpoints that the teacher of every fold begins with, in place of being
        pretrained there, and that every student begins with; see `learning.starts`.
    pretrain : PretrainConfig
    teach : TeachConfig
    distill : DistillConfig
        Its options go to the methods that know them; seeds, names and the method are set for each cell.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    threads : int, optional
        CPU threads; all by default.

    Raises
    ------
    InvalidInputError
        If a method is unknown or named twice, or a number too small.
    """

    methods: tuple[str, ...] = ("baseline", "vpbsd")
    folds: int = 5
    seeds: int = 3
    labelled: int | None = None
    teacher: str | None = None
    student: str | None = None
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    teach: TeachConfig = field(default_factory=TeachConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        check_at_least(self, seeds=1, labelled=1, threads=1)
        for name in self.methods:
            if name not in METHODS:
                raise InvalidInputError("There is no such method", value=name, limit=", ".join(METHODS))
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise InvalidInputError(
                "The methods to compare are missing or named twice", value=", ".join(self.methods) or "none"
            )

    @property
    def with_teacher(self) -> bool:
        """Whether any method needs the teacher."""
        return any(METHODS[name].needs_teacher for name in self.methods)

    def distill_of(self, method: str, seed: int) -> DistillConfig:
        """Return the settings of a method's cell."""
        return replace(
            distill_by(self.distill, method),
            seed=seed,
            name=method,
            upper=self.pretrain.upper,
            device=self.device,
            threads=self.threads,
        )


@dataclass(frozen=True)
class Cell:
    """A part of the work: `what` is a method, or TEACHER, ANSWERS, THRESHOLD, COSTS; 0 and -1: of all."""

    what: str
    fold: int = 0
    seed: int = -1

    @property
    def name(self) -> str:
        """Its name, of files too: fold-1-seed-0-vpbsd."""
        parts = [f"fold-{self.fold}"] * (self.fold > 0) + [f"seed-{self.seed}"] * (self.seed >= 0)
        return "-".join([*parts, self.what])


def cells_of(config: CrossvalConfig, folds: Iterable[int]) -> list[Cell]:
    """Return all cells, in the order of work: what others wait for comes first."""
    numbers = list(folds)
    found = [Cell(THRESHOLD, fold) for fold in numbers]
    for seed in range(config.seeds):
        for fold in numbers:
            if config.with_teacher:
                found += [Cell(TEACHER, fold, seed), *_answers(config, fold, seed)]
            found += [Cell(method, fold, seed) for method in config.methods]
    return [*found, Cell(COSTS)]


def needed_by(cell: Cell, config: CrossvalConfig, cells: Sequence[Cell]) -> list[Cell]:
    """Return what has to be finished before a cell."""
    if cell.what == COSTS:
        return list(cells[:-1])
    if cell.what != ANSWERS and not (cell.what in METHODS and METHODS[cell.what].needs_teacher):
        return []
    answers = _answers(config, cell.fold, cell.seed) if cell.what in METHODS and asks(cell.what) else []
    return [Cell(TEACHER, cell.fold, cell.seed), *answers]


def asks(method: str) -> bool:
    """Whether a method learns from answers of the teacher that are kept."""
    kind = METHODS[method]
    return kind.needs_teacher and not kind.needs_live_teacher


def _answers(config: CrossvalConfig, fold: int, seed: int) -> list[Cell]:
    return [Cell(ANSWERS, fold, seed)] if any(map(asks, config.methods)) else []
