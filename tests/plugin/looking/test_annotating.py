"""Painting on projections as a person does: real strokes in the Look tab and in the dock of three panes."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import journal as journal_module
from napari_vesselkd.plugin.commands import show_projections
from napari_vesselkd.project import BlockState, Project
from wheels import wheel

LEFT = Qt.MouseButton.LeftButton
PROPOSED = "vesselkd: MIP proposal"


class Painter:
    """Paints on the projections of one page or dock."""

    def __init__(self, viewer, host, session, qtbot):
        self.viewer, self.host, self.session, self.qtbot = viewer, host, session, qtbot
        self.bar, self.annotator = host.annotate, host.annotator

    @property
    def view(self):
        return self.annotator.plane.view

    @property
    def project(self):
        return self.session.project

    @property
    def plane(self):
        return self.annotator.plane.plane

    @property
    def slab(self):
        return self.annotator.slab

    def settle(self):
        idle = lambda: self.host.settled and not self.annotator.running and not self.session.busy  # noqa: E731
        self.qtbot.wait(150)
        self.qtbot.waitUntil(idle, timeout=60_000)

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, LEFT)
        self.settle()

    def begin(self):
        self.settle()
        self.click(self.bar.start)
        assert self.annotator.slab is not None, self.bar.error.headline.text()

    def stroke(self, *places):
        """Press at the first place (row, column of the plane), move over the others, let go."""
        rows, columns = self.plane.shape
        points = [self.view.point(row / rows, column / columns).toPoint() for row, column in places]
        self.qtbot.mousePress(self.view, LEFT, pos=points[0])
        for point in points[1:]:
            self.qtbot.mouseMove(self.view, pos=point)
        self.qtbot.mouseRelease(self.view, LEFT, pos=points[-1])

    def choose(self, name):
        button = next(b for text, b in self.bar.value._buttons.items() if text.startswith(name))
        self.qtbot.mouseClick(button, LEFT)

    def journal(self):
        """Return what a new look at the project finds on the disk."""
        number = self.annotator.plane.edit.number
        with Project.open(self.project.path, write=False) as project:
            return project._edit_of(number).voxels.copy()


@pytest.fixture
def opened(viewer, dock, qtbot, project_path):
    with qtbot.waitSignal(dock.session.opened, timeout=60_000):
        dock.session.open(project_path)
    yield dock.session
    dock.session.close()


@pytest.fixture
def painter(viewer, dock, opened, qtbot):
    """Paints in the Look tab, on slices 8 to 16 of the whole image."""
    dock.show_tab("Look")
    page = dock.look.projections
    page.form.region.choice.button("Whole").click()
    page.form.thickness.setValue(8)
    page.form.centre.setValue(12)
    found = Painter(viewer, page, opened, qtbot)
    found.settle()
    yield found
    found.annotator.leave()
    found.settle()


@pytest.fixture
def three(viewer, opened, qtbot):
    """Paints in the dock of three panes, on slabs of the whole image."""
    dock = show_projections(viewer)
    dock.setMinimumSize(500, 700)
    dock.where.button("Whole").click()
    found = Painter(viewer, dock, opened, qtbot)
    found.settle()
    yield found
    found.annotator.leave()
    found.settle()


def test_strokes_are_journaled_undone_and_redone_one_by_one(painter):
    painter.begin()
    painter.bar.brush.setValue(4)
    painter.stroke((22, 4), (22, 30), (22, 60))
    first = painter.plane.copy()
    assert first[22, 4:60].min() == 2 and not first[:18].any() and not first[27:].any()
    voxels = painter.journal()
    assert voxels.shape == (1, 48, 64) and painter.slab.shape == (8, 48, 64)
    np.testing.assert_array_equal(voxels[0], first)
    painter.choose("Erase")
    painter.stroke((22, 30), (22, 40))
    assert not painter.plane[22, 31:39].any() and painter.plane[22, 10] == 2
    painter.click(painter.bar.rest)
    second = painter.plane.copy()
    assert set(np.unique(second)) == {1, 2}
    tools = [one.tool for one in painter.project.history.operations]
    assert tools == ["MIP brush", "MIP brush", "MIP rest is background"]
    painter.click(painter.bar.undo)
    painter.click(painter.bar.undo)
    np.testing.assert_array_equal(painter.plane, first)
    painter.click(painter.bar.undo)
    assert not painter.plane.any() and not painter.bar.undo.isEnabled()
    for _ in range(3):
        painter.click(painter.bar.redo)
    np.testing.assert_array_equal(painter.plane, second)
    np.testing.assert_array_equal(painter.journal()[0], second)


def test_keys_wheel_and_a_slab_that_stays_while_somebody_paints(painter, viewer, qtbot):
    painter.begin()
    region, shown = painter.slab, painter.host.projection
    painter.stroke((2, 2), (2, 3))
    window = viewer.window._qt_window
    window.activateWindow()
    window.raise_()
    qtbot.waitUntil(window.isActiveWindow, timeout=20_000)
    painter.view.setFocus()
    for key, label in (("w", 1), ("e", 0), ("q", 2)):
        qtbot.keyClick(painter.view, key)
        assert painter.bar.label == label
    qtbot.keyClick(painter.view, "z", Qt.KeyboardModifier.ControlModifier)
    assert not painter.plane.any()
    before = painter.bar.brush.value()
    QApplication.sendEvent(painter.view, wheel(painter.view, 120))
    assert painter.bar.brush.value() > before
    viewer.dims.set_current_step(0, 2)
    painter.host.form.centre.setValue(4)
    painter.settle()
    assert painter.slab == region and painter.host.projection is shown
    assert not painter.host.form.isVisible()
    painter.click(painter.bar.leave)
    assert painter.host.form.isVisible() and painter.host.projection.region != region


def test_what_is_painted_is_proposed_in_3d_taken_accepted_and_opened_again(painter, viewer):
    """The bright line lies in slices 10 to 14, rows 20 to 24."""
    painter.begin()
    painter.bar.brush.setValue(4)
    painter.stroke((22, 0), (22, 64))
    painter.click(painter.bar.show3d)
    layer, start = viewer.layers[PROPOSED], painter.slab.start
    found = np.argwhere(layer.data == 2) + start
    assert len(found) > 200 and found[:, 0].min() >= 9 and found[:, 0].max() <= 14
    np.testing.assert_allclose(layer.translate, viewer.layers["brain"].data_to_world(start))
    layer.data[0, 0, 0] = 2  # edited by hand before it is taken
    painter.click(painter.bar.take)
    corrections = painter.project.corrected(Region.whole(painter.project.image.shape))
    assert corrections[start] == 2 and (corrections[tuple(found.T)] == 2).all()
    assert PROPOSED not in viewer.layers and "Written into the corrections" in painter.bar.hint.text()
    assert painter.project.history.operations[-1].tool == "MIP"
    painter.click(painter.bar.undo)  # the last thing done is in the corrections, not here
    assert "not on this projection" in painter.bar.hint.text() and painter.plane.any()
    plane, number = painter.plane.copy(), painter.annotator.plane.edit.number
    painter.click(painter.bar.accept)
    assert painter.slab is None
    (block,) = painter.project.training_mips
    assert (block.number, block.axis, block.state) == (number, 0, BlockState.ACCEPTED)
    np.testing.assert_array_equal(painter.project.accepted_voxels(number)[0], plane)
    painter.bar.slabs.setCurrentIndex(1)
    painter.bar.slabs.activated.emit(1)
    painter.settle()
    np.testing.assert_array_equal(painter.plane, plane)


def test_a_proposal_goes_into_the_open_block_and_around_it_as_one_step(painter, viewer, dock):
    correct, whole = dock.correct, Region.whole(painter.project.image.shape)
    region = Region((8, 16, 0), (24, 32, 32))
    correct.blocks.open(lambda: painter.project.edit(region))
    painter.qtbot.waitUntil(lambda: correct.block is not None and not correct.busy, timeout=60_000)
    block = correct.block
    before = block.voxels().copy()
    dock.show_tab("Look")
    painter.begin()
    painter.bar.brush.setValue(4)
    painter.stroke((22, 0), (22, 64))
    painter.click(painter.bar.show3d)
    layer, slab = viewer.layers[PROPOSED], painter.slab
    layer.data[:, 28:31, 3:9] = 2  # edited by hand: in the block all else is as it is labelled
    proposed = np.zeros(whole.shape, np.uint8)
    proposed[slab.slices] = layer.data
    painter.click(painter.bar.take)
    assert f"Written into block {block.number} and around it" in painter.bar.hint.text()
    expected = np.where(proposed > 0, proposed, 0)
    inside = expected[region.slices].copy()
    np.testing.assert_array_equal(block.voxels(), np.where(inside > 0, inside, before))
    np.testing.assert_array_equal(block.edit.voxels, block.voxels())
    expected[region.slices] = 0  # no correction before it is accepted
    np.testing.assert_array_equal(painter.project.corrected(whole), expected)
    assert (expected == 2).any() and (inside == 2).any()
    operation = painter.project.history.operations[-1]
    assert (operation.tool, {number for number, _ in operation.parts}) == ("MIP", {block.number, 0})
    correct.undo()
    painter.qtbot.waitUntil(lambda: not correct.busy, timeout=60_000)
    np.testing.assert_array_equal(correct.block.voxels(), before)
    assert not painter.project.corrected(whole).any()
    correct.redo()
    painter.qtbot.waitUntil(lambda: not correct.busy, timeout=60_000)
    np.testing.assert_array_equal(painter.project.corrected(whole), expected)


def test_a_block_that_cannot_take_the_proposal_says_so_and_it_stays(painter, viewer, dock, monkeypatch):
    region = Region((8, 16, 0), (24, 32, 32))
    dock.correct.blocks.open(lambda: painter.project.edit(region))
    painter.qtbot.waitUntil(lambda: dock.correct.block is not None and not dock.correct.busy, timeout=60_000)
    before = dock.correct.block.voxels().copy()
    dock.show_tab("Look")
    painter.begin()
    painter.stroke((22, 0), (22, 64))
    painter.click(painter.bar.show3d)
    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        painter.click(painter.bar.take)
        assert "disk is full" in painter.bar.error.headline.text()
        np.testing.assert_array_equal(dock.correct.block.voxels(), before)
        assert not painter.project.corrected(Region.whole(painter.project.image.shape)).any()
    painter.click(painter.bar.take)
    assert "Written into block" in painter.bar.hint.text() and not painter.bar.error.isVisible()
    assert (dock.correct.block.voxels() != before).any()


def test_a_full_disk_while_painting_is_said_and_what_is_painted_is_saved_by_itself(painter, monkeypatch):
    painter.begin()
    painter.stroke((10, 4), (10, 60))
    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        painter.stroke((30, 4), (30, 60))
        shown = painter.plane.copy()
        assert "disk is full" in painter.bar.error.headline.text() and shown[30, 30] == 2
        painter.session.notify()  # something else changed the project
        painter.click(painter.bar.undo)
        painter.click(painter.bar.accept)
        painter.click(painter.bar.leave)
        assert painter.slab is not None
        np.testing.assert_array_equal(painter.plane, shown)
        assert not painter.journal()[0, 30].any()
    painter.qtbot.waitUntil(lambda: not painter.bar.error.isVisible(), timeout=20_000)
    np.testing.assert_array_equal(painter.journal()[0], shown)
    number = painter.annotator.plane.edit.number
    painter.click(painter.bar.accept)
    np.testing.assert_array_equal(painter.project.accepted_voxels(number)[0], shown)


def test_a_project_that_closes_while_the_disk_is_full_says_what_is_lost(
    painter, dock, monkeypatch, project_path
):
    painter.begin()
    painter.stroke((10, 4), (10, 60))
    kept, number, told = painter.plane.copy(), painter.annotator.plane.edit.number, []
    monkeypatch.setattr(painter.session, "warn", told.append)
    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        painter.stroke((30, 4), (30, 60))
        dock.session.close()
    assert painter.slab is None
    assert [one for one in told if f"MIP {number} could not be saved" in one]
    with Project.open(project_path) as project:
        np.testing.assert_array_equal(project.edit_block(number).voxels[0], kept)


def full(file, data):
    raise OSError(28, "No space left on device")


def test_each_pane_of_the_dock_can_be_painted_on_and_closing_the_project_keeps_it(three, dock, project_path):
    for axis in ("z", "y", "x"):
        three.bar.axis.button(axis).click()
        three.begin()
        rows, columns = three.plane.shape
        three.stroke((rows / 2, 2), (rows / 2, columns - 2))
        voxels, at = three.journal(), "zyx".index(axis)
        assert three.annotator.plane.edit.axis == at and voxels.shape[at] == 1
        assert (np.squeeze(voxels, at)[int(rows / 2), 3 : columns - 3] == 2).all()
        if axis != "x":
            three.click(three.bar.leave)
    view, before = three.host.panes.views["y"], three.slab
    three.qtbot.mouseClick(view, LEFT, pos=view.point(0.25, 0.25).toPoint())
    three.settle()
    assert three.slab == before and three.host.voxel[0] == int(0.25 * 24)  # the others still lead the viewer
    plane, number = three.plane.copy(), three.annotator.plane.edit.number
    dock.session.close()
    assert three.slab is None and not three.bar.start.isEnabled()
    assert "No project is open" in three.bar.start.toolTip()
    with Project.open(project_path) as project:
        np.testing.assert_array_equal(np.squeeze(project.edit_block(number).voxels, 2), plane)
