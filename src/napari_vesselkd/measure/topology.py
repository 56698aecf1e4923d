"""clDice: whether the prediction follows the same centrelines as the reference.

Notation: P, G are boolean masks (z, y, x), prediction and reference; S_P, S_G their skeletons.
Shit et al., CVPR 2021, eq. 1; the same definition as `cldice_metric/cldice.py` of jocpae/clDice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from skimage.morphology import skeletonize

from napari_vesselkd.measure.overlap import Mask, ratio


@dataclass(frozen=True)
class CentrelineDice:
    """clDice and its two parts (0..1).

    Attributes
    ----------
    cldice : float
        ``2 tprec tsens / (tprec + tsens)``; 0 if only one of the masks is empty, NaN if both are.
    tprec : float
        ``|S_P & G| / |S_P|``: share of the predicted centreline inside the reference; NaN if P is empty.
    tsens : float
        ``|S_G & P| / |S_G|``: share of the reference's centreline that was found; NaN if G is empty.
    """

    cldice: float
    tprec: float
    tsens: float


def skeleton(mask: Mask) -> Mask:
    """Return the skeleton of `mask` (z, y, x): Lee's thinning in 3D, Zhang's for a single slice."""
    if not mask.any():
        return np.zeros_like(mask)
    flat = mask.shape[0] == 1
    thinned = skeletonize(mask[0])[None] if flat else skeletonize(mask)
    return cast(Mask, thinned.astype(bool))


def centreline_dice(
    prediction: Mask, reference: Mask, skeletons: tuple[Mask, Mask] | None = None
) -> CentrelineDice:
    """Return clDice of two boolean masks (z, y, x) of one shape; `skeletons` where they are known."""
    skeleton_p, skeleton_g = skeletons or (skeleton(prediction), skeleton(reference))
    tprec = _share(skeleton_p, reference)
    tsens = _share(skeleton_g, prediction)
    return CentrelineDice(_harmonic_mean(tprec, tsens), tprec, tsens)


def centreline_counts(prediction: Mask, reference: Mask, where: Mask) -> tuple[int, int, int, int]:
    """Return what clDice is made of, counted only in `where`: sums of it over parts give that of the whole.

    The skeletons are those of the whole masks: cutting a vessel at the border of `where` would bend them.

    Parameters
    ----------
    prediction, reference, where : ndarray of bool, (z, y, x)

    Returns
    -------
    tuple of int
        ``|S_P & G|``, ``|S_P|``, ``|S_G & P|``, ``|S_G|``, each inside `where`.
    """
    line_p, line_g = skeleton(prediction) & where, skeleton(reference) & where
    parts = (line_p & reference, line_p, line_g & prediction, line_g)
    hit_p, all_p, hit_g, all_g = (int(np.count_nonzero(part)) for part in parts)
    return hit_p, all_p, hit_g, all_g


def _share(lines: Mask, mask: Mask) -> float:
    """Return the share of the voxels of `lines` that lie in `mask`."""
    return ratio(int(np.count_nonzero(lines & mask)), int(np.count_nonzero(lines)))


def _harmonic_mean(tprec: float, tsens: float) -> float:
    known = [value for value in (tprec, tsens) if not math.isnan(value)]
    if not known:
        return math.nan
    if len(known) < 2 or sum(known) == 0:
        return 0.0
    return 2 * tprec * tsens / (tprec + tsens)
