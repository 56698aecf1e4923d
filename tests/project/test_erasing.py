"""Promises of erasing with no block open: what is erased is no correction any more, in blocks too."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from histories import ONE, SMALL, TWO, fill
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.edits import ERASED
from napari_vesselkd.labels.overlay import Overlay
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.project.exchange import import_journal
from napari_vesselkd.project.exported import read_export
from projects import accepted, check_agreement, give_labels, new_project, whole

PLACE = Region((2, 5, 6), (30, 60, 66))  # over two accepted blocks, and over nothing


def erase(project, place, stroke=1):
    """Erase a place as the layer does, and return the corrections as they should be."""
    expected = whole(project)
    expected[place.slices] = 0
    overlay = Overlay(project.corrections.read, project.image.shape, filled=project.filled())
    overlay[place.slices] = 0
    project.paint(overlay.take(), stroke=stroke)
    project.flush()
    return expected


@pytest.fixture
def worked(project):
    """A project with labels, two accepted blocks that overlap, and something painted between them."""
    give_labels(project)
    accepted(project, ONE, seed=1)
    accepted(project, TWO, seed=2, share=0.5)
    fill(project.edit_anywhere(), Region((0, 40, 0), (20, 60, 70)), 2)
    project.flush()
    return project


def test_what_is_erased_is_gone_from_corrections_and_the_prediction_shows_again(project):
    labels = give_labels(project)
    accepted(project, ONE, seed=1)
    expected = erase(project, SMALL)
    np.testing.assert_array_equal(whole(project), expected)
    assert not expected[SMALL.slices].any()
    assert (expected[ONE.slices] > 0).any()
    np.testing.assert_array_equal(project.labels.read(SMALL), labels[SMALL.slices])
    check_agreement(project)
    erase(project, ONE)
    np.testing.assert_array_equal(project.labels.read(Region.whole(labels.shape)), labels)


def test_over_blocks_and_over_paint_and_everywhere_that_it_is_stored(worked, tmp_path, image_path):
    expected = erase(worked, PLACE)
    np.testing.assert_array_equal(whole(worked), expected)
    check_agreement(worked)
    file = worked.export_journal(tmp_path / "mine.jsonl")
    np.testing.assert_array_equal(read_export(file).corrected(Region.whole(worked.image.shape)), expected)
    with new_project(tmp_path / "other.vesselkd", image_path) as other:
        list(import_journal(other, file))
        np.testing.assert_array_equal(whole(other), expected)
    with Project.open(worked.path) as reader:
        assert reader.read_only
        np.testing.assert_array_equal(whole(reader), expected)
    worked.close()
    with Project.open(worked.path) as again:
        np.testing.assert_array_equal(whole(again), expected)
    shutil.rmtree(worked.path / "corrections.ome.zarr")
    with Project.open(worked.path) as again:  # made again from the journals
        np.testing.assert_array_equal(whole(again), expected)
        check_agreement(again)


def test_undo_and_redo_of_an_erasure(worked):
    before, labels = whole(worked), worked.labels.read(Region.whole(worked.image.shape))
    expected = erase(worked, PLACE)
    assert worked.history.undo().labels_changed
    np.testing.assert_array_equal(whole(worked), before)
    np.testing.assert_array_equal(worked.labels.read(Region.whole(labels.shape)), labels)
    check_agreement(worked)
    worked.history.redo()
    np.testing.assert_array_equal(whole(worked), expected)
    check_agreement(worked)


def test_painting_on_what_was_erased_and_erasing_that(worked):
    erase(worked, PLACE)
    overlay = Overlay(worked.corrections.read, worked.image.shape, filled=worked.filled())
    overlay[SMALL.slices] = 2
    worked.paint(overlay.take(), stroke=2)
    worked.flush()
    assert (worked.corrected(SMALL) == 2).all()
    expected = erase(worked, SMALL, stroke=3)
    np.testing.assert_array_equal(whole(worked), expected)
    check_agreement(worked)


def test_outside_of_accepted_blocks_erasing_leaves_nothing_behind(project):
    fill(project.edit_anywhere(), SMALL, 2)
    project.flush()
    erase(project, SMALL)
    assert project.edit_anywhere().painted() == []
    assert project.filled() == []


def test_a_block_that_is_opened_again_has_what_was_painted_and_erased_over_it(worked):
    erase(worked, SMALL)
    fill(worked.edit_anywhere(), SMALL.shifted((4, 0, 0)), 1)
    worked.flush()
    before, expected = worked.corrected(ONE), worked.accepted_voxels(1).copy()
    expected[SMALL.slices], expected[SMALL.shifted((4, 0, 0)).slices] = 0, 1
    edit = worked.edit(ONE)
    np.testing.assert_array_equal(edit.voxels, expected)
    worked.accept(1)
    assert not worked.corrected(SMALL).any()
    assert (worked.corrected(SMALL.shifted((4, 0, 0))) == 1).all()
    check_agreement(worked)
    tools = [one.tool for one in worked.history.operations]
    assert tools[-2:] == ["painted anywhere", "accept"]
    for _ in range(2):
        worked.history.undo()
    assert (edit.voxels[SMALL.slices] > 0).all()  # as it was accepted first
    assert worked.block(1).state is BlockState.OPEN
    np.testing.assert_array_equal(worked.corrected(ONE), before)


def test_opening_a_block_again_with_nothing_over_it_is_no_operation(project):
    accepted(project, ONE)
    fill(project.edit_anywhere(), Region((0, 200, 0), (4, 240, 9)), 2)
    project.flush()
    count = len(project.history.operations)
    project.edit_block(1)
    assert len(project.history.operations) == count


def test_an_accepted_block_covers_what_was_erased_before(worked):
    erase(worked, PLACE)
    edit = worked.edit(Region((0, 0, 0), (16, 40, 70)))
    fill(edit, Region.whole(edit.shape), 2)
    worked.accept(edit.number)
    assert (worked.corrected(edit.region) == 2).all()
    worked.history.undo()
    assert not worked.corrected(PLACE).any()
    check_agreement(worked)


def test_a_tool_that_unlabels_outside_of_the_open_block(worked):
    edit = worked.edit(Region((0, 100, 0), (16, 140, 70)))
    place = Region((0, 10, 10), (8, 110, 20))
    fill(edit, Region.whole(edit.shape), 2)
    zeros, every = np.zeros(place.shape, np.uint8), np.ones(place.shape, bool)
    done = worked.apply(place, zeros, every, tool="sure pieces", number=edit.number)
    assert set(done.numbers) == {edit.number, 0}
    worked.flush()
    assert not worked.corrected(place).any()
    assert not edit.read(Region((0, 0, 10), (8, 10, 20))).any()
    worked.history.undo()
    assert (worked.corrected(Region((0, 10, 10), (8, 20, 20))) > 0).any()


def test_what_is_erased_teaches_nothing(worked):
    painted = sum(one.vessel + one.background for one in worked.training_blocks if not one.number)
    assert painted
    erase(worked, PLACE)
    blocks = worked.training_blocks
    assert not any(worked.corrected(one.region)[_common(one.region)].any() for one in blocks)
    left = sum(one.vessel + one.background for one in blocks if not one.number)
    assert left == np.count_nonzero(whole(worked)[0:20, 40:60, 0:70] == 2) < painted


def _common(region):
    common = region.intersection(PLACE)
    return (slice(0, 0),) if common is None else common.relative_to(region.start).slices


def test_only_the_sheet_knows_what_is_erased(project):
    edit = project.edit(ONE)
    with pytest.raises(InvalidInputError, match="other values"):
        fill(edit, SMALL, ERASED)
    with pytest.raises(InvalidInputError, match="other values"):
        fill(project.edit_anywhere(), SMALL, ERASED + 1)
