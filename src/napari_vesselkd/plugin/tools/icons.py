"""The small pictures on the tools' buttons: vessels grey, what a tool adds green, what it takes away pink.

Notation: places are in a square of 20 x 20, y downwards.
"""

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap

from napari_vesselkd.plugin.tools.proposal_layer import ADDED_COLOUR, REMOVED_COLOUR

SIDE = 20
VESSEL = "#a6abb5"
At = tuple[float, float]


@dataclass(frozen=True)
class Pencil:
    """Draws lines and discs on a picture."""

    painter: QPainter

    def line(self, *points: At, colour: str = VESSEL, width: float = 3.2, dots: bool = False) -> None:
        pen = QPen(QColor(colour), width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
        if dots:
            pen.setDashPattern([0.1, 1.7])
        self.painter.setPen(pen)
        self.painter.drawPolyline([QPointF(*point) for point in points])

    def disc(self, at: At, radius: float, colour: str = VESSEL) -> None:
        self.painter.setPen(Qt.PenStyle.NoPen)
        self.painter.setBrush(QColor(colour))
        self.painter.drawEllipse(QPointF(*at), radius, radius)
        self.painter.setBrush(Qt.BrushStyle.NoBrush)

    def oval(self, box: tuple[float, float, float, float], colour: str = VESSEL, width: float = 2.4) -> None:
        self.painter.setPen(QPen(QColor(colour), width))
        self.painter.drawEllipse(QRectF(*box))

    def glass(self) -> None:
        """Draw a magnifying glass in the lower right corner."""
        self.oval((11.2, 11.2, 5.4, 5.4), VESSEL, 1.4)
        self.line((16.2, 16.2), (18.6, 18.6), width=1.7)


def picture(tool: str) -> QPixmap:
    """Return the picture of a tool."""
    image = QPixmap(SIDE * 2, SIDE * 2)
    image.setDevicePixelRatio(2)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _DRAW[tool](Pencil(painter))
    painter.end()
    return image


def _connect(pencil: Pencil) -> None:
    pencil.line((1.8, 14), (5.5, 12))
    pencil.line((14.5, 8), (18.2, 6))
    pencil.line((8, 11), (12, 9), colour=ADDED_COLOUR)


def _join(pencil: Pencil) -> None:
    pencil.line((10, 10), (10, 10), colour=ADDED_COLOUR, width=7)
    pencil.disc((4.8, 10), 4)
    pencil.disc((15.2, 10), 4)


def _between(pencil: Pencil) -> None:
    for y in (8, 10.4, 12.8):
        pencil.line((6.6, y), (13.4, y), colour=ADDED_COLOUR, width=1.6)
    pencil.oval((4, 2, 12, 4.6), width=2)
    pencil.oval((4, 13.8, 12, 4.6), width=2)


def _fill(pencil: Pencil) -> None:
    pencil.disc((10, 10), 5, ADDED_COLOUR)
    pencil.oval((3, 3, 14, 14), width=3)


def _brush(pencil: Pencil) -> None:
    pencil.line((3, 16), (7, 14.5), (11, 15.8), colour=ADDED_COLOUR, width=4)
    pencil.line((10.5, 11), (17, 3), width=2.6)
    pencil.line((8.6, 13), (10, 11.4), width=4)


def _piece(pencil: Pencil) -> None:
    pencil.line((6.5, 12.5), (11, 9), (13.5, 9.5), colour=REMOVED_COLOUR, width=6)


def _spur(pencil: Pencil) -> None:
    pencil.line((11.5, 11), (14.5, 4), colour=REMOVED_COLOUR)
    pencil.line((2, 14.5), (10, 13.5), (18, 14.5))


def _cut(pencil: Pencil) -> None:
    pencil.line((2, 12), (7.6, 10.8))
    pencil.line((12.4, 9.2), (18, 8))
    pencil.line((8.7, 4.5), (11.3, 15.5), colour=REMOVED_COLOUR, width=2)


def _split(pencil: Pencil) -> None:
    pencil.line((6, 3), (7.4, 10), (6, 17), width=4)
    pencil.line((14, 3), (12.6, 10), (14, 17), width=4)
    pencil.line((10, 4), (10, 16), colour=REMOVED_COLOUR, width=1.8)


def _fit(pencil: Pencil) -> None:
    pencil.line((2, 10), (18, 10), width=5)
    pencil.line((2, 5.4), (18, 5.4), colour=ADDED_COLOUR, width=1.8)
    pencil.line((2, 14.6), (18, 14.6), colour=REMOVED_COLOUR, width=1.8)


def _gaps(pencil: Pencil) -> None:
    pencil.line((2, 9), (4.6, 8))
    pencil.line((12.5, 5), (17, 3.4))
    pencil.line((7, 7.2), (10, 6), colour=ADDED_COLOUR)
    pencil.glass()


def _spurs(pencil: Pencil) -> None:
    pencil.line((7, 8.5), (10.5, 2.5), colour=REMOVED_COLOUR)
    pencil.line((2, 11), (8, 10))
    pencil.glass()


def _pieces(pencil: Pencil) -> None:
    pencil.disc((5, 6), 3, REMOVED_COLOUR)
    pencil.disc((13.5, 4.6), 2.2, REMOVED_COLOUR)
    pencil.disc((5, 14.5), 1.8, REMOVED_COLOUR)
    pencil.glass()


def _lumens(pencil: Pencil) -> None:
    pencil.disc((7.5, 7.5), 3.2, ADDED_COLOUR)
    pencil.oval((2.2, 2.2, 10.6, 10.6), width=2.4)
    pencil.glass()


def _sure(pencil: Pencil) -> None:
    pencil.line((3, 10.5), (8, 15.5), (17, 4.5), width=3)


_DRAW: dict[str, Callable[[Pencil], None]] = {
    "connect": _connect,
    "join": _join,
    "interpolate": _between,
    "fill": _fill,
    "threshold brush": _brush,
    "delete piece": _piece,
    "delete spur": _spur,
    "cut": _cut,
    "split": _split,
    "fit to image": _fit,
    "gap": _gaps,
    "spur": _spurs,
    "false piece": _pieces,
    "lumen": _lumens,
    "sure pieces": _sure,
}
