"""Exploring codes as a person does: clicks on the Codes page, clicks on the canvas."""

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from napari_vesselkd.plugin.codes.panel import CodesPanel
from napari_vesselkd.plugin.parts import style_sheet
from napari_vesselkd.plugin.segment_state import Phase
from napari_vesselkd.plugin.segment_tab import SegmentTab
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents

CODE_MAP = "brain-teacher-small.codes.ome.zarr"


class CodesDock(QWidget):
    """The Codes page alone, in a dock 350 pixels wide."""

    def __init__(self, viewer):
        super().__init__()
        self.viewer = viewer
        self.events = ViewerEvents(viewer)
        self.session = ProjectSession(viewer, self.events)
        self.segment = SegmentTab(viewer, self.events, self.session)
        self.panel = CodesPanel(viewer, self.events, self.session, self.segment)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(10, 8, 10, 8)
        column.addWidget(self.panel)
        self.area.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.area)
        self.setFixedWidth(350)
        viewer.events.theme.connect(self.dress)
        self.dress()

    def dress(self, _event=None):
        self.setStyleSheet(style_sheet(self.viewer.theme))

    def release(self):
        self.viewer.events.theme.disconnect(self.dress)
        self.events.close()
        for part in (self.segment, self.panel, self.session):
            part.release()

    @property
    def tasks(self):
        own = [self.segment._task, self.segment._estimating, self.segment._loading, self.session._task]
        return [*self.panel.tasks, *[task for task in own if task is not None]]


class Explorer:
    """Works on the Codes page of one dock."""

    def __init__(self, viewer, dock, qtbot):
        self.viewer, self.dock, self.panel, self.qtbot = viewer, dock, dock.panel, qtbot
        panel = dock.panel
        self.form, self.run = panel.run.form, panel.run

    def settle(self):
        """Wait until no worker is at work and nothing is about to begin."""
        self.qtbot.waitUntil(lambda: self.panel.idle, timeout=120_000)

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def map_codes(self, where="Whole"):
        """Press Map codes and wait for the end."""
        self.settle()
        self.form.region.choice.button(where).click()
        self.settle()
        self.click(self.form.run)
        self.qtbot.waitUntil(lambda: not self.run.state.phase.active, timeout=120_000)
        self.settle()
        assert self.run.state.phase is Phase.FINISHED, self.run.state

    @property
    def canvas(self):
        return self.viewer.window._qt_viewer.canvas.native

    def pixel(self, layer, y, x):
        """Return where the voxel (y, x) of an image layer is on the canvas."""
        camera = self.viewer.scene.camera
        index = [0.0] * layer.ndim
        index[-2:] = y, x
        world = np.asarray(layer.data_to_world(index))[-2:]
        size = np.asarray(self.viewer.canvas.size)
        row, column = (world - np.asarray(camera.center[-2:])) * camera.zoom + size / 2
        return QPoint(round(column), round(row))

    def click_voxel(self, layer, y, x):
        """Click on the canvas where the voxel (y, x) of the slice that is shown lies."""
        at = self.pixel(layer, y, x)
        QTest.mouseMove(self.canvas, at)
        self.qtbot.wait(20)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
        self.qtbot.wait(20)
        self.settle()

    def drag_voxels(self, layer, first, last):
        """Drag the mouse from one voxel (y, x) to another."""
        start, stop = self.pixel(layer, *first), self.pixel(layer, *last)
        QTest.mouseMove(self.canvas, start)
        self.qtbot.wait(20)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
        for share in (0.3, 0.6, 1.0):
            QTest.mouseMove(self.canvas, start + (stop - start) * share)
            self.qtbot.wait(20)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, stop)
        self.qtbot.wait(20)
        self.settle()
