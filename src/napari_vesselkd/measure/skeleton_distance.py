"""How far the centrelines of two masks are apart: skeleton matching distance (SMD, GWD in VpbSD's tables).

Optimal transport between the voxels of two skeletons, each with equal weight, at the cost of a logarithm of
their distance. `smd_paper` gives what the published code gives (3D/GWD.py of
github.com/lwannnn/Skeleton-Matching-Distance, commit 4920a91), `smd` what it is meant to be.

Notation: P, G are skeletons (n, 3) and (m, 3), indices z y x; C (n, m) the cost; mu = 1/n, nu = 1/m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Points = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_NODES = 3000
CELL = 8  # voxels
PAPER_NODES = 3000
ORIGIN = np.zeros((1, 3), np.int64)
REGULARISATION = 0.01  # of the entropy, epsilon
NEIGHBOURS = 24
PAPER_ITERATIONS, PAPER_CHANGE = 100, 0.1
ITERATIONS, MARGINAL_ERROR = 2000, 5e-3  # 1e-4 takes four times as long and changes less than .001
TINY = 1e-8


def smd(
    prediction: Points,
    reference: Points,
    shape: Sequence[int],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    seed: int = 0,
) -> float:
    """Return the skeleton matching distance of two skeletons, 0 (equal) to about 1.

    ``sum(pi * C)`` with ``C = ln(d + 1) / ln(D + 1)``, d the distance of two voxels and D the diagonal of the
    volume, and pi the plan of entropic transport (Sinkhorn, epsilon .01), iterated until its marginals are
    right to .005, which makes it right to .001.

    Parameters
    ----------
    prediction, reference : ndarray (n, 3)
        Skeleton voxels, (z, y, x). Of more than 3000 about that many are compared: those in cells of 8^3
        voxels that are drawn by `seed`, the same cells for both.
    shape : (z, y, x)
        Of the volume.
    spacing : (z, y, x)
        Voxel size; as the cost is a logarithm, values in um and in voxels are not comparable.

    Returns
    -------
    float
        NaN if a skeleton is empty.
    """
    if not len(prediction) or not len(reference):
        return math.nan
    drawn = _drawn_cells(shape, MOST_NODES / max(len(prediction), len(reference)), seed)
    one, other = (_in_cells(points, drawn) for points in (prediction, reference))
    cost = _cost(one, other, shape, spacing)
    kernel = np.exp(-cost / REGULARISATION)  # at least e^-100: no logarithms are needed in double precision
    mu, nu = 1 / len(one), 1 / len(other)
    left, right = np.ones(len(one)), np.ones(len(other))
    for iteration in range(ITERATIONS):
        seen = kernel @ right
        if iteration % 10 == 0 and iteration and np.abs(left * seen - mu).sum() < MARGINAL_ERROR:
            break
        left = mu / seen
        right = nu / (kernel.T @ left)
    return float(left @ (kernel * cost) @ right)


def smd_paper(prediction: Points, reference: Points, shape: Sequence[int]) -> float:
    """Return what the published code returns, for comparison with published tables.

    As `smd` in voxels, with these differences: the plan is restricted to the 24 nearest reference voxels of
    each predicted one, and to the 24 *farthest* predicted voxels of each reference one (``largest=True``,
    most likely meant to be the nearest); sums are taken of exponentials plus 1e-8; 100 iterations at most,
    which is where it ends unless the skeletons are equal; of more than 3000 voxels the first 3000; an empty
    skeleton is one voxel at the origin. NaN where its exponentials overflow: the published code stops there.
    """
    one, other = (points[:PAPER_NODES] if len(points) else ORIGIN for points in (prediction, reference))
    cost = _cost(one, other, shape, (1.0, 1.0, 1.0))
    rows, columns = np.nonzero(_paper_mask(cost))
    allowed = cost[rows, columns]
    u, v = np.zeros(len(one)), np.zeros(len(other))

    def plan() -> Floats:
        return np.exp((u[rows] + v[columns] - allowed) / REGULARISATION)

    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(PAPER_ITERATIONS):
            before = u
            sums = np.bincount(rows, plan(), len(one))
            u = u + REGULARISATION * (math.log(1 / len(one) + TINY) - np.log(TINY + sums))
            sums = np.bincount(columns, plan(), len(other))
            v = v + REGULARISATION * (math.log(1 / len(other) + TINY) - np.log(TINY + sums))
            if np.abs(u - before).sum() < PAPER_CHANGE:
                break
        found = float((plan() * allowed).sum())
    return found if math.isfinite(found) else math.nan


def _cost(
    one: Points, other: Points, shape: Sequence[int], spacing: Sequence[float]
) -> npt.NDArray[np.float64]:
    scale = np.asarray(spacing, float)
    diagonal = float(np.linalg.norm((np.asarray(shape) - 1) * scale))
    return np.asarray(np.log1p(cdist(one * scale, other * scale)) / (math.log1p(diagonal) or 1.0))


def _drawn_cells(shape: Sequence[int], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which cells of a volume are compared, about that share of them."""
    return np.random.default_rng(seed).random([-(-side // CELL) for side in shape]) < share


def _in_cells(points: Points, drawn: npt.NDArray[np.bool_]) -> Points:
    """Return the points in drawn cells; all of them where there are none."""
    kept = points[drawn[tuple((points // CELL).T)]]
    return kept if len(kept) else points[:MOST_NODES]


def _paper_mask(cost: Floats) -> npt.NDArray[np.bool_]:
    allowed = np.zeros(cost.shape, bool)
    count = min(NEIGHBOURS, cost.shape[1])
    np.put_along_axis(allowed, np.argpartition(cost, count - 1, axis=1)[:, :count], True, axis=1)
    count = min(count, cost.shape[0])
    np.put_along_axis(allowed, np.argpartition(-cost, count - 1, axis=0)[:count], True, axis=0)
    return allowed
