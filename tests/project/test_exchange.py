"""Promises of exchanging corrections: what two people did merges, conflicts are listed."""

from __future__ import annotations

import getpass

import numpy as np
import pytest

from commandline import run
from histories import ONE, SMALL, TWO, fill, snapshot
from napari_vesselkd.errors import InvalidInputError, ProjectBusyError, ProjectError, SourceNotFoundError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.journal import Journal, encoded
from napari_vesselkd.project import Project
from napari_vesselkd.project.exchange import Conflict, Merged, import_journal
from napari_vesselkd.project.exported import read_export
from projects import accepted, check_agreement, give_labels, new_project, whole, write_image

PAINTED = Region((0, 200, 0), (4, 240, 9))


@pytest.fixture
def theirs(tmp_path, image_path):
    with new_project(tmp_path / "theirs.vesselkd", image_path) as project:
        yield project


@pytest.fixture
def file(tmp_path, theirs):
    """Return what they have exported: two overlapping blocks, paint, an open block, a MIP."""
    accepted(theirs, ONE, seed=1)
    accepted(theirs, TWO, seed=2, share=0.5)
    fill(theirs.edit_anywhere(), PAINTED, 2)
    fill(theirs.edit(Region((0, 100, 0), (9, 110, 9))), SMALL, 2)
    fill(theirs.edit_mip(PAINTED, 0), Region((0, 0, 0), (1, 2, 2)), 2)
    return theirs.export_journal(tmp_path / "theirs.jsonl")


def merged(project, file, **options):
    *_, last = import_journal(project, file, **options)
    assert isinstance(last, Merged)
    return last


def test_what_only_they_corrected_is_taken_as_one_operation(project, theirs, file):
    labels = give_labels(project)
    found = merged(project, file)
    np.testing.assert_array_equal(whole(project), whole(theirs))
    assert (found.taken, found.agreed, found.conflicts) == (np.count_nonzero(whole(theirs)), 0, ())
    check_agreement(project)
    assert [one.tool for one in project.history.operations] == ["import"]
    assert sum(one.vessel for one in project.training_blocks) == np.count_nonzero(whole(theirs) == 2)
    again = merged(project, file)
    assert (again.taken, again.agreed) == (0, found.taken)
    project.history.undo()
    assert not whole(project).any()
    np.testing.assert_array_equal(project.labels.read(Region.whole(labels.shape)), labels)


def test_an_export_says_who_did_it_and_what_is_not_in_it(theirs, file):
    found = read_export(file)
    assert [one.region for one in found.blocks] == [ONE, TWO]
    assert found.left_out == 2
    assert found.people == {theirs.history.operations[0].who: 3}
    assert found.signature == theirs.image.signature
    everything = Region.whole(theirs.image.shape)
    np.testing.assert_array_equal(found.corrected(everything), whole(theirs))
    np.testing.assert_array_equal(found.accepted_voxels(2), theirs.accepted_voxels(2))


@pytest.mark.parametrize(("take", "wins"), [(None, "mine"), ("mine", "mine"), ("theirs", "theirs")])
def test_conflicts_are_listed_by_block_and_box_and_decided(project, theirs, file, take, wins):
    place = Region((0, 10, 10), (12, 40, 30))
    edit = project.edit(place)
    mine = np.where(theirs.corrected(place) == 2, 2, 1).astype(np.uint8)
    mine[3:5, 2:8, 1:9] = 3 - mine[3:5, 2:8, 1:9]
    edit.record(mine)
    project.accept(1)
    other = Region((1, 210, 2), (3, 212, 4))
    fill(project.edit_anywhere(), other, 1)
    project.flush()
    before, differs = snapshot(project), (whole(project) != whole(theirs)) & (whole(theirs) > 0)
    differs &= whole(project) > 0
    found = merged(project, file, take=take)
    inside = Region((3, 12, 11), (5, 18, 19))
    vessel = int((mine[3:5, 2:8, 1:9] == 2).sum())
    assert found.conflicts == (Conflict(0, other, other.size, 0), Conflict(1, inside, inside.size, vessel))
    if take is None:
        assert (found.taken, snapshot(project)) == (0, before)
        return
    expected = whole(theirs)
    if wins == "mine":
        expected = np.where(before_voxels(before, project) > 0, before_voxels(before, project), expected)
    else:
        expected = np.where(expected > 0, expected, before_voxels(before, project))
    np.testing.assert_array_equal(whole(project), expected)
    project.history.undo()
    assert snapshot(project) == before
    assert differs.sum() == other.size + inside.size


def before_voxels(before, project):
    return np.frombuffer(before[2], np.uint8).reshape(project.image.shape)


def test_corrections_of_another_image_are_refused(tmp_path, file):
    with new_project(tmp_path / "b.vesselkd", write_image(tmp_path / "b.ome.zarr", seed=9)) as other:
        with pytest.raises(ProjectError, match=r"of another image.*Open the project of that image"):
            merged(other, file)
        assert not whole(other).any()


def spoiled(file, change):
    records = Journal.read(file)[0]
    file.write_bytes(b"".join(encoded(one) for one in change(records)))


def headed(**values):
    return lambda file: spoiled(file, lambda lines: [{**lines[0], **values}, *lines[1:]])


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


def edited(file):
    file.write_bytes(file.read_bytes().replace(b'"step":1', b'"step":9', 1))


def shortened(file):
    spoiled(file, lambda lines: lines[:-3] + lines[-1:])


def senseless(file):
    spoiled(file, lambda lines: [{**one, "entry": 5} if "entry" in one else one for one in lines])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, "cut off, damaged or edited by hand"),
        (edited, "line .* damaged"),
        (shortened, "cut off, damaged or edited by hand"),
        (headed(format=9), "newer version.*format 9"),
        (headed(project="x"), "another project"),
        (senseless, "make no sense"),
        (lambda file: file.write_text("hello"), "no export of corrections.*journal export"),
        (lambda file: file.write_bytes(b""), "no export of corrections"),
    ],
)
def test_a_bad_file_ends_in_one_sentence_and_changes_nothing(project, file, spoil, told):
    spoil(file)
    before = snapshot(project)
    with pytest.raises(ProjectError, match=told):
        merged(project, file)
    assert snapshot(project) == before


def test_other_ways_to_be_wrong(project, file, tmp_path):
    with pytest.raises(SourceNotFoundError):
        merged(project, tmp_path / "nothing.jsonl")
    with pytest.raises(InvalidInputError, match="no such decision"):
        merged(project, file, take="both")
    with pytest.raises(ProjectError, match="nothing to export"):
        project.export_journal(tmp_path / "empty.jsonl")
    assert not list(tmp_path.glob("empty*"))
    with Project.open(project.path) as reader, pytest.raises(ProjectBusyError):
        merged(reader, file)


def test_a_damaged_journal_is_not_handed_on(theirs, file):
    theirs.close()
    path = theirs.path / "edits" / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"stroke"', b'"strike"', 1))
    with Project.open(theirs.path) as again, pytest.raises(ProjectError, match="journal is damaged"):
        again.export_journal(file)


def test_stopped_amid_importing_one_undo_takes_back_what_was_taken(project, file):
    steps = import_journal(project, file, take="theirs")
    while not project.history.can_undo:
        next(steps)
    steps.close()
    project.flush()
    project.history.undo()
    assert not whole(project).any()
    assert not project.history.can_undo


def test_on_the_command_line(project, theirs, tmp_path, capsys):
    accepted(theirs, ONE, seed=1)
    accepted(project, ONE, seed=2)
    for one in (project, theirs):
        one.close()
    file = tmp_path / "theirs.jsonl"
    done = run(capsys, "journal", "export", theirs.path, file)
    assert (done.code, "1 accepted blocks" in done.out) == (0, True)
    before = (project.path / "journal.jsonl").read_bytes()
    done = run(capsys, "journal", "import", project.path, file)
    assert done.code == 2
    assert "block 1" in done.out
    assert "nothing was changed" in done.err
    assert "--take mine or --take theirs" in done.err
    assert (project.path / "journal.jsonl").read_bytes() == before
    done = run(capsys, "journal", "import", project.path, file, "--take", "theirs")
    assert (done.code, "where they differed, theirs won" in done.out) == (0, True)
    with Project.open(project.path) as again, Project.open(theirs.path) as other:
        np.testing.assert_array_equal(again.corrected(ONE), other.corrected(ONE))


def test_an_export_and_its_strokes_say_the_name_that_was_set(tmp_path, theirs):
    account = theirs.reviewer
    assert account == getpass.getuser()
    theirs.set_reviewer("  Anna   Maria ")
    accepted(theirs, ONE, seed=1)
    path = theirs.path
    theirs.close()
    with Project.open(path) as again:
        assert again.reviewer == "Anna Maria"
        fill(again.edit_anywhere(), PAINTED, 2)
        found = read_export(again.export_journal(tmp_path / "named.jsonl"))
        assert (found.who, found.people) == ("Anna Maria", {"Anna Maria": 2})
        again.set_reviewer("")
        assert again.reviewer == account
        with pytest.raises(InvalidInputError, match="too long"):
            again.set_reviewer("x" * 61)
    with Project.open(path, write=False) as reader, pytest.raises(ProjectBusyError):
        reader.set_reviewer("Bob")
