"""Correcting blocks as a person does: clicks on the dock, strokes of the mouse on the canvas."""

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore, RunRecord

CELL = (16, 16, 16)


def give_labels(project):
    """Give `project` labels as a segmentation leaves them: the line is vessel, the last cells uncertain."""
    image = project.image
    labels = LabelStore.create(project.labels_path, image.shape, image.voxel_size_um, chunk=(16, 32, 32))
    voxels = np.zeros(image.shape, np.uint8)
    voxels[10:14, 20:24, :] = 1
    labels.write(Region.whole(image.shape), voxels)
    record = RunRecord.create(
        project.labels_path,
        image.shape,
        CELL,
        {"volume": image.signature},
        region=str(Region.whole(image.shape)),
    )
    record.track_uncertainty()
    counts = record.done.shape
    uncertainty = np.linspace(0.1, 0.9, int(np.prod(counts)), dtype=np.float32).reshape(counts)
    record.mark(Region.whole(image.shape), voxels, uncertainty)


class Corrector:
    """Corrects blocks of one project in one dock."""

    def __init__(self, viewer, dock, qtbot, path):
        self.viewer, self.dock, self.qtbot, self.path = viewer, dock, qtbot, path
        self.tab, self.panel, self.session = dock.correct, dock.correct.panel, dock.session
        dock.show_tab("Correct")
        self.panel.side.setValue(32)
        self.list_by("uncertainty")

    def list_by(self, order):
        """Choose the order of the list."""
        self.panel.order.setCurrentIndex(self.panel.order.findData(order))

    @property
    def project(self):
        return self.session.project

    @property
    def layer(self):
        return self.viewer.layers["vesselkd: block"]

    @property
    def journal(self):
        return self.tab.block.edit.path

    def settle(self):
        """Wait until no worker is at work and the list is shown."""
        tab = self.tab
        idle = lambda: not (self.session.busy or tab.busy)  # noqa: E731
        self.qtbot.waitUntil(idle, timeout=60_000)

    def open_project(self, path=None):
        self.session.open(path or self.path)
        self.settle()
        assert self.session.project is not None, self.session.problem

    def close_project(self):
        self.session.close()
        self.settle()

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def edit_here(self):
        self.click(self.panel.edit)
        assert self.tab.block is not None, self.tab._failure

    def pixel(self, y, x):
        """Return where the voxel (y, x) of the block's layer is on the canvas."""
        camera = self.viewer.scene.camera
        layer = self.layer
        index = [0.0] * layer.ndim
        index[-2:] = y, x
        world = np.asarray(layer.data_to_world(index))[-2:]
        size = np.asarray(self.viewer.canvas.size)
        row, column = (world - np.asarray(camera.center[-2:])) * camera.zoom + size / 2
        return QPoint(round(column), round(row))

    @property
    def canvas(self):
        return self.viewer.window._qt_viewer.canvas.native

    def press(self, *voxel):
        QTest.mouseMove(self.canvas, self.pixel(*voxel))
        self.qtbot.wait(20)
        QTest.mousePress(
            self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self.pixel(*voxel)
        )

    def move(self, *voxel):
        QTest.mouseMove(self.canvas, self.pixel(*voxel))
        self.qtbot.wait(20)  # napari takes mouse moves at most every 5 ms

    def let_go(self, *voxel):
        QTest.mouseRelease(
            self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self.pixel(*voxel)
        )
        self.qtbot.wait(10)

    def stroke(self, *voxels):
        """Draw with the mouse through voxels (y, x) of the block, in the slice that is shown."""
        self.press(*voxels[0])
        for voxel in voxels[1:]:
            self.move(*voxel)
        self.let_go(*voxels[-1])

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        QTest.keyClick(self.canvas, key, modifier)
        self.qtbot.wait(10)

    def states(self):
        """Return the list's first column."""
        items = self.panel.list
        return [items.topLevelItem(row).text(0) for row in range(items.topLevelItemCount())]
