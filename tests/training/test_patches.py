"""Batches are a function of seed and step; thin stacks are filled and marked; the window is the volume's."""

import numpy as np
import pytest
import torch

from napari_vesselkd.phantoms import PhantomConfig
from napari_vesselkd.training import AugmentConfig, PatchConfig, PhantomPatches, fill_pool
from napari_vesselkd.training.patches import fill, tube

QUIET = AugmentConfig(probability=0.0)


def phantom_of(seed):
    return PhantomConfig(shape=(16, 48, 48), seed=seed, voxel_size_um=(3.0, 1.0, 1.0), scene="capillary")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    list(fill_pool(folder, phantom_of, range(3)))
    return folder


def patches(pool, **changes):
    settings = {"shape": (16, 32, 32), "batch": 2, "thinnest": 6} | changes
    return PhantomPatches(pool, range(3), PatchConfig(**settings), seed=4)


def equal(a, b):
    return all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in ("image", "label", "centreline", "valid")
    )


def test_a_pool_that_is_there_is_not_made_again(pool):
    before = {file.name: file.stat().st_mtime_ns for file in pool.iterdir()}
    assert list(fill_pool(pool, phantom_of, range(3))) == []
    assert {file.name: file.stat().st_mtime_ns for file in pool.iterdir()} == before


def test_the_same_step_gives_the_same_batch_in_any_order(pool):
    one, other = patches(pool), patches(pool)
    later = one(5)
    assert equal(later, other(5)) and equal(one(5), later)
    assert not equal(one(6), later) and not equal(one(-5), later)


def test_batches_have_the_right_shape_and_range(pool):
    batch = patches(pool)(0)
    assert batch.image.shape == (2, 1, 16, 32, 32) and batch.image.dtype == torch.float32
    assert batch.image.min() >= 0 and batch.image.max() <= 1
    assert set(batch.label.unique().tolist()) <= {0.0, 1.0}
    assert (batch.centreline <= batch.label).all()


def test_thin_stacks_are_filled_by_reflection_and_marked(pool):
    batch = patches(pool, thin=1.0, augment=QUIET)(2)
    valid = batch.valid[0, 0, :, 0, 0]
    depth = int(valid.sum())
    assert 6 <= depth <= 16 and valid[:depth].all()
    image = batch.image[0, 0]
    for n in range(min(16 - depth, depth - 1)):
        assert torch.equal(image[depth + n], image[depth - 2 - n])


def test_thick_stacks_are_valid_throughout(pool):
    assert patches(pool, thin=0.0)(0).valid.all()


def test_a_single_slice_can_be_filled():
    image, mask, valid = fill(np.ones((1, 4, 4), np.float32), np.ones((1, 4, 4), np.uint8), (8, 4, 4))
    assert image.shape == mask.shape == valid.shape == (8, 4, 4)
    assert valid.sum() == 16


def test_the_window_is_that_of_the_volume_not_of_the_patch(pool):
    """A window per patch would stretch every patch to the full range."""
    source = patches(pool, thin=0.0, augment=QUIET, shape=(8, 8, 8), upper=(99.0, 99.0))
    tops = torch.cat([source(step).image.amax(dim=(1, 2, 3, 4)) for step in range(20)])
    assert (tops < 0.9).any() and (tops == 1).any()


def test_the_tube_lies_inside_the_label_around_its_centreline():
    label = np.zeros((9, 9, 32), np.uint8)
    label[1:8, 1:8] = 1
    line = tube(label)
    assert line.any() and (line <= (label > 0)).all()
    assert line.sum() < label.sum() / 2
