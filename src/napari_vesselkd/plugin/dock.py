"""The dock: one widget with a tab for each step of the loop."""

from contextlib import suppress
from typing import Any, Protocol

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QMainWindow, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_vesselkd.plugin.correct_tab import CorrectTab
from napari_vesselkd.plugin.learn_tab import LearnTab
from napari_vesselkd.plugin.looking.tab import LookTab
from napari_vesselkd.plugin.parts import style_sheet
from napari_vesselkd.plugin.project_bar import ProjectBar
from napari_vesselkd.plugin.quality import BlockQuality
from napari_vesselkd.plugin.segment_tab import SegmentTab
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.view_memory import ViewMemory
from napari_vesselkd.plugin.viewer_events import ViewerEvents

WIDTH = 350


class VesselKDDock(QWidget):
    """Segment vessel volumes, look at them, correct, learn.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer this dock belongs to; each viewer has its own.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        # napari hands plugins a proxy whose layers are new proxies at each look: they cannot be compared.
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._viewer = viewer
        self.events_ = ViewerEvents(viewer)
        self.session = ProjectSession(viewer, self.events_)
        self.bar = ProjectBar(viewer, self.events_, self.session)
        self.segment = SegmentTab(viewer, self.events_, self.session)
        self.look = LookTab(viewer, self.events_, self.session, self.segment)
        self.correct = CorrectTab(viewer, self.events_, self.session)
        self.quality = BlockQuality(viewer, self.session, self.correct)
        self.learn = LearnTab(viewer, self.session)
        self.learn.segment_again.connect(lambda: self.show_tab("Segment"))
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for name, tab in (
            ("Segment", self.segment),
            ("Look", self.look),
            ("Correct", self.correct),
            ("Learn", self.learn),
        ):
            self.tabs.addTab(_scrolling(tab), name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.bar)
        column.addWidget(self.tabs)
        self.memory = ViewMemory(viewer, self.session, self.correct, self.current_tab, self.show_tab)
        self._watching = False
        self.setMinimumWidth(340)
        viewer.events.theme.connect(self._dress)
        self._dress()
        tabs = (self.segment, self.look, self.quality, self.correct, self.learn)
        parts = (self.events_, self.memory, *tabs, self.session)
        self.destroyed.connect(lambda: _release(*parts))

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, 600)

    def current_tab(self) -> str:
        """Return the name of the tab in front."""
        return str(self.tabs.tabText(self.tabs.currentIndex()))

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        window = self.parentWidget()
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parentWidget()
        if window is not None and not self._watching:
            self._watching = True
            window.installEventFilter(self.memory)

    def show_tab(self, name: str) -> None:
        """Bring one tab to the front."""
        names = [self.tabs.tabText(index) for index in range(self.tabs.count())]
        self.tabs.setCurrentIndex(names.index(name))

    def _dress(self, _event: Any = None) -> None:
        self.setStyleSheet(style_sheet(self._viewer.theme))


def _scrolling(content: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    return area


class _Part(Protocol):
    def release(self) -> None: ...


def _release(events: ViewerEvents, *parts: _Part) -> None:
    """Stop everything; where Qt has deleted something already, the program is ending."""
    for stop in (events.close, *(part.release for part in parts)):
        with suppress(RuntimeError):
            stop()
