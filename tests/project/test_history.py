"""Promises of the one history: strokes in all blocks, on the sheet and on MIPs, accept and skip."""

from __future__ import annotations

import getpass
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histories import ONE, SLAB, SMALL, TWO, act, actions, fill, seen, snapshot, steps_of
from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectBusyError, ProjectError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import journal as journal_module
from napari_vesselkd.project import BlockState, Project
from projects import check_agreement, give_labels, new_project, whole, write_image


def test_one_order_for_strokes_in_two_blocks_the_sheet_and_acceptance(project):
    one, two, sheet = project.edit(ONE), project.edit(TWO), project.edit_anywhere()
    fill(one, SMALL, 2)
    fill(two, SMALL, 1, tool="connect")
    fill(sheet, Region((0, 200, 0), (4, 240, 9)), 2)
    project.flush()
    project.accept(one.number)
    operations = project.history.operations
    assert [(each.tool, each.number) for each in operations] == [
        ("brush", 1), ("connect", 2), ("brush", 0), ("accept", 1),
    ]  # fmt: skip
    assert [each.seq for each in operations] == sorted({each.seq for each in operations})
    assert {each.who for each in operations} == {getpass.getuser()}
    assert all(each.at.endswith("+00:00") for each in operations)
    assert operations[1].box == SMALL.shifted(TWO.start)
    done = [project.history.undo() for _ in range(4)]
    assert [(each.tool, each.numbers) for each in done] == [
        ("accept", ()), ("brush", (0,)), ("connect", (2,)), ("brush", (1,)),
    ]  # fmt: skip
    assert done[0].labels_changed[0] == ONE
    assert done[1].labels_changed == (Region((0, 200, 0), (4, 240, 9)),)
    assert done[2].within(2) == SMALL.shifted(TWO.start)
    assert done[2].within(1) is None
    assert project.history.undo() is None
    assert not whole(project).any()
    assert not one.voxels.any()
    assert [each.undone for each in project.history.operations] == [True] * 4
    assert project.history.redo().numbers == (1,)
    fill(two, SMALL, 2)
    assert not project.history.can_redo
    assert project.history.redo() is None


def test_undo_of_an_acceptance_gives_back_corrections_and_labels_and_opens_the_block(project):
    labels = give_labels(project)
    edit = project.edit(ONE)
    fill(edit, SMALL, 2)
    project.accept(1)
    assert project.block(1).state is BlockState.ACCEPTED
    project.history.undo()
    assert project.block(1).state is BlockState.OPEN
    assert (project.block(1).background, project.block(1).vessel) == (0, 0)
    assert not whole(project).any()
    np.testing.assert_array_equal(project.labels.read(Region.whole(labels.shape)), labels)
    assert project.labels_record.missing(Region.whole(labels.shape)) is None
    assert project.labels_record.vessel_voxels(Region.whole(labels.shape)) == labels.sum()
    project.history.redo()
    assert project.block(1).state is BlockState.ACCEPTED
    np.testing.assert_array_equal(project.corrected(ONE), edit.voxels)
    check_agreement(project)


def test_undo_of_a_skip_brings_the_accepted_block_back(project):
    give_labels(project)
    edit = project.edit(ONE)
    fill(edit, SMALL, 2)
    project.accept(1)
    before = snapshot(project)
    project.skip(1)
    assert not whole(project).any()
    project.history.undo()
    assert snapshot(project) == before
    assert project.block(1).state is BlockState.ACCEPTED


def test_which_side_a_block_is_on_is_drawn_once_and_undo_does_not_draw_again(project):
    for region in (ONE, TWO, Region((0, 70, 0), (20, 90, 20)), Region((0, 100, 0), (20, 120, 20))):
        fill(project.edit(region), SMALL, 2)
        project.accept(len(project.blocks))
    sides = [one.held_out for one in project.blocks]
    for _ in range(8):
        project.history.undo()
    assert [one.held_out for one in project.blocks] == sides
    for number in range(1, 5):
        fill(project.edit_block(number), SMALL, 2)
        project.accept(number)
    assert [one.held_out for one in project.blocks] == sides


def test_what_is_painted_anywhere_lies_over_a_block_until_it_is_accepted_again(project):
    labels = give_labels(project)
    edit = project.edit(ONE)
    fill(edit, SMALL, 1)
    project.accept(1)
    sheet = project.edit_anywhere()
    across = Region((2, 2, 2), (8, 50, 10))
    fill(sheet, across, 2)
    assert project.flush() == (across,)
    expected = np.zeros(labels.shape, np.uint8)
    expected[ONE.slices] = edit.voxels
    expected[across.slices] = 2
    np.testing.assert_array_equal(whole(project), expected)
    assert (project.labels.read(across) == 1).all()
    fill(project.edit_block(1), Region((0, 0, 0), (1, 1, 1)), 2)
    project.accept(1)
    expected[ONE.slices] = edit.voxels
    np.testing.assert_array_equal(whole(project), expected)
    assert not sheet.read(ONE).any()
    assert (sheet.read(Region((2, 30, 2), (8, 50, 10))) == 2).all()
    project.history.undo()
    assert (sheet.read(across) == 2).all()
    assert (project.corrected(across) == 2).all()
    check_agreement(project)


def test_a_new_block_begins_from_what_was_painted_anywhere(project):
    fill(project.edit_anywhere(), SMALL, 2)
    project.flush()
    assert (project.edit(ONE).voxels[SMALL.slices] == 2).all()


def test_the_sheet_is_a_correction_in_another_process_and_after_reopening(project):
    fill(project.edit_anywhere(), SMALL, 2)
    project.flush()
    with Project.open(project.path) as reader:
        assert reader.read_only
        assert (reader.corrected(SMALL) == 2).all()
        assert [one.region for one in reader.training_blocks] == [SMALL]
        with pytest.raises(ProjectBusyError):
            reader.edit_anywhere()
        with pytest.raises(ProjectBusyError):
            reader.history.undo()
    project.close()
    with Project.open(project.path) as again:
        assert (again.corrected(SMALL) == 2).all()
        again.history.undo()
        assert not again.corrected(SMALL).any()


def test_what_was_not_flushed_is_when_the_project_is_opened(project):
    edit = project.edit_anywhere()
    fill(edit, SMALL, 2)
    edit.close()
    project._edits.clear()
    assert not project.corrected(SMALL).any()
    project.close()
    with Project.open(project.path) as again:
        assert (again.corrected(SMALL) == 2).all()


def test_an_operation_across_the_border_of_a_block_is_one_step(project):
    edit = project.edit(ONE)
    region = Region((0, 20, 30), (10, 40, 50))
    where = np.zeros(region.shape, bool)
    where[2:5] = True
    done = project.apply(region, np.full(region.shape, 2, np.uint8), where, tool="connect", number=1)
    assert done.parts == ((1, Region((2, 20, 30), (5, 30, 40))), (0, Region((2, 20, 30), (5, 40, 50))))
    assert project.flush() == (Region((2, 20, 30), (5, 40, 50)),)
    assert (edit.voxels == 2).sum() == 3 * 10 * 10
    outside = project.corrected(region)
    assert not outside[:, :10, :10].any()
    assert (outside == 2).sum() == where.sum() - 300
    assert [one.tool for one in project.history.operations] == ["connect"]
    project.close()
    with Project.open(project.path) as again:
        undone = again.history.undo()
        assert set(undone.numbers) == {0, 1}
        assert not again.edit_block(1).voxels.any()
        assert not whole(again).any()
        assert not again.history.can_undo
        again.history.redo()
        assert (again.edit_block(1).voxels == 2).sum() == 300


def test_an_operation_with_no_block_or_without_effect(project):
    ones = np.ones(SMALL.shape, np.uint8)
    assert project.apply(SMALL, ones, ones > 0, tool="fill").numbers == (0,)
    assert project.apply(SMALL, ones, ones > 0, tool="fill").parts == ()
    assert len(project.history.operations) == 1


def test_what_cannot_be_applied_is_said_and_changes_nothing(project):
    ones = np.ones(SMALL.shape, np.uint8)
    fill(project.edit(ONE), SMALL, 2)
    project.accept(1)
    before = snapshot(project), project.history.operations
    with pytest.raises(ProjectError, match=r"not open: block 1: accepted.*Open the block first"):
        project.apply(SMALL, ones, ones > 0, tool="fill", number=1)
    with pytest.raises(RegionError):
        project.apply(SMALL.shifted((500, 0, 0)), ones, ones > 0, tool="fill")
    with pytest.raises(InvalidInputError, match="other values"):
        project.apply(SMALL, 3 * ones, ones > 0, tool="fill")
    with pytest.raises(InvalidInputError, match="mask has another shape"):
        project.apply(SMALL, ones, ones[0] > 0, tool="fill")
    assert (snapshot(project), project.history.operations) == before


def test_a_mip_annotation_is_kept_apart_from_corrections_and_taught_as_such(project):
    edit = project.edit_mip(SLAB, 0)
    assert (edit.shape, edit.axis, edit.region) == ((1, 60, 52), 0, SLAB)
    flat = Region((0, 5, 5), (1, 10, 10))
    fill(edit, flat, 2)
    assert project.training_mips == ()
    project.accept(edit.number)
    (block,) = project.training_mips
    assert (block.axis, block.region, block.vessel, block.held_out) == (0, SLAB, 25, False)
    assert project.training_blocks == ()
    assert not whole(project).any()
    np.testing.assert_array_equal(project.accepted_voxels(edit.number), edit.voxels)
    assert project.history.operations[0].box == Region((4, 105, 13), (20, 110, 18))
    assert project.edit_mip(SLAB, 1).number != edit.number
    assert project.edit(SLAB).shape == SLAB.shape
    number = edit.number
    project.close()
    with Project.open(project.path) as again:
        assert again.block(number).axis == 0
        assert again.edit_mip(SLAB, 0).number == number
        again.history.undo()
        assert again.block(number).state is BlockState.OPEN
        assert again.training_mips == ()


def test_accepting_a_mip_leaves_the_sheet_alone(project):
    fill(project.edit_anywhere(), SLAB, 2)
    fill(project.edit_mip(SLAB, 2), Region((0, 0, 0), (3, 3, 1)), 1)
    project.accept(1)
    assert (project.edit_anywhere().read(SLAB) == 2).all()


def test_flags_notes_and_time_are_kept_and_not_undone(project):
    fill(project.edit(ONE), SMALL, 2)
    project.flag(1)
    project.annotate(1, "a loop?")
    project.add_seconds(1, 2.5)
    project.add_seconds(1, 4)
    project.accept(1)
    project.history.undo()
    project.close()
    with Project.open(project.path) as again:
        block = again.block(1)
        assert (block.flagged, block.note, block.seconds) == (True, "a loop?", 6.5)
        assert not again.flag(1, False).flagged


def test_what_is_painted_anywhere_teaches_in_pieces_but_nothing_of_a_held_out_block(project):
    for region in (ONE, Region((0, 100, 0), (20, 120, 20)), Region((0, 70, 0), (20, 90, 20))):
        fill(project.edit(region), SMALL, 2)
        project.accept(len(project.blocks))
    (held,) = project.held_out_blocks
    trained = len(project.training_blocks)
    sheet = project.edit_anywhere()
    beside = Region((0, 150, 0), (3, 290, 5))
    fill(sheet, beside, 2)
    fill(sheet, held.region, 1)
    project.flush()
    pieces = project.training_blocks[trained:]
    assert {one.number for one in pieces} == {0}
    assert all(max(one.region.shape) <= 128 for one in pieces)
    assert sum(one.vessel for one in pieces) == beside.size
    assert all(one.region.intersection(held.region) is None for one in pieces)
    assert project.held_out_blocks == (held,)


def test_a_full_disk_between_the_parts_of_an_operation_leaves_nothing_of_it(project, monkeypatch):
    edit = project.edit(ONE)
    fill(edit, SMALL, 1)
    fill(edit, SMALL, 2)
    project.edit_anywhere()
    project.history.undo()
    before = snapshot(project)
    write, left = journal_module.os.write, [1]

    def full(file, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return write(file, data)

    region = Region((0, 20, 30), (10, 40, 50))
    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        with pytest.raises(OutputError, match="disk is full"):
            project.apply(
                region, np.full(region.shape, 2, np.uint8), np.ones(region.shape, bool), tool="x", number=1
            )
    assert snapshot(project) == before
    assert len(project.history.operations) == 2
    assert project.history.can_redo
    project.close()
    with Project.open(project.path) as again:
        assert snapshot(again) == before
        assert again.history.can_redo
        assert (again.history.redo().numbers, again.edit_block(1).voxels.max()) == ((1,), 2)


def test_journals_of_an_earlier_version_can_be_undone(project):
    """Records without seq, who, at and tool."""
    edit = project.edit(ONE)
    fill(edit, SMALL, 2)
    fill(edit, SMALL, 1)
    project.close()
    from napari_vesselkd.labels.journal import Journal, encoded

    path = project._folder.edits_of(1)
    old = [
        {
            key: value
            for key, value in one.items()
            if key not in ("seq", "who", "at", "tool", "format", "axis")
        }
        for one in Journal.read(path)[0]
    ]
    path.write_bytes(b"".join(encoded(one) for one in old))
    with Project.open(project.path) as again:
        assert [(one.seq, one.who, one.tool) for one in again.history.operations] == [(0, "", "brush")] * 2
        fill(again.edit_block(1), SMALL, 2)
        assert [again.history.undo().seq for _ in range(3)] == [1, 0, 0]
        assert not again.edit_block(1).voxels.any()


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    with new_project(folder / "a.vesselkd", write_image(folder / "brain.ome.zarr")) as project:
        give_labels(project)
        for region in (ONE, TWO):
            project.edit(region)
        project.edit_mip(SLAB, 0)
    return project.path


@pytest.mark.slow
@given(st.lists(actions, max_size=14))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_undone_is_the_identity_and_redone_the_same(empty, tmp_path_factory, sequence):
    path = tmp_path_factory.mktemp("history") / "a.vesselkd"
    shutil.copytree(empty, path)
    project = Project.open(path)
    states = [seen(project)]
    at = 0
    for kind, *values in [step for action in sequence for step in steps_of(*action)]:
        if kind == "reopen":
            project.close()
            project = Project.open(path)
        elif kind in ("undo", "redo"):
            done = getattr(project.history, kind)()
            step = {"undo": -1, "redo": 1}[kind]
            assert (done is not None) == (0 <= at + step < len(states))
            at += step if done is not None else 0
        else:
            count = len([one for one in project.history.operations if not one.undone])
            act(project, kind, *values)
            if len([one for one in project.history.operations if not one.undone]) > count:
                states = [*states[: at + 1], seen(project)]
                at += 1
        assert seen(project) == states[at]
    check_agreement(project)
    while project.history.undo() is not None:
        at -= 1
        assert seen(project) == states[at]
    assert at == 0
    while project.history.redo() is not None:
        at += 1
        assert seen(project) == states[at]
    assert at == len(states) - 1
    check_agreement(project)
    project.close()
    shutil.rmtree(path)
