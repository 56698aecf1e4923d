"""Tools that take clicks, in a real window: keys, clicks, what is proposed, Enter, Esc, one undo."""

import numpy as np
from qtpy.QtCore import QPoint, Qt
from scipy import ndimage

from napari_vesselkd.geometry import Region
from tooling import DEPTH, HOLLOW_Y, TRUNK_Y, TWINS_Y

LEFT, RIGHT = (DEPTH, TRUNK_Y, 30), (DEPTH, TRUNK_Y, 60)
TWINS = [(DEPTH, y, 55) for y in TWINS_Y]
PIECE, TIP, HOLE = (DEPTH, 38, 20), (DEPTH, 28, 75), (DEPTH, HOLLOW_Y, 50)


def pieces(voxels):
    """Return the connected pieces of vessel, numbered."""
    return ndimage.label(voxels == 2, np.ones((3, 3, 3)))[0]


def connected(voxels, one, other):
    label = pieces(voxels)
    return bool(label[one]) and label[one] == label[other]


def propose(person, tool, *clicks):
    """Take a tool in hand by its key and click; what is proposed is shown and nothing is changed yet."""
    before = person.voxels.copy()
    person.pick(tool)
    assert person.tools.buttons[tool].isChecked() and person.layer.mode == "pan_zoom"
    for click in clicks:
        assert person.proposal is None
        person.touch(*click)
    assert person.proposal is not None, person.said
    np.testing.assert_array_equal(person.voxels, before)
    return before


def applied(person, before, tool):
    """Enter applies; the journal knows the tool; one undo takes it back, one redo does it again."""
    person.enter()
    after = person.voxels.copy()
    assert (after != before).any() and person.proposal is None
    np.testing.assert_array_equal(person.tab.block.edit.voxels, after)
    assert person.project.history.operations[-1].tool == tool
    person.undo()
    np.testing.assert_array_equal(person.voxels, before)
    person.press_key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_array_equal(person.voxels, after)
    person.escape()
    assert person.hand.tool is None and person.layer.mode == "paint"
    return after


def connect_join_and_split_take_two_clicks_each(person, shot):
    person.start()
    before = propose(person, "connect", LEFT, RIGHT)
    assert "+ " in person.said and "µm³" in person.said
    shot("connect")
    assert not connected(before, LEFT, RIGHT)
    assert connected(applied(person, before, "connect"), LEFT, RIGHT)

    before = propose(person, "split", *TWINS)
    shot("split")
    assert connected(before, *TWINS)
    after = applied(person, before, "split")
    assert not connected(after, *TWINS) and (after[before != after] == 1).all()

    before = propose(person, "join", *TWINS)
    shot("join")
    assert connected(applied(person, before, "join"), *TWINS)


def piece_spur_cut_and_fill_take_one_click_each(person, shot):
    person.start()
    before = propose(person, "delete piece", PIECE)
    shot("piece")
    after = applied(person, before, "delete piece")
    assert (after[pieces(before) == pieces(before)[PIECE]] == 1).all()
    assert (before == after).mean() > 0.99

    before = propose(person, "delete spur", TIP)
    shot("spur")
    after = applied(person, before, "delete spur")
    assert before[TIP] == 2 and after[TIP] == 1 and connected(after, RIGHT, (DEPTH, TRUNK_Y, 85))

    before = propose(person, "cut", (DEPTH, TRUNK_Y, 20))
    shot("cut")
    assert connected(before, (DEPTH, TRUNK_Y, 10), LEFT)
    assert not connected(applied(person, before, "cut"), (DEPTH, TRUNK_Y, 10), LEFT)

    person.viewer.dims.order = (2, 0, 1)
    person.viewer.dims.set_point(2, HOLE[2])
    before = person.voxels.copy()
    person.pick("fill")
    person.touch(*HOLE)
    whole = person.hand.preview.count
    person.qtbot.mouseClick(person.tools.options["flat"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    person.settle()
    assert 0 < person.hand.preview.count < whole / 20
    shot("fill-across-x")
    after = applied(person, before, "fill")
    assert before[HOLE] == 1 and after[HOLE] == 2
    assert np.flatnonzero((before != after).any(axis=(0, 1))).tolist() == [HOLE[2]]


def interpolate_fills_between_two_slices_across_the_axis_of_the_view(person, shot):
    person.start()
    person.layer.data[...] = 1
    for x in (10, 30):
        person.layer.data[10:14, 40:48, x] = 2
    person.qtbot.waitUntil(lambda: not person.tab.block.unsaved, timeout=5000)
    before = person.voxels.copy()
    person.viewer.dims.order = (2, 0, 1)
    person.pick("interpolate")
    for x in (10, 30):
        person.viewer.dims.set_point(2, x)
        person.qtbot.wait(20)
        person.touch(12, 44, x)
    assert "19 slices between x 10 and 30" in person.said
    person.viewer.dims.set_point(2, 20)
    shot("interpolate")
    after = applied(person, before, "interpolate")
    assert (after[10:14, 40:48, 10:31] == 2).all() and (after == 2).sum() == 4 * 8 * 21


def what_is_wrong_is_said_in_a_sentence_and_nothing_changes(person, shot):
    person.open_block(Region((0, 0, 0), (24, 64, 64)))
    before = person.voxels.copy()
    nowhere = (DEPTH, 48, 5)
    for tool, clicks, sentence in (
        ("delete piece", [nowhere], "There is no vessel at the point"),
        ("delete spur", [LEFT], "There is no spur at the point"),
        ("cut", [nowhere], "There is no vessel at the point"),
        ("fill", [nowhere], "The place is open"),
        ("fill", [LEFT], "The point is vessel already"),
        ("split", [LEFT, PIECE], "The two points are in different vessels already"),
        ("join", [LEFT, (DEPTH, TRUNK_Y, 20)], "The two points are in one vessel already"),
        ("connect", [LEFT, (DEPTH, TRUNK_Y, 20)], "The two places are connected already"),
        ("interpolate", [LEFT, (DEPTH, TRUNK_Y, 20)], "There is no slice between the two"),
    ):
        person.pick(tool)
        for click in clicks:
            person.touch(*click)
        assert sentence in person.said, (tool, person.said)
        assert person.proposal is None and person.hand.tool.name == tool
        person.escape()
        person.escape()
        assert person.hand.tool is None
    shot("problem")
    person.pick("connect")
    person.enter()
    assert "Nothing is proposed yet" in person.said
    person.touch(DEPTH, -12, 30)
    assert "outside of the image" in person.said
    shot("outside")
    np.testing.assert_array_equal(person.voxels, before)
    assert not person.project.history.can_undo


def connecting_in_an_empty_image_is_straight_and_says_that_the_image_is_silent(person, shot):
    person.open_block(Region((0, 28, 28), (24, 48, 96)))
    propose(person, "connect", (DEPTH, 35, 40), (DEPTH, 40, 80))
    assert "the image hardly supports it" in person.said


def escape_takes_back_one_thing_after_the_other(person, shot):
    person.start()
    before = propose(person, "connect", LEFT, RIGHT)
    person.escape()
    assert person.proposal is None and person.hand.tool.name == "connect" and not person.hand.clicks
    person.touch(*LEFT)
    assert len(person.hand.clicks) == 1 and person.viewer.layers["vesselkd: clicks"].visible
    person.escape()
    assert not person.hand.clicks and not person.viewer.layers["vesselkd: clicks"].visible
    person.escape()
    assert person.hand.tool is None and person.layer.mode == "paint"
    np.testing.assert_array_equal(person.voxels, before)
    assert not person.project.history.can_undo


def a_click_while_another_is_computed_counts_and_is_said(person, shot):
    person.start()
    person.pick("delete piece")
    person.touch(*LEFT, settle=False)
    assert person.hand.busy
    person.touch(*PIECE, settle=False)
    assert "newest click counts" in person.said or person.hand.busy
    person.settle()
    person.enter()
    assert person.voxels[PIECE] == 1 and person.voxels[LEFT] == 2


def painting_or_another_mode_puts_the_tool_away(person, shot):
    person.start()
    for key, mode in ((Qt.Key.Key_W, "paint"), (Qt.Key.Key_P, "paint"), (Qt.Key.Key_F, "fill")):
        person.layer.mode = "paint"
        person.pick("cut")
        person.press_key(key)
        assert person.hand.tool is None and person.layer.mode == mode
    assert person.layer.selected_label == 1
    person.press_key(Qt.Key.Key_P)
    before = person.voxels.copy()
    person.press_key(Qt.Key.Key_Q)
    person.stroke((40, 60), (40, 70))
    assert (person.voxels != before).any()


def dragging_pans_and_proposes_nothing(person, shot):
    person.start()
    person.pick("delete piece")
    centre = np.array(person.viewer.scene.camera.center)
    person.draw(PIECE, (DEPTH, 40, 26), (DEPTH, 42, 34))
    assert person.proposal is None and not person.hand.clicks
    assert np.abs(np.array(person.viewer.scene.camera.center) - centre).max() > 5


def what_is_proposed_follows_an_undo(person, shot):
    person.start()
    person.stroke((40, 60), (40, 70))
    person.pick("delete piece")
    person.touch(DEPTH, 40, 65)
    count = np.count_nonzero(person.proposal.data)
    assert count
    person.undo()
    assert person.proposal is None and "There is no vessel at the point" in person.said


def test_every_tool_that_takes_clicks(proofreader, shot):
    connect_join_and_split_take_two_clicks_each(proofreader, shot)
    piece_spur_cut_and_fill_take_one_click_each(proofreader, shot)
    interpolate_fills_between_two_slices_across_the_axis_of_the_view(proofreader, shot)


def test_what_cannot_be_done_is_said(proofreader, shot):
    what_is_wrong_is_said_in_a_sentence_and_nothing_changes(proofreader, shot)
    connecting_in_an_empty_image_is_straight_and_says_that_the_image_is_silent(proofreader, shot)


def test_gestures(proofreader, shot):
    escape_takes_back_one_thing_after_the_other(proofreader, shot)
    a_click_while_another_is_computed_counts_and_is_said(proofreader, shot)
    what_is_proposed_follows_an_undo(proofreader, shot)
    painting_or_another_mode_puts_the_tool_away(proofreader, shot)
    dragging_pans_and_proposes_nothing(proofreader, shot)
