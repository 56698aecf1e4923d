"""The registry finds bundled and own checkpoints and chooses by the shape of the voxels."""

from pathlib import Path

import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointCard, CheckpointRegistry, load_checkpoint, save_checkpoint
from napari_vesselkd.checkpoints.registry import BUNDLED
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError, OutputError, VoxelSizeError
from napari_vesselkd.models import Student, StudentConfig, freeze_statistics, is_frozen

STUDENTS = ["student-coarse-z", "student-isotropic"]
NAMES = [*STUDENTS, "teacher-small"]


@pytest.fixture
def registry(tmp_path):
    return CheckpointRegistry(tmp_path / "own")


@pytest.fixture
def foreign(tmp_path):
    model = Student(StudentConfig(widths=(4, 8), strides=(2, 2)))
    freeze_statistics(model, [torch.rand(1, 1, 16, 16, 16)])
    card = CheckpointCard(name="foreign", description="from elsewhere", config=model.config.to_dict())
    save_checkpoint(tmp_path / "elsewhere" / "foreign", model, card)
    return tmp_path / "elsewhere" / "foreign.safetensors"


def test_the_bundled_checkpoints_are_listed_and_can_be_used(registry):
    assert [card.name for card in registry.list()] == NAMES
    assert all(registry.get(name).bundled for name in NAMES)
    for name in STUDENTS:
        model, card = load_checkpoint(registry.get(name).path)
        assert sum(p.numel() for p in model.parameters()) < 125_000
        assert is_frozen(model) and card.normalisation in {"volume", "frozen"}


def test_the_bundled_teacher_segments_and_its_codes_are_frozen(registry):
    model, card = load_checkpoint(registry.get("teacher-small").path)
    assert card.architecture == "teacher" and bool(model.quantiser.is_frozen)
    image = torch.zeros(1, 1, 64, 64, 64)
    image[..., 28:34, 28:34] = 1
    with torch.no_grad():
        found = torch.sigmoid(model(image))[0, 0] > 0.5
    assert found[16:48, 29:33, 29:33].float().mean() > 0.8 and found.float().mean() < 0.1


def test_the_bundled_checkpoints_are_small_and_say_where_they_come_from(registry):
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) < 11_000_000
    for card in registry.list():
        assert {"command", "seed", "commit", "seconds", "data"} <= card.lineage.keys()
        assert card.metrics and card.created and card.licence


@pytest.mark.parametrize(
    ("voxel_size_um", "name"),
    [
        ((5.0, 0.994, 0.994), "student-coarse-z"),
        ((5.0, 2.485, 2.485), "student-coarse-z"),
        ((1.0, 1.0, 1.0), "student-isotropic"),
        ((1.5, 1.5, 1.5), "student-isotropic"),
        ((0.5, 1.0, 1.0), "student-isotropic"),
        ((500.0, 1.0, 1.0), "student-coarse-z"),
    ],
)
def test_the_voxel_size_chooses(registry, voxel_size_um, name):
    assert registry.choose(voxel_size_um).card.name == name


def test_a_voxel_size_that_is_none_chooses_nothing(registry):
    with pytest.raises(VoxelSizeError):
        registry.choose((1.0, 0.0, 1.0))


def test_an_imported_checkpoint_is_found_by_name(registry, foreign):
    registry.import_(foreign)
    assert [card.name for card in registry.list()] == [*NAMES, "foreign"]
    found = registry.get("foreign")
    assert found.path.parent == registry.root and not found.bundled
    assert isinstance(found.load(), Student)


def test_a_checkpoint_is_found_by_path(registry, foreign):
    assert registry.get(foreign).card.name == "foreign"
    assert registry.get(str(foreign.with_suffix(".json"))).card.name == "foreign"


def test_a_broken_checkpoint_is_not_imported(registry, foreign):
    foreign.write_bytes(foreign.read_bytes()[:300])
    with pytest.raises(CheckpointError):
        registry.import_(foreign)
    assert not registry.root.exists()


def test_an_import_replaces_nothing(registry, foreign):
    registry.import_(foreign)
    with pytest.raises(CheckpointError, match="exists"):
        registry.import_(foreign)
    with pytest.raises(CheckpointError, match="exists"):
        registry.import_(foreign, name=NAMES[0])


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "", "a\x00b"])
def test_a_name_never_leaves_the_folder(registry, foreign, name):
    with pytest.raises((CheckpointError, CheckpointNotFoundError)):
        registry.get(name)
    if name:
        with pytest.raises(CheckpointError):
            registry.import_(foreign, name=name)


def test_an_unknown_name_is_answered_with_the_known_ones(registry):
    with pytest.raises(CheckpointNotFoundError, match="student-isotropic"):
        registry.get("teacher-of-dreams")


def test_an_exported_checkpoint_can_be_loaded_from_there(registry, tmp_path):
    path = registry.export("student-isotropic", tmp_path / "out")
    assert path == tmp_path / "out" / "student-isotropic.safetensors"
    load_checkpoint(path)
    renamed = registry.export("student-isotropic", tmp_path / "out" / "other.safetensors")
    assert sorted(p.name for p in renamed.parent.iterdir()) == [
        "other.json",
        "other.safetensors",
        "student-isotropic.json",
        "student-isotropic.safetensors",
    ]


def test_an_export_replaces_nothing(registry, tmp_path):
    registry.export("student-isotropic", tmp_path)
    with pytest.raises(OutputError, match="exists"):
        registry.export("student-isotropic", tmp_path)


def test_a_broken_checkpoint_in_the_folder_hides_no_other(registry, foreign):
    registry.import_(foreign)
    (registry.root / "bad.safetensors").write_bytes(b"")
    Path(registry.root / "worse.safetensors").write_bytes(b"x")
    Path(registry.root / "worse.json").write_text("{}")
    assert [card.name for card in registry.list()] == [*NAMES, "foreign"]
