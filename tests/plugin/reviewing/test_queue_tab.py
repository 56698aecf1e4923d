"""The review queue in a real window: the list by worth, flags, notes, time, the work in the background."""

import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from correcting import Corrector
from napari_vesselkd.inference import SegmentConfig, segment_project
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
from napari_vesselkd.project import BlockState
from napari_vesselkd.proofreading.queue_findings import FILE
from projects import new_project

SHAPE = (24, 128, 128)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """Return a phantom, and a folder with a project of it that is segmented."""
    folder = tmp_path_factory.mktemp("queue")
    phantom = make_phantom(PhantomConfig(shape=SHAPE, seed=1_000_001, voxel_size_um=(4.0, 1.0, 1.0)))
    write_phantom(phantom, folder)
    with new_project(folder / "a.vesselkd", folder / "image.ome.zarr") as project:
        for _ in segment_project(project, SegmentConfig(device="cpu", threads=1)):
            pass
    return phantom, folder


@pytest.fixture
def reviewer(viewer, dock, qtbot, segmented, tmp_path):
    phantom, folder = segmented
    for name in ("a.vesselkd", "image.ome.zarr"):
        shutil.copytree(folder / name, tmp_path / name)
    person = Reviewer(viewer, dock, qtbot, tmp_path / "a.vesselkd", phantom)
    person.tab.queue._timer.setInterval(50)
    yield person
    person.settle()


class Reviewer(Corrector):
    """Works through the queue of one project."""

    def __init__(self, viewer, dock, qtbot, path, phantom):
        super().__init__(viewer, dock, qtbot, path)
        self.phantom = phantom
        self.panel.side.setValue(64)
        self.list_by("worth")

    @property
    def queue(self):
        return self.panel.queue

    def activate(self):
        """Let the window take keys: its shortcuts wait for that."""
        window = self.viewer.window._qt_window
        window.activateWindow()
        self.qtbot.waitUntil(window.isActiveWindow, timeout=10_000)

    def looked(self):
        """Wait until every block was looked at and the list shows it."""
        idle = lambda: not (self.tab.queue.running or self.tab.queue._timer.isActive())  # noqa: E731
        self.qtbot.waitUntil(idle, timeout=120_000)
        self.settle()

    def whys(self):
        items = self.panel.list
        return [items.topLevelItem(row).text(2) for row in range(items.topLevelItemCount())]

    def copy_truth(self):
        """Paint the truth into the open block and save it."""
        block = self.tab.block
        block.layer.data = (1 + self.phantom.label[block.region.slices]).astype(np.uint8)
        assert block.save()


def test_blocks_are_looked_at_in_the_background_and_the_list_gives_reasons(reviewer):
    reviewer.open_project()
    assert len(reviewer.states()) == 4  # there is a list from the beginning
    reviewer.looked()
    assert (reviewer.project.path / FILE).is_file()
    worth = [one.worth for one in reviewer.tab.candidates]
    assert all(value is not None for value in worth)
    assert any("end" in why or "unsure" in why for why in reviewer.whys())
    reasons = reviewer.panel.list.topLevelItem(0).toolTip(2)
    assert "Worth" in reasons and "Stands for" in reasons
    assert reviewer.panel.summary.text() == "0 of 4 done"


def test_next_opens_the_first_of_the_queue_and_accepting_calibrates(reviewer, qtbot):
    reviewer.open_project()
    reviewer.looked()
    first = reviewer.tab.candidates[0].region
    reviewer.click(reviewer.panel.next)
    assert reviewer.tab.block.region == first
    for _ in range(3):
        reviewer.copy_truth()
        reviewer.click(reviewer.panel.accept)
    reviewer.looked()
    assert sum(one.state is BlockState.ACCEPTED for one in reviewer.project.blocks) == 3
    assert reviewer.panel.summary.text().startswith("3 of 4 done: 3 accepted (1 held out)")
    qtbot.mouseClick(reviewer.queue.fold.header, Qt.MouseButton.LeftButton)
    assert reviewer.queue.plot.isVisible() and len(reviewer.queue.plot.points()) > 1
    assert "held-out block" in reviewer.queue.curve.text()
    states = [one.block.state for one in reviewer.tab.candidates]
    assert states == [BlockState.OPEN] + 3 * [BlockState.ACCEPTED]  # what is left first, what is done last


def test_flag_and_note_by_their_keys_are_in_the_list_and_survive_reopening(reviewer, qtbot):
    reviewer.open_project()
    assert not reviewer.queue.flag.isEnabled() and "Open a block first" in reviewer.queue.flag.toolTip()
    reviewer.click(reviewer.panel.next)
    number = reviewer.tab.block.number
    reviewer.activate()
    QTest.keyClick(reviewer.canvas, Qt.Key.Key_F12)
    qtbot.waitUntil(lambda: reviewer.project.block(number).flagged, timeout=5000)
    reviewer.settle()
    assert reviewer.queue.flag.isChecked()
    QTest.keyClick(reviewer.canvas, Qt.Key.Key_F12, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(reviewer.queue.note.hasFocus, timeout=5000)
    QTest.keyClicks(reviewer.queue.note, "two vessels or one?")
    QTest.keyClick(reviewer.queue.note, Qt.Key.Key_Return)
    reviewer.settle()
    assert reviewer.project.block(number).note == "two vessels or one?"
    assert not reviewer.queue.note.hasFocus()  # keys are the canvas's again
    reviewer.close_project()
    reviewer.open_project()
    row = next(n for n, one in enumerate(reviewer.tab.candidates) if one.block and one.block.number == number)
    item = reviewer.panel.list.topLevelItem(row)
    reviewer.activate()
    assert "⚑" in item.text(1) and "two vessels or one?" in item.toolTip(1)
    QTest.keyClick(reviewer.canvas, Qt.Key.Key_F12)
    qtbot.waitUntil(lambda: not reviewer.project.block(number).flagged, timeout=5000)
    reviewer.settle()
    assert not reviewer.queue.flag.isChecked()


def test_escape_leaves_a_note_as_it_was(reviewer, qtbot):
    reviewer.open_project()
    reviewer.click(reviewer.panel.next)
    number = reviewer.tab.block.number
    before = reviewer.project.block(number).note
    reviewer.activate()
    QTest.keyClick(reviewer.canvas, Qt.Key.Key_F12, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(reviewer.queue.note.hasFocus, timeout=5000)
    QTest.keyClicks(reviewer.queue.note, "oops")
    QTest.keyClick(reviewer.queue.note, Qt.Key.Key_Escape)
    reviewer.settle()
    assert reviewer.project.block(number).note == before
    assert reviewer.queue.note.text() == before


def test_the_time_at_a_block_is_kept_with_it(reviewer, qtbot):
    reviewer.open_project()
    reviewer.click(reviewer.panel.next)
    number = reviewer.tab.block.number
    before = reviewer.project.block(number).seconds
    reviewer.stroke((6, 6), (6, 20))
    qtbot.wait(1200)
    reviewer.click(reviewer.panel.skip)
    reviewer.settle()
    assert reviewer.project.block(number).seconds >= before + 1
    assert "a block" in reviewer.panel.summary.text()


def test_the_work_can_be_stopped_and_gone_on_with(reviewer, qtbot):
    reviewer.open_project()
    qtbot.waitUntil(lambda: reviewer.tab.queue.looking.total > 0, timeout=60_000)
    assert reviewer.queue.turn.text() == "Stop" and reviewer.queue.bar.isVisible()
    qtbot.mouseClick(reviewer.queue.turn, Qt.MouseButton.LeftButton)
    reviewer.looked()
    done = reviewer.tab.queue.looking.done
    assert 0 < done < 4 and reviewer.queue.turn.text() == "Go on"
    assert f"Stopped after {done} of 4" in reviewer.queue.status.text()
    assert sum("bits" in why for why in reviewer.whys()) == 4 - done
    qtbot.mouseClick(reviewer.queue.turn, Qt.MouseButton.LeftButton)
    reviewer.looked()
    assert reviewer.tab.queue.looking.done == 4 and not reviewer.queue.turn.isVisible()
    assert not any("bits" in why for why in reviewer.whys())


def test_another_side_is_another_queue(reviewer):
    reviewer.open_project()
    reviewer.looked()
    reviewer.panel.side.setValue(128)
    reviewer.settle()
    reviewer.looked()
    assert len(reviewer.tab.candidates) == 1 and reviewer.tab.queue.looking.total == 1
