"""How often each code is chosen: in a volume, in a region, in the cells with vessels; and the difference.

Notation: N codes, n_k how often code k was chosen, n their sum, p_k = n_k / n. B boxes of cells, which the
region is cut into: neighbouring cells are alike, so intervals come from drawing whole boxes, not cells.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.cells import CellMap, Codes, Floats, Labelled, VesselCells, box_of, parts, reads
from napari_vesselkd.reports import Progress, Result
from napari_vesselkd.volume.sampling import even_grid

Counts = npt.NDArray[np.int64]

RARE = 0.1  # of an even spread over the codes
BOXES = 64
FEWEST_BOXES = 8
DRAWS = 2000
SHUFFLES = 999
SMALL = 0.5  # added to every count before a ratio is taken (Haldane, Anscombe)
LEVEL = 0.95
_AT_ONCE = 2**22  # numbers of one batch of draws


@dataclass(frozen=True, eq=False)
class Usage(Result):
    """How often each code was chosen.

    Attributes
    ----------
    boxes : ndarray of int64, (B, N)
        Per box of the region and code; their sum are the `counts`.
    asked : int
        Cells that were to be counted: those of the region, or those of them with a vessel.
    """

    boxes: Counts
    asked: int

    @property
    def counts(self) -> Counts:
        """How often each code was chosen, (N,) int64."""
        return cast(Counts, self.boxes.sum(axis=0))

    @property
    def cells(self) -> int:
        """Cells that were counted: those of `asked` that are computed."""
        return int(self.boxes.sum())

    @property
    def computed(self) -> float:
        """Share of the cells asked for that are computed, 0..1; 0 if none were asked for."""
        return self.cells / self.asked if self.asked else 0.0

    @property
    def shares(self) -> Floats:
        """Share of each code, (N,); zeros if nothing is computed."""
        return self.counts / max(1, self.cells)

    @property
    def perplexity(self) -> float:
        """``exp(-sum p_k ln p_k)``: as how many equally frequent codes; NaN if nothing is computed."""
        shares = self.shares[self.shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else math.nan

    @property
    def used(self) -> int:
        """How many codes were chosen at all."""
        return int(np.count_nonzero(self.counts))

    @property
    def dead(self) -> tuple[int, ...]:
        """Codes that were never chosen here."""
        return tuple(np.flatnonzero(self.counts == 0).tolist())

    @property
    def rare(self) -> tuple[int, ...]:
        """Codes that were chosen, but less than a tenth as often as if all were equally frequent."""
        counts = self.counts
        few = (counts > 0) & (counts < RARE * self.cells / len(counts))
        return tuple(np.flatnonzero(few).tolist())

    def to_dict(self) -> dict[str, Any]:
        """Return what is to be said of it as plain values."""
        return {
            "report": "Usage",
            "counts": self.counts.tolist(),
            "cells": self.cells,
            "asked": self.asked,
            "computed": self.computed,
            "perplexity": None if math.isnan(self.perplexity) else self.perplexity,
            "used": self.used,
            "dead": list(self.dead),
            "rare": list(self.rare),
        }


def usage(code_map: CellMap, region: Region | None = None, where: Labelled | None = None) -> Usage:
    """Count how often each code was chosen.

    Parameters
    ----------
    code_map : CellMap
    region : Region, optional
        In cells; everything if not given.
    where : Volume or LabelStore, optional
        Only cells with a vessel voxel in these labels, of the level that was mapped, are counted.

    Raises
    ------
    RegionError
        If the region is empty or not inside the map.
    InvalidInputError
        If the labels have another shape.
    """
    *_, last = counting(code_map, region, where)
    return cast(Usage, last)


def counting(
    code_map: CellMap, region: Region | None = None, where: Labelled | None = None
) -> Iterator[Progress | Usage]:
    """Do what `usage` does, as a task: a `Progress` per read, at the end the `Usage`.

    Every chunk of the map is read once; of the map and the labels only a few chunks are in memory.
    """
    box = box_of(code_map, region)
    vessels = None if where is None else VesselCells(where, code_map)
    tally = _Tally(box, code_map.code_count)
    started, done = time.perf_counter(), 0
    for piece in reads(code_map, box):
        codes = code_map.read(piece)
        for part in [piece] if vessels is None else parts(code_map, piece, vessels.voxels_per_cell):
            chosen = codes[part.relative_to(piece.start).slices]
            tally.add(part, chosen, None if vessels is None else vessels(part))
            done += part.size
            yield Progress(done, box.size, "cells", time.perf_counter() - started)
    yield Usage(tally.counts, tally.asked)


class _Tally:
    """Counts per box of an even grid over a region, and code."""

    def __init__(self, region: Region, codes: int) -> None:
        self.region, self.codes = region, codes
        self.grid = even_grid(region.shape, BOXES)
        self.counts = np.zeros((math.prod(self.grid), codes), np.int64)
        self.asked = 0

    def add(self, part: Region, stored: Codes, among: npt.NDArray[np.bool_] | None) -> None:
        """Count the stored codes (z, y, x) of `part`; only those `among` if given."""
        self.asked += part.size if among is None else int(np.count_nonzero(among))
        counted = stored > 0 if among is None else (stored > 0) & among
        number = self._boxes(part)[counted] * self.codes + stored[counted].astype(np.int64) - 1
        self.counts += np.bincount(number, minlength=self.counts.size).reshape(self.counts.shape)

    def _boxes(self, part: Region) -> Counts:
        """Return the number of the box of each cell of `part`, (z, y, x)."""
        z, y, x = (
            (np.arange(low, high) - first) * boxes // n
            for low, high, first, n, boxes in zip(
                part.start, part.stop, self.region.start, self.region.shape, self.grid, strict=True
            )
        )
        number = (z[:, None, None] * self.grid[1] + y[:, None]) * self.grid[2] + x
        return np.broadcast_to(number, part.shape)


@dataclass(frozen=True, eq=False)
class UsageDifference:
    """How the usage of `a` differs from that of `b`.

    Attributes
    ----------
    jensen_shannon : float
        Divergence of the two distributions in bits, 0 (the same) to 1 (no code in common).
    p : float
        How often boxes dealt to the two at random differ as much (999 shuffles); small: they do differ.
    log2_ratio : ndarray (N,)
        ``log2`` of the share in `a` over that in `b`, half a cell added to every count; 0 for a code that
        neither uses.
    low, high : ndarray (N,)
        95 % interval of it; infinite where one of the two does not use the code at all.
    contribution : ndarray (N,)
        What each code adds to the divergence, in bits.
    order : ndarray of int64, (N,)
        Codes, the one that contributes most first.
    interval : {"boxes", "cells"}
        What the interval is made of: "boxes" drawn again, which are as large as the region allows, or
        independent cells where that is wider; or, where there are fewer than eight boxes, "cells" alone,
        which makes it too narrow.
    certain : tuple of int
        Codes, in `order`, that differ even though so many are looked at: of two samples of one distribution,
        about one comparison in twenty has any. Of boxes: the interval leaves out 0, and the code contributes
        more than the one that contributes most in 95 % of the shuffles (Westfall and Young, 1993). Of cells:
        their interval leaves out 0 at 95 % for all codes together (Bonferroni).
    """

    jensen_shannon: float
    p: float
    log2_ratio: Floats
    low: Floats
    high: Floats
    contribution: Floats
    order: Counts
    interval: str
    certain: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; None where a bound is infinite."""
        names = ("log2_ratio", "low", "high", "contribution")
        numbers = {name: getattr(self, name).tolist() for name in names}
        return {
            "jensen_shannon": self.jensen_shannon,
            "p": self.p,
            "interval": self.interval,
            **{name: [x if math.isfinite(x) else None for x in values] for name, values in numbers.items()},
            "order": self.order.tolist(),
            "certain": list(self.certain),
        }


def compare_usage(a: Usage, b: Usage, *, seed: int = 0) -> UsageDifference:
    """Compare the usage of two regions or volumes, mapped with the same checkpoint.

    The divergence is Jensen and Shannon's (Lin, IEEE Trans. Inf. Theory 37, 1991, eq. 4.1 with equal
    weights). The intervals are percentiles of 2000 draws of boxes with replacement, in both, and at least as
    wide as the exact ones of independent cells: drawing says nothing of a code that is in none or all of the
    boxes.

    Raises
    ------
    InvalidInputError
        If they are of codebooks of different size, or nothing is computed in one.
    """
    _check_comparable(a, b)
    rng = np.random.default_rng(seed)
    boxes_a, boxes_b = (one.boxes[one.boxes.any(axis=1)].astype(np.float64) for one in (a, b))
    counts_a, counts_b = a.counts.astype(np.float64), b.counts.astype(np.float64)
    parts_of = _divergence_parts(counts_a, counts_b)
    ratio = np.where(counts_a + counts_b > 0, _log2_ratio(counts_a, counts_b), 0.0)
    low, high = _independent(counts_a, counts_b, 1 - LEVEL)
    enough = min(len(boxes_a), len(boxes_b)) >= FEWEST_BOXES
    p, most = _shuffled(boxes_a, boxes_b, float(parts_of.sum()), rng)
    if enough:
        below, above = _drawn(boxes_a, boxes_b, rng)
        low, high = np.minimum(low, below), np.maximum(high, above)
        certain = ((low > 0) | (high < 0)) & (parts_of > most)
    else:
        together = np.count_nonzero(counts_a + counts_b)
        below, above = _independent(counts_a, counts_b, (1 - LEVEL) / together)
        certain = (below > 0) | (above < 0)
    order = np.argsort(-parts_of, kind="stable")
    return UsageDifference(
        float(parts_of.sum()),
        p,
        ratio,
        np.minimum(low, ratio),
        np.maximum(high, ratio),
        parts_of,
        order,
        "boxes" if enough else "cells",
        tuple(order[certain[order]].tolist()),
    )


def _check_comparable(a: Usage, b: Usage) -> None:
    if a.boxes.shape[1] != b.boxes.shape[1]:
        raise InvalidInputError(
            "The two are of codebooks of different size",
            value=f"{a.boxes.shape[1]} and {b.boxes.shape[1]} codes",
            remedy="Compare maps of one checkpoint",
        )
    if not a.cells or not b.cells:
        raise InvalidInputError(
            "Nothing is computed in one of the two", remedy="Compute its code map, or choose another region"
        )


def _log2_ratio(a: Floats, b: Floats) -> Floats:
    """Return ``log2(p / q)`` of counts (..., N), smoothed."""
    p, q = ((one + SMALL) / (one + SMALL).sum(axis=-1, keepdims=True) for one in (a, b))
    return cast(Floats, np.log2(p / q))


def _divergence_parts(a: Floats, b: Floats) -> Floats:
    """Return what each code adds to the divergence of counts (..., N), in bits."""
    p, q = (one / one.sum(axis=-1, keepdims=True) for one in (a, b))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        halves = [np.where(one > 0, one * np.log2(one / middle), 0.0) for one in (p, q)]
    return (halves[0] + halves[1]) / 2


def _drawn(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the percentile interval of the ratio over draws of the boxes (B, N) of both."""
    weights = [rng.multinomial(len(one), np.full(len(one), 1 / len(one)), DRAWS) for one in (a, b)]
    tails = [50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL)]
    sums = [(weight @ one.sum(axis=1))[:, None] for weight, one in zip(weights, (a, b), strict=True)]
    codes, low, high = a.shape[1], [], []
    step = max(1, _AT_ONCE // DRAWS)
    for first in range(0, codes, step):
        p, q = (
            (weight @ one[:, first : first + step] + SMALL) / (total + SMALL * codes)
            for weight, one, total in zip(weights, (a, b), sums, strict=True)
        )
        below, above = np.percentile(np.log2(p / q), tails, axis=0)
        low.append(below)
        high.append(above)
    return np.concatenate(low), np.concatenate(high)


def _independent(a: Floats, b: Floats, error: float) -> tuple[Floats, Floats]:
    """Return the exact interval of the ratio of two shares of independent cells, from counts (N,).

    `error` is how often it may miss.

    Given both counts of a code together, the one of them is binomial (Przyborowski and Wilenski, Biometrika
    31, 1940); its interval is Clopper and Pearson's (Biometrika 26, 1934).
    """
    tail = error / 2
    with np.errstate(divide="ignore"):
        low = np.where(a > 0, beta.ppf(tail, np.maximum(a, 1), b + 1), 0.0)
        high = np.where(b > 0, beta.ppf(1 - tail, a + 1, np.maximum(b, 1)), 1.0)
        odds = np.log2(low / (1 - low)), np.log2(high / (1 - high))
    cells = math.log2(b.sum() / a.sum())
    return odds[0] + cells, odds[1] + cells


def _shuffled(a: Floats, b: Floats, found: float, rng: np.random.Generator) -> tuple[float, float]:
    """Deal boxes (B, N) to the two at random.

    Returns
    -------
    p : float
        How often they diverge at least as much as was found.
    most : float
        What the code that contributes most contributes at most in 95 % of the shuffles, in bits.
    """
    everything = np.vstack([a, b])
    as_large, step, largest = 0, max(1, _AT_ONCE // everything.shape[1]), []
    for first in range(0, SHUFFLES, step):
        count = min(step, SHUFFLES - first)
        mine = rng.permuted(np.tile(np.arange(len(everything)) < len(a), (count, 1)), axis=1)
        split = _divergence_parts(mine @ everything, ~mine @ everything)
        as_large += int(np.count_nonzero(split.sum(axis=1) >= found - 1e-12))
        largest.append(split.max(axis=1))
    most = float(np.percentile(np.concatenate(largest), 100 * LEVEL))
    return (1 + as_large) / (1 + SHUFFLES), most
