"""Promises of the temperature and of the reliability curve."""

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.proofreading.calibration import (
    Reliability,
    curve,
    fit_scaling,
    measure_reliability,
    probability_at,
)


def drawn(temperature, shift=0.0, count=40_000, seed=0):
    """Return logits of a net that is too sure by `temperature`, and truths drawn as it should have said."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, count).astype(np.float32)
    return logits, rng.random(count) < probability_at(logits, temperature, shift)


@pytest.mark.parametrize("shift", [0.0, 1.5, -1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_and_shift_by_which_the_net_is_off_are_found(temperature, shift):
    found = fit_scaling(*drawn(temperature, shift))
    assert found == pytest.approx((temperature, shift), rel=0.06, abs=0.06)


def test_they_have_the_least_cross_entropy():
    logits, truth = drawn(2.0, 0.7)

    def loss(temperature, shift):
        p = np.clip(probability_at(logits, temperature, shift).astype(float), 1e-9, 1 - 1e-9)
        return -np.mean(np.where(truth, np.log(p), np.log(1 - p)))

    t, b = fit_scaling(logits, truth)
    assert loss(t, b) <= min(loss(t * 1.05, b), loss(t / 1.05, b), loss(t, b + 0.05), loss(t, b - 0.05))


def test_the_curve_after_scaling_lies_on_the_diagonal_and_the_one_before_does_not():
    found = measure_reliability(*drawn(4.0, 1.0), blocks=2, checkpoint="abc")
    assert (found.blocks, found.voxels, found.checkpoint) == (2, 40_000, "abc")
    assert found.error_after < 0.02 < 0.05 < found.error_before
    for said, seen, count in zip(found.said, found.seen, found.counts, strict=True):
        if count > 500:
            assert said == pytest.approx(seen, abs=0.05)


def test_the_error_is_the_mean_gap_weighted_by_voxels_by_hand():
    probability = np.array([0.05, 0.05, 0.95, 0.95], np.float32)
    said, seen, counts = curve(probability, np.array([False, True, True, True]))
    assert counts.tolist() == [2] + [0] * 8 + [2]
    assert said[[0, 9]] == pytest.approx([0.05, 0.95]) and seen[[0, 9]] == pytest.approx([0.5, 1.0])
    assert np.isnan(said[1:9]).all()


def test_a_probability_of_one_is_in_the_last_bin():
    assert curve(np.ones(3, np.float32), np.ones(3, bool))[2][-1] == 3


@pytest.mark.parametrize("truth", [np.zeros(1000, bool), np.ones(1000, bool)])
def test_without_both_kinds_nothing_is_calibrated(truth):
    with pytest.raises(InvalidInputError, match="too few to calibrate"):
        measure_reliability(np.zeros(1000, np.float32), truth)


def test_a_net_that_is_always_right_keeps_a_finite_temperature():
    logits = np.repeat(np.float32([-8, 8]), 500)
    assert 0 < fit_scaling(logits, logits > 0)[0] < 1


def test_a_curve_survives_json():
    import json

    found = measure_reliability(*drawn(2.0))
    assert Reliability.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(ValueError, match="positive"):
        Reliability.from_dict({**found.to_dict(), "temperature": 0})
