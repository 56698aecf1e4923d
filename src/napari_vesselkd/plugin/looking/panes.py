"""The three projections of one region, side by side at one scale, with a cross where the cursor is."""

from typing import Any

from qtpy.QtCore import QRect, Signal
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.geometry import AXES
from napari_vesselkd.plugin.looking.picture_view import PictureView
from napari_vesselkd.plugin.looking.shots import Shot
from napari_vesselkd.plugin.looking.slabs import panes


class ThreePanes(QWidget):
    """z (y down, x across), right of it x (y down, z across), below it y (z down, x across).

    `picked` carries an axis and the share (down, across) of its picture that was clicked, `hovered` the same
    for the mouse; `scrolled` an axis and steps of the wheel; `left`: the mouse is gone.
    """

    picked = Signal(str, float, float)
    hovered = Signal(str, float, float)
    scrolled = Signal(str, int)
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[str, PictureView] = {}
        self.shots: dict[str, Shot] = {}
        self._lengths: tuple[float, float, float] = (1.0, 1.0, 1.0)
        for axis in AXES:
            view = PictureView(follows_width=False, transposed=axis == "x", wheel=True)
            view.setParent(self)
            view.setToolTip(f"Along {axis}. Click: go to that voxel; wheel: move the slab along {axis}")
            view.clicked.connect(lambda down, across, axis=axis: self.picked.emit(axis, down, across))
            view.hovered.connect(lambda down, across, axis=axis: self.hovered.emit(axis, down, across))
            view.scrolled.connect(lambda steps, axis=axis: self.scrolled.emit(axis, steps))
            view.left.connect(self.left)
            self.views[axis] = view
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(160)

    def set_lengths(self, lengths_um: tuple[float, float, float]) -> None:
        """Make room for pictures of a region of (z, y, x) um."""
        if lengths_um != self._lengths:
            self._lengths = lengths_um
            self._place()

    def pixels(self) -> int:
        """Return how many pixels of the screen the longest side of a pane has."""
        sides = [max(view.width(), view.height()) for view in self.views.values()]
        pixels: float = max(64, *sides) * self.devicePixelRatioF()
        return round(pixels)

    def show_shot(self, shot: Shot) -> None:
        """Show a picture in the pane of its axis."""
        self.shots[shot.axis] = shot
        rows, columns = shot.gray.shape
        top, left, bottom, right = shot.source
        self.views[shot.axis].show_picture(
            shot.preview,
            shot.height_um,
            shot.width_um,
            source=(top / rows, left / columns, bottom / rows, right / columns),
            bar=shot.known and shot.axis == "z",
        )
        self.views[shot.axis].show_title(shot.axis)

    def show_voxel(self, voxel: tuple[float, float, float]) -> None:
        """Draw the crosses at a voxel."""
        for axis, shot in self.shots.items():
            self.views[axis].show_cross(shot.share(voxel))

    def clear(self) -> None:
        """Take all pictures away."""
        self.shots.clear()
        for view in self.views.values():
            view.show_nothing()
            view.show_title("")

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        for axis, pane in panes(self._lengths, self.width(), self.height()).items():
            place = QRect(
                round(pane.left), round(pane.top), max(2, round(pane.width)), max(2, round(pane.height))
            )
            self.views[axis].setGeometry(place)
