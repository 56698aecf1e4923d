"""Means, spreads and paired differences of scores: by hand, and in simulations of a known difference."""

import math

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.measure.summary import differences, metrics_of, summarise


def row(method, fold, seed, volume, **metrics):
    return {"method": method, "fold": fold, "seed": seed, "volume": volume, **metrics}


@pytest.fixture
def rows():
    """Two methods, two folds (two volumes and one), two seeds."""
    scores = {
        "a": {(1, "x"): (0.8, 0.6), (1, "y"): (0.6, 0.4), (2, "z"): (0.9, 0.7)},
        "b": {(1, "x"): (0.9, 0.8), (1, "y"): (0.6, 0.8), (2, "z"): (0.8, 0.9)},
    }
    return [
        row(method, fold, seed, volume, dice=value)
        for method, volumes in scores.items()
        for (fold, volume), values in volumes.items()
        for seed, value in enumerate(values)
    ]


def test_mean_and_spread_are_those_computed_by_hand(rows):
    (score, _) = summarise(rows)
    assert (score.method, score.metric) == ("a", "dice")
    assert score.mean == pytest.approx((0.7 + 0.5 + 0.8) / 3)
    assert score.sd_volumes == pytest.approx(math.sqrt((0.0333333**2 + 0.1666667**2 + 0.1333333**2) / 2))
    assert score.sd_parts == pytest.approx(np.std([0.7, 0.5, 0.9, 0.7], ddof=1))
    assert (score.volumes, score.parts, score.values, score.undefined) == (3, 4, 6, 0)


def test_difference_and_t_interval_are_those_computed_by_hand(rows):
    (found,) = differences(rows, "a")
    by_volume = np.array([0.15, 0.2, 0.05])
    assert (found.method, found.reference) == ("b", "a")
    assert found.mean == pytest.approx(by_volume.mean())
    half = 4.302653 * by_volume.std(ddof=1) / math.sqrt(3)
    assert (found.t_low, found.t_high) == pytest.approx((by_volume.mean() - half, by_volume.mean() + half))
    assert (found.folds, found.volumes, found.pairs) == (2, 3, 6)
    assert (found.low, found.high) == pytest.approx((0.05, 0.175))  # from one fold's mean to the other's
    assert "only 2 folds" in found.caution


def test_only_the_same_volume_and_seed_are_compared():
    rows = [row("a", 1, 0, "x", dice=0.5), row("a", 1, 1, "x", dice=0.1), row("a", 2, 0, "x", dice=0.3)]
    rows += [row("b", 2, 0, "x", dice=0.4), row("b", 1, 0, "x", dice=0.7), row("b", 1, 0, "y", dice=1.0)]
    (found,) = differences(rows, "a")
    assert (found.pairs, found.volumes) == (2, 2)
    assert found.mean == pytest.approx((0.2 + 0.1) / 2)


def test_what_is_not_defined_is_left_out_and_counted(rows):
    for one in rows:
        one["hd95"] = 2.0 if one["method"] == "a" else 3.0
    rows[0]["hd95"], rows[1]["hd95"] = None, math.nan
    rows[-1]["hd95"] = math.inf
    score = next(one for one in summarise(rows) if (one.method, one.metric) == ("a", "hd95"))
    assert (score.mean, score.volumes, score.values, score.undefined) == (2.0, 2, 4, 2)
    found = next(one for one in differences(rows, "a") if one.metric == "hd95")
    assert (found.mean, found.pairs, found.undefined) == (1.0, 3, 3)


def test_a_metric_nowhere_defined_is_counted_and_one_not_measured_is_not(rows):
    for one in rows:
        if one["method"] == "a":
            one["hd95"] = None
    scores = {(one.method, one.metric): one for one in summarise(rows)}
    assert math.isnan(scores["a", "hd95"].mean)
    assert (scores["a", "hd95"].values, scores["a", "hd95"].undefined) == (0, 6)
    assert ("b", "hd95") not in scores
    assert [one.metric for one in differences(rows, "a")] == ["dice"]


def test_one_fold_has_a_t_interval_and_no_other():
    rows = [row(m, 1, 0, v, dice=s) for v in "xyz" for m, s in (("a", 0.5), ("b", 0.6 + 0.1 * (v == "x")))]
    (found,) = differences(rows, "a")
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.t_low < found.mean < found.t_high
    assert found.caution == "one fold: no interval"


def test_one_volume_one_seed_has_a_mean_and_no_spread():
    (score,) = summarise([row("a", 1, 0, "x", dice=0.5)])
    assert score.mean == 0.5
    assert math.isnan(score.sd_parts)
    assert math.isnan(score.sd_volumes)


def test_one_method_differs_from_nothing(rows):
    assert differences([one for one in rows if one["method"] == "a"], "a") == []


def test_equal_methods_differ_by_nothing(rows):
    same = [{**one, "method": name} for one in rows if one["method"] == "a" for name in ("a", "b")]
    (found,) = differences(same, "a")
    assert (found.mean, found.low, found.high, found.t_low, found.t_high, found.p) == (0, 0, 0, 0, 0, 1)


def test_five_folds_need_no_caution():
    rows = [row(m, fold, 0, "x", dice=fold / 10) for fold in range(5) for m in "ab"]
    assert differences(rows, "a")[0].caution == ""


def test_words_and_places_are_not_metrics(rows):
    assert metrics_of([{**one, "group": "g", "notes": ["n"], "n": 3} for one in rows]) == ("dice", "n")


def test_two_results_of_the_same_are_refused(rows):
    with pytest.raises(InvalidInputError, match="two results"):
        summarise([*rows, rows[0]])


def test_a_reference_without_results_is_refused(rows):
    with pytest.raises(InvalidInputError, match="reference method"):
        differences(rows, "c")


def simulated(random, folds=8, volumes=6, truth=0.05):
    """Return rows of two methods: volumes differ much, folds some, and the difference is `truth`."""
    rows = []
    for fold in range(folds):
        of_fold = random.normal(0, 0.03)
        for volume in range(volumes):
            hardness = random.normal(0.6, 0.15)
            for method, more in (("a", 0.0), ("b", truth + of_fold)):
                noise = random.normal(0, 0.005)
                rows.append(row(method, fold, 0, str(volume), dice=hardness + more + noise))
    return rows


def test_interval_holds_a_known_difference_as_often_as_it_says():
    random = np.random.default_rng(5)
    found = [differences(simulated(random), "a")[0] for _ in range(300)]
    held = np.mean([one.low <= 0.05 <= one.high for one in found])
    assert 0.92 <= held <= 0.985
    # Not drawing whole folds would be too narrow:
    assert np.mean([one.t_low <= 0.05 <= one.t_high for one in found]) < 0.75
    # Not pairing would be too wide: the volumes' own spread of 0.15 alone gives half a width of 0.06.
    assert np.mean([one.high - one.low for one in found]) < 0.07


def test_interval_of_five_folds_is_nearly_as_good():
    random = np.random.default_rng(6)
    found = [differences(simulated(random, folds=5, volumes=3), "a")[0] for _ in range(300)]
    assert 0.89 <= np.mean([one.low <= 0.05 <= one.high for one in found]) <= 0.97
