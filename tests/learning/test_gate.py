"""The gate's arithmetic: paired pieces, intervals, verdicts; sums over pieces are those of the whole."""

import math

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.learning.gate import LEAST_PIECES, _counts, _judgement, cldice_of, dice_of
from napari_vesselkd.measure import evaluate
from napari_vesselkd.project import BlockState, ReviewBlock

BLOCK = ReviewBlock(3, Region((0, 0, 0), (32, 64, 128)), BlockState.ACCEPTED, True, 1, 1)


class Held:
    """A project of one held-out block."""

    training_blocks = ()

    def __init__(self, label):
        self.label = label

    def corrected(self, region):
        return self.label.copy()


def tubes(seed, width=3):
    rng = np.random.default_rng(seed)
    mask = np.zeros((32, 64, 128), bool)
    for _ in range(12):
        z, y = rng.integers(2, 26), rng.integers(4, 56)
        mask[z : z + width, y : y + width, 3:-3] = True
    return mask


def judged(new, old, truth):
    held = Held((1 + truth).astype(np.uint8))
    return _judgement([BLOCK], ("new", "old"), [_counts(held, BLOCK, new)], [_counts(held, BLOCK, old)])


def test_the_sums_over_pieces_are_the_scores_of_the_whole_block():
    truth, found = tubes(0), tubes(0, width=5)
    expected = evaluate(found, truth)
    total = np.sum(_counts(Held((1 + truth).astype(np.uint8)), BLOCK, found), axis=0)
    assert dice_of(total) == pytest.approx(expected.dice)
    assert cldice_of(total) == pytest.approx(expected.cldice)


def test_unlabelled_voxels_do_not_count():
    truth, found = tubes(0), tubes(1)
    label = (1 + truth).astype(np.uint8)
    label[:, 32:] = 0
    total = np.sum(_counts(Held(label), BLOCK, found), axis=0)
    assert dice_of(total) == pytest.approx(evaluate(found[:, :32], truth[:, :32]).dice)


def test_a_perfect_candidate_is_better_and_the_other_way_round_worse():
    truth, poor = tubes(0), tubes(0) & (np.arange(128) % 8 < 5)
    up, down = judged(truth, poor, truth), judged(poor, truth, truth)
    assert (up.verdict, down.verdict) == ("better", "worse")
    assert up.dice_new == 1 and up.dice_gain[0] == pytest.approx(-down.dice_gain[0])
    low, high = up.dice_gain[1:]
    assert 0 < low < up.dice_gain[0] < high
    assert up.worst.number == 3 and "1 held-out block" in up.text


def test_the_same_twice_is_undecided():
    truth, found = tubes(0), tubes(1)
    same = judged(found, found, truth)
    assert same.verdict == "undecided" and same.cldice_gain == (0, 0, 0)


def test_with_few_labelled_pieces_nothing_is_decided():
    truth = np.zeros((32, 64, 128), bool)
    truth[10:14, 10:14, :20] = True
    found = judged(truth, np.roll(truth, 6, axis=0), truth)
    assert found.verdict == "undecided" and math.isnan(found.dice_gain[1])
    assert "Too little is labelled" in found.text and LEAST_PIECES > 1
