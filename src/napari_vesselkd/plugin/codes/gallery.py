"""A gallery of places: small projections in rows, chosen with the mouse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.geometry import Shape
from napari_vesselkd.plugin.codes.painting import begin, ink, paint_empty

SIDE = 70  # pixels that a picture has about
GAP, TEXT = 4, 15
EMPTY_HEIGHT = 56


@dataclass(frozen=True)
class Place:
    """A place of the volume that has a code.

    Attributes
    ----------
    code : int
    cell : (z, y, x)
        On the codebook's grid.
    distance : float
        To the code, in units of the codebook's RMS.
    """

    code: int
    cell: Shape
    distance: float


class CodeGallery(QWidget):
    """Shows places and their pictures; `pressed` carries the index of the one that was clicked."""

    pressed = Signal(int)

    def __init__(self, empty: str) -> None:
        super().__init__()
        self.places: tuple[Place, ...] = ()
        self.current: int | None = None
        self._colours: tuple[str, ...] = ()
        self._pictures: dict[Place, QImage] = {}
        self._empty = empty
        self._hover: int | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit()

    @property
    def pictured(self) -> int:
        """How many places have their picture."""
        return len(self._pictures)

    def show_places(self, places: Sequence[Place], colours: Sequence[str]) -> None:
        """Show these places; pictures of places that stay are kept.

        Parameters
        ----------
        places : sequence of Place
        colours : sequence of str
            ``#rrggbb`` of each place's code.
        """
        kept = {place: self._pictures[place] for place in places if place in self._pictures}
        current = self.places[self.current] if self.current is not None else None
        self.current = next((at for at, place in enumerate(places) if place == current), None)
        self.places, self._colours, self._pictures = tuple(places), tuple(colours), kept
        self._hover = None
        self._fit()
        self.update()

    def say(self, text: str) -> None:
        """Show `text` while there is no place."""
        self._empty = text
        self.update()

    def show_picture(self, place: Place, picture: np.ndarray) -> None:
        """Show the projection (rows, columns) uint8 of a place, if it is still shown."""
        if place not in self.places:
            return
        rows, columns = picture.shape
        gray = np.ascontiguousarray(picture, dtype=np.uint8).tobytes()
        image = QImage(gray, columns, rows, columns, QImage.Format.Format_Grayscale8).copy()
        self._pictures[place] = image
        self.update(self.cell_rect(self.places.index(place)))

    def picture(self, index: int) -> QImage | None:
        return self._pictures.get(self.places[index])

    def missing(self) -> list[Place]:
        """Return the places that have no picture yet, in order."""
        return [place for place in self.places if place not in self._pictures]

    def sizeHint(self) -> QSize:
        return QSize(300, self.height())

    def cell_rect(self, index: int) -> QRect:
        """Return where the place at `index` is drawn, with its text."""
        columns, side = self._columns(), self._side()
        row, column = divmod(index, columns)
        return QRect(column * (side + GAP), row * (side + TEXT + GAP), side, side + TEXT)

    # The mouse

    def mouseMoveEvent(self, event: Any) -> None:
        self._hover = self._hit(event.position().toPoint())
        self.setCursor(
            Qt.CursorShape.ArrowCursor if self._hover is None else Qt.CursorShape.PointingHandCursor
        )
        self.setToolTip("" if self._hover is None else self._tip(self.places[self._hover]))
        self.update()

    def leaveEvent(self, _event: Any) -> None:
        self._hover = None
        self.update()

    def mouseReleaseEvent(self, event: Any) -> None:
        hit = self._hit(event.position().toPoint())
        if hit is not None:
            self.current = hit
            self.update()
            self.pressed.emit(hit)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    # The picture

    def paintEvent(self, event: Any) -> None:
        painter = begin(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if not self.places:
            paint_empty(self, painter, self._empty)
        for index, place in enumerate(self.places):
            box = self.cell_rect(index)
            if box.intersects(event.rect()):
                self._paint_place(painter, index, place, box)
        painter.end()

    def _paint_place(self, painter: QPainter, index: int, place: Place, box: QRect) -> None:
        side = box.width()
        frame = QRect(box.left(), box.top(), side, side)
        picture = self._pictures.get(place)
        painter.fillRect(frame, ink(self, 0.08))
        if picture is not None:
            painter.drawImage(_fitted(picture, frame), picture)
        strong = index in (self.current, self._hover)
        pen = QPen(ink(self, 0.95) if strong else QColor(self._colours[index]), 2)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(QRectF(frame).adjusted(1, 1, -1, -1))
        painter.setPen(ink(self, 0.72))
        below = QRect(box.left(), box.top() + side, side, TEXT)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignLeft), str(place.code))
        painter.drawText(below, int(Qt.AlignmentFlag.AlignRight), f"{place.distance:.2f}")

    def _tip(self, place: Place) -> str:
        z, y, x = place.cell
        return (
            f"Code {place.code} at cell {z}, {y}, {x}; distance to it {place.distance:.3f}. Click: go there"
        )

    def _hit(self, at: Any) -> int | None:
        return next((i for i in range(len(self.places)) if self.cell_rect(i).contains(at)), None)

    def _columns(self) -> int:
        return max(1, (int(self.width()) + GAP) // (SIDE + GAP))

    def _side(self) -> int:
        columns = self._columns()
        return max(16, (int(self.width()) - GAP * (columns - 1)) // columns)

    def _fit(self) -> None:
        rows = -(-len(self.places) // self._columns())
        height = rows * (self._side() + TEXT + GAP) if rows else EMPTY_HEIGHT
        if height != self.height():
            self.setFixedHeight(height)


def _fitted(picture: QImage, frame: QRect) -> QRectF:
    """Return the largest box of the picture's proportions inside `frame`."""
    scale = min(frame.width() / picture.width(), frame.height() / picture.height())
    width, height = picture.width() * scale, picture.height() * scale
    centre = QRectF(frame).center()
    return QRectF(centre.x() - width / 2, centre.y() - height / 2, width, height)
