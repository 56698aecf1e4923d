"""The Look tab: projections of the volume, and what the codebook says about it."""

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vesselkd.plugin.looking.page import ProjectionsPage
from napari_vesselkd.plugin.parts import Choice
from napari_vesselkd.plugin.segment_tab import SegmentTab
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents

PROJECTIONS, CODES = "Projections", "Codes"


class LookTab(QWidget):
    """Look at an image layer of `viewer`: its projections, or its codes.

    Attributes
    ----------
    projections : ProjectionsPage
    codes : CodesPanel or None
        Made when it is first looked at.
    """

    def __init__(
        self, viewer: Any, events: ViewerEvents, session: ProjectSession, segment: SegmentTab
    ) -> None:
        super().__init__()
        self._made_of = (viewer, events, session, segment)
        self.projections = ProjectionsPage(viewer, events, segment, session)
        self.codes: Any = None
        self.page = Choice(
            [
                (PROJECTIONS, "Maximum-intensity projections of a slab"),
                (CODES, "Which patterns of the teacher's codebook the volume is made of"),
            ]
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        column.addWidget(self.page)
        column.addWidget(self.projections)
        self.page.changed.connect(self.show_page)

    def show_page(self, name: str) -> None:
        """Bring one page to the front."""
        self.page.choose(name)
        if name == CODES and self.codes is None:
            from napari_vesselkd.plugin.codes.panel import CodesPanel

            self.codes = CodesPanel(*self._made_of)
            self.layout().addWidget(self.codes)
        self.projections.setVisible(name == PROJECTIONS)
        if self.codes is not None:
            self.codes.setVisible(name == CODES)

    def release(self) -> None:
        """Stop: the viewer is closing."""
        self.projections.release()
        if self.codes is not None:
            self.codes.release()
