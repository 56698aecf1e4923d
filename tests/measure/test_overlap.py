import math

import numpy as np
import pytest

from napari_vesselkd.measure import Overlap


@pytest.fixture
def masks():
    random = np.random.default_rng(3)
    return random.random((7, 9, 11)) < 0.3, random.random((7, 9, 11)) < 0.4


def test_scores_follow_their_formulas(masks):
    p, g = masks
    overlap = Overlap.of(p, g)
    assert overlap.dice == pytest.approx(2 * (p & g).sum() / (p.sum() + g.sum()))
    assert overlap.jaccard == pytest.approx((p & g).sum() / (p | g).sum())
    assert overlap.accuracy == pytest.approx((p == g).mean())
    assert (overlap.voxels, overlap.prediction_voxels, overlap.reference_voxels) == (
        p.size,
        p.sum(),
        g.sum(),
    )


def test_counts_of_blocks_add_up_to_the_whole(masks):
    p, g = masks
    assert Overlap.of(p[:3], g[:3]) + Overlap.of(p[3:], g[3:]) == Overlap.of(p, g)


def test_one_empty_mask_scores_zero_and_two_score_nan(masks):
    p, _ = masks
    empty = np.zeros_like(p)
    assert Overlap.of(empty, p).dice == 0
    assert Overlap.of(p, empty).jaccard == 0
    both = Overlap.of(empty, empty)
    assert math.isnan(both.dice)
    assert math.isnan(both.jaccard)
    assert both.accuracy == 1
