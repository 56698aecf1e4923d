"""The histogram of codes: a bar for each, chosen with the mouse.

Counts are drawn on a logarithmic scale, so that rare codes can be seen beside frequent ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.plugin.codes.painting import DRAG, adds, begin, ink, paint_empty

HEIGHT = 128
LEFT, RIGHT, TOP, BOTTOM = 40, 6, 20, 6
LEAST = 0.5  # of the scale: one place is still a bar
FADE = 0.28


@dataclass(frozen=True)
class Bar:
    """One code: its number, how many cells have it, its colour as ``#rrggbb``, its name ("" without one)."""

    code: int
    count: int
    colour: str
    name: str = ""


class CodeHistogram(QWidget):
    """Bars of codes in the order given.

    `chosen_pressed` carries the codes that were clicked or dragged over, and whether they are added to what
    is chosen.
    """

    chosen_pressed = Signal(tuple, bool)

    def __init__(self, empty: str) -> None:
        super().__init__()
        self.bars: tuple[Bar, ...] = ()
        self.chosen: frozenset[int] = frozenset()
        self._empty = empty
        self._cells = 0
        self._hover: int | None = None
        self._pressed: QPointF | None = None
        self._dragged: QPointF | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_bars(self, bars: Sequence[Bar], cells: int) -> None:
        """Show these bars; `cells` is what their counts are shares of."""
        self.bars, self._cells = tuple(bars), cells
        self._hover = None
        self.update()

    def show_chosen(self, codes: Sequence[int]) -> None:
        self.chosen = frozenset(codes)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, HEIGHT)

    def bar_rect(self, index: int) -> QRectF:
        """Return where the bar at `index` is drawn."""
        area, width = self._area(), self._width()
        top = self._y(self.bars[index].count)
        gap = 1.0 if width >= 4 else 0.0
        return QRectF(area.left() + index * width, top, max(1.0, width - gap), area.bottom() - top)

    # The mouse

    def mousePressEvent(self, event: Any) -> None:
        self._pressed, self._dragged = event.position(), None

    def mouseMoveEvent(self, event: Any) -> None:
        at = event.position()
        if self._pressed is not None and abs(at.x() - self._pressed.x()) >= DRAG:
            self._dragged = at
        self._hover = self._index(at.x())
        self.update()

    def mouseReleaseEvent(self, event: Any) -> None:
        if self._pressed is None:
            return
        ends = self._pressed.x(), event.position().x()
        dragged, self._pressed, self._dragged = self._dragged is not None, None, None
        if self.bars:
            self.chosen_pressed.emit(self._inside(*ends) if dragged else self._at(ends[1]), adds(event))
        self.update()

    def leaveEvent(self, _event: Any) -> None:
        self._hover = None
        self.update()

    def keyPressEvent(self, event: Any) -> None:
        """Choose the neighbour with the arrow keys; nothing with Escape."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        places = [at for at, bar in enumerate(self.bars) if bar.code in self.chosen]
        if event.key() == Qt.Key.Key_Escape:
            self.chosen_pressed.emit((), False)
        elif step is not None and self.bars:
            at = (places[0 if step < 0 else -1] + step) if places else 0
            self.chosen_pressed.emit((self.bars[at % len(self.bars)].code,), False)
        else:
            super().keyPressEvent(event)

    # The picture

    def paintEvent(self, _event: Any) -> None:
        painter = begin(self)
        if self.bars:
            self._paint_scale(painter)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            self._paint_bars(painter)
            self._paint_drag(painter)
            painter.setPen(ink(self, 0.9))
            line = QRectF(2, 1, self.width() - 4, TOP - 4)
            painter.drawText(line, int(Qt.AlignmentFlag.AlignLeft), self._caption())
        else:
            paint_empty(self, painter, self._empty)
        painter.end()

    def _paint_scale(self, painter: QPainter) -> None:
        area = self._area()
        for value in scale_marks(self._most()):
            y = self._y(value)
            painter.setPen(QPen(ink(self, 0.16), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(ink(self, 0.72))
            text = QRectF(0, y - 8, LEFT - 5, 16)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(text, int(flags), _short(value))

    def _paint_bars(self, painter: QPainter) -> None:
        for index, bar in enumerate(self.bars):
            colour = QColor(bar.colour)
            if self.chosen and bar.code not in self.chosen:
                colour.setAlphaF(FADE)
            painter.fillRect(self.bar_rect(index), colour)
        for index, bar in enumerate(self.bars):
            if bar.code in self.chosen or index == self._hover:
                box = self.bar_rect(index)
                under = QRectF(box.left(), self._area().bottom() + 1, max(2.0, box.width()), 3)
                painter.fillRect(under, ink(self, 0.9 if bar.code in self.chosen else 0.45))

    def _paint_drag(self, painter: QPainter) -> None:
        if self._pressed is None or self._dragged is None:
            return
        area = self._area()
        low, high = sorted((self._pressed.x(), self._dragged.x()))
        painter.fillRect(QRectF(low, area.top(), high - low, area.height()), ink(self, 0.15))

    def _caption(self) -> str:
        if self._hover is None:
            return f"cells with each code · {len(self.bars)} codes shown"
        bar = self.bars[self._hover]
        name = f" {bar.name}" if bar.name else ""
        share = bar.count / max(1, self._cells)
        return f"code {bar.code}{name} · {bar.count:,} cells · {share:.2%}"

    # Where things lie

    def _area(self) -> QRectF:
        return QRectF(LEFT, TOP, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - TOP - BOTTOM))

    def _width(self) -> float:
        return min(18.0, float(self._area().width()) / max(1, len(self.bars)))

    def _index(self, x: float) -> int | None:
        at = self._bar(x)
        inside = -1 <= at < len(self.bars) + 3  # a bar is thin: the border is part of the outermost ones
        return min(max(at, 0), len(self.bars) - 1) if self.bars and inside else None

    def _bar(self, x: float) -> int:
        return math.floor((x - float(self._area().left())) / self._width())

    def _at(self, x: float) -> tuple[int, ...]:
        index = self._index(x)
        return () if index is None else (self.bars[index].code,)

    def _inside(self, one: float, other: float) -> tuple[int, ...]:
        low, high = sorted((self._bar(one), self._bar(other)))
        return tuple(bar.code for bar in self.bars[max(0, low) : max(0, high + 1)])

    def _most(self) -> int:
        return max((bar.count for bar in self.bars), default=1)

    def _y(self, count: float) -> float:
        area = self._area()
        span = math.log10(max(2.0, float(self._most())) / LEAST)
        share = math.log10(max(count, LEAST) / LEAST) / span
        return float(area.bottom() - area.height() * share)


def scale_marks(most: int) -> list[int]:
    """Return the counts that are marked on a logarithmic scale up to `most`: powers of ten, or finer."""
    powers = [10**power for power in range(math.floor(math.log10(max(1, most))) + 1)]
    if len(powers) > 2:
        return powers
    return [value for power in powers for value in (power, 2 * power, 5 * power) if value <= max(1, most)]


def _short(value: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value // unit} {letter}"
    return str(value)
