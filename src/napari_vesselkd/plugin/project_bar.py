"""The line above the tabs: which project is open, New and Open, read-only, Close.

What went wrong with a project is said here, with the buttons that help; nothing opens by itself.
"""

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_vesselkd.plugin.layers import is_candidate, refusal, shown_by
from napari_vesselkd.plugin.parts import STRONG, ErrorPanel, Fact, NoticePanel
from napari_vesselkd.plugin.project_state import (
    BarPicture,
    ProjectView,
    draw_bar,
    proposed_path,
    with_ending,
)
from napari_vesselkd.plugin.run_panel import paint_button
from napari_vesselkd.plugin.session import ProjectSession
from napari_vesselkd.plugin.viewer_events import ViewerEvents
from napari_vesselkd.plugin.workers import Task, run
from napari_vesselkd.project import BlockState

IMAGES = "Images (*.tif *.tiff *.nii *.nii.gz *.h5 *.hdf5 *.mha *.mhd *.nrrd *.png *.jpg);;All files (*)"


class ProjectBar(QWidget):
    """Shows and changes the project of `session`."""

    def __init__(self, viewer: Any, events: ViewerEvents, session: ProjectSession) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self.title, self.fact = Elided(), Fact()
        self.title.setObjectName(STRONG)
        self.reviewer = QPushButton()
        self.reviewer.setFlat(True)
        self._task: Task | None = None
        self.new, self.open, self.close_button = QPushButton(), QPushButton(), QPushButton()
        self.find_file, self.find_folder = QPushButton("Find the file…"), QPushButton("Find the folder…")
        self.notices, self.error = NoticePanel(), ErrorPanel()
        self.dismiss = QPushButton("Dismiss")
        self.dismiss.setToolTip("Hide this message")
        self._lay_out()
        for button, call in (
            (self.new, self.ask_new),
            (self.open, self.ask_open),
            (self.close_button, session.close),
            (self.find_file, self.ask_file),
            (self.find_folder, self.ask_folder),
            (self.dismiss, session.dismiss),
            (self.reviewer, self.ask_reviewer),
        ):
            button.clicked.connect(lambda _=False, call=call: call())
        for signal in (session.changed, session.opened, session.closed, events.layers_changed):
            signal.connect(self.paint)
        self.paint()

    @property
    def image_layer(self) -> Any:
        """The layer a new project would be for: the selected image, else the last one."""
        layers = [layer for layer in self._viewer.layers if is_candidate(layer) and refusal(layer) is None]
        active = self._viewer.layers.selection.active
        return active if active in layers else (layers[-1] if layers else None)

    def ask_new(self) -> None:
        """Ask where the new project goes, and make it."""
        layer = self.image_layer
        if layer is None:
            return
        handle = shown_by(layer)
        source = None if handle is None or handle.volume is None else handle.volume.path
        proposal = proposed_path(layer.name, None if source is None else Path(source))
        proposal.parent.mkdir(parents=True, exist_ok=True)
        path, _ = QFileDialog.getSaveFileName(self, "New project", str(proposal), "Project (*.vesselkd)")
        if path:
            self._session.create(layer, with_ending(path))

    def ask_open(self) -> None:
        """Ask for a project folder, and open it."""
        path = QFileDialog.getExistingDirectory(self, "Open a project: NAME.vesselkd", str(self._near()))
        if path:
            self._session.open(path)

    def ask_file(self) -> None:
        """Ask where the image's file has moved to."""
        path, _ = QFileDialog.getOpenFileName(self, "The project's image", str(self._near()), IMAGES)
        if path:
            self._session.locate_image(path)

    def ask_folder(self) -> None:
        """Ask where the image's folder (OME-Zarr, TIFF slices) has moved to."""
        path = QFileDialog.getExistingDirectory(self, "The project's image", str(self._near()))
        if path:
            self._session.locate_image(path)

    def ask_reviewer(self) -> None:
        """Ask for the name under which strokes are kept."""
        project = self._session.project
        if project is None:
            return
        said = "Your name, for this project; empty for that of the account:"
        name, decided = QInputDialog.getText(self, "Reviewer", said, text=project.reviewer)
        if decided and name != project.reviewer:
            self._task = run(lambda: project.set_reviewer(name))  # another worker may hold the project
            self._task.done.connect(lambda _: self._session.notify())
            self._task.failed.connect(lambda failure: self._session.warn(failure.headline))
            self._task.start()

    def paint(self) -> None:
        """Show everything."""
        picture = draw_bar(self.view())
        self.title.show_text(picture.title, picture.title_tooltip)
        self.fact.show_text(picture.fact, problem=picture.fact_is_problem)
        self._paint_buttons(picture)
        self.notices.show_notices(picture.notices)
        self.error.show_failure(picture.failure)
        self.reviewer.setVisible(picture.reviewer is not None)
        if picture.reviewer is not None:
            paint_button(self.reviewer, picture.reviewer)
        for button in (self.find_file, self.find_folder):
            button.setVisible(picture.find_visible)
        self.dismiss.setVisible(picture.dismiss_visible)

    def view(self) -> ProjectView:
        """Return what is known about the project."""
        session, layer = self._session, self.image_layer
        name = "" if layer is None else layer.name
        project = session.project
        if project is None:
            return ProjectView(
                busy=session.busy, notices=session.notices, failure=session.failure, layer_name=name
            )
        missing = session.image_missing
        states = [block.state for block in project.blocks]
        image = project.image
        return ProjectView(
            path=project.path,
            image=str(image.path or image.name) if missing else image.name,
            image_missing=missing,
            read_only=project.read_only,
            accepted=states.count(BlockState.ACCEPTED),
            open_blocks=states.count(BlockState.OPEN),
            checkpoint=project.current,
            reviewer=project.reviewer,
            busy=session.busy,
            notices=session.notices,
            failure=session.failure,
            layer_name=name,
        )

    def _paint_buttons(self, picture: BarPicture) -> None:
        for button, state in (
            (self.new, picture.new),
            (self.open, picture.open),
            (self.close_button, picture.close),
        ):
            paint_button(button, state)
        self.new.setVisible(not picture.has_project)
        self.close_button.setVisible(picture.has_project)

    def _near(self) -> Path:
        """Return the folder that a dialog starts in."""
        project = self._session.project
        if project is not None:
            return project.path.absolute().parent
        layer = self.image_layer
        handle = None if layer is None else shown_by(layer)
        if handle is not None and handle.volume is not None and handle.volume.path is not None:
            return Path(handle.volume.path).absolute().parent
        return Path.home()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.title, stretch=1)
        for button in (self.new, self.open, self.close_button):
            line.addWidget(button)
        helps = QHBoxLayout()
        helps.setSpacing(4)
        helps.addWidget(self.find_file)
        helps.addWidget(self.find_folder)
        helps.addStretch(1)
        helps.addWidget(self.dismiss)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 6, 10, 6)
        column.setSpacing(3)
        column.addLayout(line)
        about = QHBoxLayout()
        about.addWidget(self.fact, stretch=1)
        about.addWidget(self.reviewer)
        column.addLayout(about)
        for widget in (self.error, self.notices):
            column.addWidget(widget)
        column.addLayout(helps)


class Elided(QLabel):
    """One line of text that is cut in its middle where there is no room; the tooltip has all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_text(self, text: str, tooltip: str = "") -> None:
        self._text = text
        self.setToolTip(tooltip or text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = max(20, self.width())
        self.setText(self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideMiddle, room))
