"""A checkpoint comes back as it was written, and anything else is refused without being executed."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_vesselkd.checkpoints import CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError
from napari_vesselkd.models import Student, StudentConfig, freeze_statistics, is_frozen


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(0)
    model = Student(StudentConfig(widths=(4, 8), strides=(2, 2))).eval()
    freeze_statistics(model, [torch.rand(1, 1, 16, 16, 16)])
    card = CheckpointCard(name="any", description="a test", config=model.config.to_dict(), halo=(8, 16, 24))
    save_checkpoint(tmp_path / "mine", model, card)
    return tmp_path / "mine.safetensors", model


def rewrite_card(path, **changes):
    card_path = path.with_suffix(".json")
    values = json.loads(card_path.read_text())
    values.update(changes)
    card_path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


class Bomb:
    """Unpickling it ends the process."""

    def __reduce__(self):
        return os._exit, (7,)


def test_model_and_card_come_back(written):
    path, model = written
    loaded, card = load_checkpoint(path)
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(loaded(x), model(x))
    assert is_frozen(loaded) and not loaded.training
    assert card.name == "mine" and card.halo == (8, 16, 24) and len(card.sha256) == 64


@pytest.mark.parametrize("ending", ["", ".json", ".safetensors"])
def test_either_file_or_the_bare_name_leads_to_it(written, ending):
    path, _ = written
    assert load_checkpoint(str(path).removesuffix(".safetensors") + ending)[1].name == "mine"


def test_nothing_else_is_left_in_the_folder(written):
    assert sorted(file.name for file in written[0].parent.iterdir()) == ["mine.json", "mine.safetensors"]


def test_a_failed_save_leaves_the_old_pair(written, monkeypatch):
    path, _ = written
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    bad = CheckpointCard(name="x", description="", config={}, metrics={"dice": float("nan")})
    with pytest.raises(ValueError):
        save_checkpoint(path, Student(), bad)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_a_full_disk_leaves_the_old_pair_and_nothing_half_written(written, monkeypatch, ending):
    path, model = written
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    write = Path.write_bytes

    def full(self, content):
        if ending in self.name:
            write(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, model, load_checkpoint(path)[1])
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before
    assert len(list(path.parent.iterdir())) == 2


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_weights_are_refused(written, keep):
    path, _ = written
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_renamed_pickle_is_refused_and_never_run(written, tmp_path, protocol):
    path, _ = written
    path.write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(CheckpointError, match="pickle"):
        load_checkpoint(path)


@pytest.mark.parametrize("mark", [b"\x80\x02", b"\x80\x05"])
def test_weights_whose_length_reads_like_the_mark_of_a_pickle_come_back(written, mark):
    """Safetensors begin with the length of their header, in bytes."""
    path, model = written
    content = path.read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")].rstrip()
    length = next(n for n in range(int.from_bytes(mark, "little"), 2**24, 2**16) if n >= len(header))
    rest = content[8 + int.from_bytes(content[:8], "little") :]
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + rest)
    rewrite_card(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert path.read_bytes().startswith(mark)
    loaded, _ = load_checkpoint(path)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_a_renamed_torch_file_is_refused(written):
    path, model = written
    torch.save(model.state_dict(), path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(CheckpointError, match="pickle"):
        load_checkpoint(path)


def test_foreign_safetensors_are_refused(written):
    path, _ = written
    save_file({"embedding.weight": torch.zeros(4, 4)}, path)
    with pytest.raises(CheckpointError, match="another model"):
        load_checkpoint(path)


def test_weights_of_another_student_are_refused(written):
    path, _ = written
    save_file(Student().state_dict(), path)
    with pytest.raises(CheckpointError, match="another model"):
        load_checkpoint(path)


def test_other_weights_of_the_same_shape_are_refused(written):
    path, model = written
    save_file({key: tensor + 1 for key, tensor in model.state_dict().items()}, path)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(path)


def test_an_unknown_architecture_is_refused(written):
    rewrite_card(written[0], architecture="oracle")
    with pytest.raises(CheckpointError, match="oracle"):
        load_checkpoint(written[0])


def test_a_missing_card_is_named(written):
    written[0].with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match="no card"):
        load_checkpoint(written[0])


@pytest.mark.parametrize("text", ["", "{", "[]", "12", "\x00", '{"name": 1}', "[" * 100_000])
def test_a_broken_card_is_refused(written, text):
    written[0].with_suffix(".json").write_text(text)
    with pytest.raises(CheckpointError, match="card"):
        load_checkpoint(written[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"config": ...},
        {"config": {"widths": [4, "x"]}},
        {"calibration": {"threshold": 1.5, "temperature": 1}},
        {"calibration": {"threshold": 0.5, "temperature": 0}},
        {"calibration": {}},
        {"intensity": {"lower": 99, "upper": 1}},
        {"voxel_size_um": {"anisotropy": [2, 1]}},
        {"halo": [1, 2]},
        {"halo": [1, 2, -3]},
        {"padding": "mirror"},
        {"halo": [10**9, 0, 0]},
        {"description": 7},
    ],
)
def test_a_card_with_an_impossible_value_is_refused(written, changes):
    rewrite_card(written[0], **changes)
    with pytest.raises(CheckpointError):
        load_checkpoint(written[0])


def test_fields_of_a_later_version_are_left_alone(written):
    rewrite_card(written[0], colour="red")
    assert load_checkpoint(written[0])[1].name == "mine"


def test_reading_cards_does_not_load_torch():
    code = (
        "import sys; from napari_vesselkd.checkpoints import CheckpointRegistry; "
        "CheckpointRegistry().list(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
