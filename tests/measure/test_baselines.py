import numpy as np
import pytest
import tifffile

from napari_vesselkd.measure import centreline_dice
from napari_vesselkd.measure.baselines import best_threshold, oracle_sato, oracle_threshold
from napari_vesselkd.measure.overlap import Overlap


def test_no_threshold_beats_the_best_one():
    random = np.random.default_rng(0)
    response, reference = random.integers(0, 40, (6, 8, 9)), random.random((6, 8, 9)) < 0.2
    response[reference] += 12
    best = best_threshold(response, reference)
    every = [Overlap.of(response >= level, reference).dice for level in np.unique(response)]
    assert best.dice == pytest.approx(max(every))
    assert Overlap.of(best.mask, reference).dice == pytest.approx(best.dice)


def test_sato_finds_a_bright_tube_and_ignores_a_bright_slope():
    z, y, x = np.indices((24, 32, 32))
    tube = (z - 12) ** 2 + (y - 10) ** 2 <= 4
    image = 100 * tube + 8.0 * x
    assert oracle_sato(image, tube).dice > oracle_threshold(image, tube).dice
    assert oracle_sato(image, tube).dice > 0.8


@pytest.mark.slow
def test_the_published_baseline_of_a_real_stack_is_reproduced(vesselkd_data):
    folder = vesselkd_data / "vesselnn_2photon"
    image = tifffile.imread(folder / "images" / "burgess2014_noisySparseVessels.tif")
    reference = tifffile.imread(folder / "labels" / "burgess2014_noisySparseVessels.tif") > 0
    threshold, sato = oracle_threshold(image, reference), oracle_sato(image, reference)
    assert threshold.dice == pytest.approx(0.891, abs=0.005)
    assert centreline_dice(threshold.mask, reference).cldice == pytest.approx(0.818, abs=0.005)
    assert sato.dice == pytest.approx(0.745, abs=0.005)
