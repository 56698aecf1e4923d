"""Cross-validation: every method is trained without one fold of the groups, and scored there, for every seed.

The work is cut into cells (`cells`), which processes and machines that see the same folder share
(`cell_folder`). What a killed process had saved is gone on from.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry
from napari_vesselkd.distillation import METHODS
from napari_vesselkd.errors import TrainingError
from napari_vesselkd.learning.cell_folder import CellFolder
from napari_vesselkd.learning.cells import (
    ANSWERS,
    COSTS,
    TEACHER,
    THRESHOLD,
    Cell,
    CrossvalConfig,
    asks,
    cells_of,
    needed_by,
)
from napari_vesselkd.learning.checking import check_comparison
from napari_vesselkd.learning.costs import costs_of
from napari_vesselkd.learning.folds import Fold, folds_of, write_rows
from napari_vesselkd.learning.scoring import score_checkpoint, score_threshold
from napari_vesselkd.learning.starts import Starts, starts_of
from napari_vesselkd.measure.tables import write_tables
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.reports import Notice, Progress, Report, Result
from napari_vesselkd.training.distill import DistillConfig, ask, distill
from napari_vesselkd.training.pretrain import StageFinished, pretrain
from napari_vesselkd.training.sources import Material, material_of_csv
from napari_vesselkd.training.teach import teach
from napari_vesselkd.volume import output_errors

SAID_EVERY = 2.0  # s between two reports of a cell's work
WAIT = 2.0  # s between two looks at cells that others work on


@dataclass(frozen=True)
class Working(Progress):
    """How many cells are finished, and what is being done."""

    detail: str = ""


@dataclass(frozen=True)
class CellFinished(Report):
    """A cell was scored.

    Attributes
    ----------
    cell, text : str
        Its name; the mean Dice and clDice in a line.
    """

    cell: str
    text: str


@dataclass(frozen=True)
class CrossvalFinished(Result):
    """Every cell is finished and the tables are written.

    Attributes
    ----------
    table : str
        In Markdown.
    files : tuple of str
        The tables and the figure.
    failed : tuple of str
        Cells whose training could not go on.
    """

    table: str
    files: tuple[str, ...]
    failed: tuple[str, ...] = ()


def crossval(source: str | Path, out: str | Path, config: CrossvalConfig | None = None) -> Iterator[Report]:
    """Train and score everything that is not finished in `out`; write the tables there.

    What failed in an earlier call is tried again, from where its state was last saved.

    Parameters
    ----------
    source : str or Path
        DATASET.csv.
    out : str or Path
        Folder of the cross-validation. Other processes may work in it at the same time.
    config : CrossvalConfig, optional

    Yields
    ------
    Report
        `Working`, `CellFinished`, `Notice`, at the end `CrossvalFinished`.

    Raises
    ------
    InvalidInputError
        As `check_crossval`.
    OutputError
        If the disk is full; what is finished stays.
    """
    source, out, config = Path(source), Path(out), config or CrossvalConfig()
    with output_errors(out):
        starts = starts_of(source, config, out)
        yield from _Work(source, out, starts.settled(config), starts).reports()


def check_crossval(source: str | Path, config: CrossvalConfig) -> None:
    """Raise at once what `crossval` would raise after a while.

    Raises
    ------
    InvalidInputError
        If there are fewer groups with labels than folds, or as `check_comparison`.
    CheckpointNotFoundError, CheckpointError
        If there is no such checkpoint to begin with, or it is of the wrong kind.
    """
    checked_device(config.device)
    path = Path(source)
    starts = starts_of(path, config)
    check_comparison(path, starts.settled(config), starts)


@dataclass
class _Work:
    """A cross-validation in its folder."""

    source: Path
    out: Path
    config: CrossvalConfig
    starts: Starts

    @cached_property
    def folds(self) -> dict[int, Fold]:
        return {fold.number: fold for fold in folds_of(self.source, self.config.folds)}

    @cached_property
    def cells(self) -> list[Cell]:
        return cells_of(self.config, self.folds)

    @cached_property
    def kept(self) -> CellFolder:
        return CellFolder(self.out)

    def reports(self) -> Iterator[Report]:
        if self.kept.failed() or len(self.finished()) < len(self.cells):
            check_comparison(self.source, self.config, self.starts)
        self.kept.make()
        self.forget_failed()
        began, first = time.monotonic(), len(self.finished())
        if not all(map(self.kept.has, self.cells)):
            self.kept.forget(Cell(COSTS))  # of fewer methods, perhaps without a teacher
        while len(done := self.finished()) < len(self.cells):
            worked = False
            for cell in self.cells:
                if self.kept.has(cell) or not self.is_ready(cell):
                    continue
                with self.kept.held(cell) as mine:
                    if mine and not self.kept.has(cell):
                        worked = True
                        yield from self.told(cell, began, first)
            if not worked:
                elapsed = time.monotonic() - began
                yield Working(len(done), len(self.cells), "cells", elapsed, first, "others work on the rest")
                time.sleep(WAIT)
        yield self.concluded()

    def forget_failed(self) -> None:
        """Let cells that failed in an earlier run be tried again."""
        failed = self.kept.failed()
        for cell in self.cells:
            teacher = Cell(TEACHER, cell.fold, cell.seed).name  # without one, nothing was asked
            if cell.name in failed or (cell.what == ANSWERS and teacher in failed):
                with self.kept.held(cell) as mine:
                    if mine:
                        self.kept.forget(cell)

    def finished(self) -> list[Cell]:
        return [cell for cell in self.cells if self.kept.has(cell)]

    def is_ready(self, cell: Cell) -> bool:
        """Whether what a cell needs is finished."""
        return all(map(self.kept.has, needed_by(cell, self.config, self.cells)))

    def told(self, cell: Cell, began: float, first: int) -> Iterator[Report]:
        """Work on a cell; pass on what it reports as the progress of all cells, not too often."""
        said = 0.0
        try:
            for report in self.work_of(cell):
                if isinstance(report, CellFinished):
                    yield report
                elif time.monotonic() - said > SAID_EVERY:
                    said = time.monotonic()
                    done = len(self.finished())
                    detail = f"{cell.name}{_how_far(report)}"
                    yield Working(done, len(self.cells), "cells", said - began, first, detail)
        except TrainingError as error:
            self.kept.write(cell, {"error": str(error)})
            said_again = "it is left out of the tables until the same command has tried it again"
            yield Notice(f"{cell.name} failed; {said_again}: {error}")
        done = len(self.finished())
        yield Working(
            done, len(self.cells), "cells", time.monotonic() - began, first, f"{cell.name} finished"
        )

    def work_of(self, cell: Cell) -> Iterator[Report]:
        if cell.what == COSTS:
            self.kept.write(cell, {"costs": self.costs()})
        elif cell.what == THRESHOLD:
            yield from self.scored(cell, score_threshold(self.source, self.folds[cell.fold].held_out))
        elif cell.what == TEACHER:
            yield from self.teacher_made(cell)
        elif cell.what == ANSWERS:
            yield from self.asked(cell)
        else:
            yield from self.student_made(cell)

    def teacher_made(self, cell: Cell) -> Iterator[Report]:
        config, place = self.config, self.kept.place(cell)
        shared: dict[str, Any] = {"seed": cell.seed, "device": config.device, "threads": config.threads}
        with self.material(cell) as material:
            parent = self.starts.teacher
            if parent is None:
                first = replace(config.pretrain, name="pretrained", **shared)
                yield from pretrain(material, place / "pretrain", first)
                parent = CheckpointRegistry().get(str(place / "pretrain" / "checkpoints" / "pretrained"))
            second = replace(config.teach, name=TEACHER, **shared)
            yield from self.made(cell, teach(material, parent, place / "teach", second))
        for stage in ("pretrain", "teach"):
            (place / stage / "state.safetensors").unlink(missing_ok=True)

    def asked(self, cell: Cell) -> Iterator[Report]:
        """Ask the teacher once for all methods that learn from kept answers."""
        teacher = self.teacher(cell)
        if teacher is not None:
            asking = [self.config.distill_of(name, cell.seed) for name in filter(asks, self.config.methods)]
            with self.material(cell) as material:
                for config in sorted(asking, key=_needs_unlabelled):
                    yield from ask(material, teacher, self.answers(cell, config), config)
        self.kept.write(cell, {})

    def student_made(self, cell: Cell) -> Iterator[Report]:
        config, teacher = self.config.distill_of(cell.what, cell.seed), self.teacher(cell)
        if METHODS[cell.what].needs_teacher and teacher is None:
            raise TrainingError("There is no teacher", value=cell.name, remedy="Look why its cell failed")
        place = self.kept.place(cell)
        with self.material(cell) as material:
            used = teacher if METHODS[cell.what].needs_teacher else None
            reports = distill(
                material,
                used,
                place,
                config,
                start=self.starts.student,
                answers=self.answers(cell, config),
            )
            yield from self.made(cell, reports)
        (place / "state.safetensors").unlink(missing_ok=True)
        if all(self.kept.has(replace(cell, what=name)) for name in self.config.methods):
            shutil.rmtree(self.kept.fold_folder(cell) / ANSWERS, ignore_errors=True)

    def made(self, cell: Cell, reports: Iterator[Report]) -> Iterator[Report]:
        """Pass the reports of a stage on; score its checkpoint."""
        last: Any = None
        for last in reports:
            yield last
        assert isinstance(last, StageFinished)  # noqa: S101  (what every stage ends with)
        held_out, config = self.folds[cell.fold].held_out, self.config
        scoring = score_checkpoint(
            self.source, held_out, last.checkpoint, device=config.device, threads=config.threads
        )
        more = {"checkpoint": str(Path(last.checkpoint).relative_to(self.out)), "seconds": last.seconds}
        yield from self.scored(cell, scoring, {**more, "facts": last.facts})

    def scored(
        self,
        cell: Cell,
        reports: Iterator[Report | list[dict[str, Any]]],
        more: Mapping[str, Any] | None = None,
    ) -> Iterator[Report]:
        """Write the scores that a task ends with."""
        found: list[dict[str, Any]] = []
        for report in reports:
            if isinstance(report, list):
                found = report
            else:
                yield report
        self.kept.write(cell, {"volumes": found, **(more or {})})
        yield CellFinished(cell.name, f"{cell.name}: {_means(found)}")

    def costs(self) -> dict[str, Any]:
        """Return what a student and the teacher cost, on one device."""
        device = torch.device(checked_device(self.config.device))
        found = {}
        for name, whats in (("student", self.config.methods), (TEACHER, (TEACHER,))):
            made = [self.kept.result(cell) for cell in self.cells if cell.what in whats]
            paths = [one["checkpoint"] for one in made if "checkpoint" in one]
            if paths:
                model = CheckpointRegistry().get(str(self.out / paths[0])).load()
                found[name] = costs_of(model, device)
        return found

    def concluded(self) -> CrossvalFinished:
        """Write the tables from what the cells hold."""
        found = {cell: self.kept.result(cell) for cell in self.cells}
        failed = tuple(cell.name for cell, one in found.items() if "error" in one)
        rows = [
            {"method": cell.what, "fold": cell.fold, "seed": seed, **scores}
            for cell, one in found.items()
            for seed in (range(self.config.seeds) if cell.what == THRESHOLD else [cell.seed])
            for scores in one.get("volumes", ())
        ]
        costs = found[self.cells[-1]].get("costs", {})
        table, files = write_tables(self.out, rows, costs, failed)
        return CrossvalFinished(table, tuple(str(path) for path in files), failed)

    @contextmanager
    def material(self, cell: Cell) -> Iterator[Material]:
        """Open what the methods of a fold and seed learn from; it is written down beside them."""
        fold = self.folds[cell.fold]
        path = self.kept.fold_folder(cell) / "dataset.csv"
        write_rows(fold.rows(cell.seed, self.config.labelled), self.source, path)
        with material_of_csv(path, upper=self.config.pretrain.upper, held_out=fold.groups) as material:
            yield material

    def teacher(self, cell: Cell) -> Checkpoint | None:
        """Return the teacher of a fold and seed; None where there is none, or its training failed."""
        if not self.config.with_teacher:
            return None
        path = self.kept.result(Cell(TEACHER, cell.fold, cell.seed)).get("checkpoint")
        return None if path is None else CheckpointRegistry().get(str(self.out / path))

    def answers(self, cell: Cell, config: DistillConfig) -> Path:
        soft = "soft" if config.options.get("soft") else "hard"
        return self.kept.fold_folder(cell) / ANSWERS / soft


def _needs_unlabelled(config: DistillConfig) -> bool:
    return METHODS[config.method].needs_unlabelled


def _how_far(report: Report) -> str:
    if not isinstance(report, Progress):
        return ""
    loss = getattr(report, "loss", None)
    return f": {report.done}/{report.total} {report.unit}" + ("" if loss is None else f", loss {loss:.3f}")


def _means(volumes: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for name, key in (("Dice", "dice"), ("clDice", "cldice")):
        known = [float(one[key]) for one in volumes if one[key] is not None]
        parts.append(f"{name} {sum(known) / len(known):.3f}" if known else f"{name} not defined")
    return ", ".join(parts)
