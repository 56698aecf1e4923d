"""Promises of the project folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from napari_vesselkd.checkpoints import CheckpointCard
from napari_vesselkd.errors import (
    CheckpointNotFoundError,
    ProjectBusyError,
    ProjectError,
    SourceNotFoundError,
)
from napari_vesselkd.geometry import Region
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.volume import open_volume, write_multiscale
from projects import SHAPE, VOXEL_SIZE, accepted, new_project, paint
from segmenting import in_memory, structured


def test_a_new_project_holds_what_the_contract_says(project):
    names = {path.name for path in project.path.iterdir()}
    assert names >= {"project.json", "journal.jsonl", "edits", "corrections.ome.zarr", "checkpoints", "runs"}
    values = json.loads((project.path / "project.json").read_text())
    assert values["version"] == 1
    image = project.image
    assert (image.name, image.shape, image.voxel_size_um) == ("brain", SHAPE, VOXEL_SIZE)
    assert (project.labels, project.blocks, project.current, project.promotions) == (None, (), "auto", ())
    assert project.corrections.shape == SHAPE


def test_everything_comes_back(tmp_path, image_path):
    with new_project(tmp_path / "a.vesselkd", image_path) as project:
        accepted(project, Region((0, 0, 0), (16, 16, 16)))
        edit = project.edit(Region((10, 30, 30), (20, 40, 40)))
        left = paint(edit, Region((0, 0, 0), (3, 3, 3)), 2)
        project.skip(project.edit(Region((0, 60, 0), (10, 70, 10))).number)
        project.promote("student-isotropic", {"dice": 0.9, "odd": float("nan")})
        before = (project.blocks, project.image, project.promotions, project.id)
    with Project.open(tmp_path / "a.vesselkd") as project:
        assert (project.blocks, project.image, project.promotions, project.id) == before
        assert [block.state.value for block in project.blocks] == ["accepted", "open", "skipped"]
        assert project.notices == ()
        assert project.promotions[0].scores == {"dice": 0.9, "odd": None}
        again = project.edit_block(2)
        np.testing.assert_array_equal(again.voxels, left)
        again.undo()
        assert not again.voxels.any()


def test_a_name_without_the_ending_and_a_name_in_use_are_refused(tmp_path, image_path):
    with open_volume(image_path) as volume:
        with pytest.raises(ProjectError, match=r"ending.*NAME.vesselkd"):
            Project.create(tmp_path / "brain.zarr", volume)
        Project.create(tmp_path / "a.vesselkd", volume).close()
        with pytest.raises(ProjectError, match=r"already.*Open it"):
            Project.create(tmp_path / "a.vesselkd", volume)
    assert [path.name for path in tmp_path.iterdir()] == ["a.vesselkd"]


def test_a_project_that_cannot_be_made_leaves_nothing(tmp_path, image_path, monkeypatch):
    monkeypatch.setattr(Project, "open", lambda path: pytest.fail("not reached"))
    monkeypatch.setattr("napari_vesselkd.project.folder.Journal", lambda path: 1 / 0)
    with open_volume(image_path) as volume, pytest.raises(ZeroDivisionError):
        Project.create(tmp_path / "a.vesselkd", volume)
    assert list(tmp_path.iterdir()) == []


def test_a_block_is_clipped_at_the_border_and_found_again_by_its_region(project):
    edit = project.edit(Region((30, 290, -20), (158, 418, 30)))
    assert edit.region == Region((30, 290, 0), (40, 300, 30))
    assert project.edit(Region((30, 290, 0), (40, 300, 30))) is edit
    assert len(project.blocks) == 1


def test_a_block_begins_unlabelled_or_from_what_was_accepted(project):
    region = Region((0, 0, 0), (16, 16, 16))
    assert not project.edit(region).voxels.any()
    _, voxels = accepted(project, region)
    edit = project.edit(Region((8, 8, 8), (24, 24, 24)))
    np.testing.assert_array_equal(edit.voxels[:8, :8, :8], voxels[8:, 8:, 8:])
    assert edit.voxels.sum() == voxels[8:, 8:, 8:].sum()


def test_editing_an_accepted_or_skipped_block_opens_it_again(project):
    number, voxels = accepted(project, Region((0, 0, 0), (8, 8, 8)))
    assert project.edit_block(number).number == number
    assert project.block(number).state is BlockState.OPEN
    np.testing.assert_array_equal(project.corrected(project.block(number).region), voxels)
    assert (project.training_blocks, project.held_out_blocks) == ((), ())
    project.skip(number)
    assert project.edit(Region((0, 0, 0), (8, 8, 8))).number == number
    assert project.block(number).state is BlockState.OPEN
    assert project.reopen(number).state is BlockState.OPEN


def test_there_is_no_block_zero(project):
    for call in (project.block, project.edit_block, project.accept, project.skip, project.reopen):
        with pytest.raises(ProjectError, match="no such block: 0"):
            call(0)


def test_promoting_goes_forth_and_back_and_keeps_the_history(project):
    assert project.promote("student-isotropic").previous == "auto"
    assert project.promote("auto").previous == "student-isotropic"
    assert project.current == "auto"
    with pytest.raises(CheckpointNotFoundError, match="nonsense"):
        project.promote("nonsense")
    assert len(project.promotions) == 2


def test_each_run_gets_a_folder_of_its_own(project):
    names = [project.new_run().name for _ in range(3)] + [project.new_run("distill").name]
    assert names == ["finetune-001", "finetune-002", "finetune-003", "distill-001"]


def test_a_moved_image_is_asked_for_once(tmp_path, image_path):
    image = tmp_path / "images" / "brain.ome.zarr"
    shutil.copytree(image_path, image)
    new_project(tmp_path / "a.vesselkd", image).close()
    moved = tmp_path / "elsewhere" / "renamed.ome.zarr"
    moved.parent.mkdir()
    image.rename(moved)
    with Project.open(tmp_path / "a.vesselkd") as project:
        with pytest.raises(SourceNotFoundError, match=r"not where it was.*Say where it is now"):
            project.open_image()
        project.open_image(moved).close()
        assert project.image.path == moved
    with Project.open(tmp_path / "a.vesselkd") as project:
        project.open_image().close()


def test_project_and_image_moved_together_are_not_asked_about(tmp_path, image_path):
    old = tmp_path / "old"
    shutil.copytree(image_path, old / "images" / "brain.ome.zarr")
    new_project(old / "a.vesselkd", old / "images" / "brain.ome.zarr").close()
    old.rename(tmp_path / "new")
    with Project.open(tmp_path / "new" / "a.vesselkd") as project:
        project.open_image().close()
        assert project.image.path == tmp_path / "new" / "images" / "brain.ome.zarr"


def test_a_project_moved_alone_finds_its_image(tmp_path, image_path):
    new_project(tmp_path / "a.vesselkd", image_path).close()
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "a.vesselkd").rename(tmp_path / "far" / "away" / "b.vesselkd")
    with Project.open(tmp_path / "far" / "away" / "b.vesselkd") as project:
        project.open_image().close()


def test_level_channel_and_voxel_size_of_the_project_are_applied(tmp_path):
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, structured((20, 64, 64)), voxel_size_um=VOXEL_SIZE, levels=2)
    with (
        open_volume(path, level=1, voxel_size_um=(6, 3, 3)) as volume,
        Project.create(tmp_path / "a.vesselkd", volume) as project,
    ):
        assert (project.image.level, project.image.voxel_size_um) == (1, volume.voxel_size_um)
        with project.open_image() as again:
            assert again.voxel_size_um == volume.voxel_size_um
            assert again.signature() == volume.signature()
        project.check(volume)


def test_an_image_in_memory_can_be_given_a_file_later(tmp_path, image_path):
    volume = in_memory(structured(SHAPE))
    with Project.create(tmp_path / "a.vesselkd", volume) as project:
        assert project.image.path is None
        with pytest.raises(SourceNotFoundError, match="never in a file"):
            project.open_image()
        project.check(volume)


def test_a_checkpoint_that_a_job_adds_can_be_promoted(project):
    bundled = project.registry.get("student-isotropic")
    for ending in (".safetensors", ".json"):
        shutil.copyfile(bundled.path.with_suffix(ending), project.path / "checkpoints" / f"mine{ending}")
    assert project.promote("mine").name == "mine"
    assert isinstance(project.registry.get("mine").card, CheckpointCard)


def test_the_reference_says_which_type_the_voxels_have(project, image_path):
    with open_volume(image_path) as volume:
        project.check(volume)
        assert replace(project.image, path=None).dtype == str(volume.dtype) == "uint16"


def test_projects_load_neither_torch_nor_napari(tmp_path, image_path):
    code = """
        import sys
        from napari_vesselkd import Project, Region, open_volume
        from napari_vesselkd.proofreading import review_list

        with open_volume(sys.argv[1]) as volume, Project.create(sys.argv[2], volume) as project:
            edit = project.edit(Region((0, 0, 0), (8, 8, 8)))
            new = edit.voxels.copy()
            new[0] = 2
            edit.record(new)
            project.accept(edit.number)
            review_list(project)
        print(sorted({"torch", "monai", "napari", "qtpy"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(image_path), str(tmp_path / "a.vesselkd")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_closing_twice_is_once_and_a_closed_project_is_read_only(project):
    project.close()
    project.close()
    with pytest.raises(ProjectBusyError):
        project.edit(Region((0, 0, 0), (4, 4, 4)))
