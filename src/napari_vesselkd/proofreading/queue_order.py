"""The order of the queue: what a block is worth, and which ones stand for many others.

Notation: w_i what block i is worth, s_ij how alike blocks i and j are, 0..1. A block is chosen for what it
stands for: the sum over all blocks i of ``w_i max(0, s_ij - c_i)``, where c_i is how well the blocks before
it (chosen, or corrected already) stand for i: the greedy choice for weighted facility location (Nemhauser,
Wolsey and Fisher 1978). So the first blocks are doubtful ones that look like much else that is doubtful, and
ten blocks are not ten neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_vesselkd.proofreading.queue_findings import Findings

F64 = npt.NDArray[np.float64]
NEAR = 0.75  # sides of a block, over which neighbours are alike because they are neighbours
PLACE = 0.3  # how much of being alike is being near; the rest is looking alike
LOOK = 1.0  # standard deviations of a feature, over which two looks are alike
OWN = 0.25  # how much a block's own worth counts beside what it stands for


@dataclass(frozen=True)
class Placed:
    """A block in its place.

    Attributes
    ----------
    index : int
        Into the findings that were ordered.
    worth : float
        Of the block itself.
    stands_for : float
        Share of the worth of all blocks that no block before it stands for, and this one does.
    """

    index: int
    worth: float
    stands_for: float


def in_order(
    findings: Sequence[Findings],
    worths: Sequence[float] | F64,
    known: Sequence[Findings] = (),
    count: int = 200,
) -> tuple[Placed, ...]:
    """Return the first `count` blocks in the order in which they are worth correcting.

    Parameters
    ----------
    findings : sequence of Findings
        The blocks to order, at most some thousands: memory grows with their square.
    worths : sequence of float
        What each is worth, 0 or more.
    known : sequence of Findings, optional
        Blocks that were corrected already.
    count : int, optional
    """
    if not findings:
        return ()
    worth = np.asarray(worths, np.float64)
    alike = likeness([*findings, *known])[: len(findings)]
    covered = alike[:, len(findings) :].max(axis=1, initial=0.0)
    alike = alike[:, : len(findings)]
    total = max(float(worth.sum()), 1e-12)
    left = np.ones(len(findings), bool)
    placed = []
    for _ in range(min(count, len(findings))):
        gain = worth @ np.maximum(alike - covered[:, None], 0.0) / total
        own = worth * (1 - covered) / max(float((worth * left).max()), 1e-12)
        value = np.where(left, gain / max(float(gain[left].max()), 1e-12) + OWN * own, -1.0)
        best = int(np.argmax(value))
        placed.append(Placed(best, float(worth[best]), float(gain[best])))
        left[best] = False
        covered = np.maximum(covered, alike[:, best])
    return tuple(placed)


def likeness(findings: Sequence[Findings]) -> F64:
    """Return how alike blocks are, (N, N), 1 for a block and itself.

    ``(1 - a) exp(-l^2 / 2) + a exp(-d^2 / 2)`` with l the distance of their looks in standard deviations of
    each feature (root mean square over features), d that of their middles in `NEAR` sides.
    """
    looks = _standardised([one.look for one in findings])
    looking = np.exp(-_squared(looks) / looks.shape[1] / (2 * LOOK**2))
    middles = np.array([one.region.centre for one in findings], np.float64)
    side = np.array([max(one.region.shape) for one in findings], np.float64).mean()
    near = np.exp(-_squared(middles / (NEAR * side)) / 2)
    return np.asarray((1 - PLACE) * looking + PLACE * near)


def _standardised(looks: Sequence[tuple[float, ...]]) -> F64:
    """Return looks (N, features) less their mean, over their deviation; 0 where a block was not looked at."""
    width = max((len(one) for one in looks), default=0) or 1
    known = np.array([one if len(one) == width else (np.nan,) * width for one in looks], np.float64)
    there = ~np.isnan(known[:, 0])
    if not there.any():
        return np.zeros((len(looks), width))
    mean, spread = known[there].mean(axis=0), known[there].std(axis=0)
    return np.asarray(np.nan_to_num((known - mean) / np.where(spread > 1e-9, spread, 1.0)))


def _squared(points: F64) -> F64:
    """Return the squared distances (N, N) of points (N, features)."""
    norms = (points**2).sum(axis=1)
    return np.asarray(np.maximum(norms[:, None] + norms[None] - 2 * points @ points.T, 0.0))


def look_of(image: npt.NDArray[np.float32], vessel: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Return what a block looks like: image in the volume's window (z, y, x) 0..1, and its vessels.

    Mean and standard deviation, three percentiles, how grainy it is (mean difference of neighbours along x),
    the share of vessel, how much brighter vessels are than the rest.
    """
    low, middle, high = np.percentile(image, (10, 50, 95))
    grain = float(np.abs(np.diff(image, axis=2)).mean()) if image.shape[2] > 1 else 0.0
    share = float(vessel.mean())
    contrast = float(image[vessel].mean() - image[~vessel].mean()) if 0 < share < 1 else 0.0
    values = (image.mean(), image.std(), low, middle, high, grain, share**0.5, contrast)
    return tuple(round(float(value), 5) for value in values)
