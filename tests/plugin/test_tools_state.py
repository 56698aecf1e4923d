"""What the tools say and hold, without a window."""

from dataclasses import replace

import numpy as np
import pytest
from napari.utils.shortcuts import default_shortcuts

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.tools.brushing import dense
from napari_vesselkd.plugin.tools.catalogue import BY_NAME, TOOLS, Kind, default_options
from napari_vesselkd.plugin.tools.gestures import first_on
from napari_vesselkd.plugin.tools.preview import preview, together
from napari_vesselkd.plugin.tools.proposing import Suggestion
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.plugin.tools.searching import Walk, first_left
from napari_vesselkd.plugin.tools.state import NO_BLOCK, Hand, draw_tools
from napari_vesselkd.proofreading.tools import Proposal
from projects import new_project, write_image

VIEWER = (
    "toggle_ndisplay", "reset_view", "roll_axes", "transpose_axes", "toggle_grid", "hold_for_pan_zoom",
    "toggle_selected_visibility", "toggle_unselected_visibility", "new_label", "decrease_label_id",
    "increase_label_id", "decrease_brush_size", "increase_brush_size", "toggle_preserve_labels",
    "swap_selected_and_background_labels",
)  # fmt: skip
BLOCK = Region((4, 0, 0), (20, 40, 40))


@pytest.fixture
def scene(tmp_path):
    """An open block of an unsegmented project, background but for a bar of vessel along x at (4, 10)."""
    with new_project(tmp_path / "a.vesselkd", write_image(tmp_path / "a.ome.zarr")) as project:
        voxels = np.ones(BLOCK.shape, np.uint8)
        voxels[4, 10, :] = 2
        with project.open_image() as image:
            yield Scene(project, image, BLOCK, voxels)


def change(region, value):
    mask = np.ones(region.shape, bool)
    return Suggestion(
        (Proposal("gap", region, mask, value, "A reason of 3 um", 0.8),), "A reason of 3 um", 0.8
    )


def test_no_two_keys_are_the_same_and_none_is_napari_s_of_a_labels_layer():
    keys = [shortcut.keys for shortcut in keymap.KEYMAP]
    assert len(set(keys)) == len(keys)
    napari_s = {
        str(key)
        for action, found in default_shortcuts.items()
        for key in found
        if "labels" in action or action.split(":")[1] in VIEWER
    }
    assert {"P", "F", "Ctrl+Y"} <= napari_s
    assert not {tool.shortcut.keys for tool in TOOLS} & napari_s


def test_defaults_follow_the_voxels():
    fine, coarse = default_options((0.5, 0.25, 0.25)), default_options((4.0, 2.0, 2.0))
    assert fine["fit to image"]["most_um"] == 0.5 and coarse["fit to image"]["most_um"] == 4
    assert coarse["sure pieces"]["least_um3"] == 1600 and fine["fill"]["leak_um"] == 0


def test_without_a_block_every_tool_says_why_it_cannot_be_used():
    picture = draw_tools(Hand(), why_not=NO_BLOCK)
    assert not picture.enabled and picture.why == NO_BLOCK and not picture.in_hand


def test_the_line_says_the_next_step():
    connect = BY_NAME["connect"]
    assert draw_tools(Hand(connect)).line == connect.steps[0]
    assert draw_tools(Hand(connect, clicks=(object(),))).line == connect.steps[1]
    assert draw_tools(Hand(connect, busy="Computing…")).line == "Computing…"
    wrong = draw_tools(Hand(connect, problem="There is no vessel"))
    assert wrong.line_is_problem and not wrong.apply.enabled and wrong.apply.tooltip


def test_a_preview_counts_what_changes_inside_and_outside(scene):
    box = Region((8, 10, 36), (9, 11, 44))  # 4 voxels are vessel already, 4 lie outside of the block
    found = preview(change(box, 2), scene)
    assert found.region == Region((8, 10, 40), (9, 11, 44)) and found.count == found.outside == 4
    assert "outside the block" in found.text and "3 µm" in found.text and "+ 4 voxels (8 µm³)" in found.text
    taken = preview(change(box, 1), scene)
    assert taken.region == Region((8, 10, 36), (9, 11, 40)) and taken.outside == 0
    assert (taken.shown == 2).all() and (taken.values == 1).all()
    cleared = preview(change(Region((8, 10, 0), (9, 11, 3)), 0), scene)
    assert (cleared.shown == 3).all() and "unlabelled: 3 voxels" in cleared.text
    assert preview(change(Region((8, 10, 0), (9, 11, 3)), 2), scene) is None


def test_a_walk_skips_what_changes_nothing_any_more_and_ends(scene):
    one, two = (change(Region((z, 20, 0), (z + 1, 21, 9)), 2) for z in (6, 7))
    nothing = change(Region((8, 10, 0), (9, 11, 3)), 2)
    walk = Walk((one, nothing, two))
    shown = first_left(walk, scene)
    assert shown.walk.at == 0 and shown.preview.count == 9
    later = first_left(shown.walk.moved(), scene)
    assert later.walk.at == 2 and later.walk.applied == (1,) and later.walk.left == (2, 0)
    done = first_left(replace(later.walk, applied=(1, 2), rejected=(0,)), scene)
    assert done.preview is None
    assert preview(together([one, two]), scene).count == 18


def test_a_quick_stroke_has_no_holes_and_stays_in_the_volume():
    points = np.array(dense([(5, 5, 5), (5, 5, 35), (5, 60, 35)], 4.0, (10, 40, 40)))
    assert np.abs(np.diff(points, axis=0)).max() <= 2
    assert (points >= -0.5).all() and (points < np.array([10, 40, 40]) - 0.5).all()
    assert dense([(-3, 0, 0)], 4.0, (10, 40, 40)) == []


def test_a_ray_ends_at_the_first_vessel_or_behind_its_wall():
    data = np.zeros((1, 1, 12), bool)
    data[0, 0, [4, 5, 9]] = True
    path = np.array([(0, 0, x) for x in range(12)])
    assert first_on(path, lambda at: data[at], into_hole=False) == (0, 0, 4)
    assert first_on(path, lambda at: data[at], into_hole=True) == (0, 0, 6)
    assert first_on(path[:4], lambda at: data[at], into_hole=False) is None


def test_every_tool_says_what_to_do_and_what_it_found_nothing_means():
    assert len({tool.name for tool in TOOLS}) == len({tool.title for tool in TOOLS}) == len(TOOLS) == 15
    for tool in TOOLS:
        assert tool.steps and all(step for step in tool.steps) and tool.nothing.endswith(".")
        assert tool.kind is not Kind.CLICKS or tool.clicks in (1, 2)
