"""Promises of painting anywhere over a block that is open but not in hand: no stroke of either is lost."""

from __future__ import annotations

import numpy as np
import pytest

from histories import ONE, SMALL, fill
from napari_vesselkd.geometry import Region
from napari_vesselkd.project import BlockState, Project
from projects import check_agreement

FIRST, SECOND = SMALL, SMALL.shifted((2, 1, 3))  # they overlap


@pytest.fixture
def left(project):
    """A project whose block 1 was begun, painted, and put away."""
    edit = project.edit(ONE)
    fill(edit, Region((0, 0, 0), (3, 9, 9)), 1)
    return project


def paint(project, place, label, stroke=1):
    """Paint a box of the volume with no block open."""
    project.lay(place, np.full(place.shape, label), np.ones(place.shape, bool), "brush", stroke)
    project.flush()


def in_block(place):
    return place.relative_to(ONE.start)


def test_an_open_block_takes_it_in_and_accepting_keeps_it(left):
    before = left.edit(ONE).voxels.copy()
    paint(left, FIRST, 2)
    expected = before.copy()
    expected[in_block(FIRST).slices] = 2
    edit = left.edit(ONE)
    np.testing.assert_array_equal(edit.voxels, expected)
    assert left.history.operations[-1].tool == "painted anywhere"
    left.accept(1)
    np.testing.assert_array_equal(left.corrected(ONE), expected)
    check_agreement(left)


def test_what_was_changed_in_the_block_afterwards_stays(left):
    """Only newer strokes come in, and of these only the voxels that they changed."""
    paint(left, FIRST, 2)
    edit = left.edit(ONE)
    fill(edit, in_block(FIRST), 1)
    assert (left.edit(ONE).voxels[in_block(FIRST).slices] == 1).all()
    paint(left, SECOND, 2, stroke=2)
    expected = edit.voxels.copy()
    new = np.zeros(ONE.shape, bool)
    new[in_block(SECOND).slices] = True
    new[in_block(FIRST).slices] = False  # there the sheet held 2 before
    expected[new] = 2
    np.testing.assert_array_equal(left.edit(ONE).voxels, expected)


def test_the_same_after_closing(left):
    paint(left, FIRST, 2)
    fill(left.edit(ONE), in_block(FIRST), 1)
    paint(left, SECOND, 2, stroke=2)
    left.close()
    with Project.open(left.path) as again:
        voxels = again.edit(ONE).voxels
        both = FIRST.intersection(SECOND)
        assert (voxels[in_block(both).slices] == 1).all()
        assert int((voxels == 2).sum()) == SECOND.size - both.size


def test_strokes_that_were_undone_are_not_taken_in(left):
    before = left.edit(ONE).voxels.copy()
    paint(left, FIRST, 2)
    left.history.undo()
    np.testing.assert_array_equal(left.edit(ONE).voxels, before)
    left.history.redo()
    assert (left.edit(ONE).voxels[in_block(FIRST).slices] == 2).all()


def test_a_block_that_was_only_begun_and_one_that_was_skipped(project):
    project.edit(ONE)
    paint(project, FIRST, 2)
    assert (project.edit(ONE).voxels[in_block(FIRST).slices] == 2).all()
    project.skip(1)
    paint(project, SECOND, 1, stroke=2)
    assert (project.edit(ONE).voxels[in_block(SECOND).slices] == 1).all()
    assert project.block(1).state is BlockState.OPEN


def test_undo_gives_the_block_back_as_it_was(left):
    before = left.edit(ONE).voxels.copy()
    paint(left, FIRST, 2)
    edit = left.edit(ONE)
    assert left.history.undo().tool == "painted anywhere"
    np.testing.assert_array_equal(edit.voxels, before)
    assert (left.corrected(FIRST) == 2).all()


def test_opening_it_again_and_again_is_no_operation(left):
    paint(left, FIRST, 2)
    left.edit(ONE)
    count = len(left.history.operations)
    for _ in range(3):
        left.edit(ONE)
    assert len(left.history.operations) == count
