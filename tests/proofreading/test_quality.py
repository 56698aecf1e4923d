"""Promises of the quality of a block."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.measure import Overlap, betti_numbers
from napari_vesselkd.proofreading.tools import agreement, connect, quality
from tubes import picture, tube_mask

SIZE = (2.0, 1.0, 1.0)


def broken():
    truth = tube_mask((21, 50, 120), (10, 25, -9), (10, 25, 129), 4.3, SIZE)
    mask = truth.copy()
    mask[:, :, 55:65] = False
    return truth, mask


def test_numbers_of_a_broken_vessel():
    truth, mask = broken()
    found = quality(mask, SIZE, probability=0.9 * truth)
    assert (found.components, found.open_ends) == (2, 2) and found.betti == betti_numbers(mask)
    assert found.voxels == mask.sum() and found.volume_um3 == 2 * mask.sum()
    assert found.length_um == pytest.approx(110, abs=20)  # thinning takes a radius off each end
    expected = 2 * 0.9 * mask.sum() / (0.9 * truth.sum() + mask.sum())
    assert found.estimated_dice == pytest.approx(expected, rel=1e-5)


def test_the_estimated_dice_is_the_dice_where_the_probability_is_certain():
    truth, mask = broken()
    dice = Overlap.of(mask, truth).dice
    assert quality(mask, SIZE, probability=truth).estimated_dice == pytest.approx(dice)
    assert math.isnan(quality(mask, SIZE).estimated_dice)
    assert agreement(mask, truth) == pytest.approx(dice)
    assert agreement(truth, truth) == 1 and math.isnan(agreement(mask & False, mask & False))


def test_the_quality_after_a_proposal_is_that_of_the_corrected_labels():
    truth, mask = broken()
    change = connect((10, 25, 50), (10, 25, 70), vessel=mask, voxel_size_um=SIZE, image=picture(truth))
    after = mask.copy()
    after[change.voxels] = True
    found = quality(mask, SIZE, probability=0.9 * truth, change=change)
    assert found == quality(after, SIZE, probability=0.9 * truth)
    assert (found.components, found.open_ends) == (1, 0)
    assert found.estimated_dice > quality(mask, SIZE, probability=0.9 * truth).estimated_dice
    region = Region((0, 0, 30), (21, 50, 60))
    part = quality(mask, SIZE, region=region, change=change)
    assert part.voxels == after[region.slices].sum()


def test_nothing_and_plain_values():
    empty = quality(np.zeros((4, 5, 6), bool), SIZE)
    assert (empty.components, empty.open_ends, empty.length_um, empty.voxels) == (0, 0, 0, 0)
    plain = json.loads(json.dumps(empty.to_dict()))
    assert plain["estimated_dice"] is None and plain["betti"]["pieces"] == 0
