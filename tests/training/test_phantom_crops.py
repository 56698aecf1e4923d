"""Phantoms among labelled patches: of the recipe that the voxels ask for, made once, only where wanted."""

from dataclasses import replace

import pytest

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.training import distill as distilling
from napari_vesselkd.training import phantom_crops
from napari_vesselkd.training.bundled import RECIPES, network_for
from napari_vesselkd.training.distill import DistillConfig, distill
from napari_vesselkd.training.lessons import Lessons
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Source, source_of_crop
from stages import few_looks, write_teacher

assert few_looks
CONFIG = DistillConfig(
    steps=4, batch=2, unlabelled=1, pool=8, patch=(32, 32, 32), phantoms=2, phantom_share=0.5, threads=1
)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The user's cache, and recipes of small phantoms."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = {key: replace(recipe, phantom_shape=(32, 48, 48)) for key, recipe in RECIPES.items()}
    monkeypatch.setattr(phantom_crops, "RECIPES", small)
    return tmp_path / "cache" / "napari-vesselkd" / "phantoms"


@pytest.fixture
def material(tmp_path):
    """Two other phantoms, one of them without labels."""
    one, other = finished(phantom_crops.whole_crops(tmp_path / "pool", "isotropic", [1, 2]))
    labelled, plain = (replace(source_of_crop(crop), name="real") for crop in (one, other))
    hidden = Source("unlabelled", plain.volume, plain.window)
    return Material((labelled,), (hidden,), (), one.voxel_size_um)


@pytest.fixture
def names(monkeypatch):
    """Where the patches of every batch came from."""
    seen = []

    class Seen(Lessons):
        def __call__(self, number):
            batch = super().__call__(number)
            seen.append(batch.names)
            return batch

    monkeypatch.setattr(distilling, "Lessons", Seen)
    return seen


def finished(generator):
    """Return what a generator returns."""
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


def test_a_student_sees_phantoms_among_the_labelled_patches_alone(
    few_looks, cache, material, names, tmp_path
):
    teacher = CheckpointRegistry().get(write_teacher(tmp_path / "teacher"))
    *_, last = distill(material, teacher, tmp_path / "run", CONFIG)
    labelled = [name.split(" at ")[0] for batch in names for name in batch[:2]]
    assert set(labelled) == {"real", "isotropic phantom-3000000", "isotropic phantom-3000001"}
    assert all(batch[2].startswith("unlabelled at") for batch in names)
    made = {file.name: file.stat().st_mtime_ns for file in (cache / "student-isotropic").iterdir()}
    assert sorted(made) == ["phantom-3000000.npz", "phantom-3000001.npz"]
    assert CheckpointRegistry().get(last.checkpoint).card.lineage["config"]["phantom_share"] == 0.5
    *_, again = distill(material, teacher, tmp_path / "again", CONFIG)
    assert {file.name: file.stat().st_mtime_ns for file in (cache / "student-isotropic").iterdir()} == made
    weights = [CheckpointRegistry().get(one.checkpoint).card.sha256 for one in (last, again)]
    assert weights[0] == weights[1]


def test_none_are_made_where_none_are_asked_for(few_looks, cache, material, names, tmp_path):
    config = replace(CONFIG, method="baseline", phantom_share=0.0, steps=1)
    list(distill(material, None, tmp_path / "run", config))
    assert {name.split(" at ")[0] for batch in names for name in batch} == {"real"}
    assert not cache.exists()


@pytest.mark.parametrize(
    ("student", "voxels", "recipe"),
    [
        ("auto", (3.0, 1.0, 1.0), "student-coarse-z"),
        ("paper", (3.0, 1.0, 1.0), "student-coarse-z"),
        ("hr-coarse-z", (1.0, 1.0, 1.0), "student-hr-coarse-z"),
        ("paper", (1.0, 1.0, 1.0), "student-isotropic"),
    ],
)
def test_they_are_those_of_the_network_or_of_the_voxels(
    few_looks, cache, material, tmp_path, student, voxels, recipe
):
    config = replace(CONFIG, method="baseline", student=student, steps=1)
    list(distill(replace(material, voxel_size_um=voxels), None, tmp_path / "run", config))
    assert [folder.name for folder in cache.iterdir()] == [recipe]


def test_the_network_goes_by_how_coarse_z_is():
    assert network_for((1.9, 1.0, 1.0)) == "isotropic" and network_for((1.91, 1.0, 1.0)) == "coarse-z"
    assert network_for((2.0, 0.5, 2.0)) == "coarse-z"


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_no_labels_is_refused(share):
    with pytest.raises(InvalidInputError, match="share of phantoms"):
        DistillConfig(phantom_share=share)
