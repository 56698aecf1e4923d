"""Losses on projections: by hand, and where their gradient goes."""

import math

import numpy as np
import pytest
import torch

from napari_vesselkd.training.losses import LossConfig
from napari_vesselkd.training.mip_losses import MipLossConfig, mip_terms, projected
from napari_vesselkd.training.mip_patches import MipBatch, RayTarget
from napari_vesselkd.training.patches import Batch

CROSS_ENTROPY = MipLossConfig(LossConfig(dice=0.0, cross_entropy=1.0), projection=1.0, depth=0.0)


def target(axis, plane, start=0, stop=4, entry=0):
    labels = torch.as_tensor(np.asarray(plane))
    vessel, valid = (labels == 2).float(), (labels > 0).float()
    return RayTarget(entry, axis, start, stop, vessel, vessel, valid)


def batch(logits, *targets, label=None, valid=None):
    empty = torch.zeros(logits.shape)
    known = empty if valid is None else valid
    return MipBatch(Batch(empty, empty if label is None else label, empty, known, ("test",), 0), targets)


def drawn(shape=(1, 1, 4, 4, 4), seed=0):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_(True)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_gradient_reaches_exactly_one_voxel_of_every_labelled_ray(axis):
    logits = drawn()
    shape = [1 if at == axis else 4 for at in range(3)]
    plane = np.random.default_rng(1).integers(0, 3, shape)
    mip_terms(logits, batch(logits, target(axis, plane)), CROSS_ENTROPY)["MIP cross entropy"].backward()
    reached = (logits.grad[0, 0] != 0).sum(dim=axis, keepdim=True)
    assert np.array_equal(reached.numpy(), (plane > 0).astype(int))
    highest = logits[0, 0].argmax(dim=axis, keepdim=True)
    at_highest = torch.gather(logits.grad[0, 0], axis, highest)
    signs = np.where(plane == 2, -1, np.where(plane == 1, 1, 0))  # up on vessel, down on background
    assert np.array_equal(torch.sign(at_highest).numpy(), signs)


def test_a_vessel_and_a_background_ray_by_hand():
    logits = torch.full((1, 1, 4, 1, 2), -3.0)
    logits[0, 0, 2, 0, 0], logits[0, 0, 1, 0, 1] = 1.5, 0.5
    found = mip_terms(logits, batch(logits, target(0, [[[2, 1]]])), CROSS_ENTROPY)["MIP cross entropy"]
    by_hand = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(0.5))) / 2
    assert found.item() == pytest.approx(by_hand, rel=1e-6)


def test_dice_on_the_projection_by_hand():
    logits = torch.full((1, 1, 4, 1, 2), -30.0)
    logits[0, 0, 2, 0] = torch.tensor([30.0, 30.0])
    only_dice = MipLossConfig(LossConfig(dice=1.0, cross_entropy=0.0), projection=1.0, depth=0.0)
    found = mip_terms(logits, batch(logits, target(0, [[[2, 1]]])), only_dice)["MIP Dice"]
    assert found.item() == pytest.approx(1 - 2 / 3, abs=1e-4)  # two rays predicted, one is vessel


def test_voxels_outside_the_slab_do_not_count():
    logits = torch.full((1, 1, 4, 1, 1), -5.0)
    logits[0, 0, 3] = 9.0  # vessel behind the slab
    logits.requires_grad_(True)
    rays = target(0, [[[1]]], start=1, stop=3)
    assert projected(logits, rays).item() == -5.0
    mip_terms(logits, batch(logits, rays), CROSS_ENTROPY)["MIP cross entropy"].backward()
    assert logits.grad[0, 0, 3] == 0 and logits.grad[0, 0, 0] == 0


def test_ignored_rays_change_nothing():
    logits = drawn()
    some = mip_terms(logits, batch(logits, target(0, np.full((1, 4, 4), 1))), CROSS_ENTROPY)
    plane = np.full((1, 4, 4), 1)
    plane[0, 0] = 0
    fewer = mip_terms(logits, batch(logits, target(0, plane)), CROSS_ENTROPY)["MIP cross entropy"]
    changed = logits.detach().clone()
    changed[0, 0, :, 0] = 50.0
    same = mip_terms(changed, batch(changed, target(0, plane)), CROSS_ENTROPY)["MIP cross entropy"]
    assert fewer.item() == pytest.approx(same.item())
    assert some["MIP cross entropy"].item() != pytest.approx(fewer.item())


def test_every_target_looks_at_its_own_patch():
    logits = torch.full((2, 1, 4, 1, 1), -5.0)
    logits[1] = 5.0
    found = mip_terms(
        logits, batch(logits, target(0, [[[1]]], entry=0), target(0, [[[2]]], entry=1)), CROSS_ENTROPY
    )
    assert found["MIP cross entropy"].item() == pytest.approx(math.log1p(math.exp(-5)), rel=1e-4)


def test_depth_supervision_is_the_loss_of_voxel_labels_where_the_rays_say_something():
    logits = drawn()
    label, valid = torch.zeros(logits.shape), torch.zeros(logits.shape)
    label[0, 0, 1, 2, 3] = valid[0, 0, 1, 2, 3] = 1
    valid[0, 0, 0, 0, 0] = 1
    config = MipLossConfig(LossConfig(dice=0.0), depth=0.25)
    found = mip_terms(logits, batch(logits, label=label, valid=valid), config)
    vessel, background = logits[0, 0, 1, 2, 3].item(), logits[0, 0, 0, 0, 0].item()
    by_hand = 0.25 * (math.log1p(math.exp(-vessel)) + math.log1p(math.exp(background))) / 2
    assert found["MIP depth"].item() == pytest.approx(by_hand, rel=1e-6)
    found["MIP depth"].backward()
    assert logits.grad.ne(0).sum() == 2 and logits.grad[0, 0, 1, 2, 3] < 0 < logits.grad[0, 0, 0, 0, 0]


def test_without_a_labelled_ray_the_loss_is_zero_and_can_be_followed():
    logits = drawn()
    found = mip_terms(logits, batch(logits), MipLossConfig(LossConfig(dice=0.0)))
    total = torch.stack(list(found.values())).sum()
    total.backward()
    assert total.item() == 0 and logits.grad.abs().max() == 0
