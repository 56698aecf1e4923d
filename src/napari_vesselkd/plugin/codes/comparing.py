"""Maps and usages compared; runs in worker threads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vesselkd.patterns.code_map import CODES_ENDING
from napari_vesselkd.plugin.codes.engine import OpenMap
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.reports import Report

if TYPE_CHECKING:
    from napari_vesselkd.patterns.comparison import CodesChanged
    from napari_vesselkd.patterns.usage import Usage, UsageDifference

MOST_PAIRS, MOST_CODES = 4, 5


@dataclass(frozen=True, eq=False)
class Kept:
    """A usage that others are compared with.

    Attributes
    ----------
    text : str
        What it is of.
    sha256 : str
        Of the checkpoint: only usages of one codebook can be compared.
    usage : Usage
    """

    text: str
    sha256: str
    usage: "Usage"


@dataclass(frozen=True, eq=False)
class ChangedCells(Report):
    """Where two maps differ, as a layer shows it, (z, y, x) uint8; and what changed."""

    cells: LiveLevel
    found: "CodesChanged"
    name: str


def other_maps(shown: OpenMap) -> tuple[Path, ...]:
    """Return the code maps beside the one that is shown, by name."""
    here = shown.code_map.path
    return tuple(sorted(path for path in here.parent.glob(f"*{CODES_ENDING}") if path.name != here.name))


def compare_with(shown: OpenMap, path: Path) -> Iterator[Report]:
    """Compare the map that is shown with the one at `path`: progress, at the end `ChangedCells`."""
    from napari_vesselkd.patterns.code_map import CodeMap
    from napari_vesselkd.patterns.comparison import CodesChanged, changed_cells, compare_maps

    other = CodeMap.open(path)
    for report in compare_maps(shown.code_map, other):
        if isinstance(report, CodesChanged):
            yield ChangedCells(LiveLevel(changed_cells(shown.code_map, other)), report, other.checkpoint)
        else:
            yield report


@dataclass(frozen=True, eq=False)
class Difference:
    """How two usages differ, and the codes that surely do, the one that adds most first."""

    found: "UsageDifference"
    certain: tuple[int, ...]


def difference_of(now: "Usage", before: "Usage") -> Difference:
    """Compare two usages of one codebook; of codes that are in neither of them nothing is said."""
    from napari_vesselkd.patterns.usage import compare_usage

    found = compare_usage(now, before)
    there = now.counts + before.counts
    return Difference(found, tuple(code for code in found.certain if there[code]))


def describe_changed(changed: ChangedCells) -> str:
    """Return which share of the cells has another code, and which codes became which."""
    found = changed.found
    if not found.compared:
        return f"No cell is mapped with both: map the codes of {changed.name} here, too"
    pairs = [f"{a} → {b} ({count:,})" for a, b, count in found.pairs[:MOST_PAIRS].tolist()]
    most = f" Most often: {', '.join(pairs)}." if pairs else ""
    return (
        f"{found.share:.1%} of {found.compared:,} cells have another code in {changed.name}; "
        f"{found.share_matched:.1%} if its codes are renamed so that most agree.{most}"
    )


def describe_difference(difference: Difference, kept: Kept) -> str:
    """Return how far two usages are apart, and which codes surely differ."""
    found, certain = difference.found, difference.certain
    text = f"{found.jensen_shannon:.3f} bits from {kept.text} (p = {found.p:.3f})"
    codes = [f"{code} {_times(found, code)}" for code in certain[:MOST_CODES]]
    rest = len(certain) - len(codes)
    more = f" and {rest} more" if rest > 0 else ""
    return f"{text}. Surely other: {', '.join(codes)}{more}." if codes else f"{text}. No code surely differs."


def _times(difference: "UsageDifference", code: int) -> str:
    parts = (difference.low, difference.log2_ratio, difference.high)
    low, value, high = (2.0 ** float(one[code]) for one in parts)
    return f"×{value:.2g} ({low:.2g}–{high:.2g})"


class MarkedCells:
    """Where a code map has one of some codes, (z, y, x) uint8; read where it is looked at."""

    def __init__(self, codes: Any, marked: tuple[int, ...]) -> None:
        self._codes = codes
        self._values = np.asarray(marked, np.int64) + 1
        self.shape, self.chunks, self.dtype = codes.shape, codes.chunks, np.dtype(np.uint8)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.isin(np.asarray(self._codes[index]), self._values).astype(np.uint8)
