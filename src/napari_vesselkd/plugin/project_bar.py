"""The line above the tabs: which project is open, New and Open, read-only, Close."""

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents


class ProjectBar(QWidget):
    """Shows and changes the project of `session`."""

    def __init__(self, viewer: Any, events: ViewerEvents, session: ProjectSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
