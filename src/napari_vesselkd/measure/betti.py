"""How many pieces, loops and cavities a mask has, and by how many two masks differ.

Foreground voxels are connected through faces, edges and corners (26), background voxels through faces (6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import euler_number

from napari_vesselkd.measure.overlap import Mask

EVERYWHERE = np.ones((3, 3, 3), bool)
SLAB = 32  # planes


@dataclass(frozen=True)
class BettiNumbers:
    """Of a mask: `pieces` (b0), `loops` (b1), `cavities` (b2)."""

    pieces: int
    loops: int
    cavities: int

    def errors(self, other: BettiNumbers) -> tuple[int, int, int]:
        """Return by how much each number differs, without sign (Betti errors 0, 1, 2 of the whole volume)."""
        mine, its = self.as_tuple(), other.as_tuple()
        zero, one, two = (abs(a - b) for a, b in zip(mine, its, strict=True))
        return zero, one, two

    def as_tuple(self) -> tuple[int, int, int]:
        return self.pieces, self.loops, self.cavities


def betti_numbers(mask: Mask) -> BettiNumbers:
    """Return the Betti numbers of `mask` (z, y, x).

    Pieces and cavities are counted, loops follow from the Euler characteristic:
    ``chi = b0 - b1 + b2``. What lies beyond the array is background. Memory: about 6 bytes per voxel.
    """
    if not mask.any():
        return BettiNumbers(0, 0, 0)
    padded = np.pad(mask, 1)
    pieces = int(ndimage.label(padded, EVERYWHERE)[1])
    cavities = int(ndimage.label(~padded)[1]) - 1
    return BettiNumbers(pieces, pieces + cavities - _euler_number(padded), cavities)


def _euler_number(mask: Mask) -> int:
    """Return the Euler characteristic of `mask` (z, y, x), in slabs: scikit-image takes 16 bytes per voxel.

    Neighbouring slabs share one plane, counted twice: chi(A | B) = chi(A) + chi(B) - chi(A & B).
    """
    starts = range(0, max(len(mask) - 1, 1), SLAB)
    slabs = [mask[start : start + SLAB + 1] for start in starts]
    shared = [mask[start : start + 1] for start in starts[1:]]
    return sum(map(_euler_of, slabs)) - sum(map(_euler_of, shared))


def _euler_of(mask: Mask) -> int:
    return int(euler_number(mask, connectivity=3))
