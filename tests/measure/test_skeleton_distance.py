"""The skeleton matching distance: 0 for equal skeletons, POT's value for others, and the published quirk."""

import math

import numpy as np
import ot
import pytest

from napari_vesselkd.measure.skeleton_distance import REGULARISATION, smd, smd_paper

SHAPE = (64, 64, 64)


def lines(seed=0, count=12, side=64, kept=None):
    """Return the voxels of random straight lines, of the first `kept` of them."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side,) * 3, bool)
    for number in range(count):
        start, stop = rng.uniform(0, side - 1, (2, 3))
        if kept is None or number < kept:
            along = start + (stop - start) * np.linspace(0, 1, 4 * side)[:, None]
            mask[tuple(np.round(along).astype(int).T)] = True
    return np.argwhere(mask)


@pytest.mark.parametrize("distance", [smd, smd_paper])
def test_equal_skeletons_have_no_distance(distance):
    assert distance(lines(), lines(), SHAPE) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", [smd, smd_paper])
def test_a_shift_of_two_voxels_gives_the_published_size(distance):
    found = np.mean([distance(lines(seed) + [0, 0, 2], lines(seed), (64, 64, 66)) for seed in range(3)])
    assert 0.19 <= found <= 0.23


def test_it_grows_with_the_shift_and_is_largest_for_strangers():
    reference = lines()
    found = [smd(reference + [0, 0, shift], reference, (64, 64, 69)) for shift in (0, 1, 2, 5)]
    found.append(smd(lines(seed=9), reference, (64, 64, 69)))
    assert found == sorted(found) and found[-1] < 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_it_is_the_value_of_pots_solver(spacing):
    one, other, shape = lines(1, 4, 24), lines(2, 4, 24), (24, 24, 24)
    diagonal = np.linalg.norm((np.array(shape) - 1) * spacing)
    distance = np.linalg.norm((one[:, None] - other) * np.array(spacing), axis=2)
    cost = np.log(distance + 1) / np.log(diagonal + 1)
    weights = [np.full(len(points), 1 / len(points)) for points in (one, other)]
    plan = ot.sinkhorn(*weights, cost, REGULARISATION, method="sinkhorn_log", numItermax=5000, stopThr=1e-9)
    assert smd(one, other, shape, spacing) == pytest.approx(float((plan * cost).sum()), abs=1e-3)


def test_the_published_code_differs_where_lines_are_missing():
    reference, fewer = lines(), lines(kept=9)
    assert smd_paper(fewer, reference, SHAPE) > smd(fewer, reference, SHAPE) + 0.02


def test_an_empty_skeleton_has_no_distance_except_as_published():
    nothing = np.zeros((0, 3), int)
    assert math.isnan(smd(nothing, lines(), SHAPE)) and math.isnan(smd(lines(), nothing, SHAPE))
    assert 0 < smd_paper(nothing, lines(), SHAPE) < 1
    assert smd_paper(nothing, nothing, SHAPE) == pytest.approx(0)


def test_of_long_skeletons_the_same_cells_are_compared_which_is_nearer_to_the_whole(monkeypatch):
    shifted, reference = lines(0, 12) + [0, 0, 1], lines(0, 12)
    inside = shifted[(shifted < 64).all(axis=1)]
    whole = smd(inside, reference, SHAPE)
    monkeypatch.setattr("napari_vesselkd.measure.skeleton_distance.MOST_NODES", 200)
    parts = [smd(inside, reference, SHAPE, seed=seed) for seed in range(6)]
    assert len(reference) > 600 and len(set(parts)) == 6
    assert smd(inside, reference, SHAPE, seed=3) == parts[3]
    draw = np.random.default_rng(0)
    apart = [smd(draw.choice(inside, 200), draw.choice(reference, 200), SHAPE) for _ in range(6)]
    assert abs(np.mean(parts) - whole) < 0.5 * abs(np.mean(apart) - whole)
    assert smd(reference, reference, SHAPE) == pytest.approx(0, abs=1e-6)


def test_a_poor_prediction_gives_numbers_or_nan_and_no_warning():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        few, many = rng.integers(0, 32, (1 + seed, 3)), rng.integers(0, 32, (300, 3))
        assert 0 <= smd(few, many, (32,) * 3) <= 1
        found = smd_paper(few, many, (32,) * 3)
        assert math.isnan(found) or found >= 0


@pytest.mark.parametrize("distance", [smd, smd_paper])
def test_a_volume_of_one_voxel_has_no_diagonal_to_divide_by(distance):
    voxel = np.zeros((1, 3), int)
    assert distance(voxel, voxel, (1, 1, 1)) == pytest.approx(0)
