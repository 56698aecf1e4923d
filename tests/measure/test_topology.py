import math

import numpy as np
import pytest
from skimage.morphology import skeletonize

from napari_vesselkd.measure import centreline_dice
from napari_vesselkd.measure.topology import skeleton


def tube(y, length=30, radius=2, shape=(12, 24, 32)):
    z, yy, x = np.indices(shape)
    return ((z - 6) ** 2 + (yy - y) ** 2 <= radius**2) & (x < length)


def test_a_mask_follows_its_own_centrelines():
    score = centreline_dice(tube(8) | tube(16), tube(8) | tube(16))
    assert (score.cldice, score.tprec, score.tsens) == (1, 1, 1)


def test_it_is_the_definition_of_the_paper():
    random = np.random.default_rng(0)
    p, g = random.random((16, 16, 16)) < 0.3, random.random((16, 16, 16)) < 0.3
    s_p, s_g = skeletonize(p) > 0, skeletonize(g) > 0
    tprec, tsens = (s_p & g).sum() / s_p.sum(), (s_g & p).sum() / s_g.sum()
    score = centreline_dice(p, g)
    assert (score.tprec, score.tsens) == pytest.approx((tprec, tsens))
    assert score.cldice == pytest.approx(2 * tprec * tsens / (tprec + tsens))


def test_a_missed_vessel_costs_sensitivity_and_an_invented_one_precision():
    one, two = tube(8), tube(8) | tube(16)
    missed, invented = centreline_dice(one, two), centreline_dice(two, one)
    assert (missed.tprec, invented.tsens) == (1, 1)
    assert missed.tsens == pytest.approx(0.5, abs=0.05)
    assert invented.tprec == pytest.approx(0.5, abs=0.05)


def test_a_thinner_prediction_of_the_same_lines_costs_nothing():
    assert centreline_dice(tube(8, radius=1), tube(8, radius=3)).cldice > 0.9


def test_one_empty_mask_scores_zero_and_two_score_nan():
    empty = np.zeros_like(tube(8))
    missed = centreline_dice(empty, tube(8))
    assert missed.cldice == 0
    assert math.isnan(missed.tprec)
    assert centreline_dice(tube(8), empty).cldice == 0
    assert math.isnan(centreline_dice(empty, empty).cldice)


def test_masks_apart_score_zero():
    assert centreline_dice(tube(5), tube(18)).cldice == 0


def test_a_single_slice_is_thinned_as_a_2d_image():
    flat = tube(8)[6:7]
    assert np.array_equal(skeleton(flat)[0], skeletonize(flat[0]))
