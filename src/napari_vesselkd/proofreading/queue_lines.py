"""How much of the centrelines of a block is doubtful: what counts for topology is not the thick walls.

The mean entropy of a block says how many voxels will be wrong, most of them on the walls of thick vessels,
and next to nothing about where centrelines are (docs/queue.md). So all of this counts voxels of centreline.

Notation: p probability (z, y, x), t threshold, P the mask ``p >= t``, S_P its skeleton.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.measure.topology import skeleton

FAINT = 0.5  # of the threshold: lines that begin to show there may be missed vessels
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def line_doubt(probability: Floats, threshold: float, said: Floats | None = None) -> Floats:
    """Return how many voxels of centreline to expect wrong at each place, (z, y, x) float32.

    On S_P the chance that it is none, ``1 - p``; on the skeleton of ``p >= t / 2``, away from P, the chance
    that it is one, ``p``: the expected numbers of false and of missed voxels as far as p is calibrated.

    Parameters
    ----------
    probability : ndarray of float32, (z, y, x)
    threshold : float
    said : ndarray of float32, (z, y, x), optional
        The calibrated probability, where that is another; `probability` decides where lines are.
    """
    chance = probability if said is None else said
    mask = probability >= threshold
    doubt = np.where(skeleton(mask), 1 - chance, 0).astype(np.float32)
    faint = skeleton(probability >= FAINT * threshold) & ~ndimage.binary_dilation(mask)
    doubt[faint] = chance[faint]
    return doubt


def line_difference(one: Mask, other: Mask, line: Mask | None = None) -> Mask:
    """Return where the centreline of one mask (z, y, x) is outside of the other: ``S_A - B`` and ``S_B - A``.

    Parameters
    ----------
    one, other : ndarray of bool, (z, y, x)
    line : ndarray of bool, optional
        The skeleton of `one`, where it is known.
    """
    line = skeleton(one) if line is None else line
    return np.asarray((line & ~other) | (skeleton(other) & ~one))
