"""Teachers are kept as students are, are never chosen by themselves, and are told apart from students."""

import json
import shutil

import pytest
import torch

from napari_vesselkd.checkpoints import (
    CheckpointCard,
    CheckpointRegistry,
    load_checkpoint,
    registry,
    save_checkpoint,
)
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig


def teacher_card(model, **changes):
    values = {"architecture": "teacher", "normalisation": "windows", "config": model.config.to_dict()}
    return CheckpointCard(**{"name": "any", "description": "a test", **values, **changes})


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(0)
    config = TeacherConfig(2, "segresnet", 12, QuantiserConfig(codes=16, width=8))
    model = Teacher(config)
    model.train()(torch.rand(1, 1, 64, 64))  # the codes have begun to move
    model.quantiser.freeze()
    save_checkpoint(tmp_path / "mine", model, teacher_card(model))
    return tmp_path / "mine.safetensors", model.eval()


def change_card(path, **changes):
    card = path.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


def test_a_teacher_comes_back_with_its_codes_frozen(written):
    path, model = written
    loaded, card = load_checkpoint(path)
    x = torch.rand(1, 1, 64, 64)
    assert torch.equal(loaded(x), model(x)) and torch.equal(loaded.codes(x), model.codes(x))
    assert loaded.config == model.config and card.architecture == "teacher"
    assert not loaded.training and not loaded.train().quantiser.learning


@pytest.mark.parametrize("kind", ["gumbel", "fsq"])
def test_every_kind_of_codebook_comes_back(tmp_path, kind):
    config = TeacherConfig(2, "segresnet", 12, QuantiserConfig(kind, codes=16, width=8, levels=(4, 4)))
    model = Teacher(config).eval()
    save_checkpoint(tmp_path / kind, model, teacher_card(model))
    loaded, _ = load_checkpoint(tmp_path / kind)
    x = torch.rand(1, 1, 64, 64)
    assert torch.equal(loaded.codes(x), model.codes(x))


def test_a_teacher_is_never_chosen_by_itself(written, tmp_path, monkeypatch):
    folder = tmp_path / "bundled"
    folder.mkdir()
    for ending in (".safetensors", ".json"):
        shutil.copy(written[0].with_suffix(ending), folder / f"aaa{ending}")
    change_card(folder / "aaa.safetensors", name="aaa")
    monkeypatch.setattr(registry, "BUNDLED", folder)
    found = CheckpointRegistry(tmp_path / "own")
    assert [card.name for card in found.list()] == ["aaa"]
    with pytest.raises(CheckpointNotFoundError):
        found.choose((1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "student", "normalisation": "frozen"}, "configuration of a student"),
        ({"architecture": "oracle"}, "does not know: oracle"),
        ({"normalisation": "volume"}, "normalisation of a teacher"),
        ({"config": {"network": "resnet"}}, "configuration of a teacher"),
        ({"config": {"patch": "large"}}, "configuration of a teacher"),
        ({"config": {"quantiser": {"codes": None}}}, "configuration of a teacher"),
        ({"config": {"spatial_dims": 2, "network": "segresnet", "feature_size": 24}}, "another model"),
    ],
)
def test_a_teacher_with_the_wrong_card_is_refused_in_one_sentence(written, changes, message):
    change_card(written[0], **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(written[0])


def test_a_teacher_without_its_codebook_is_refused(written):
    from safetensors.torch import load_file, save_file

    weights = load_file(written[0])
    del weights["quantiser.codebook"]
    save_file(weights, written[0])
    with pytest.raises(CheckpointError, match=r"quantiser\.codebook"):
        load_checkpoint(written[0])
