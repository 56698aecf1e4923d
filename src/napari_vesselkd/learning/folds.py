"""How a cross-validation divides a DATASET.csv: groups into folds, volumes into labelled and unlabelled."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.training.rows import COLUMNS, read_rows

Row = dict[str, str]


@dataclass(frozen=True)
class Fold:
    """One part of the groups, which is not learned from.

    Attributes
    ----------
    number : int
        From 1.
    groups : tuple of str
        Held out.
    held_out : tuple of Row
        Their labelled volumes, to score on.
    training : tuple of Row
        All rows of the other groups.
    """

    number: int
    groups: tuple[str, ...]
    held_out: tuple[Row, ...]
    training: tuple[Row, ...]

    @property
    def labelled(self) -> tuple[Row, ...]:
        """What there are labels of to learn from."""
        return tuple(row for row in self.training if row["label"])

    def rows(self, seed: int, labelled: int | None) -> list[Row]:
        """Return the rows of this fold; of its labels only `labelled`, drawn by the seed."""
        if labelled is None or labelled >= len(self.labelled):
            return [*self.training, *self.held_out]
        drawn = np.random.default_rng([seed, self.number, 6]).permutation(len(self.labelled))[:labelled]
        kept = [id(self.labelled[index]) for index in drawn]
        training = [row if id(row) in kept else {**row, "label": "", "mask": ""} for row in self.training]
        return [*training, *self.held_out]


def folds_of(path: Path, count: int) -> list[Fold]:
    """Divide the groups of a DATASET.csv that have labels into `count` folds of about as many volumes.

    Raises
    ------
    InvalidInputError
        If there are fewer such groups than folds, or the file cannot be used (`read_rows`).
    """
    rows = read_rows(path, unlabelled=True)
    sizes = Counter(row["group"] for row in rows if row["label"])
    if len(sizes) < 2:
        raise InvalidInputError(
            "Cross-validation needs groups to hold out, and there is one group with labels only",
            value=", ".join(sizes) or "none",
            limit="at least two groups",
            remedy="Fill the column group, for example with the animal of each volume",
        )
    if not 2 <= count <= len(sizes):
        raise InvalidInputError(
            "There are not as many groups with labels as folds"
            if count > 1
            else "One fold holds nothing out",
            value=f"{count} folds, {len(sizes)} groups",
            limit=f"2 to {len(sizes)} folds",
            remedy=f"Give --folds {min(max(count, 2), len(sizes))}",
        )
    parts: list[list[str]] = [[] for _ in range(count)]
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        min(parts, key=lambda part: (sum(sizes[one] for one in part), len(part))).append(group)
    return [_fold(number, tuple(sorted(part)), rows) for number, part in enumerate(parts, start=1)]


def _fold(number: int, groups: tuple[str, ...], rows: Sequence[Row]) -> Fold:
    held_out = tuple(row for row in rows if row["group"] in groups and row["label"])
    return Fold(number, groups, held_out, tuple(row for row in rows if row["group"] not in groups))


def write_rows(rows: Sequence[Row], source: Path, target: Path) -> None:
    """Write rows of `source` to `target`, another DATASET.csv, with paths as seen from there.

    Raises
    ------
    InvalidInputError
        If `target` holds other rows: the data set was changed since.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        paths = {
            key: _seen_from(target.parent, source.parent, row[key]) for key in ("image", "label", "mask")
        }
        writer.writerow({**row, **paths})
    if target.exists():
        if target.read_text(encoding="utf-8") != text.getvalue():
            raise InvalidInputError(
                "The data set has changed since this cross-validation began",
                value=source,
                limit=str(target),
                remedy="Give another --out",
            )
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    aside.write_text(text.getvalue(), encoding="utf-8")
    aside.replace(target)


def _seen_from(folder: Path, before: Path, name: str) -> str:
    if not name or Path(name).is_absolute():
        return name
    try:
        return os.path.relpath((before / name).absolute(), folder.absolute())
    except ValueError:  # another drive
        return str((before / name).absolute())
