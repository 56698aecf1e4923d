"""The codebook on a plane: codes that are alike lie close together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.patterns.cells import Floats


@dataclass(frozen=True, eq=False)
class CodebookMap:
    """Where each code lies.

    Attributes
    ----------
    points : ndarray of float64, (N, 2)
        In units of the codes.
    explained : (float, float)
        Share of the codes' variance along each of the two, 0..1; 0 where all codes are equal.
    """

    points: Floats
    explained: tuple[float, float]


def codebook_map(table: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> CodebookMap:
    """Return the codes on their first two principal components (Pearson, Phil. Mag. 2, 1901).

    The sign of each component is such that the code farthest along it has a positive coordinate: the same
    table always gives the same map.

    Parameters
    ----------
    table : ndarray of float, (N, W)
        The codes.
    weights : ndarray (N,), optional
        How much each counts for the components, for example its usage; dead codes then do not stretch the
        map. All the same by default.

    Raises
    ------
    InvalidInputError
        If the table is empty or not finite, or no weight is positive.
    """
    codes = np.asarray(table, np.float64)
    if codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        raise InvalidInputError(
            "This is not a codebook", value=f"shape {codes.shape}", limit="(N, W), finite"
        )
    share = np.ones(len(codes)) if weights is None else np.asarray(weights, np.float64)
    if share.shape != (len(codes),) or not np.isfinite(share).all() or (share < 0).any() or share.sum() <= 0:
        raise InvalidInputError("The weights cannot be used", limit="(N,), none negative, not all 0")
    share = share / share.sum()
    centred = codes - share @ codes
    _, sizes, directions = np.linalg.svd(np.sqrt(share)[:, None] * centred, full_matrices=False)
    points = np.zeros((len(codes), 2))
    found = min(2, len(directions))
    points[:, :found] = centred @ directions[:found].T
    total = float((sizes**2).sum())
    parts = np.zeros(2)
    parts[:found] = sizes[:found] ** 2 / total if total > 0 else 0.0
    return CodebookMap(points * _signs(points), (float(parts[0]), float(parts[1])))


def _signs(points: Floats) -> Floats:
    farthest = points[np.abs(points).argmax(axis=0), np.arange(2)]
    return np.where(farthest < 0, -1.0, 1.0)
