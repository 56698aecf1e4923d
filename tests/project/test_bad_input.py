"""Every bad project ends in one clear message or is mended, and nothing that was saved is lost."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_vesselkd.errors import CorruptSourceError, ProjectError, RegionError, VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import Journal
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.volume import open_volume, write_multiscale
from projects import SHAPE, accepted, check_agreement, give_labels, new_project, paint, write_image
from segmenting import structured

ONE, TWO = Region((0, 0, 0), (16, 20, 30)), Region((20, 100, 10), (36, 120, 40))


@pytest.fixture
def path(project):
    """Return a closed project with an accepted block, an open one, and labels."""
    give_labels(project)
    accepted(project, ONE)
    paint(project.edit(TWO), Region((0, 0, 0), (4, 4, 4)), 2)
    project.close()
    return project.path


def edit_json(path, **values):
    file = path / "project.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("shape", "kind", "size", "told"),
    [
        ((40, 90, 70), np.uint16, (2, 1, 1), r"its shape is 40,90,70 \(allowed: 40,300,70 of brain\)"),
        (SHAPE, np.float32, (2, 1, 1), r"its voxel type is float32 \(allowed: uint16"),
        (SHAPE, np.uint16, (3, 1, 1), r"its voxel size in um is 3,1,1 \(allowed: 2,1,1"),
        (SHAPE, np.uint16, (2, 1, 1), r"its voxels are not the same.*Open the project's own image"),
    ],
)
def test_another_image_is_refused_and_what_differs_said(path, tmp_path, shape, kind, size, told):
    other = tmp_path / "other.ome.zarr"
    write_multiscale(other, structured(shape, seed=7).astype(kind), voxel_size_um=size)
    with Project.open(path) as project:
        with open_volume(other) as volume, pytest.raises(ProjectError, match=told):
            project.check(volume)
        if "voxel size" not in told:  # the project's own size is applied to a file
            with pytest.raises(ProjectError, match="is not the image of this project"):
                project.open_image(other)
        assert project.image.path != other


def test_another_image_in_the_place_of_the_old_one_is_noticed(tmp_path):
    image = write_image(tmp_path / "brain.ome.zarr")
    new_project(tmp_path / "a.vesselkd", image).close()
    shutil.rmtree(image)
    write_image(image, seed=3)
    with Project.open(tmp_path / "a.vesselkd") as project, pytest.raises(ProjectError, match="not the same"):
        project.open_image()


def test_a_file_that_is_no_image_is_not_the_image(path, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with Project.open(path) as project, pytest.raises(ProjectError, match="is not the image"):
        project.open_image(tmp_path / "notes.txt")


def test_a_project_from_a_newer_version_is_refused(path):
    edit_json(path, version=2, made_with="napari-vesselkd 9.0")
    with pytest.raises(ProjectError, match=r"newer version.*napari-vesselkd 9.0.*format 1.*Update"):
        Project.open(path)


@pytest.mark.parametrize("name", ["nothing.vesselkd", "file.vesselkd", "folder.vesselkd"])
def test_what_is_no_project_is_refused(tmp_path, name):
    (tmp_path / "file.vesselkd").write_text("x")
    (tmp_path / "folder.vesselkd").mkdir()
    with pytest.raises(ProjectError, match=r"no project.*Choose a folder NAME.vesselkd"):
        Project.open(tmp_path / name)
    assert list((tmp_path / "folder.vesselkd").iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"kind": "other"}', '{"kind": "napari-vesselkd project", "version": 1}']
)
def test_a_broken_description_is_named(path, content):
    (path / "project.json").write_text(content)
    with pytest.raises(ProjectError, match=r"description cannot be read.*project\.json.*backup"):
        Project.open(path)


@pytest.mark.parametrize("image", [{}, {"shape": [0, 1, 1]}, {"signature": None}, {"voxel_size_um": [1, 1]}])
def test_a_description_that_makes_no_sense_is_named(path, image):
    values = json.loads((path / "project.json").read_text())["image"]
    edit_json(path, image={**values, **image} if image else [])
    with pytest.raises(ProjectError, match="description cannot be read"):
        Project.open(path)


def test_a_missing_or_empty_journal_is_named(path):
    journal = path / "journal.jsonl"
    content = journal.read_bytes()
    for spoil in (journal.unlink, lambda: journal.write_bytes(b""), lambda: journal.write_bytes(b"x" * 500)):
        spoil()
        with pytest.raises(ProjectError, match=r"journal is (missing|empty).*journal.jsonl"):
            Project.open(path)
    journal.write_bytes(content)
    Project.open(path).close()


def test_the_journal_of_another_project_is_refused(path, tmp_path, image_path):
    new_project(tmp_path / "b.vesselkd", image_path).close()
    shutil.copyfile(tmp_path / "b.vesselkd" / "journal.jsonl", path / "journal.jsonl")
    with pytest.raises(ProjectError, match="journal belongs to another project, or to another image"):
        Project.open(path)


def test_a_journal_whose_last_record_was_cut_off_is_opened_and_it_is_said(path):
    journal = path / "journal.jsonl"
    before = Journal.read(journal)[0]
    journal.write_bytes(journal.read_bytes()[:-9])
    with Project.open(path) as project:
        assert "last record was cut off and is left out" in project.notices[0]
        assert [block.state.value for block in project.blocks] == ["accepted", "open"]
        project.promote("auto")
    assert Journal.read(journal)[0][: len(before) - 1] == before[:-1]


def test_a_flipped_byte_in_the_middle_of_the_journal_loses_no_block(path):
    journal = path / "journal.jsonl"
    content = journal.read_bytes()
    lines = content.splitlines(keepends=True)
    for number in range(len(lines)):
        spoilt = bytearray(lines[number])
        spoilt[len(spoilt) // 2] ^= 1
        journal.write_bytes(b"".join([*lines[:number], bytes(spoilt), *lines[number + 1 :]]))
        with Project.open(path) as project:
            assert any("left out" in notice for notice in project.notices)
            assert {block.region for block in project.blocks} == {ONE, TWO}
            assert project.edit_block(2).voxels[:4, :4, :4].min() == 2
        journal.write_bytes(content)


def test_events_that_make_no_sense_are_named(path):
    with Journal(path / "journal.jsonl") as journal:
        journal.append({"event": "block", "number": "x"})
    with pytest.raises(ProjectError, match="journal makes no sense"):
        Project.open(path)


def test_an_event_of_a_later_version_changes_nothing(path):
    with Journal(path / "journal.jsonl") as journal:
        journal.append({"event": "starred", "number": 1})
    with Project.open(path) as project:
        assert len(project.blocks) == 2


@pytest.mark.parametrize("spoil", ["missing", "metadata", "chunk"])
def test_missing_or_broken_corrections_are_made_again(path, spoil):
    store = path / "corrections.ome.zarr"
    with Project.open(path) as project:
        expected = project.corrected(ONE)
    if spoil == "missing":
        shutil.rmtree(store)
    elif spoil == "metadata":
        (store / "zarr.json").write_text("{")
    else:
        (store / "0" / "c" / "0" / "0" / "0").write_bytes(b"x" * 100)
    if spoil != "chunk":
        with pytest.raises(ProjectError, match=r"missing or broken.*Open the project for writing"):
            Project.open(path, write=False)
    with Project.open(path) as project:
        assert spoil == "chunk" or "made again from the journals" in project.notices[0]
        np.testing.assert_array_equal(project.corrected(ONE), expected)
        if spoil != "chunk":
            check_agreement(project)
        np.testing.assert_array_equal(project.corrections.read(ONE), expected)


def test_corrections_that_cannot_be_made_again_are_named(path):
    shutil.rmtree(path / "corrections.ome.zarr")
    (path / "edits" / "000001.jsonl").unlink()
    with pytest.raises(ProjectError, match=r"corrections are missing or broken.*backup"):
        Project.open(path)
    with pytest.raises(ProjectError, match="Copy the folder back"):  # and the lock is free again
        Project.open(path)


def test_missing_strokes_of_an_accepted_block_are_said_and_the_block_is_begun_from_what_was_accepted(path):
    (path / "edits" / "000001.jsonl").unlink()
    with Project.open(path) as project:
        assert "strokes of block 1 are missing" in project.notices[0]
        corrected = project.corrected(ONE)
        assert corrected.all()
        edit = project.edit_block(1)
        assert "begun again from what was accepted" in edit.notice
        np.testing.assert_array_equal(edit.voxels, corrected)
        paint(edit, Region((0, 0, 0), (2, 2, 2)), 0)
        project.accept(1)
        assert not project.corrected(ONE)[:2, :2, :2].any()
        check_agreement(project)


def test_a_block_whose_beginning_is_damaged_keeps_its_strokes(path):
    file = path / "edits" / "000002.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"start":"', b'"start":"A', 1))
    with Project.open(path) as project:
        edit = project.edit(TWO)
        assert "lost its beginning" in edit.notice
        assert (edit.voxels[:4, :4, :4] == 2).all()
        labels = project.labels.read(TWO)
        np.testing.assert_array_equal(edit.voxels[4:], labels[4:] + 1)
    assert (path / "edits" / "000002.jsonl.broken").exists()


def test_the_strokes_of_another_project_are_not_taken_over(path, tmp_path, image_path):
    with new_project(tmp_path / "b.vesselkd", image_path) as other:
        paint(other.edit(ONE), Region((0, 0, 0), (9, 9, 9)), 1)
        other.edit(TWO)
        paint(other.edit(TWO), Region((0, 0, 0), (9, 9, 9)), 1)
    shutil.copyfile(tmp_path / "b.vesselkd" / "edits" / "000002.jsonl", path / "edits" / "000002.jsonl")
    with Project.open(path) as project:
        edit = project.edit_block(2)
        assert "another project" in edit.notice
        np.testing.assert_array_equal(edit.voxels, project.labels.read(TWO) + 1)


@pytest.mark.parametrize("spoil", ["card", "no card", "gone"])
def test_a_checkpoint_that_cannot_be_used_is_said(path, spoil):
    with Project.open(path) as project:
        bundled = project.registry.get("student-isotropic").path
        for ending in (".safetensors", ".json"):
            shutil.copyfile(bundled.with_suffix(ending), path / "checkpoints" / f"mine{ending}")
        project.promote("mine")
    card = path / "checkpoints" / "mine.json"
    card.write_text("{") if spoil == "card" else card.unlink()
    if spoil == "gone":
        card.with_suffix(".safetensors").unlink()
    with Project.open(path) as project:
        assert any("checkpoint in use cannot be used; promote another" in one for one in project.notices)
        assert project.current == "mine"
        assert project.promote("auto").previous == "mine"


@pytest.mark.parametrize("spoil", ["metadata", "record", "other image"])
def test_labels_that_cannot_be_read_are_said_and_the_project_works(path, spoil):
    labels = path / "labels.ome.zarr"
    if spoil == "metadata":
        (labels / "zarr.json").write_text("{")
    elif spoil == "record":
        (labels / ".vesselkd" / "run.json").write_text("{")
    else:
        record = labels / ".vesselkd" / "run.json"
        record.write_text(record.read_text().replace('"volume": "', '"volume": "0'))
    with Project.open(path) as project:
        assert "labels cannot be read or are of another image: segment again from" in project.notices[0]
        assert project.labels is None
        accepted(project, Region((0, 200, 0), (8, 208, 8)))
        assert project.pending == ()


def test_damaged_labels_are_named_when_a_block_begins_on_them(path):
    (path / "labels.ome.zarr" / "0" / "c" / "0" / "0" / "0").write_bytes(b"x" * 100)
    with (
        Project.open(path) as project,
        pytest.raises(CorruptSourceError, match=r"labels\.ome\.zarr are damaged"),
    ):
        project.edit(Region((0, 30, 0), (20, 60, 20)))


@pytest.mark.parametrize(
    "region",
    [Region((40, 0, 0), (50, 10, 10)), Region((-5, 0, 0), (0, 10, 10)), Region((3, 3, 3), (3, 9, 9))],
)
def test_a_block_outside_the_volume_is_refused(project, region):
    with pytest.raises(RegionError, match=r"outside the volume.*0:40,0:300,0:70"):
        project.edit(region)
    assert project.blocks == ()
    assert list((project.path / "edits").iterdir()) == []


def test_a_block_that_would_fill_the_memory_is_refused(project, monkeypatch):
    monkeypatch.setattr("napari_vesselkd.project.review.LARGEST_BLOCK", 1000)
    with pytest.raises(RegionError, match=r"too large.*40x300x70.*smaller region"):
        project.edit(Region.whole(SHAPE))


def test_a_block_begun_but_not_journaled_is_found_again(path):
    journal = path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"number":2' not in line))
    with Project.open(path, write=False) as project:
        assert [block.number for block in project.blocks] == [1, 2]
    with Project.open(path) as project:
        assert "did not know block 2" in project.notices[0]
        assert project.block(2).state is BlockState.OPEN
        assert (project.edit_block(2).voxels[:4, :4, :4] == 2).all()
    with Project.open(path) as project:
        assert project.notices == ()


def test_files_that_are_no_edits_are_left_alone(path):
    (path / "edits" / "notes.jsonl").write_text("hello")
    (path / "edits" / "000007.jsonl").write_text("hello")
    with Project.open(path) as project:
        assert [block.number for block in project.blocks] == [1, 2]


def test_every_error_of_a_project_can_be_caught_as_one(tmp_path):
    with pytest.raises(VesselKDError):
        Project.open(tmp_path / "x.vesselkd")
    with pytest.raises(ValueError, match="no project"):
        Project.open(tmp_path / "x.vesselkd")
