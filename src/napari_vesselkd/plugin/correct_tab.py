"""The Correct tab: blocks of the project, opened one after the other and painted on."""

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents


class CorrectTab(QWidget):
    """Correct blocks of the project of `session`."""

    def __init__(self, viewer: Any, events: ViewerEvents, session: ProjectSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session

    def release(self) -> None:
        """Stop: the viewer is closing."""
