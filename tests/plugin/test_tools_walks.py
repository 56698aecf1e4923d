"""Tools that look through the block, the threshold brush, 3D and block borders, in a real window."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import journal as journal_module
from napari_vesselkd.plugin.layers import volume_of
from napari_vesselkd.project import Project
from tooling import DEPTH, HOLLOW_Y, TRUNK_Y, Proofreader, give_labels, planted

SHIFT = Qt.KeyboardModifier.ShiftModifier
GAP, SPUR, PIECE, LUMEN = (DEPTH, TRUNK_Y, 45), (DEPTH, 28, 75), (DEPTH, 38, 20), (DEPTH, HOLLOW_Y, 50)


def likely_errors_are_walked_through_with_one_key(person, shot):
    person.start()
    start = person.voxels.copy()
    for tool, place, value in (
        ("gap", GAP, 2),
        ("spur", SPUR, 1),
        ("false piece", PIECE, 1),
        ("lumen", LUMEN, 2),
    ):
        before = person.voxels.copy()
        person.pick(tool)
        assert f"1 of {len(person.hand.walk.found)}" in person.said, person.said
        assert person.proposal is not None and person.tools.reject.isVisible()
        shot(f"walk-{tool}")
        np.testing.assert_array_equal(person.voxels, before)
        person.enter()
        assert person.voxels[place] == value and before[place] != value
        assert person.project.history.operations[-1].tool == tool
        assert "1 accepted, 0 rejected" in person.said and person.hand.tool is None
    for _ in range(4):
        person.undo()
    np.testing.assert_array_equal(person.voxels, start)


def two_gaps(person):
    """Cut the trunk once more, so that there are two gaps, and look for them."""
    person.start()
    person.layer.data[:, :24, 20:26] = 1
    person.qtbot.waitUntil(lambda: not person.tab.block.unsaved, timeout=5000)
    person.pick("gap")
    assert len(person.hand.walk.found) == 2


def a_rejected_proposal_does_not_come_again_and_next_leaves_one_for_later(person, shot):
    two_gaps(person)
    first = person.hand.preview.region
    person.press_key(Qt.Key.Key_N)
    second = person.hand.preview.region
    assert second != first and "2 of 2" in person.said
    person.press_key(Qt.Key.Key_N)
    assert person.hand.preview.region == first
    before = person.voxels.copy()
    person.press_key(Qt.Key.Key_Backspace)
    assert person.hand.preview.region == second
    np.testing.assert_array_equal(person.voxels, before)
    person.enter()
    assert "all 2 are decided, 1 accepted, 1 rejected" in person.said
    person.pick("gap")
    assert "No likely gap was found in this block" in person.said and person.hand.tool is None


def open_anew(person):
    """Close the project, open it again, and the block."""
    person.close_project()
    person.open_project()
    person.open_block()


def test_what_was_rejected_is_not_proposed_again_until_labels_change_or_somebody_asks(proofreader, shot):
    person = proofreader
    two_gaps(person)
    first, second = person.hand.preview.region, person.hand.walk.found[1].changes[0].region
    person.press_key(Qt.Key.Key_Backspace)
    assert person.hand.preview.region == second
    person.desk.leave()
    open_anew(person)
    person.pick("gap")
    assert [one.changes[0].region for one in person.hand.walk.found] == [second]
    assert person.tools.again.isVisible() and "rejected one" in person.tools.again.text()
    shot("walk-rejected-before")
    person.enter()
    assert person.tools.again.isVisible() and person.hand.tool is None
    person.click(person.tools.again)
    person.settle()
    assert person.hand.preview.region == first
    assert not person.tools.again.isVisible()
    person.press_key(Qt.Key.Key_Backspace)
    assert "0 accepted, 1 rejected" in person.said and person.tools.again.isVisible()
    open_anew(person)
    person.pick("gap")
    assert "No likely gap was found" in person.said and person.tools.again.isVisible()
    person.layer.data[DEPTH, TRUNK_Y, first.start[2] + 2] = 2  # somebody paints amid it
    person.qtbot.waitUntil(lambda: not person.tab.block.unsaved, timeout=5000)
    person.pick("gap")
    assert len(person.hand.walk.found) == 1 and not person.tools.again.isVisible()


def test_a_rejection_that_cannot_be_written_is_said_and_not_made(proofreader, monkeypatch):
    person = proofreader
    two_gaps(person)
    first = person.hand.preview.region

    def full(file, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        person.press_key(Qt.Key.Key_Backspace)
    assert "disk is full" in person.said
    person.pick("gap")
    person.pick("gap")
    assert person.hand.preview.region == first
    assert (person.path / "rejections.jsonl").read_bytes() == b""


def all_that_are_left_are_shown_together_then_applied_as_one_step(person, shot):
    two_gaps(person)
    before = person.voxels.copy()
    person.press_key(Qt.Key.Key_Return, SHIFT)
    assert "all 2 that are left" in person.said
    shot("walk-all")
    np.testing.assert_array_equal(person.voxels, before)
    person.enter()
    assert (person.voxels[DEPTH, TRUNK_Y, 6:90] == 2).all()
    person.undo()
    np.testing.assert_array_equal(person.voxels, before)


def the_view_goes_to_what_is_proposed(person, shot):
    person.start()
    person.at(2)
    person.viewer.scene.camera.zoom *= 4
    person.pick("gap")
    assert person.viewer.dims.point[0] / 2 == pytest.approx(DEPTH, abs=2)
    centre = person.viewer.scene.camera.center[-2:]
    assert np.allclose(centre, (TRUNK_Y, 45), atol=3)


def fit_moves_walls_of_all_or_of_the_vessel_that_is_clicked(person, shot):
    person.start()
    start = person.voxels.copy()
    person.pick("fit to image")
    assert "all vessels" in person.said and person.tools.options["most_um"].value() == 2
    shot("fit")
    whole = person.hand.preview.count
    person.touch(DEPTH, 58, 20)
    assert "the vessel" in person.said and person.hand.preview.count < whole
    shot("fit-one")
    person.enter()
    rows = np.flatnonzero((person.voxels != start).any(axis=(0, 2)))
    assert rows.min() >= 50 and rows.max() < 74
    person.undo()
    np.testing.assert_array_equal(person.voxels, start)


def pieces_that_are_small_or_unsure_are_unlabelled_as_the_numbers_say(person, shot):
    person.start()
    start = person.voxels.copy()
    person.pick("sure pieces")
    assert "1 piece unlabelled" in person.said, person.said
    shot("sure")
    box = person.tools.options["least_certainty"]
    box.setValue(0)
    person.settle()
    assert person.proposal is None and "Every piece in this block is large and sure enough" in person.said
    box.setValue(50)
    person.settle()
    person.enter()
    assert (person.voxels[start != person.voxels] == 0).all() and person.voxels[PIECE] == 0
    person.undo()
    np.testing.assert_array_equal(person.voxels, start)


def the_threshold_brush_paints_where_the_image_is_bright_one_step_a_stroke(person, shot):
    person.start()
    start = person.voxels.copy()
    person.layer.brush_size = 12
    person.pick("threshold brush")
    person.draw((DEPTH, TRUNK_Y - 2, 42), (DEPTH, TRUNK_Y, 45), (DEPTH, TRUNK_Y, 49))
    shot("brush")
    changed = np.argwhere(person.voxels != start)
    assert len(changed) > 20 and (person.voxels[tuple(changed.T)] == 2).all()
    assert set(changed[:, 0]) == {DEPTH} and np.abs(changed[:, 1] - TRUNK_Y).max() <= 4
    assert person.hand.tool is not None
    person.undo()
    np.testing.assert_array_equal(person.voxels, start)
    person.press_key(Qt.Key.Key_W)
    assert person.hand.tool is not None and person.panel.labels.checkedId() == 1
    person.draw((DEPTH, 37, 18), (DEPTH, 38, 22))
    assert person.voxels[PIECE] == 1
    person.layer.n_edit_dimensions = 3
    person.press_key(Qt.Key.Key_Q)
    person.draw((DEPTH, TRUNK_Y, 42), (DEPTH, TRUNK_Y, 49))
    assert len(set(np.argwhere(person.voxels != start)[:, 0])) > 1


def two_strokes_in_a_row_are_both_painted(person, shot):
    person.start()
    person.layer.brush_size = 6
    person.pick("threshold brush")
    settle, person.settle = person.settle, lambda: None
    person.draw((DEPTH, TRUNK_Y, 42), (DEPTH, TRUNK_Y, 44))
    person.draw((DEPTH, TRUNK_Y, 47), (DEPTH, TRUNK_Y, 49))
    person.key(Qt.Key.Key_Escape)
    person.settle = settle
    person.settle()
    assert person.voxels[DEPTH, TRUNK_Y, 43] == person.voxels[DEPTH, TRUNK_Y, 48] == 2
    assert [one.tool for one in person.project.history.operations[-2:]] == ["threshold brush"] * 2


def test_walks(proofreader, shot):
    likely_errors_are_walked_through_with_one_key(proofreader, shot)
    all_that_are_left_are_shown_together_then_applied_as_one_step(proofreader, shot)
    the_view_goes_to_what_is_proposed(proofreader, shot)
    a_rejected_proposal_does_not_come_again_and_next_leaves_one_for_later(proofreader, shot)


def test_tools_for_the_whole_block_and_the_brush(proofreader, shot):
    fit_moves_walls_of_all_or_of_the_vessel_that_is_clicked(proofreader, shot)
    pieces_that_are_small_or_unsure_are_unlabelled_as_the_numbers_say(proofreader, shot)
    two_strokes_in_a_row_are_both_painted(proofreader, shot)
    the_threshold_brush_paints_where_the_image_is_bright_one_step_a_stroke(proofreader, shot)


def test_clicks_in_3d_mean_the_first_vessel_under_the_mouse(proofreader, shot):
    person = proofreader
    person.open_block()
    before = person.voxels.copy()
    person.viewer.dims.ndisplay = 3
    person.qtbot.wait(300)
    shot("3d-open")
    person.pick("delete piece")
    person.touch(*PIECE)
    assert person.proposal is not None, person.said
    shot("3d-piece")
    person.enter()
    assert person.voxels[PIECE] == 1 and (person.voxels != before).sum() < 200
    person.pick("connect")
    for place in ((DEPTH, TRUNK_Y, 36), (DEPTH, TRUNK_Y, 54)):
        person.touch(*place)
    assert person.proposal is not None, person.said
    shot("3d-connect")
    person.enter()
    assert person.voxels[GAP] == 2
    person.pick("cut")
    person.touch(DEPTH, 38, 60)
    assert "There is no vessel of this block under the click" in person.said


def test_a_change_reaches_across_the_border_of_the_block_and_one_undo_takes_it_back(proofreader, shot):
    person = proofreader
    inside, outside = Region((0, 0, 0), (24, 96, 48)), Region((0, 0, 48), (24, 96, 96))
    person.open_block(inside)
    before, around = person.voxels.copy(), person.project.labels.read(outside)
    person.pick("gap")
    assert "outside the block" in person.said
    shot("border")
    person.enter()
    assert person.voxels[DEPTH, TRUNK_Y, 45] == 2
    assert person.project.labels.read(outside)[DEPTH, TRUNK_Y, 50 - 48] == 1
    person.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    person.tab.block._tick()  # the timer that saves, while a worker is undoing
    person.settle()
    person.project.flush()
    np.testing.assert_array_equal(person.voxels, before)
    assert not person.project.history.can_undo and person.layer.editable and person.layer.mode == "paint"
    np.testing.assert_array_equal(person.project.labels.read(outside), around)


def test_closing_the_block_or_accepting_it_with_a_tool_in_hand_leaves_nothing_behind(proofreader):
    person = proofreader
    person.open_block()
    person.pick("gap")
    person.click(person.panel.accept)
    names = [layer.name for layer in person.viewer.layers]
    assert "vesselkd: proposal" not in names and person.hand.tool is None
    person.tab.open_number(1)
    person.settle()
    person.pick("gap")
    assert person.proposal is not None
    person.viewer.layers.remove(person.layer)
    person.settle()
    assert person.hand.tool is None and not person.tools.buttons["gap"].isEnabled()
    assert "vesselkd: proposal" not in [layer.name for layer in person.viewer.layers]


def test_a_2d_image_has_the_tools_too(viewer, dock, qtbot, tmp_path, shot):
    image, labels = (voxels[DEPTH] for voxels in planted())
    layer = viewer.add_image(image)
    with Project.create(tmp_path / "flat.vesselkd", volume_of(layer).volume) as project:
        give_labels(project, labels[None])
    person = Proofreader(viewer, dock, qtbot, tmp_path / "flat.vesselkd")
    person.open_project()
    person.open_block()
    assert person.layer.ndim == 2
    person.pick("connect")
    person.touch(0, TRUNK_Y, 30)
    person.touch(0, TRUNK_Y, 60)
    assert person.proposal is not None, person.said
    shot("flat")
    person.enter()
    assert (person.voxels[0, TRUNK_Y, 6:90] == 2).all()
    person.pick("delete piece")
    person.touch(0, 38, 20)
    person.enter()
    assert person.voxels[0, 38, 20] == 1
    person.settle()
