"""Painting on projections as a person does: real strokes in the Look tab and in the dock of three panes."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.commands import show_projections
from napari_vesselkd.project import BlockState, Project

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
        rows, columns = self.annotator.plane.plane.shape
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


def slab_of(painter):
    return painter.annotator.slab


def test_a_stroke_labels_the_pixels_under_it_and_is_in_the_journal(painter):
    painter.begin()
    painter.bar.brush.setValue(4)
    painter.stroke((22, 4), (22, 30), (22, 60))
    plane = painter.annotator.plane.plane
    assert plane[22, 4:60].min() == 2 and not plane[:18].any() and not plane[27:].any()
    voxels = painter.journal()
    assert voxels.shape == (1, 48, 64)
    np.testing.assert_array_equal(voxels[0], plane)
    assert slab_of(painter).shape == (8, 48, 64) and painter.annotator.plane.edit.axis == 0
    assert "vessel" in painter.bar.facts.text()


def test_undo_and_redo_go_stroke_by_stroke(painter):
    painter.begin()
    painter.stroke((10, 10), (10, 40))
    first = painter.annotator.plane.plane.copy()
    painter.choose("Background")
    painter.stroke((30, 10), (30, 40))
    second = painter.annotator.plane.plane.copy()
    assert (second == 1).any()
    painter.click(painter.bar.undo)
    np.testing.assert_array_equal(painter.annotator.plane.plane, first)
    painter.click(painter.bar.undo)
    assert not painter.annotator.plane.plane.any() and not painter.bar.undo.isEnabled()
    painter.click(painter.bar.redo)
    painter.click(painter.bar.redo)
    np.testing.assert_array_equal(painter.annotator.plane.plane, second)
    np.testing.assert_array_equal(painter.journal()[0], second)


def test_erasing_and_the_rest_as_background(painter):
    painter.begin()
    painter.stroke((22, 4), (22, 60))
    painter.choose("Erase")
    painter.stroke((22, 30), (22, 40))
    plane = painter.annotator.plane.plane
    assert not plane[22, 31:39].any() and plane[22, 10] == 2
    painter.click(painter.bar.rest)
    assert set(np.unique(painter.annotator.plane.plane)) == {1, 2}
    tools = [one.tool for one in painter.project.history.operations]
    assert tools == ["MIP brush", "MIP brush", "MIP rest is background"]


def test_keys_choose_what_is_painted_and_the_wheel_the_width(painter, qtbot):
    painter.begin()
    painter.stroke((2, 2), (2, 3))
    for key, label in (("W", 1), ("E", 0), ("Q", 2)):
        qtbot.keyClick(painter.view, key.lower())
        assert painter.bar.label == label
    qtbot.keyClick(painter.view, "z", Qt.KeyboardModifier.ControlModifier)
    assert not painter.annotator.plane.plane.any()
    before = painter.bar.brush.value()
    centre = QPointF(painter.view.rect().center())
    turn = QWheelEvent(
        centre,
        QPointF(painter.view.mapToGlobal(painter.view.rect().center())),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(painter.view, turn)
    assert painter.bar.brush.value() > before


def test_the_slab_stays_while_somebody_paints_and_moves_again_afterwards(painter, viewer):
    painter.begin()
    region = slab_of(painter)
    shown = painter.host.projection
    viewer.dims.set_current_step(0, 2)
    painter.host.form.centre.setValue(4)
    painter.settle()
    assert slab_of(painter) == region and painter.host.projection is shown
    assert not painter.host.form.isVisible()
    painter.click(painter.bar.leave)
    assert painter.host.form.isVisible()
    assert painter.host.projection.region != region


def test_what_is_painted_is_shown_in_3d_and_written_into_the_corrections(painter, viewer):
    """The bright line lies in slices 10 to 14, rows 20 to 24."""
    painter.begin()
    painter.bar.brush.setValue(4)
    painter.stroke((22, 0), (22, 64))
    painter.click(painter.bar.show3d)
    layer = viewer.layers[PROPOSED]
    found = np.argwhere(layer.data == 2) + slab_of(painter).start
    assert len(found) > 200 and found[:, 0].min() >= 9 and found[:, 0].max() <= 14
    np.testing.assert_allclose(layer.translate, viewer.layers["brain"].data_to_world(slab_of(painter).start))
    layer.data[0, 0, 0] = 2  # edited by hand before it is taken
    painter.click(painter.bar.take)
    corrections = painter.project.corrected(Region.whole(painter.project.image.shape))
    assert corrections[slab_of(painter).start] == 2
    assert (corrections[tuple(found.T)] == 2).all()
    assert PROPOSED not in viewer.layers and "Written into the corrections" in painter.bar.hint.text()
    assert painter.project.history.operations[-1].tool == "MIP"


def test_accepted_it_can_teach_and_be_opened_again(painter):
    painter.begin()
    painter.stroke((22, 4), (22, 60))
    painter.click(painter.bar.rest)
    plane, number = painter.annotator.plane.plane.copy(), painter.annotator.plane.edit.number
    painter.click(painter.bar.accept)
    assert painter.annotator.slab is None
    (block,) = painter.project.training_mips
    assert (block.number, block.axis, block.state) == (number, 0, BlockState.ACCEPTED)
    assert block.vessel + block.background == plane.size
    np.testing.assert_array_equal(painter.project.accepted_voxels(number)[0], plane)
    assert not painter.project.training_blocks
    painter.bar.slabs.setCurrentIndex(1)
    painter.bar.slabs.activated.emit(1)
    painter.settle()
    np.testing.assert_array_equal(painter.annotator.plane.plane, plane)


def test_closing_the_project_amid_painting_keeps_every_stroke(painter, dock, project_path):
    painter.begin()
    painter.stroke((22, 4), (22, 60))
    plane, number = painter.annotator.plane.plane.copy(), painter.annotator.plane.edit.number
    dock.session.close()
    assert painter.annotator.slab is None and not painter.bar.start.isEnabled()
    with Project.open(project_path) as project:
        np.testing.assert_array_equal(project.edit_block(number).voxels[0], plane)


def test_without_a_project_it_is_said_why_nothing_can_be_painted(viewer, dock, qtbot, small_image):
    dock.show_tab("Look")
    viewer.add_image(small_image, name="brain")
    qtbot.waitUntil(lambda: dock.look.projections.settled, timeout=20_000)
    bar = dock.look.projections.annotate
    assert not bar.start.isEnabled() and "No project is open" in bar.start.toolTip()


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_each_pane_of_the_dock_can_be_painted_on(three, axis):
    three.bar.axis.button(axis).click()
    three.begin()
    rows, columns = three.annotator.plane.plane.shape
    three.stroke((rows / 2, 2), (rows / 2, columns - 2))
    voxels = three.journal()
    at = "zyx".index(axis)
    assert three.annotator.plane.edit.axis == at and voxels.shape[at] == 1
    assert (np.squeeze(voxels, at)[int(rows / 2), 3 : columns - 3] == 2).all()


def test_in_the_dock_the_other_panes_still_take_the_viewer_along(three, viewer):
    three.begin()
    view = three.host.panes.views["y"]
    before = slab_of(three)
    three.qtbot.mouseClick(view, LEFT, pos=view.point(0.25, 0.25).toPoint())
    three.settle()
    assert slab_of(three) == before and three.host.voxel[0] == int(0.25 * 24)
