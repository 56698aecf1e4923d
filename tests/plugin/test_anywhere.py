"""Painting anywhere with no block open, and undo over everything, in a real window with a real mouse."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from correcting import Corrector
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import journal as journal_module
from napari_vesselkd.plugin.anywhere import PAINTING
from napari_vesselkd.plugin.parts import scroll_to
from napari_vesselkd.project import BlockState

UNDO = (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
REDO = (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)


class Painter(Corrector):
    """Paints on the layer of "Paint anywhere" where there is one, else on the open block."""

    @property
    def layer(self):
        return self.tab.anywhere.layer or self.viewer.layers["vesselkd: block"]

    def paint_anywhere(self):
        self.click(self.tab.anywhere_panel.button)
        self.qtbot.wait(50)

    def corrections(self):
        return self.project.corrected(Region.whole(self.project.image.shape))

    def step(self, key, modifier):
        self.key(key, modifier)
        self.settle()


@pytest.fixture
def painter(viewer, dock, qtbot, corrector):
    return Painter(viewer, dock, qtbot, corrector.path)


def test_a_stroke_anywhere_is_a_correction_and_in_the_labels_at_every_level(viewer, painter, shot):
    painter.open_project()
    painter.paint_anywhere()
    layer = painter.layer
    assert (layer.name, layer.editable, layer.mode, layer.selected_label) == (PAINTING, True, "paint", 2)
    assert not viewer.layers["vesselkd: corrections"].visible
    painter.stroke((30, 10), (30, 50))
    painter.settle()
    painted = painter.corrections()
    assert (painted[viewer.dims.current_step[0], 30, 12:48] == 2).all()
    np.testing.assert_array_equal(np.asarray(layer.data), painted)
    assert (painter.project.labels.read(Region.whole(painted.shape))[painted == 2] == 1).all()
    for level in painter.project.corrections.levels[1:]:
        assert (np.asarray(level[...]) == 2).any()
    assert "1 stroke saved" in painter.tab.anywhere_panel.fact.text()
    painter.panel.labels.button(1).click()
    painter.stroke((30, 20), (30, 30))
    painter.key(Qt.Key.Key_E)
    assert painter.panel.labels.checkedId() == 0
    painter.stroke((30, 40), (30, 45))
    painter.settle()
    row = painter.corrections()[viewer.dims.current_step[0], 30]
    assert ((row[22:28] == 1).all(), (row[41:44] == 0).all(), (row[12:18] == 2).all()) == (True,) * 3
    scroll_to(painter.tab.anywhere_panel)
    shot("anywhere")
    for _ in range(2):  # the second one while the first is under way
        painter.key(*UNDO)
    painter.settle()
    np.testing.assert_array_equal(painter.corrections(), painted)
    np.testing.assert_array_equal(np.asarray(layer.data), painted)
    painter.close_project()
    assert PAINTING not in viewer.layers
    painter.open_project()
    np.testing.assert_array_equal(painter.corrections(), painted)
    assert [one.undone for one in painter.project.history.operations] == [False, True, True]


def test_one_undo_for_strokes_in_a_block_anywhere_and_acceptance(painter, viewer):
    painter.open_project()
    painter.edit_here()
    number = painter.tab.block.number
    start = painter.tab.block.edit.voxels.copy()
    painter.stroke((6, 6), (6, 20))
    painted = painter.tab.block.edit.voxels.copy()
    painter.panel.go_on.setChecked(False)
    labels = painter.project.labels.read(Region.whole(painter.project.image.shape))
    painter.click(painter.panel.accept)
    assert painter.project.block(number).state is BlockState.ACCEPTED
    accepted = painter.corrections()
    painter.paint_anywhere()
    painter.stroke((45, 2), (45, 60))
    painter.settle()
    assert (painter.corrections() != accepted).any()
    painter.step(*UNDO)
    np.testing.assert_array_equal(painter.corrections(), accepted)
    np.testing.assert_array_equal(np.asarray(painter.layer.data), accepted)
    painter.step(*REDO)
    assert (painter.corrections() != accepted).any()
    painter.step(*UNDO)
    painter.step(*UNDO)  # the acceptance: its block is open again
    assert painter.tab.block is not None
    assert (painter.tab.block.number, painter.project.block(number).state) == (number, BlockState.OPEN)
    assert not painter.tab.anywhere.opened
    assert not painter.corrections().any()
    np.testing.assert_array_equal(painter.project.labels.read(Region.whole(labels.shape)), labels)
    np.testing.assert_array_equal(painter.tab.block.voxels(), painted)
    assert "Taken back: acceptance" in painter.panel.saved.text()
    painter.step(*UNDO)
    np.testing.assert_array_equal(painter.tab.block.voxels(), start)
    assert not painter.panel.undo.isEnabled()
    for _ in range(3):
        painter.click(painter.panel.redo)
    assert (painter.corrections() != accepted).any()
    assert painter.project.block(number).state is BlockState.ACCEPTED
    assert painter.tab.block is None


def test_opening_a_block_ends_it_and_shows_what_was_painted(painter):
    painter.open_project()
    painter.paint_anywhere()
    painter.stroke((24, 20), (24, 44))
    painter.edit_here()
    assert not painter.tab.anywhere.opened
    region = painter.tab.block.region
    np.testing.assert_array_equal(
        painter.tab.block.voxels() == 2,
        painter.project.over(region, painter.project.labels.read(region)) == 1,
    )


def test_erasing_reaches_accepted_blocks_and_what_is_shown_is_what_is_stored(painter, viewer):
    painter.open_project()
    painter.edit_here()
    painter.stroke((6, 6), (6, 20))
    painter.panel.go_on.setChecked(False)
    painter.click(painter.panel.accept)
    accepted = painter.corrections()
    painter.paint_anywhere()
    painter.key(Qt.Key.Key_E)
    painter.stroke((24, 10), (24, 55))
    painter.settle()
    shown = np.asarray(painter.layer.data)
    assert ((accepted > 0) & (shown == 0)).any()
    assert not ((accepted == 0) & (shown > 0)).any()
    np.testing.assert_array_equal(painter.corrections(), shown)
    assert "accepted blocks too" in painter.tab.anywhere_panel.fact.text()
    painter.tab.undo()
    painter.settle()
    np.testing.assert_array_equal(painter.corrections(), accepted)
    np.testing.assert_array_equal(np.asarray(painter.layer.data), accepted)


def test_a_full_disk_is_said_and_what_is_painted_is_saved_later(painter, monkeypatch, qtbot):
    painter.open_project()
    painter.paint_anywhere()

    def full(file, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        painter.stroke((30, 10), (30, 50))
        qtbot.waitUntil(lambda: painter.tab.anywhere.failure is not None, timeout=20_000)
        assert "disk is full" in painter.tab.anywhere_panel.error.headline.text()
        assert (np.asarray(painter.layer.data) == 2).any()
    painter.settle()
    qtbot.waitUntil(lambda: painter.tab.anywhere.failure is None, timeout=20_000)
    np.testing.assert_array_equal(painter.corrections(), np.asarray(painter.layer.data))
    assert (painter.corrections() == 2).any()


def test_in_3d_a_large_volume_is_not_read_whole_and_a_layer_that_is_removed_is_saved(
    painter, viewer, monkeypatch
):
    monkeypatch.setattr("napari_vesselkd.plugin.anywhere.WHOLE_3D", 1000)
    painter.open_project()
    painter.paint_anywhere()
    painter.stroke((30, 10), (30, 50))
    viewer.dims.ndisplay = 3
    assert not painter.layer.visible
    viewer.dims.ndisplay = 2
    assert painter.layer.visible
    viewer.layers.remove(painter.layer)
    painter.settle()
    assert not painter.tab.anywhere.opened
    assert (painter.corrections() == 2).any()


def test_what_is_painted_when_the_project_is_closed_at_once_is_there(painter):
    painter.open_project()
    painter.paint_anywhere()
    painter.stroke((30, 10), (30, 50))
    painter.session.close()
    painter.settle()
    painter.open_project()
    assert (painter.corrections() == 2).any()


def test_an_image_of_one_slice(viewer, dock, qtbot, tmp_path):
    pytest.importorskip("tifffile").imwrite(tmp_path / "flat.tif", np.full((60, 80), 100, np.uint16))
    from napari_vesselkd.project import Project
    from napari_vesselkd.volume import open_volume

    with open_volume(tmp_path / "flat.tif") as volume:
        Project.create(tmp_path / "flat.vesselkd", volume).close()
    painter = Painter(viewer, dock, qtbot, tmp_path / "flat.vesselkd")
    painter.open_project()
    painter.paint_anywhere()
    assert painter.layer.ndim == painter.session.layer.ndim
    painter.stroke((30, 10), (30, 50))
    painter.settle()
    assert (painter.corrections()[0, 30, 12:48] == 2).all()


def test_a_project_that_cannot_be_written_refuses_with_a_reason(painter, viewer, monkeypatch):
    from napari_vesselkd.project import Project

    with Project.open(painter.path):
        painter.open_project()
        assert not painter.tab.anywhere_panel.button.isEnabled()
        assert "read-only" in painter.tab.anywhere_panel.button.toolTip()
        painter.tab.anywhere.open()
        assert PAINTING not in viewer.layers
