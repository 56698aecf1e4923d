"""Augmentation keeps images images, and keeps image and label together."""

import numpy as np
import pytest

from napari_vesselkd.training.augment import AugmentConfig, change_appearance, orient


def random_image(shape=(12, 32, 32)):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("seed", range(10))
def test_the_appearance_stays_in_range_and_shape(seed):
    image = change_appearance(random_image(), AugmentConfig(probability=1.0), np.random.default_rng(seed))
    assert image.shape == (12, 32, 32) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert not np.array_equal(image, random_image())


def test_probability_zero_changes_nothing():
    image = change_appearance(random_image(), AugmentConfig(probability=0.0), np.random.default_rng(0))
    assert np.array_equal(image, random_image())


def test_little_blur_and_coarseness_are_possible():
    little = AugmentConfig(blur=0.1, low_resolution=1.1, probability=1.0)
    assert np.isfinite(change_appearance(random_image(), little, np.random.default_rng(0))).all()


def test_the_original_is_left_alone():
    image = random_image()
    change_appearance(image, AugmentConfig(probability=1.0), np.random.default_rng(3))
    assert np.array_equal(image, random_image())


@pytest.mark.parametrize("seed", range(20))
def test_image_and_label_turn_together(seed):
    image = random_image((5, 8, 8))
    turned, label = orient((image, (image > 0.5).astype(np.uint8)), np.random.default_rng(seed))
    assert np.array_equal(label, turned > 0.5)


def test_quarter_turns_stay_in_the_plane():
    image = random_image((5, 8, 8))
    slices = {image[z].tobytes() for z in range(5)}
    for seed in range(40):
        (turned,) = orient((image,), np.random.default_rng(seed))
        assert turned.shape == (5, 8, 8)
        means = sorted(float(turned[z].mean(dtype=np.float64)) for z in range(5))
        assert np.allclose(means, sorted(float(image[z].mean(dtype=np.float64)) for z in range(5)))
    assert len(slices) == 5


def test_all_sixteen_symmetries_appear():
    image = random_image((2, 4, 4))
    seen = {orient((image,), np.random.default_rng(seed))[0].tobytes() for seed in range(400)}
    assert len(seen) == 16
