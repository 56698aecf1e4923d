"""What a cross-validation could not do, found before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.learning.cells import CrossvalConfig
from napari_vesselkd.learning.folds import Fold, folds_of
from napari_vesselkd.learning.starts import Starts
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.training.pairing import check_networks
from napari_vesselkd.training.rows import open_row
from napari_vesselkd.training.sources import has_vessel, material_of_csv


def check_comparison(source: Path, config: CrossvalConfig, starts: Starts) -> None:
    """Raise what would end a cross-validation after a while.

    Raises
    ------
    InvalidInputError
        If a fold and seed has too few labels, none with a vessel, or no unlabelled volume for a method that
        needs one; if a volume cannot be used; or if patch, networks and options of a method do not fit.
    """
    folds = folds_of(source, config.folds)
    for fold in folds:
        _check_counts(source, fold, config)
    with material_of_csv(source, upper=config.pretrain.upper) as material:
        voxel_size_um = material.voxel_size_um
    _check_vessels(source, folds, config)
    _check_methods(voxel_size_um, config, starts)


def _check_counts(path: Path, fold: Fold, config: CrossvalConfig) -> None:
    known = len(fold.labelled)
    if config.labelled is not None and config.labelled > known:
        raise InvalidInputError(
            "A fold has fewer labelled volumes to learn from",
            value=f"{config.labelled} asked for, {known} without {', '.join(fold.groups)}",
            limit=f"1 to {known}",
            remedy="Give a smaller --labelled",
        )
    needing = [name for name in config.methods if METHODS[name].needs_unlabelled]
    if needing and len(fold.training) == min(known, config.labelled or known):
        raise InvalidInputError(
            f"Without unlabelled volumes these methods cannot learn: {', '.join(needing)}",
            value=f"{path} without {', '.join(fold.groups)}",
            remedy="Add rows with an empty label, or give --labelled N: the others count as unlabelled",
        )


def _check_vessels(path: Path, folds: Sequence[Fold], config: CrossvalConfig) -> None:
    """Every fold and seed must learn from a label with a vessel; each label is looked at once at most."""

    @cache
    def vessel(row: tuple[tuple[str, str], ...]) -> bool:
        with ExitStack() as opened:
            volume, labels = open_row(path.parent, dict(row), opened)
            return labels is not None and has_vessel(volume, labels)

    for fold in folds:
        for seed in range(config.seeds):
            rows = fold.rows(seed, config.labelled)
            drawn = [row for row in rows if row["label"] and row["group"] not in fold.groups]
            if not any(vessel(tuple(row.items())) for row in drawn):
                few = len(drawn) < len(fold.labelled)
                raise InvalidInputError(
                    f"No label to learn from has a vessel in fold {fold.number}, seed {seed}",
                    value=f"{', '.join(row['label'] for row in drawn)}; held out: {', '.join(fold.groups)}",
                    limit="at least one with a vessel in every fold and seed",
                    remedy="Give a larger --labelled, or empty the column label of volumes without vessels"
                    if few
                    else "Add labelled volumes with vessels in other groups",
                )


def _check_methods(voxel_size_um: VoxelSize, config: CrossvalConfig, starts: Starts) -> None:
    """Every method must fit its patch, the networks and its options."""
    teacher: Any = None
    if config.with_teacher:
        teacher = Teacher(config.pretrain.teacher) if starts.teacher is None else starts.teacher.load()
    for name in config.methods:
        heard = teacher if METHODS[name].needs_teacher else None
        check_networks(voxel_size_um, heard, config.distill_of(name, 0))
