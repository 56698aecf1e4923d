"""The reliability curve: what the calibrated probability says against what held-out corrections say."""

from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.proofreading.calibration import Reliability

HEIGHT, FONT = 150, 11
LEFT, RIGHT, TOP, BOTTOM = 44, 22, 8, 32
COLOUR = "#5a9bd8"
LEAST, MOST = 2.0, 6.0  # radius of a dot in pixels, for few and for most voxels


class ReliabilityView(QWidget):
    """Paints a `Reliability`: dots on the diagonal mean what they say; larger ones stand for more voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.reliability: Reliability | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_reliability(self, reliability: Reliability | None) -> None:
        """Show this curve; None takes no room."""
        self.setVisible(reliability is not None)
        if reliability != self.reliability:
            self.reliability = reliability
            self.setToolTip("" if reliability is None else _bins(reliability))
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, HEIGHT)

    def points(self) -> list[QPointF]:
        """Return where the dots are, in pixels."""
        return [self._at(said, seen) for said, seen, _ in self._known()]

    def paintEvent(self, _event: Any) -> None:
        if self.reliability is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = self.font()
        font.setPixelSize(FONT)
        painter.setFont(font)
        self._paint_axes(painter)
        points = self.points()
        painter.setPen(QPen(QColor(COLOUR), 1.8))
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(QColor(COLOUR))
        most = max(count for *_, count in self._known())
        for point, (*_, count) in zip(points, self._known(), strict=True):
            radius = LEAST + (MOST - LEAST) * (count / most) ** 0.5
            painter.drawEllipse(point, radius, radius)
        painter.end()

    def _paint_axes(self, painter: QPainter) -> None:
        area = self._area()
        painter.setPen(QPen(self._ink(0.2), 1))
        painter.drawRect(area)
        painter.setPen(QPen(self._ink(0.5), 1, Qt.PenStyle.DashLine))
        painter.drawLine(self._at(0, 0), self._at(1, 1))
        painter.setPen(self._ink(0.75))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in (0.0, 0.5, 1.0):
            y, x = self._at(0, value).y(), self._at(value, 0).x()
            painter.drawText(QRectF(0, y - 8, LEFT - 6, 16), right, f"{value:.0%}")
            box = QRectF(x - 30, area.bottom() + 2, 60, 14)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{value:.0%}")
        below = QRectF(area.left(), area.bottom() + 15, area.width(), 15)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, "what the model says (up: what is true)")

    def _known(self) -> list[tuple[float, float, int]]:
        found = self.reliability
        if found is None:
            return []
        triples = zip(found.said, found.seen, found.counts, strict=True)
        return [(a, b, n) for a, b, n in triples if a is not None and b is not None]

    def _area(self) -> QRectF:
        return QRectF(LEFT, TOP, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - TOP - BOTTOM))

    def _at(self, said: float, seen: float) -> QPointF:
        area = self._area()
        return QPointF(area.left() + said * area.width(), area.bottom() - seen * area.height())

    def _ink(self, strength: float) -> QColor:
        colour = QColor(self.palette().windowText().color())
        colour.setAlphaF(strength)
        return colour


def _bins(found: Reliability) -> str:
    lines = []
    for said, seen, count in zip(found.said, found.seen, found.counts, strict=True):
        if said is not None and seen is not None:
            lines.append(f"says {said:.0%}, is vessel in {seen:.0%} of {count:,} voxels")
    return "\n".join(lines)
