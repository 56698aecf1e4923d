"""Losses agree with MONAI where it has them, and voxels beyond the volume do not count."""

import pytest
import torch

from napari_vesselkd.training import Batch, LossConfig, segmentation_terms
from napari_vesselkd.training.losses import dice_loss


def batch(seed=0, valid=None):
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand(2, 1, 8, 8, 8, generator=generator) > 0.7).float()
    valid = torch.ones_like(label) if valid is None else valid
    return Batch(torch.rand(label.shape, generator=generator), label, label, valid)


def logits(seed=1):
    return torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))


def total(x, data, config):
    return sum(segmentation_terms(x, data, config).values())


def test_dice_is_monais_batch_dice():
    from monai.losses import DiceLoss

    data, x = batch(), logits()
    expected = DiceLoss(sigmoid=True, batch=True)(x, data.label)
    assert dice_loss(torch.sigmoid(x), data.label, data.valid) == pytest.approx(float(expected), abs=1e-6)


def test_a_perfect_prediction_costs_nothing():
    data = batch()
    loss = total(40 * (data.label - 0.5), data, LossConfig(skeleton_recall=1.0))
    assert float(loss) < 1e-4


@pytest.mark.parametrize("term", ["dice", "cross_entropy", "skeleton_recall"])
def test_filled_voxels_have_no_gradient(term):
    valid = torch.ones(2, 1, 8, 8, 8)
    valid[:, :, 5:] = 0
    weights = {"dice": 0.0, "cross_entropy": 0.0, "skeleton_recall": 0.0} | {term: 1.0}
    x = logits().requires_grad_()
    total(x, batch(valid=valid), LossConfig(**weights)).backward()
    assert not x.grad[:, :, 5:].any()
    assert x.grad[:, :, :5].any()


def test_skeleton_recall_asks_for_the_centreline_only():
    data, x = batch(), logits()
    config = LossConfig(dice=0, cross_entropy=0, skeleton_recall=1)
    more = x + 5 * (1 - data.centreline)  # false positives are not its business
    assert total(more, data, config) == total(x, data, config)
    assert total(x + 5 * data.centreline, data, config) < total(x, data, config)


def test_a_batch_without_vessels_is_finite():
    empty = torch.zeros(2, 1, 8, 8, 8)
    data = Batch(empty, empty, empty, torch.ones_like(empty))
    assert torch.isfinite(total(logits(), data, LossConfig(skeleton_recall=1)))
