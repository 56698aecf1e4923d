"""The list of blocks to review, the most uncertain first.

It is made from the record of the labels (a few bytes per cell) one layer of blocks after another; no voxel is
read, whatever the size of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.project import BlockState, Project, ReviewBlock

ORDERS = ("uncertainty", "random")
LEAST_SIDE = 32


@dataclass(frozen=True)
class Candidate:
    """A block to look at.

    Attributes
    ----------
    region : Region
        In voxels of the volume.
    uncertainty : float or None
        Mean entropy of the probability in it, in bits; None where unknown.
    block : ReviewBlock or None
        What has become of it; None where nobody began it.
    reason : str
        Why it stands where it does, where that is not its uncertainty.
    reasons : tuple of str
        Everything that strikes about it, the strongest first, see `queue_worth`.
    worth : float or None
        What correcting it is worth, 1 that of a block like the others; None outside of the queue.
    stands_for : float
        Share of the worth of all blocks that it stands for and no block before it does, 0..1.
    """

    region: Region
    uncertainty: float | None
    block: ReviewBlock | None
    reason: str = ""
    reasons: tuple[str, ...] = ()
    worth: float | None = None
    stands_for: float = 0.0


@dataclass(frozen=True, eq=False)
class _Grid:
    """What the list is made from; `taken` are the places of blocks that were begun."""

    record: RunRecord
    side: int
    order: str
    seed: int
    taken: set[Shape]


def review_list(
    project: Project, *, side: int = 128, count: int = 200, order: str = "uncertainty", seed: int = 0
) -> tuple[Candidate, ...]:
    """Return blocks worth a look: of a regular grid where there are labels, and all that were begun.

    Parameters
    ----------
    project : Project
    side : int, optional
        Of a block, in voxels; clipped at the border of the volume and to what is segmented.
    count : int, optional
        At most so many, the blocks that were begun first of all.
    order : "uncertainty" or "random"
        Highest first, those of unknown uncertainty last; or at random, the same for the same `seed`.
    seed : int, optional

    Raises
    ------
    InvalidInputError
        If `side`, `count` or `order` cannot be used.
    """
    _check(side, count, order)
    record = project.labels_record
    blocks = [block for block in project.blocks if block.axis is None]  # MIP annotations are no blocks
    begun = [Candidate(block.region, _mean(record, block.region), block) for block in blocks]
    best: list[tuple[float, Candidate]] = []
    if record is not None:
        grid = _Grid(record, side, order, seed, _taken(blocks, record.shape, side))
        wanted = max(0, count - len(begun))
        for layer in range(-(-record.shape[0] // side)):
            worst = best[-1][0] if len(best) == wanted > 0 else math.inf
            best = sorted([*best, *_from_layer(grid, layer, wanted, worst)], key=_place)[:wanted]
    listed = [*best, *((_key(one, order, seed), one) for one in begun)]
    return tuple(candidate for _, candidate in sorted(listed, key=_place))


def next_candidate(
    candidates: Sequence[Candidate], after: Region | None, *, back: bool = False
) -> Candidate | None:
    """Return the next candidate behind the one at `after` that is neither accepted nor skipped.

    Parameters
    ----------
    candidates : sequence of Candidate
    after : Region or None
        None, or one that is not in the list, begins at its start.
    back : bool, optional
        The one before it instead.

    Returns
    -------
    Candidate or None
        None at the end of the list.
    """
    ordered = list(reversed(candidates)) if back else list(candidates)
    at = next((i for i, one in enumerate(ordered) if one.region == after), -1)
    left = (one for one in ordered[at + 1 :] if one.block is None or one.block.state is BlockState.OPEN)
    return next(left, None)


def _from_layer(grid: _Grid, layer: int, count: int, worst: float) -> list[tuple[float, Candidate]]:
    """Return the first `count` candidates of one layer of the grid, with their keys: none above `worst`."""
    shape, side = grid.record.shape, grid.side
    shown, mean = _layer_means(grid.record, layer, side)  # (blocks y, x) each
    if grid.order == "random":
        keys = np.random.default_rng([grid.seed, layer]).random(shown.shape)
    else:
        keys = np.where(np.isnan(mean), math.inf, -mean)
    found: list[tuple[float, Candidate]] = []
    for at in np.argsort(keys, axis=None, kind="stable"):
        y, x = (int(one) for one in np.unravel_index(at, shown.shape))
        if len(found) == count or keys[y, x] > worst:
            break
        if not shown[y, x] or (layer, y, x) in grid.taken:
            continue
        start = (layer * side, y * side, x * side)
        block = Region(start, as_shape([min(low + side, n) for low, n in zip(start, shape, strict=True)]))
        region = _worth_a_look(grid.record, block)
        if region is not None:
            value = None if np.isnan(mean[y, x]) else float(mean[y, x])
            found.append((float(keys[y, x]), Candidate(region, value, None)))
    return found


def _layer_means(
    record: RunRecord, layer: int, side: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return where a layer of blocks shows labels, and the mean uncertainty of its blocks: (blocks y, x)."""
    low, high = _cell_bounds(record, 0, side, [layer])
    slab = slice(int(low[0]), int(high[0]))
    shown = record.done[slab] != 0
    if record.earlier is not None:
        shown |= record.earlier[slab] > 0
    values = record.uncertainty
    bits = np.full(shown.shape, np.nan, np.float32) if values is None else np.asarray(values[slab])
    known = ~np.isnan(bits)
    counts = []
    for cells in (shown, known, np.where(known, bits, 0)):
        total = cells.sum(axis=0, dtype=np.float64)
        for axis in (1, 2):
            size = record.shape[axis]
            start, stop = _cell_bounds(record, axis, side, range(-(-size // side)))
            sums = np.insert(np.cumsum(total, axis=axis - 1), 0, 0, axis=axis - 1)
            total = sums.take(stop, axis - 1) - sums.take(start, axis - 1)
        counts.append(total)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts[0] > 0, np.where(counts[1] > 0, counts[2] / counts[1], np.nan)


def _cell_bounds(
    record: RunRecord, axis: int, side: int, blocks: Iterable[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first cell of blocks along an axis, and the one behind their last."""
    low = np.array([*blocks], np.int64) * side
    high = np.minimum(low + side, record.shape[axis])
    return low // record.cell[axis], -(-high // record.cell[axis])


def _worth_a_look(record: RunRecord, block: Region) -> Region | None:
    """Return the part of a block that is segmented, None where that is a thin rest."""
    box = record.shown_box(block)
    if box is None:
        return None
    thin = any(have < min(LEAST_SIDE, full) for have, full in zip(box.shape, block.shape, strict=True))
    return None if thin else box


def _taken(blocks: Iterable[ReviewBlock], shape: Shape, side: int) -> set[Shape]:
    """Return the places of the grid of which a block that was begun covers at least half."""
    taken = set()
    for block in blocks:
        around = block.region.aligned((side, side, side))
        for place in around.pieces((side, side, side)):
            visible = cast(Region, place.intersection(Region.whole(shape)))
            common = visible.intersection(block.region)
            if common is not None and 2 * common.size >= visible.size:
                taken.add(as_shape([low // side for low in place.start]))
    return taken


def _mean(record: RunRecord | None, region: Region) -> float | None:
    """Return the mean uncertainty of the cells that `region` touches."""
    values = None if record is None else record.uncertainty
    if record is None or values is None:
        return None
    part = np.asarray(values[record.cells(region).slices])
    known = part[~np.isnan(part)]
    return float(known.mean(dtype=np.float64)) if known.size else None


def _key(candidate: Candidate, order: str, seed: int) -> float:
    """Return what a block that was begun is sorted by."""
    if order == "random":
        return float(np.random.default_rng([seed, *candidate.region.start, *candidate.region.stop]).random())
    return math.inf if candidate.uncertainty is None else -candidate.uncertainty


def _place(keyed: tuple[float, Candidate]) -> tuple[float, Shape]:
    return keyed[0], keyed[1].region.start


def _check(side: int, count: int, order: str) -> None:
    if order not in ORDERS:
        raise InvalidInputError("There is no such order", value=order, limit=", ".join(ORDERS))
    for name, value in (("side", side), ("count", count)):
        if value < 1:
            raise InvalidInputError(f"The {name} of the list is too small", value=value, limit="at least 1")
