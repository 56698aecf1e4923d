"""Statistics measured once per volume."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.checkpoints.calibration import LOOKED_AT, PATCH, calibrate, sample_places
from napari_vesselkd.geometry import Region
from napari_vesselkd.models import Student, StudentConfig, is_frozen, set_statistics, statistics_of
from napari_vesselkd.volume import IntensityWindow, volume_from_arrays

STRIDE = (8, 32, 32)
CONFIG = StudentConfig(stem_stride=(1, 2, 2), strides=((1, 2, 2), 2, 2, 2))
WINDOW = IntensityWindow(0.0, 1.0)


class Counted:
    """A volume that counts what is read of it."""

    def __init__(self, array):
        self.array, self.shape, self.read_regions = array, array.shape, []

    def read(self, region: Region):
        self.read_regions.append(region)
        return self.array[region.slices]


def student(seed=0):
    torch.manual_seed(seed)
    return Student(CONFIG).eval()


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 700), st.integers(1, 900), st.integers(1, 900)))
def test_places_are_few_of_one_shape_and_multiples_of_the_stride(shape):
    places = sample_places(shape, STRIDE)
    assert 1 <= len(places) <= LOOKED_AT
    assert len({place.shape for place in places}) == 1
    assert len(set(places)) == len(places)
    for side, limit, stride, size in zip(places[0].shape, PATCH, STRIDE, shape, strict=True):
        assert side % stride == 0
        assert side <= limit
        assert side < size + stride


def test_a_volume_of_any_size_costs_a_bounded_number_of_reads():
    volume = Counted(np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (4000, 9000, 9000), (0, 0, 0)))
    calibrate(student(), volume, WINDOW, stride=STRIDE, padding="reflect")
    assert len(volume.read_regions) <= LOOKED_AT
    assert sum(region.size for region in volume.read_regions) <= LOOKED_AT * np.prod(PATCH)


def test_the_statistics_are_those_of_the_patches_with_contrast():
    rng = np.random.default_rng(0)
    texture = rng.random((16, 64, 64), np.float32)
    emptied = np.zeros((16, 64, 64 * 40), np.float32)
    emptied[..., : 64 * 20] = np.tile(texture, (1, 1, 20))  # half of it empty, the rest one texture
    model, alone = student(), student()
    calibrate(model, Counted(emptied), WINDOW, stride=STRIDE, padding="reflect")
    calibrate(alone, Counted(np.tile(texture, (1, 1, 20))), WINDOW, stride=STRIDE, padding="reflect")
    for one, other in zip(statistics_of(model), statistics_of(alone), strict=True):
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.02)


def test_calibrating_fixes_every_normalisation_and_changes_the_output():
    rng = np.random.default_rng(1)
    bright, dim = student(), student()
    calibrate(bright, Counted(rng.random((16, 64, 64), np.float32)), WINDOW, stride=STRIDE, padding="reflect")
    calibrate(
        dim, Counted(rng.random((16, 64, 64), np.float32) * 0.1), WINDOW, stride=STRIDE, padding="reflect"
    )
    assert is_frozen(bright) and is_frozen(dim)
    x = torch.rand(1, 1, 16, 64, 64)
    assert not torch.allclose(bright(x), dim(x))


def test_statistics_go_through_json_to_the_bit():
    rng = np.random.default_rng(2)
    measured, restored = student(), student()
    calibrate(measured, Counted(rng.random((16, 64, 64), np.float32)), WINDOW, stride=STRIDE, padding="edge")
    set_statistics(restored, json.loads(json.dumps(statistics_of(measured))))
    x = torch.rand(1, 1, 16, 64, 64)
    assert torch.equal(measured(x), restored(x))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_volume_gives_finite_statistics(value):
    model = student()
    volume = volume_from_arrays(
        [np.full((16, 40, 40), value, np.float32)], voxel_size_um=(1, 1, 1), name="flat"
    )
    calibrate(model, volume, WINDOW, stride=STRIDE, padding="reflect")
    assert torch.isfinite(model(torch.rand(1, 1, 16, 64, 64))).all()


@pytest.mark.parametrize("depth", [0, 40, 64])
def test_a_thin_volume_is_continued_to_the_depth_that_is_asked_for(depth):
    """As deep patches of a volume that goes on by reflection; without borders amid them."""
    thin = np.random.default_rng(0).random((10, 64, 64), np.float32)
    deep = np.pad(thin, ((0, depth - 10 if depth else 6), (0, 0), (0, 0)), mode="reflect")
    found = []
    for array, least in ((thin, depth), (deep, 0)):
        model = student()
        volume = volume_from_arrays([array], voxel_size_um=(4, 1, 1))
        calibrate(model, volume, WINDOW, stride=STRIDE, padding="reflect", depth=least)
        found.append(statistics_of(model))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_volume_that_is_deeper_is_looked_at_as_without_a_depth():
    assert sample_places((70, 300, 300), STRIDE, 64) == sample_places((70, 300, 300), STRIDE)
