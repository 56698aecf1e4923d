"""Two checkpoints on one image: how many places have another code, where, and which code became which.

The numbers of codes mean the same only where one checkpoint was trained on from the other. For any two,
codes of the second are also renamed so that as many cells as possible agree; what still differs has changed
company.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.cells import CellMap, box_of, reads
from napari_vesselkd.reports import Progress, Result
from napari_vesselkd.volume import AxisView

Counts = npt.NDArray[np.int64]

SHOWN_PAIRS = 100
LARGEST_TABLE = 2**22  # entries of the table that is matched exactly


@dataclass(frozen=True, eq=False)
class CodesChanged(Result):
    """What changed from one map to the other.

    Attributes
    ----------
    cells, compared, changed : int
        In the region; computed in both; of these, with another code.
    changed_matched : int
        With another code once the codes are renamed.
    before, changed_before : ndarray of int64, (N,)
        Of each code of the first map: cells compared, and those that changed.
    pairs : ndarray of int64, (n, 3)
        Code of the first, of the second map, and cells: changes, the most frequent first, at most 100.
    matching : ndarray of int64, (N,)
        The code of the second map that each of the first is renamed to; -1 where there is none.
    """

    cells: int
    compared: int
    changed: int
    changed_matched: int
    before: Counts
    changed_before: Counts
    pairs: Counts
    matching: Counts

    @property
    def share(self) -> float:
        """Share of the compared cells whose code is another one, 0..1; 0 if there are none."""
        return self.changed / self.compared if self.compared else 0.0

    @property
    def share_matched(self) -> float:
        """The same once the codes are renamed."""
        return self.changed_matched / self.compared if self.compared else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return what is to be said of it as plain values."""
        return {
            "report": "CodesChanged",
            "cells": self.cells,
            "compared": self.compared,
            "changed": self.changed,
            "share": self.share,
            "changed_matched": self.changed_matched,
            "share_matched": self.share_matched,
            "pairs": self.pairs.tolist(),
        }


def compare_maps(a: CellMap, b: CellMap, region: Region | None = None) -> Iterator[Progress | CodesChanged]:
    """Compare two code maps of one image: a `Progress` per read, at the end what changed.

    Parameters
    ----------
    a, b : CellMap
    region : Region, optional
        In cells; everything if not given.

    Raises
    ------
    InvalidInputError
        If they are of different images or levels, or their cells are of different size.
    RegionError
        If the region is empty or not inside.
    """
    _check_same_grid(a, b)
    return _comparing(a, b, box_of(a, region))


def _comparing(a: CellMap, b: CellMap, box: Region) -> Iterator[Progress | CodesChanged]:
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    started, done = time.perf_counter(), 0
    for piece in reads(a, box):
        first, second = a.read(piece).astype(np.int64), b.read(piece).astype(np.int64)
        both = (first > 0) & (second > 0)
        found = np.unique((first[both] - 1) * b.code_count + second[both] - 1, return_counts=True)
        keys, counts = _summed(np.append(keys, found[0]), np.append(counts, found[1]))
        done += piece.size
        yield Progress(done, box.size, "cells", time.perf_counter() - started)
    pairs = np.stack([keys // b.code_count, keys % b.code_count, counts], axis=1)
    yield _changes(pairs, a.code_count, b.code_count, box.size)


def changed_cells(a: CellMap, b: CellMap) -> AxisView:
    """Return where the code is another one, as an array that is computed where it is read.

    Returns
    -------
    AxisView (z, y, x) of cells, uint8
        1 where both are computed and differ, else 0.

    Raises
    ------
    InvalidInputError
        As `compare_maps`.
    """
    _check_same_grid(a, b)
    return AxisView(_Changed(a, b), "zyx")


class _Changed:
    """What `changed_cells` views; read with forward slices."""

    dtype = np.dtype(np.uint8)

    def __init__(self, a: CellMap, b: CellMap) -> None:
        self.maps = (a, b)
        self.shape, self.chunks = a.shape, tuple(a.codes.chunks)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        first, second = (np.asarray(one.codes[index]) for one in self.maps)
        changed: npt.NDArray[np.bool_] = (first != second) & (first > 0) & (second > 0)
        return changed.astype(np.uint8)


def _summed(keys: Counts, counts: Counts) -> tuple[Counts, Counts]:
    """Return each key once with the sum of its counts."""
    unique, at = np.unique(keys, return_inverse=True)
    total = np.zeros(len(unique), np.int64)
    np.add.at(total, at, counts)
    return unique, total


def _changes(pairs: Counts, codes_a: int, codes_b: int, cells: int) -> CodesChanged:
    """Return what the counted pairs (n, 3) say."""
    differ = pairs[:, 0] != pairs[:, 1]
    before, changed_before = (
        np.bincount(one[:, 0], one[:, 2], codes_a).astype(np.int64) for one in (pairs, pairs[differ])
    )
    matching = _matched(pairs, codes_a, codes_b)
    agree = matching[pairs[:, 0]] == pairs[:, 1]
    order = np.lexsort((pairs[differ, 1], pairs[differ, 0], -pairs[differ, 2]))[:SHOWN_PAIRS]
    compared = int(pairs[:, 2].sum())
    return CodesChanged(
        cells,
        compared,
        int(changed_before.sum()),
        compared - int(pairs[agree, 2].sum()),
        before,
        changed_before,
        pairs[differ][order],
        matching,
    )


def _matched(pairs: Counts, codes_a: int, codes_b: int) -> Counts:
    """Return the code of b for each of a, so that most cells agree; -1 for codes that none is left for.

    Exactly (Hungarian method) for codebooks of up to some two thousand codes; of larger ones the most
    frequent pairs go first.
    """
    matching = np.full(codes_a, -1, np.int64)
    if codes_a * codes_b <= LARGEST_TABLE:
        table = np.zeros((codes_a, codes_b), np.int64)
        table[pairs[:, 0], pairs[:, 1]] = pairs[:, 2]
        rows, columns = linear_sum_assignment(table, maximize=True)
        there = table[rows, columns] > 0
        matching[rows[there]] = columns[there]
        return matching
    taken = np.zeros(codes_b, np.bool_)
    for one, other, _ in pairs[np.argsort(-pairs[:, 2], kind="stable")].tolist():
        if matching[one] < 0 and not taken[other]:
            matching[one], taken[other] = other, True
    return matching


def _check_same_grid(a: CellMap, b: CellMap) -> None:
    if a.signature != b.signature or a.volume_shape != b.volume_shape:
        raise InvalidInputError(
            "The two code maps are of different images or levels",
            value=f"{a.path.name} and {b.path.name}",
            remedy="Map one image at one level with both checkpoints",
        )
    if a.stride != b.stride:
        raise InvalidInputError(
            "The cells of the two code maps are of different size",
            value=f"{a.stride} and {b.stride} voxels",
            remedy="Compare teachers of one network",
        )
