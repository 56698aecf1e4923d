"""Correcting blocks of a project in a real window: strokes, undo, accept, the list, reopening."""

from dataclasses import replace

import numpy as np
from qtpy.QtCore import Qt

from napari_vesselkd.errors import OutputError
from napari_vesselkd.labels import Journal
from napari_vesselkd.patterns import reviewing
from napari_vesselkd.project import BlockState


def test_a_stroke_of_the_mouse_is_in_the_journal_and_survives_reopening(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    block = corrector.tab.block
    before = block.edit.voxels.copy()
    corrector.stroke((6, 6), (6, 20))
    assert (corrector.layer.data != before).any()
    np.testing.assert_array_equal(corrector.layer.data, block.edit.voxels)
    painted = corrector.layer.data.copy()
    corrector.close_project()
    assert "vesselkd: block" not in viewer.layers
    corrector.open_project()
    np.testing.assert_array_equal(corrector.layer.data, painted)


def test_undo_and_redo_go_through_the_journal_and_survive_reopening(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    start = corrector.layer.data.copy()
    corrector.stroke((6, 6), (6, 20))
    painted = corrector.layer.data.copy()
    corrector.close_project()
    corrector.open_project()
    np.testing.assert_array_equal(corrector.layer.data, painted)
    corrector.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(corrector.layer.data, start)
    assert not corrector.panel.undo.isEnabled()
    assert corrector.panel.undo.toolTip() == "Nothing has been painted yet"
    corrector.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_array_equal(corrector.layer.data, painted)
    corrector.click(corrector.panel.undo)
    np.testing.assert_array_equal(corrector.layer.data, start)


def test_a_fill_a_polygon_and_a_script_are_journaled_too(viewer, dock, corrector, qtbot):
    corrector.open_project()
    corrector.edit_here()
    layer, edit = corrector.layer, corrector.tab.block.edit
    layer.n_edit_dimensions = 3
    layer.fill((0, 0, 0), 2)
    qtbot.waitUntil(lambda: edit.voxels[0, 0, 0] == 2, timeout=5000)
    layer.n_edit_dimensions = 2
    layer.paint_polygon([[0, 2, 2], [0, 2, 12], [0, 12, 7]], 1)
    qtbot.waitUntil(lambda: np.array_equal(edit.voxels, layer.data), timeout=5000)
    layer.data[3, 5:9, 5:9] = 0
    qtbot.waitUntil(lambda: np.array_equal(edit.voxels, layer.data), timeout=5000)


def test_keys_choose_the_label_and_other_labels_are_refused(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    layer = corrector.layer
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    corrector.key(Qt.Key.Key_W)
    assert layer.selected_label == 1
    corrector.key(Qt.Key.Key_E)
    assert layer.mode == "erase"
    assert corrector.panel.labels.checkedId() == 0
    corrector.key(Qt.Key.Key_Q)
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    layer.selected_label = 7
    assert layer.selected_label == 2
    assert "only" in corrector.panel.notices.text.text()


def test_other_values_from_a_script_are_said_and_undone(viewer, dock, corrector, qtbot):
    corrector.open_project()
    corrector.edit_here()
    layer, edit = corrector.layer, corrector.tab.block.edit
    layer.data[0, 0, 0] = 9
    qtbot.waitUntil(corrector.panel.error.isVisible, timeout=5000)
    assert "9" in corrector.panel.error.headline.text()
    assert not corrector.panel.accept.isEnabled()
    corrector.click(corrector.panel.undo)
    np.testing.assert_array_equal(layer.data, edit.voxels)
    assert not corrector.panel.error.isVisible()


def test_accept_writes_the_corrections_and_the_labels_and_opens_the_next(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    block = corrector.tab.block
    corrector.stroke((6, 6), (6, 20))
    voxels, region = block.edit.voxels.copy(), block.region
    corrector.click(corrector.panel.accept)
    np.testing.assert_array_equal(corrector.project.corrections.read(region), voxels)
    np.testing.assert_array_equal(corrector.project.labels.read(region), (voxels == 2).astype(np.uint8))
    shown = viewer.layers["vesselkd: corrections"].data
    np.testing.assert_array_equal(np.asarray(shown)[region.slices], voxels)
    assert corrector.tab.block.number != block.number
    assert corrector.project.block(block.number).state is BlockState.ACCEPTED
    assert corrector.states().count("accepted") == 1
    assert corrector.states().count("being edited") == 1


def test_the_list_is_ordered_by_uncertainty_and_next_skip_and_reopen_go_through_it(viewer, dock, corrector):
    corrector.open_project()
    values = [one.uncertainty for one in corrector.tab.candidates]
    assert values == sorted(values, reverse=True)
    corrector.click(corrector.panel.next)
    first = corrector.tab.block
    assert first.region == corrector.tab.candidates[0].region
    corrector.click(corrector.panel.next)
    assert corrector.tab.block.region == corrector.tab.candidates[1].region
    corrector.click(corrector.panel.previous)
    assert corrector.tab.block.number == first.number
    corrector.panel.go_on.setChecked(False)
    corrector.click(corrector.panel.skip)
    assert corrector.tab.block is None
    assert corrector.states()[0] == "skipped"
    assert not corrector.panel.accept.isEnabled()
    corrector.panel.list.setCurrentItem(corrector.panel.list.topLevelItem(0))
    assert corrector.panel.open.text().startswith("Reopen")
    corrector.click(corrector.panel.open)
    assert corrector.tab.block.number == first.number
    assert corrector.states()[0] == "being edited"


def test_the_list_can_go_by_the_codes_and_says_what_is_missing_for_that(viewer, dock, corrector, monkeypatch):
    corrector.open_project()
    panel = corrector.panel
    panel.order.setCurrentIndex(panel.order.findData("codes"))
    corrector.settle()
    assert "no code map" in panel.error.headline.text()
    panel.order.setCurrentIndex(panel.order.findData("uncertainty"))
    corrector.settle()
    assert panel.error.isHidden() and len(corrector.tab.candidates) > 1
    found = [replace(one, reason="40% artefact") for one in reversed(corrector.tab.candidates)]
    monkeypatch.setattr(reviewing, "review_by_codes", lambda *_, **__: tuple(found))
    panel.order.setCurrentIndex(panel.order.findData("codes"))
    corrector.settle()
    assert corrector.tab.candidates == tuple(found)
    assert panel.list.topLevelItem(0).text(2) == "40% artefact"
    corrector.click(panel.next)
    assert corrector.tab.block.region == found[0].region


def test_deleting_the_layer_keeps_the_block_and_what_was_painted(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    number = corrector.tab.block.number
    corrector.stroke((6, 6), (6, 20))
    painted = corrector.layer.data.copy()
    viewer.layers.remove(corrector.layer)
    corrector.settle()
    assert corrector.tab.block is None
    assert "stays open" in corrector.panel.saved.text()
    assert viewer.layers["vesselkd: student"].visible
    corrector.tab.open_number(number)
    corrector.settle()
    np.testing.assert_array_equal(corrector.layer.data, painted)


def test_a_full_disk_is_said_and_the_stroke_is_saved_when_there_is_room(
    viewer, dock, corrector, qtbot, monkeypatch
):
    corrector.open_project()
    corrector.edit_here()
    edit = corrector.tab.block.edit
    append = Journal.append

    def refuse(*_args, **_kwargs):
        raise OutputError("The disk is full: this change is not saved", remedy="Free some space")

    monkeypatch.setattr(Journal, "append", refuse)
    corrector.stroke((6, 6), (6, 20))
    assert corrector.panel.error.isVisible()
    assert "disk is full" in corrector.panel.error.headline.text()
    assert not corrector.panel.next.isEnabled()
    painted = corrector.layer.data.copy()
    assert (painted != edit.voxels).any()
    monkeypatch.setattr(Journal, "append", append)
    qtbot.waitUntil(lambda: np.array_equal(edit.voxels, painted), timeout=5000)
    assert not corrector.panel.error.isVisible()


def test_a_project_folder_that_is_gone_is_said_and_saving_goes_on_when_it_is_back(
    viewer, dock, corrector, qtbot
):
    corrector.open_project()
    corrector.edit_here()
    away = corrector.path.with_name("away")
    corrector.path.rename(away)
    corrector.stroke((6, 6), (6, 20))
    assert "gone" in corrector.panel.error.headline.text()
    away.rename(corrector.path)
    edit = corrector.tab.block.edit
    qtbot.waitUntil(lambda: np.array_equal(edit.voxels, corrector.layer.data), timeout=5000)
    assert not corrector.panel.error.isVisible()
