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
        ``log2`` of the share in `a` over that in `b`, half a cell added to every count.
    low, high : ndarray (N,)
        95 % interval of it.
    contribution : ndarray (N,)
        What each code adds to the divergence, in bits.
    order : ndarray of int64, (N,)
        Codes, the one that contributes most first.
    interval : {"boxes", "cells"}
        What the interval is made of: "boxes" drawn again, which are as large as the region allows; or, where
        there are fewer than eight with a code, "cells" taken as independent, which makes it too narrow.
    """

    jensen_shannon: float
    p: float
    log2_ratio: Floats
    low: Floats
    high: Floats
    contribution: Floats
    order: Counts
    interval: str

    @property
    def certain(self) -> tuple[int, ...]:
        """Codes whose interval leaves out 0, in `order`."""
        return tuple(int(code) for code in self.order if self.low[code] > 0 or self.high[code] < 0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "jensen_shannon": self.jensen_shannon,
            "p": self.p,
            "interval": self.interval,
            **{
                name: getattr(self, name).tolist()
                for name in ("log2_ratio", "low", "high", "contribution", "order")
            },
        }


def compare_usage(a: Usage, b: Usage, *, seed: int = 0) -> UsageDifference:
    """Compare the usage of two regions or volumes, mapped with the same checkpoint.

    The divergence is Jensen and Shannon's (Lin, IEEE Trans. Inf. Theory 37, 1991, eq. 4.1 with equal
    weights). The intervals are percentiles of 2000 draws of boxes with replacement, in both.

    Raises
    ------
    InvalidInputError
        If they are of codebooks of different size, or nothing is computed in one.
    """
    _check_comparable(a, b)
    rng = np.random.default_rng(seed)
    boxes_a, boxes_b = (one.boxes[one.boxes.any(axis=1)].astype(np.float64) for one in (a, b))
    parts_of = _divergence_parts(a.counts.astype(np.float64), b.counts.astype(np.float64))
    ratio = _log2_ratio(a.counts.astype(np.float64), b.counts.astype(np.float64))
    enough = min(len(boxes_a), len(boxes_b)) >= FEWEST_BOXES
    low, high = _drawn(boxes_a, boxes_b, rng) if enough else _independent(a, b, ratio)
    total = float(parts_of.sum())
    return UsageDifference(
        total,
        _shuffled(boxes_a, boxes_b, total, rng),
        ratio,
        np.minimum(low, ratio),
        np.maximum(high, ratio),
        parts_of,
        np.argsort(-parts_of, kind="stable"),
        "boxes" if enough else "cells",
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


def _independent(a: Usage, b: Usage, ratio: Floats) -> tuple[Floats, Floats]:
    """Return the interval of the log of a ratio of two shares of independent cells (Katz et al., 1978)."""
    variance = sum(1 / (one.counts + SMALL) - 1 / (one.cells + SMALL * len(one.counts)) for one in (a, b))
    half = 1.959964 * np.sqrt(variance) / math.log(2)
    return ratio - half, ratio + half


def _shuffled(a: Floats, b: Floats, found: float, rng: np.random.Generator) -> float:
    """Return how often boxes (B, N) dealt at random diverge at least as much as was found."""
    everything = np.vstack([a, b])
    as_large, step = 0, max(1, _AT_ONCE // everything.shape[1])
    for first in range(0, SHUFFLES, step):
        count = min(step, SHUFFLES - first)
        mine = rng.permuted(np.tile(np.arange(len(everything)) < len(a), (count, 1)), axis=1)
        split = _divergence_parts(mine @ everything, ~mine @ everything).sum(axis=1)
        as_large += int(np.count_nonzero(split >= found - 1e-12))
    return (1 + as_large) / (1 + SHUFFLES)
