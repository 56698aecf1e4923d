"""The codebook as a plane: a dot for each code, as large as it is used, chosen with the mouse.

Notation: points are (N, 2), the first two principal components of the codes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.plugin.codes.histogram import Bar
from napari_vesselkd.plugin.codes.painting import DRAG, adds, begin, ink, paint_empty

HEIGHT = 220
MARGIN, BELOW, ABOVE = 14, 18, 18
SMALLEST, LARGEST = 2.2, 11.0  # radius of a dot, in pixels
REACH = 9.0  # pixels beyond a dot that still hit it
FADE = 0.3


class CodebookPlot(QWidget):
    """Dots of codes.

    `chosen_pressed` carries the codes that were clicked or framed, and whether they are added to what is
    chosen.
    """

    chosen_pressed = Signal(tuple, bool)

    def __init__(self, empty: str) -> None:
        super().__init__()
        self.bars: tuple[Bar, ...] = ()
        self.chosen: frozenset[int] = frozenset()
        self.legend = ""
        self._points = np.zeros((0, 2))
        self._explained = (0.0, 0.0)
        self._radii = np.zeros(0)
        self._empty = empty
        self._hover: int | None = None
        self._pressed: QPointF | None = None
        self._dragged: QPointF | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_codes(
        self, points: np.ndarray, explained: Sequence[float], bars: Sequence[Bar], legend: str
    ) -> None:
        """Show a dot for each code.

        Parameters
        ----------
        points : ndarray (N, 2)
        explained : sequence of float
            Share 0..1 of the variance along the two axes.
        bars : sequence of Bar
            Number, count, colour and name of the code of each point.
        legend : str
            What the colours mean.
        """
        self.bars, self.legend = tuple(bars), legend
        self._points = np.asarray(points, dtype=float).reshape(-1, 2)
        self._explained = (float(explained[0]), float(explained[1]))
        counts = np.array([bar.count for bar in self.bars], dtype=float)
        most = counts.max(initial=1.0) or 1.0
        self._radii = SMALLEST + (LARGEST - SMALLEST) * np.sqrt(counts / most)
        self._hover = None
        self.update()

    def show_chosen(self, codes: Sequence[int]) -> None:
        self.chosen = frozenset(codes)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, HEIGHT)

    def positions(self) -> np.ndarray:
        """Return where the dots are drawn, (N, 2) x, y in pixels."""
        area = self._area()
        if not len(self._points):
            return np.zeros((0, 2))
        low, high = self._range()
        share = (self._points - low) / (high - low)
        x = area.left() + share[:, 0] * area.width()
        y = area.bottom() - share[:, 1] * area.height()
        return np.stack([x, y], axis=1)

    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners of what is shown: the codes that are used; dead ones may lie far out."""
        used = np.array([bar.count > 0 for bar in self.bars])
        points = self._points[used] if used.sum() > 2 else self._points
        low, high = points.min(axis=0), points.max(axis=0)
        room = 0.06 * (high - low)
        return low - room, np.where(high > low, high + room, low + 1.0)

    # The mouse

    def mousePressEvent(self, event: Any) -> None:
        self._pressed, self._dragged = event.position(), None

    def mouseMoveEvent(self, event: Any) -> None:
        at = event.position()
        if self._pressed is not None and (at - self._pressed).manhattanLength() >= DRAG:
            self._dragged = at
        self._hover = self._hit(at)
        self.update()

    def mouseReleaseEvent(self, event: Any) -> None:
        if self._pressed is None:
            return
        frame = self._frame()
        self._pressed, self._dragged = None, None
        if frame is not None:
            inside = [frame.contains(QPointF(x, y)) for x, y in self.positions()]
            found = tuple(bar.code for bar, inner in zip(self.bars, inside, strict=True) if inner)
        else:
            hit = self._hit(event.position())
            found = () if hit is None else (self.bars[hit].code,)
        self.chosen_pressed.emit(found, adds(event))
        self.update()

    def leaveEvent(self, _event: Any) -> None:
        self._hover = None
        self.update()

    def _hit(self, at: QPointF) -> int | None:
        """Return the dot under the mouse, the nearest one where several are."""
        if not len(self._points):
            return None
        apart = np.linalg.norm(self.positions() - (at.x(), at.y()), axis=1)
        apart = np.where(apart <= self._radii, 0.01 * apart, apart - self._radii)
        nearest = int(apart.argmin())
        return nearest if apart[nearest] <= REACH else None

    def _frame(self) -> QRectF | None:
        if self._pressed is None or self._dragged is None:
            return None
        return QRectF(self._pressed, self._dragged).normalized()

    # The picture

    def paintEvent(self, _event: Any) -> None:
        painter = begin(self)
        if self.bars:
            self._paint_frame(painter)
            painter.setClipRect(self._inside())
            self._paint_dots(painter)
            painter.setClipping(False)
            self._paint_text(painter)
        else:
            paint_empty(self, painter, self._empty)
        painter.end()

    def _paint_dots(self, painter: QPainter) -> None:
        places = self.positions()
        for at in np.argsort(-self._radii, kind="stable"):  # small ones on top of large ones
            bar, radius = self.bars[at], float(self._radii[at])
            colour = QColor(bar.colour)
            faded = bool(self.chosen) and bar.code not in self.chosen
            colour.setAlphaF(FADE if faded else 0.85)
            centre = QPointF(*places[at])
            if bar.count:
                painter.setBrush(colour)
                painter.setPen(QPen(ink(self, 0.35 if not faded else 0.1), 0.8))
            else:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(ink(self, 0.35 if not faded else 0.18), 1.0))
            painter.drawEllipse(centre, radius, radius)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for at, bar in enumerate(self.bars):
            if bar.code in self.chosen or at == self._hover:
                painter.setPen(QPen(ink(self, 0.95), 1.8))
                ring = float(self._radii[at]) + 2.0
                painter.drawEllipse(QPointF(*places[at]), ring, ring)

    def _paint_frame(self, painter: QPainter) -> None:
        painter.setPen(QPen(ink(self, 0.2), 1))
        painter.drawRoundedRect(self._inside(), 3, 3)
        frame = self._frame()
        if frame is not None:
            painter.setPen(QPen(ink(self, 0.6), 1, Qt.PenStyle.DashLine))
            painter.setBrush(ink(self, 0.08))
            painter.drawRect(frame)
            painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_text(self, painter: QPainter) -> None:
        painter.setPen(ink(self, 0.9))
        above = QRectF(2, 1, self.width() - 4, ABOVE - 3)
        painter.drawText(above, int(Qt.AlignmentFlag.AlignLeft), self._caption())
        painter.setPen(ink(self, 0.72))
        below = QRectF(2, self.height() - BELOW + 4, self.width() - 4, BELOW - 4)
        both = sum(self._explained)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignRight), f"PCA, {both:.0%} of the variance")
        painter.drawText(below, int(Qt.AlignmentFlag.AlignLeft), self.legend)

    def _caption(self) -> str:
        if self._hover is None:
            return "click or frame codes · size: use"
        bar = self.bars[self._hover]
        name = f" {bar.name}" if bar.name else ""
        return f"code {bar.code}{name} · " + (f"{bar.count:,} cells" if bar.count else "never used")

    def _inside(self) -> QRectF:
        return QRectF(self.rect()).adjusted(0.5, ABOVE, -0.5, -BELOW + 2)

    def _area(self) -> QRectF:
        margin = MARGIN
        return QRectF(
            margin,
            ABOVE + margin,
            max(1, self.width() - 2 * margin),
            max(1, self.height() - ABOVE - BELOW - 2 * margin),
        )
