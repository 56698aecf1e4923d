"""The quality of the open block in a real window: follows strokes, compares with a second reviewer."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QInputDialog

from correcting import give_labels
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.edits import VESSEL
from napari_vesselkd.labels.ledger import Ledger, user_name
from napari_vesselkd.plugin.quality import DIFFERENCES
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.tools import quality
from napari_vesselkd.volume import open_volume

SIZE = (2.0, 1.0, 1.0)


@pytest.fixture
def measured(dock, corrector, qtbot):
    """Wait until the numbers are those of the block as it is painted."""

    def wait():
        corrector.settle()
        qtbot.waitUntil(lambda: not dock.quality.busy, timeout=60_000)
        return dock.quality

    yield wait
    dock.quality.release()


def texts(panel):
    """Return the table as a person reads it: name to (began as, now, change)."""
    rows = [[label.text() for label in row] for row in panel.cells if row[0].isVisibleTo(panel)]
    return {name: tuple(rest) for name, *rest in rows}


def test_the_numbers_follow_a_stroke_and_its_undo(viewer, dock, corrector, measured):
    corrector.open_project()
    assert not dock.quality.panel.isVisible()
    corrector.edit_here()
    found = measured()
    expected = quality(corrector.tab.block.edit.voxels == VESSEL, SIZE)
    assert found.measured.now == found.measured.before == expected
    assert texts(found.panel)["pieces"] == ("1", "1", "")
    corrector.stroke((4, 4), (4, 20))
    assert found.measured.stale
    measured()
    assert texts(found.panel)["pieces"] == ("1", "2", "+1")
    assert found.measured.before == expected
    corrector.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    measured()
    assert texts(found.panel)["pieces"] == ("1", "1", "") and found.measured.now == expected


def test_the_block_that_is_opened_next_has_its_own_numbers(viewer, dock, corrector, measured):
    corrector.open_project()
    corrector.click(corrector.panel.next)
    first = measured().measured
    assert first is not None
    corrector.click(corrector.panel.next)
    voxels = corrector.tab.block.edit.voxels
    assert measured().measured.now == quality(voxels == VESSEL, SIZE)
    corrector.close_project()
    assert dock.quality.measured is None and not dock.quality.panel.isVisible()


def test_where_another_persons_project_differs_is_shown_and_gone_to(
    viewer, dock, corrector, measured, tmp_path, brain
):
    corrector.open_project()
    corrector.edit_here()
    block = corrector.tab.block
    with Project.create(tmp_path / "anna.vesselkd", open_volume(brain)) as other:
        give_labels(other)
        edit = other.edit(block.region)
        edit.change(Region((2, 3, 4), (5, 6, 8)), np.full((3, 3, 4), VESSEL, np.uint8))
        other.accept(edit.number)
    panel = measured().panel
    assert "Nobody else" in panel.second_hint.text() and not panel.show_where.isVisible()
    dock.quality.compare_with(tmp_path / "anna.vesselkd")
    measured()
    assert panel.who.currentText().endswith("in anna") and "Dice" in panel.agreement.text()
    corrector.click(panel.show_where)
    layer = viewer.layers[DIFFERENCES]
    assert (layer.data == 2).sum() == 36 and not (layer.data == 1).any() and layer.visible
    np.testing.assert_allclose(layer.data_to_world((2, 3, 4)), corrector.layer.data_to_world((2, 3, 4)))
    assert viewer.layers.selection.active is corrector.layer
    corrector.click(panel.go)
    assert viewer.dims.point[-3] == pytest.approx(corrector.layer.data_to_world((3, 4, 5))[0])
    corrector.click(panel.show_where)
    assert not layer.visible
    corrector.stroke((10, 4), (10, 20))  # what is painted now counts
    measured()
    assert dock.quality.second.agreement.only_first > 0


def test_dice_is_estimated_when_asked_for_and_then_follows(viewer, dock, corrector, measured, qtbot):
    corrector.open_project()
    corrector.edit_here()
    panel = measured().panel
    assert "est. Dice" not in texts(panel)
    corrector.click(panel.estimate)
    assert not panel.estimate.isEnabled()
    found = measured().measured
    assert 0 < found.before.estimated_dice == found.now.estimated_dice < 1
    assert not panel.estimate.isVisible() and texts(panel)["est. Dice"][2] == ""
    corrector.layer.data[:] = 1  # nothing is vessel any more
    qtbot.waitUntil(lambda: dock.quality.measured.stale, timeout=5000)
    assert measured().measured.now.estimated_dice == 0
    assert found.before.estimated_dice == dock.quality.measured.before.estimated_dice


def test_a_wrong_project_is_said_and_can_be_tried_again(viewer, dock, corrector, measured, tmp_path):
    corrector.open_project()
    corrector.edit_here()
    measured()
    dock.quality.compare_with(tmp_path)
    panel = measured().panel
    assert panel.error.isVisible() and panel.other.isEnabled()
    assert texts(panel)["pieces"][1] == "1"


def test_two_people_with_one_account_are_told_apart_by_the_name_that_is_set(
    viewer, dock, corrector, measured, monkeypatch, project_path
):
    corrector.open_project()
    corrector.edit_here()
    corrector.stroke((4, 4), (4, 20))
    measured()
    assert dock.bar.reviewer.text() == f"as {user_name()}"
    number = corrector.tab.block.number
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("  Anna  Maria ", True))
    corrector.click(dock.bar.reviewer)
    corrector.qtbot.waitUntil(lambda: dock.bar.reviewer.text() == "as Anna Maria", timeout=20_000)
    corrector.stroke((10, 4), (10, 20))
    measured()
    assert [one.who for one in corrector.project.history.operations] == [user_name(), "Anna Maria"]
    corrector.close_project()
    corrector.open_project()
    assert dock.bar.reviewer.text() == "as Anna Maria"
    corrector.tab.open_number(number)
    corrector.settle()
    panel = measured().panel
    assert [panel.who.itemText(row) for row in range(panel.who.count())] == [user_name()]
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("x" * 61, True))
    corrector.click(dock.bar.reviewer)
    notices = lambda: " ".join(corrector.session.notices)  # noqa: E731
    corrector.qtbot.waitUntil(lambda: "too long" in notices(), timeout=20_000)
    assert corrector.project.reviewer == "Anna Maria"


def test_the_person_before_is_a_second_reviewer(viewer, dock, corrector, measured, project_path):
    with Project.open(project_path) as project:
        edit = project.edit(Region((0, 0, 0), (24, 48, 64)))
        edit._ledger.who = "anna"
        edit.change(Region((2, 3, 4), (5, 6, 8)), np.full((3, 3, 4), VESSEL, np.uint8))
    corrector.open_project()
    corrector.tab.open_number(edit.number)
    corrector.settle()
    panel = measured().panel
    assert [panel.who.itemText(row) for row in range(panel.who.count())] == ["anna"]
    panel.who.setCurrentIndex(0)
    measured()
    assert "Dice 1.000" in panel.agreement.text()
    assert isinstance(corrector.tab.block.edit._ledger, Ledger)
