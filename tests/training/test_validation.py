"""Probabilities of held-out blocks, and the threshold that is chosen on corrected ones."""

import numpy as np
import pytest
import torch

from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.validation import THRESHOLDS, choose_threshold, probability

VESSEL = np.zeros((11, 48, 24), bool)
VESSEL[4:7, :, 10:13] = True


def crop(truth):
    label = np.where(truth, 2, 1).astype(np.uint8)
    return Crop("block", label, label, (0.0, 1.0), "volume", (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("inside", "halo", "low", "high"), [(0.9, 0.42, 0.42, 0.9), (0.25, 0.12, 0.12, 0.25)]
)
def test_it_lies_between_what_is_vessel_and_what_is_not(inside, halo, low, high):
    found = np.zeros(VESSEL.shape, np.float32)
    found[2:9, :, 8:15], found[VESSEL] = halo, inside
    chosen = choose_threshold([crop(VESSEL)], [found], 0.5)
    assert low < chosen <= high and chosen in THRESHOLDS


@pytest.mark.parametrize("highest", [0.05, 0.6, 0.95])
def test_blocks_of_background_alone_say_nothing_about_it(highest):
    """Neither Dice nor clDice is defined where nothing is found in nothing."""
    found = np.full(VESSEL.shape, 0.02, np.float32)
    found[5, 12, 12] = highest
    assert choose_threshold([crop(np.zeros_like(VESSEL))], [found], 0.45) == 0.45


@pytest.mark.parametrize(
    ("network", "shape", "padded", "piece"),
    [
        ("unetr", (24, 70, 32), (64, 128, 64), np.s_[:, 64:]),  # in patches of 64, one beside the other
        ("swin_unetr", (20, 32, 24), (32, 32, 64), np.s_[:]),  # it needs more than one cell
        ("segresnet", (24, 33, 32), (32, 64, 32), np.s_[:]),
    ],
)
def test_a_block_of_any_size_is_continued_by_reflection_to_what_the_teacher_takes(
    network, shape, padded, piece
):
    torch.manual_seed(0)
    teacher = Teacher(TeacherConfig(network=network, feature_size=12)).eval()
    image = np.random.default_rng(0).random(shape, np.float32)
    width = [(0, side - n) for side, n in zip(padded, shape, strict=True)]
    seen = torch.from_numpy(np.pad(image, width, mode="reflect")[piece])
    with torch.inference_mode():
        expected = torch.sigmoid(teacher(seen[None, None]))[0, 0].numpy()
    found = probability(teacher, image)
    assert found.shape == shape
    z, y, x = found[piece].shape
    assert np.array_equal(found[piece], expected[:z, :y, :x])
