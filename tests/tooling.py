"""Using the tools of the Correct tab as a person does: keys and clicks on the canvas, buttons of the dock."""

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from correcting import CELL, Corrector
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.plugin.tools.catalogue import BY_NAME
from tubes import picture, tube_mask

SIZE = (2.0, 1.0, 1.0)
SHAPE = (24, 96, 96)
TRUNK_Y, TWINS_Y, HOLLOW_Y, DEPTH = 16, (58, 66), 82, 12


def planted():
    """Return an image (z, y, x) and labels of it with one error for each tool.

    The trunk along x at y 16 has a gap at x 40 to 50 and a false spur at x 70; a false piece lies at (12, 38,
    20); twins along x at y 58 and 66 are fused at x 40 to 50; of a vessel at y 82 only the wall is labelled.
    """

    def tube(start, stop, radius):
        return tube_mask(SHAPE, start, stop, radius, SIZE)

    trunk = tube((DEPTH, TRUNK_Y, 4), (DEPTH, TRUNK_Y, 91), 3.2)
    twins = np.any([tube((DEPTH, y, 4), (DEPTH, y, 91), 3.1) for y in TWINS_Y], axis=0)
    full = tube((DEPTH, HOLLOW_Y, 4), (DEPTH, HOLLOW_Y, 91), 7.2)
    truth = trunk | twins | full
    labels = truth & ~tube((DEPTH, HOLLOW_Y, 2), (DEPTH, HOLLOW_Y, 93), 4.4)
    labels[:, :24, 40:51] = False
    labels |= tube((DEPTH, TRUNK_Y, 70), (DEPTH, TRUNK_Y + 13, 76), 1.6)
    labels |= tube((DEPTH, 38, 18), (DEPTH, 38, 22), 3.0)
    labels[DEPTH - 1 : DEPTH + 2, 58:67, 42:49] = True
    image = picture(truth, noise=4.0).clip(0, 255) * 20
    return image.astype(np.uint16), labels.astype(np.uint8)


def give_labels(project, voxels):
    """Give `project` labels as a segmentation leaves them."""
    image = project.image
    labels = LabelStore.create(project.labels_path, image.shape, image.voxel_size_um, chunk=(16, 32, 32))
    whole = Region.whole(image.shape)
    labels.write(whole, voxels)
    record = RunRecord.create(
        project.labels_path, image.shape, CELL, {"volume": image.signature}, region=str(whole)
    )
    record.track_uncertainty()
    record.mark(whole, voxels, np.full(record.done.shape, 0.5, np.float32))


class Proofreader(Corrector):
    """Uses the tools on blocks of one project."""

    @property
    def desk(self):
        return self.tab.desk

    @property
    def tools(self):
        return self.panel.tools

    @property
    def hand(self):
        return self.desk.hand

    @property
    def voxels(self):
        """What the block on screen holds, (z, y, x)."""
        return self.tab.block.voxels()

    @property
    def said(self):
        """Everything that the tools' part of the tab says now."""
        labels = (self.tools.title, self.tools.message, self.tools.line, self.tools.proposal)
        return "\n".join(label.text() for label in labels if label.isVisible())

    @property
    def proposal(self):
        """The layer of the proposal where it is visible."""
        found = [one for one in self.viewer.layers if one.name == "vesselkd: proposal" and one.visible]
        return found[0] if found else None

    def open_block(self, region=None):
        """Open a block of a region of the volume, else the whole volume; the canvas has the keys."""
        project = self.project
        self.tab.blocks.open(lambda: project.edit(region or Region.whole(project.image.shape)))
        self.settle()
        self.at(DEPTH)

    def start(self):
        """Begin again: nothing in hand, everything undone, the whole volume as the open block."""
        if self.tab.block is not None:
            self.desk.leave()
            while self.project.history.can_undo:
                self.tab.undo()
                self.settle()
        self.viewer.dims.order = (0, 1, 2)
        self.open_block()

    def at(self, z):
        self.viewer.dims.set_point(0, z * SIZE[0])
        self.qtbot.wait(20)

    def pick(self, name):
        """Take a tool in hand by its key."""
        keys = BY_NAME[name].shortcut.keys
        shift = keys.startswith("Shift+")
        modifier = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        self.press_key(getattr(Qt.Key, f"Key_{keys[-1]}"), modifier)

    def press_key(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self.key(key, modifier)
        self.settle()

    def enter(self):
        self.press_key(Qt.Key.Key_Return)

    def escape(self):
        self.press_key(Qt.Key.Key_Escape)

    def undo(self):
        self.press_key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def spot(self, *voxel):
        """Return where a voxel (z, y, x) of the volume is on the canvas, in 2D of any axis order or 3D."""
        own = np.subtract(voxel, self.tab.block.region.start)[-self.layer.ndim :]
        if self.viewer.dims.ndisplay == 3:
            node = self.viewer.window._qt_viewer.canvas.layer_to_visual[self.layer].node
            found = node.get_transform("visual", "canvas").map([*(own[::-1] + 0.5), 1])
            return QPoint(round(found[0] / found[3]), round(found[1] / found[3]))
        world = np.asarray(self.layer.data_to_world(own))
        shown = np.array(self.viewer.dims.displayed) - (self.viewer.dims.ndim - self.layer.ndim)
        camera, size = self.viewer.scene.camera, np.asarray(self.viewer.canvas.size)
        row, column = (world[shown] - np.asarray(camera.center[-2:])) * camera.zoom + size / 2
        return QPoint(round(column), round(row))

    def touch(self, *voxel, settle=True):
        """Click with the mouse on a voxel (z, y, x) of the volume."""
        place = self.spot(*voxel)
        QTest.mouseMove(self.canvas, place)
        self.qtbot.wait(20)
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        self.qtbot.wait(10)
        if settle:
            self.settle()

    def draw(self, *voxels):
        """Draw with the mouse through voxels (z, y, x) of the volume."""
        QTest.mouseMove(self.canvas, self.spot(*voxels[0]))
        self.qtbot.wait(20)
        self._button(QTest.mousePress, voxels[0])
        for voxel in voxels[1:]:
            QTest.mouseMove(self.canvas, self.spot(*voxel))
            self.qtbot.wait(20)
        self._button(QTest.mouseRelease, voxels[-1])
        self.settle()

    def _button(self, do, voxel):
        do(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self.spot(*voxel))
        self.qtbot.wait(10)
