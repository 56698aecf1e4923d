"""Curves in a dock: a small plot that paints itself in the colours of napari's theme.

A plotting library would cost the GUI thread 0.3 s when it is first imported, for two plots of some hundred
points. Points are (step, value).
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.plugin.job_stages import Point

HEIGHT = 112
MOST_POINTS = 600
FONT = 11  # pixels
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 20, 18
LEGEND = 4.0  # pixels left of it
LINE = 15  # pixels that one more line of the legend takes
MARK, SPACE = 17, 14  # pixels of the coloured mark before a name, and of the room behind it


@dataclass(frozen=True)
class Series:
    """One curve: its name in the legend, its colour as ``#rrggbb`` and its points."""

    name: str
    colour: str
    points: tuple[Point, ...]


class CurvePlot(QWidget):
    """Up to a few curves over the same steps; the value under the mouse is shown in the legend.

    Parameters
    ----------
    empty : str
        What stands there while there is no point.
    unit_range : bool
        Whether values are scores, 0..1: the scale never leaves that range.
    """

    def __init__(self, empty: str, *, unit_range: bool = False) -> None:
        super().__init__()
        self.series: tuple[Series, ...] = ()
        self._empty, self._unit_range = empty, unit_range
        self._steps = 1
        self._hover: int | None = None
        self._more = 0  # pixels of the legend below its first line
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_series(self, series: Sequence[Series], steps: int) -> None:
        """Show these curves over 0..`steps`; repaints only when something changed."""
        shown = tuple(series)
        if shown == self.series and steps == self._steps:
            return
        self.series, self._steps = shown, max(1, steps)
        self._fit()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, HEIGHT + self._more)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def mouseMoveEvent(self, event: Any) -> None:
        area = self._area()
        share = (event.position().x() - area.left()) / max(1.0, area.width())
        self._hover = round(min(1.0, max(0.0, share)) * self._last_step())
        self.update()

    def leaveEvent(self, _event: Any) -> None:
        self._hover = None
        self.update()

    def paintEvent(self, _event: Any) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = self.font()
        font.setPixelSize(FONT)
        painter.setFont(font)
        values = [value for one in self.series for _, value in one.points]
        if values:
            low, high = scale_of(values, unit_range=self._unit_range)
            self._paint_grid(painter, low, high)
            for one in self.series:
                self._paint_curve(painter, one, low, high)
            self._paint_legend(painter)
        else:
            self._paint_empty(painter)
        painter.end()

    # The parts of the plot

    def _paint_grid(self, painter: QPainter, low: float, high: float) -> None:
        area = self._area()
        line, text = self._ink(0.16), self._ink(0.72)
        for value in ticks(low, high):
            y = self._y(value, low, high)
            painter.setPen(QPen(line, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            where = QRectF(0, y - 8, LEFT - 5, 16)
            painter.drawText(where, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{value:g}")
        painter.setPen(text)
        last = self._last_step()
        below = QRectF(area.left(), area.bottom() + 3, area.width(), 14)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{last}")
        at = "steps" if self._hover is None else f"at step {self._hover}"
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, at)
        if self._hover is not None:
            x = self._x(self._hover)
            painter.setPen(QPen(self._ink(0.4), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _paint_curve(self, painter: QPainter, one: Series, low: float, high: float) -> None:
        points = [QPointF(self._x(step), self._y(value, low, high)) for step, value in thinned(one.points)]
        painter.setPen(QPen(QColor(one.colour), 1.8))
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(QColor(one.colour))
        painter.setPen(Qt.PenStyle.NoPen)
        for point in points if len(points) <= 24 else points[-1:]:
            painter.drawEllipse(point, 2.4, 2.4)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_legend(self, painter: QPainter) -> None:
        for one, text, x, y in self._legend():
            painter.setPen(QPen(QColor(one.colour), 3))
            painter.drawLine(QPointF(x, y + 9), QPointF(x + 12, y + 9))
            painter.setPen(self._ink(0.9))
            painter.drawText(QPointF(x + MARK, y + 13), text)

    def _legend(self) -> list[tuple[Series, str, float, float]]:
        """Return each curve with its text and where it begins; lines that are full are followed by others."""
        metrics, placed = self._metrics(), []
        x, y = LEGEND, 0.0
        for one in self.series:
            if not one.points:
                continue
            width = MARK + metrics.horizontalAdvance(f"{one.name} 0.000")  # whatever the mouse is over
            if x > LEGEND and x + width > self.width():
                x, y = LEGEND, y + LINE
            placed.append((one, self._value_text(one), x, y))
            x += width + SPACE
        return placed

    def _value_text(self, one: Series) -> str:
        """Return the name of a curve with its last value, or with the one under the mouse."""
        value = one.points[-1][1] if self._hover is None else value_at(one.points, self._hover)
        return f"{one.name} {value:.3g}" if value >= 1 else f"{one.name} {value:.3f}"

    def _metrics(self) -> QFontMetrics:
        font = self.font()
        font.setPixelSize(FONT)
        return QFontMetrics(font)

    def _fit(self) -> None:
        """Take the height that the legend needs."""
        legend = self._legend()
        more = round(legend[-1][3]) if legend else 0
        if more != self._more:
            self._more = more
            self.updateGeometry()

    def _paint_empty(self, painter: QPainter) -> None:
        area = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(self._ink(0.2), 1, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(area, 3, 3)
        painter.setPen(self._ink(0.72))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(area.adjusted(12, 4, -12, -4), int(flags), self._empty)

    # Where things lie

    def _area(self) -> QRectF:
        top = TOP + self._more
        return QRectF(LEFT, top, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - top - BOTTOM))

    def _last_step(self) -> int:
        return max([self._steps, *(one.points[-1][0] for one in self.series if one.points)])

    def _x(self, step: int) -> float:
        area = self._area()
        return float(area.left() + area.width() * step / self._last_step())

    def _y(self, value: float, low: float, high: float) -> float:
        area = self._area()
        return float(area.bottom() - area.height() * (value - low) / (high - low))

    def _ink(self, strength: float) -> QColor:
        colour = QColor(self.palette().windowText().color())
        colour.setAlphaF(strength)
        return colour


def scale_of(values: Sequence[float], *, unit_range: bool = False) -> tuple[float, float]:
    """Return the lowest and highest value of a scale that holds `values` with a little room."""
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 0.02 * max(abs(high), 1e-6), 0.01 if unit_range else 0.0)
    low, high = low - room, high + room
    return (max(0.0, low), min(1.0, high)) if unit_range else (low, high)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return two to `most` round values inside low..high, a step of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + index) * step, 12) for index in range(count)]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> Sequence[Point]:
    """Return at most about `most` of the points, the last one among them."""
    stride = -(-len(points) // most)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def value_at(points: Sequence[Point], step: int) -> float:
    """Return the value of the point nearest to `step`."""
    index = bisect_left(points, (step, -math.inf))
    near = points[max(0, index - 1) : index + 1]
    return min(near, key=lambda point: abs(point[0] - step))[1]
