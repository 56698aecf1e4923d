"""The threshold that is chosen on corrected blocks."""

import numpy as np
import pytest

from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.validation import THRESHOLDS, choose_threshold

VESSEL = np.zeros((11, 48, 24), bool)
VESSEL[4:7, :, 10:13] = True


def crop(truth):
    label = np.where(truth, 2, 1).astype(np.uint8)
    return Crop("block", label, label, (0.0, 1.0), "volume", (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("inside", "halo", "low", "high"), [(0.9, 0.42, 0.42, 0.9), (0.25, 0.12, 0.12, 0.25)]
)
def test_it_lies_between_what_is_vessel_and_what_is_not(inside, halo, low, high):
    found = np.zeros(VESSEL.shape, np.float32)
    found[2:9, :, 8:15], found[VESSEL] = halo, inside
    chosen = choose_threshold([crop(VESSEL)], [found], 0.5)
    assert low < chosen <= high and chosen in THRESHOLDS


@pytest.mark.parametrize("highest", [0.05, 0.6, 0.95])
def test_blocks_of_background_alone_say_nothing_about_it(highest):
    """Neither Dice nor clDice is defined where nothing is found in nothing."""
    found = np.full(VESSEL.shape, 0.02, np.float32)
    found[5, 12, 12] = highest
    assert choose_threshold([crop(np.zeros_like(VESSEL))], [found], 0.45) == 0.45
