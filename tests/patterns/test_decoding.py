from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import Teacher, TeacherConfig
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.patterns.decoding import decoded_code, head_of


@pytest.fixture(scope="module")
def teacher():
    return CheckpointRegistry().get("teacher-small").load()


def by_hand(teacher, indices, *, vessel=False):
    """Return what the layers make of a grid of codes, with zeros for all that comes past the bottleneck."""
    with torch.inference_mode():
        _, skips = teacher.network.encode(torch.rand(1, 1, 64, 64, 64))
        q = teacher.quantiser.table()[indices].permute(0, 4, 1, 2, 3)
        features = teacher.network.decode(teacher.up(q), [torch.zeros_like(skip) for skip in skips])
        made = torch.sigmoid(teacher.out(features)) if vessel else teacher.reconstruction(features)
        return made[0, 0].numpy()


def test_a_code_alone_is_what_the_decoder_makes_of_a_grid_full_of_it(teacher):
    found = decoded_code(teacher, 5)
    assert (found.shape, found.dtype) == ((64, 64, 64), np.float32)
    np.testing.assert_allclose(found, by_hand(teacher, torch.full((1, 2, 2, 2), 5)), atol=1e-5)


def test_a_code_among_others_is_in_the_cell_behind_the_middle(teacher):
    indices = torch.full((1, 2, 2, 2), 9)
    indices[0, 1, 1, 1] = 5
    np.testing.assert_allclose(decoded_code(teacher, 5, 9), by_hand(teacher, indices), atol=1e-5)
    away = np.abs(decoded_code(teacher, 5, 9) - decoded_code(teacher, 9))
    assert away[36:60, 36:60, 36:60].mean() > 2 * away[:24, :24, :24].mean()


def test_the_vessels_that_a_code_alone_means_are_a_probability(teacher):
    indices = torch.full((1, 2, 2, 2), 9)
    np.testing.assert_allclose(
        decoded_code(teacher, 9, head="vessel"), by_hand(teacher, indices, vessel=True), atol=1e-5
    )
    indices[0, 1, 1, 1] = 5
    found = decoded_code(teacher, 5, 9, head="vessel")
    np.testing.assert_allclose(found, by_hand(teacher, indices, vessel=True), atol=1e-5)
    assert 0 <= found.min() < found.max() <= 1


def test_a_teacher_that_segments_is_asked_for_vessels_and_one_before_that_for_images():
    card = CheckpointRegistry().get("teacher-small").card
    assert head_of(card) == "vessel"
    assert head_of(replace(card, lineage={"stage": "pretrain"})) == "image"


def test_codes_look_different_and_the_teacher_stays_as_it_was(teacher):
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    assert np.abs(decoded_code(teacher, 0) - decoded_code(teacher, 100)).max() > 0.01
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


@pytest.mark.parametrize(("network", "dims"), [("swin_unetr", 2), ("unetr", 2), ("segresnet", 3)])
def test_every_network_has_a_picture_of_its_codes(network, dims):
    quantiser = QuantiserConfig(kind="fsq", levels=(3, 3), width=4)
    teacher = Teacher(TeacherConfig(dims, network, 12, quantiser)).train()
    found = decoded_code(teacher, 8, 0)
    assert found.shape == (64,) * dims
    assert np.isfinite(found).all()
    assert teacher.training


def test_a_code_that_is_not_in_the_codebook_is_refused(teacher):
    for code, among in [(256, None), (-1, None), (0, 256)]:
        with pytest.raises(InvalidInputError, match="no such code"):
            decoded_code(teacher, code, among)
    with pytest.raises(InvalidInputError, match="no such head"):
        decoded_code(teacher, 0, head="text")
