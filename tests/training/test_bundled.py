"""The commands that make the bundled teacher and students, with few phantoms and steps."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import Region
from napari_vesselkd.training import bundled, bundled_students, bundled_teacher
from napari_vesselkd.training.bundled import RECIPES
from stages import SMALL, few_looks, write_teacher

assert few_looks
TINY = replace(RECIPES["coarse-z"], phantom_shape=(32, 64, 64), phantoms=4, held_out=1)


@pytest.fixture
def tiny(monkeypatch, few_looks):
    """Recipes of a few small phantoms; how far labels reach is measured on larger ones, in minutes."""
    monkeypatch.setattr(bundled, "label_reach", lambda *_: [0, 0, 0])
    isotropic = replace(RECIPES["isotropic"], phantom_shape=(64, 64, 64), phantoms=2, held_out=1)
    for module in (bundled_students, bundled_teacher):
        monkeypatch.setattr(module, "RECIPES", {"coarse-z": TINY, "isotropic": isotropic})
    monkeypatch.setattr(bundled_students, "PATCHES", {"coarse-z": (32, 64, 64)})
    monkeypatch.setattr(bundled_students, "DISTILL", replace(bundled_students.DISTILL, steps=1, pool=1))


def test_a_student_is_taught_on_phantoms_half_of_them_without_labels(tiny, tmp_path, capsys):
    teacher = write_teacher(tmp_path / "teacher")
    words = ["--out", str(tmp_path / "out"), "--teacher", str(teacher), "--threads", "1"]
    bundled_students.main(words)
    reports = [json.loads(line)["report"] for line in capsys.readouterr().out.splitlines()]
    assert reports[-1] == "StageFinished"
    card = CheckpointRegistry().get(tmp_path / "out" / "student-coarse-z").card
    assert json.dumps(card.config) == json.dumps(RECIPES["coarse-z"].model.to_dict())
    assert card.lineage["stage"] == "distill" and card.lineage["config"]["method"] == "vpbsd"
    assert card.lineage["data"] == "2 phantoms with labels, 2 without; no real volume"
    assert card.lineage["teacher"] == "teacher" and len(card.lineage["teacher_sha256"]) == 64
    assert card.lineage["command"].endswith(f"--out DIR --teacher {teacher} --threads 1")
    assert card.lineage["seed"] == 0 and card.metrics["held_out_phantoms"]["count"] == 1
    before = (tmp_path / "out" / "student-coarse-z.safetensors").read_bytes()
    bundled_students.main(words)  # nothing is computed again
    assert (tmp_path / "out" / "student-coarse-z.safetensors").read_bytes() == before
    words[1:2] = [str(tmp_path / "again"), "--start", str(tmp_path / "out" / "student-coarse-z")]
    bundled_students.main(words)
    lineage = CheckpointRegistry().get(tmp_path / "again" / "student-coarse-z").card.lineage
    assert (lineage["parent"], lineage["parent_sha256"]) == ("student-coarse-z", sha256(before).hexdigest())
    bundled_students.main(["--out", str(tmp_path / "control"), "--method", "baseline"])
    card = CheckpointRegistry().get(tmp_path / "control" / "student-coarse-z").card
    assert card.lineage["config"]["method"] == "baseline" and not card.lineage["teacher"]
    assert card.description == RECIPES["coarse-z"].description


def test_the_teacher_is_pretrained_and_fine_tuned_on_phantoms(tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bundled_teacher, "WHOLE_PHANTOMS", 2)
    monkeypatch.setattr(bundled_teacher, "PHANTOMS", 20)
    monkeypatch.setattr(bundled_teacher, "HELD_OUT_PHANTOMS", 1)
    monkeypatch.setattr(
        bundled_teacher, "PRETRAIN", replace(bundled_teacher.PRETRAIN, teacher=SMALL, steps=1, batch=1)
    )
    monkeypatch.setattr(bundled_teacher, "TEACH", replace(bundled_teacher.TEACH, steps=1, batch=1))
    bundled_teacher.main(["--out", str(tmp_path), "--threads", "1"])
    assert capsys.readouterr().out.count('"StageFinished"') == 2
    found = CheckpointRegistry().get(tmp_path / "teacher-small")
    assert found.card.lineage["stage"] == "finetune-teacher"
    assert found.card.lineage["data"] == "40 phantoms of napari_vesselkd.phantoms, no real volume"
    assert found.card.metrics["held_out_phantoms"]["count"] == 2
    assert found.card.lineage["pretraining"]["config"]["steps"] == 1
    assert found.card.lineage["pretraining"]["source"].startswith("4 phantoms")
    assert "codebook" in found.card.lineage["pretraining"] and "codebook" not in found.card.metrics
    assert found.card.lineage["config"]["codes"] == "following"
    assert found.path.with_suffix(".safetensors").stat().st_size < 10e6


def test_some_phantoms_are_thin_and_windows_differ(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(bundled_teacher, "PHANTOMS", 20)
    monkeypatch.setattr(bundled_teacher, "HELD_OUT_PHANTOMS", 2)
    *_, material = returned(bundled_teacher.phantoms(tmp_path, 0))
    flat = [source.volume.shape[0] for source in material.labelled if source.name.startswith("coarse-z")]
    assert len(flat) == 20 and min(flat) >= 10 and 4 <= sum(slices < 32 for slices in flat) <= 13
    saturated = [float((array(one.volume) >= one.window.high).mean()) for one in material.labelled]
    assert min(saturated) < 0.015 and max(saturated) > 0.035
    assert [crop.image.shape[0] for crop in material.watched] == [32, 32, 64, 64]


def array(volume):
    return volume.read(Region.whole(volume.shape))


def returned(generator):
    """Return the reports of a generator, and at the end what it returns."""
    reports = []
    while True:
        try:
            reports.append(next(generator))
        except StopIteration as stop:
            return [*reports, stop.value]
