"""Voxel overlap of two masks.

Notation: P, G are boolean masks (z, y, x), prediction and reference. All counts are in voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """Counts of agreement between a prediction P and a reference G; they add up over blocks.

    Attributes
    ----------
    both, only_prediction, only_reference, neither : int
        Voxels in P and G, in P only, in G only, in none of them.
    """

    both: int = 0
    only_prediction: int = 0
    only_reference: int = 0
    neither: int = 0

    @classmethod
    def of(cls, prediction: Mask, reference: Mask) -> Overlap:
        """Count two boolean masks of one shape."""
        both = int(np.count_nonzero(prediction & reference))
        only_prediction = int(np.count_nonzero(prediction)) - both
        only_reference = int(np.count_nonzero(reference)) - both
        return cls(
            both, only_prediction, only_reference, prediction.size - both - only_prediction - only_reference
        )

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(
            self.both + other.both,
            self.only_prediction + other.only_prediction,
            self.only_reference + other.only_reference,
            self.neither + other.neither,
        )

    @property
    def voxels(self) -> int:
        return self.both + self.only_prediction + self.only_reference + self.neither

    @property
    def prediction_voxels(self) -> int:
        return self.both + self.only_prediction

    @property
    def reference_voxels(self) -> int:
        return self.both + self.only_reference

    @property
    def dice(self) -> float:
        """``2 |P & G| / (|P| + |G|)`` (0..1); NaN if both are empty."""
        return ratio(2 * self.both, self.prediction_voxels + self.reference_voxels)

    @property
    def jaccard(self) -> float:
        """``|P & G| / |P | G|`` (0..1); NaN if both are empty."""
        return ratio(self.both, self.both + self.only_prediction + self.only_reference)

    @property
    def accuracy(self) -> float:
        """``(TP + TN) / all`` (0..1): high for any sparse structure, whatever the prediction."""
        return ratio(self.both + self.neither, self.voxels)


def ratio(part: float, whole: float) -> float:
    """Return ``part / whole``, NaN for a whole of 0."""
    return part / whole if whole else math.nan
