"""A student learns from painted projections alone, from blocks alone, and from both."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vesselkd.checkpoints import load_checkpoint
from napari_vesselkd.cli.settings import build_config
from napari_vesselkd.errors import InvalidInputError, ProjectError
from napari_vesselkd.geometry import Region
from napari_vesselkd.learning import check, learn
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.project import Project
from napari_vesselkd.training.dataset import Dataset
from napari_vesselkd.training.finetune import FinetuneConfig
from projects import accept_truth, phantom_project

SIZE = (4.0, 1.0, 1.0)
QUICK = FinetuneConfig(steps=4, batch=1, phantoms=0, phantom_share=0.0, validate_every=4, threads=1)
SLAB = Region((0, 0, 0), (12, 64, 64))
SIDE = Region((0, 40, 0), (16, 60, 64))
BLOCK = Region((0, 64, 64), (16, 128, 128))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(PhantomConfig(shape=(16, 128, 128), seed=3, voxel_size_um=SIZE, scene="capillary"))


@pytest.fixture
def path(tmp_path, phantom):
    return phantom_project(tmp_path, phantom)


def accept_mip(path, phantom, region, axis, value=None):
    with Project.open(path) as project:
        edit = project.edit_mip(region, axis)
        seen = phantom.label[region.slices].any(axis=axis, keepdims=True)
        labels = np.where(seen, 2, 1) if value is None else np.full(seen.shape, value)
        edit.record(labels.astype(np.uint8))
        project.accept(edit.number)


def learned(path, run, config=QUICK):
    list(learn(path, run, config))
    (weights,) = (run / "checkpoints").glob("*.safetensors")
    return Dataset.read(run / "data"), load_checkpoint(weights)[1], weights.read_bytes()


def test_from_projections_alone(path, phantom, tmp_path):
    accept_mip(path, phantom, SLAB, 0)
    accept_mip(path, phantom, SIDE, 1)
    data, card, _ = learned(path, tmp_path / "run-001")
    assert (len(data.training), len(data.mips)) == (0, 2)
    assert card.lineage["learned_from"] == {"painted projection": 2}
    assert "2 painted projections" in card.description
    (volume,) = data.statistics
    assert 0 < card.volumes[volume]["threshold"] < 1


def test_from_both_and_from_either_as_chosen(path, phantom, tmp_path):
    accept_mip(path, phantom, SLAB, 0)
    accept_truth(path, phantom, BLOCK)
    more = replace(QUICK, steps=6)  # enough for batches of either kind
    both, card, weights = learned(path, tmp_path / "run-001", more)
    assert (len(both.training), len(both.mips)) == (1, 1)
    assert "1 corrected block and 1 painted projection" in card.description
    blocks, _, from_blocks = learned(path, tmp_path / "run-002", replace(more, learn_from="blocks"))
    assert (len(blocks.training), len(blocks.mips)) == (1, 0)
    mips, _, from_mips = learned(path, tmp_path / "run-003", replace(more, learn_from="mips"))
    assert (len(mips.training), len(mips.mips)) == (0, 1)
    assert len({weights, from_blocks, from_mips}) == 3


def test_an_open_or_skipped_projection_teaches_nothing(path, phantom, tmp_path):
    accept_mip(path, phantom, SLAB, 0)
    with Project.open(path) as project:
        project.skip(project.training_mips[0].number)
    with pytest.raises(ProjectError, match="no accepted block"):
        check(path, tmp_path / "run-001", QUICK)


@pytest.mark.parametrize(("value", "message"), [(1, "hold no vessel"), (2, "hold no background")])
def test_a_projection_of_one_kind_is_refused(path, phantom, tmp_path, value, message):
    accept_mip(path, phantom, SLAB, 0, value)
    with pytest.raises(ProjectError, match=message):
        check(path, tmp_path / "run-001", QUICK)


def test_asking_for_projections_where_there_are_none_says_so(path, phantom, tmp_path):
    accept_truth(path, phantom, BLOCK)
    config = FinetuneConfig(learn_from="mips")
    with pytest.raises(ProjectError, match="no accepted projection"):
        check(path, tmp_path / "run-001", config)
    with pytest.raises(InvalidInputError, match="nothing of that name"):
        FinetuneConfig(learn_from="pictures")


def test_the_command_line_chooses_too():
    chosen = build_config(FinetuneConfig, "finetune", None, ["learn_from=mips", "projection=0.3", "depth=0"])
    assert (chosen.learn_from, chosen.projection, chosen.depth) == ("mips", 0.3, 0.0)
    with pytest.raises(InvalidInputError, match="Nothing of a painted projection counts"):
        FinetuneConfig(projection=0.0, depth=0.0)
