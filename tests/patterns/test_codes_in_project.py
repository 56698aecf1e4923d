"""A project keeps the code maps of its image, one for each checkpoint."""

import numpy as np
import pytest

from coding import brute_force, write_teacher
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectError
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.codes import (
    map_project_codes,
    preflight_project_codes,
    project_codes_path,
)
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.patterns.reports import CodesFinished
from napari_vesselkd.patterns.reviewing import code_scores, latest_map, review_by_codes
from napari_vesselkd.patterns.usage import usage
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import review_list
from napari_vesselkd.volume import open_volume, write_multiscale
from projects import give_labels, new_project, write_image
from segmenting import in_memory, structured

SHAPE = (30, 70, 40)


@pytest.fixture
def image(tmp_path):
    return write_image(tmp_path / "brain.ome.zarr", seed=3, shape=SHAPE)


@pytest.fixture
def project(image, tmp_path):
    with new_project(tmp_path / "p.vesselkd", image) as project:
        yield project


def config(checkpoint, **options):
    return CodesConfig(**{"checkpoint": checkpoint, "threads": 1, "device": "cpu", **options})


def truth(image, teacher):
    with open_volume(image) as volume:
        return brute_force(volume, teacher)


def test_the_map_lies_in_the_project_under_the_checkpoints_name(project, image, teacher):
    said = preflight_project_codes(project, config(teacher))
    reports = list(map_project_codes(project, config(teacher)))
    assert reports[0] == said
    path = project.path / "codes" / "t.codes.ome.zarr"
    assert path == project_codes_path(project, teacher) == project_codes_path(project, "t")
    assert isinstance(reports[-1], CodesFinished)
    assert reports[-1].output == str(path)
    np.testing.assert_array_equal(CodeMap.open(path).codes[...], truth(image, teacher))
    assert preflight_project_codes(project, config(teacher)).seconds == 0


def test_names_are_those_of_the_project_first(project, image, tmp_path):
    own = write_teacher(project.registry.root / "mine.safetensors", seed=5)
    list(map_project_codes(project, config("mine")))
    code_map = CodeMap.open(project_codes_path(project, "mine"))
    assert code_map.sha256 == CheckpointRegistry().get(own).card.sha256
    np.testing.assert_array_equal(code_map.codes[...], truth(image, own))


def test_a_checkpoint_made_again_under_its_name_needs_a_restart(project, image):
    path = project.registry.root / "mine.safetensors"
    write_teacher(path, seed=5)
    list(map_project_codes(project, config("mine")))
    other = write_teacher(path, seed=6)
    with pytest.raises(OutputError, match="code map with another checkpoint"):
        list(map_project_codes(project, config("mine")))
    list(map_project_codes(project, config("mine", restart=True)))
    found = CodeMap.open(project_codes_path(project, "mine")).codes[...]
    np.testing.assert_array_equal(found, truth(image, other))


def test_a_project_that_is_open_elsewhere_gets_its_map_too(project, teacher):
    with Project.open(project.path) as second:
        assert second.read_only
        assert isinstance(list(map_project_codes(second, config(teacher)))[-1], CodesFinished)


def test_an_image_that_is_open_already_is_taken_and_checked(project, image, teacher):
    with open_volume(image) as volume:
        list(map_project_codes(project, config(teacher, region="0:1,0:1,0:1"), volume=volume))
    other = in_memory(structured(SHAPE, seed=4))
    with pytest.raises(ProjectError, match="not the image of this project"):
        list(map_project_codes(project, config(teacher), volume=other))


def test_the_level_is_the_projects(tmp_path, teacher):
    path = tmp_path / "two.ome.zarr"
    write_multiscale(path, structured((30, 140, 80), seed=3), voxel_size_um=(2, 1, 1), levels=2)
    with (
        open_volume(path) as volume,
        Project.create(tmp_path / "two.vesselkd", volume.at_level(1)) as project,
    ):
        with pytest.raises(InvalidInputError, match="another level"):
            list(map_project_codes(project, config(teacher, level=2)))
        for volume_given in (None, volume):
            list(map_project_codes(project, config(teacher), volume=volume_given))
            code_map = CodeMap.open(project_codes_path(project, teacher))
            assert (code_map.level, code_map.volume_shape) == (1, (30, 70, 40))
        np.testing.assert_array_equal(code_map.codes[...], brute_force(volume.at_level(1), teacher))
        code_map.check(volume)


def test_blocks_are_reviewed_by_their_codes_artefacts_first_then_rare_ones(project, image, teacher):
    with pytest.raises(InvalidInputError, match="no code map"):
        review_by_codes(project, side=32)
    list(map_project_codes(project, config(teacher)))
    give_labels(project)
    code_map, side = latest_map(project), 32
    assert code_map.path == project_codes_path(project, teacher)
    plain = {one.region: one for one in review_list(project, side=side)}
    blocks = list(plain)
    artefact = int(code_map.codes[...].flat[-1]) - 1
    notes = CodeNotes.load(project.registry.root, code_map.sha256)
    notes.set(artefact, artefact=True)
    listed = review_by_codes(project, side=side)
    assert {one.region for one in listed} == set(blocks)
    counted = usage(code_map)
    scores = [code_scores(code_map, counted, notes, one.region) for one in listed]
    assert scores[0].artefact > 0
    assert [one.artefact for one in scores] == sorted((one.artefact for one in scores), reverse=True)
    for one, found in zip(listed, scores, strict=True):
        assert (f"{found.artefact:.0%} artefact" in one.reason) == (found.artefact > 0)
        assert one.uncertainty == plain[one.region].uncertainty
    assert len(review_by_codes(project, side=side, count=1)) == 1
