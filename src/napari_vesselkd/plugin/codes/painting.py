"""What the pictures of codes share: the ink of napari's theme, a small font, and how a press chooses."""

from typing import Any

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QWidget

FONT = 11  # pixels
DRAG = 4.0  # pixels that the mouse moves before a press becomes a drag


def ink(widget: QWidget, strength: float) -> QColor:
    """Return the colour of the theme's text, `strength` 0..1 of it."""
    colour = QColor(widget.palette().windowText().color())
    colour.setAlphaF(strength)
    return colour


def begin(widget: QWidget) -> QPainter:
    """Return a painter of `widget` with the small font."""
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    font = widget.font()
    font.setPixelSize(FONT)
    painter.setFont(font)
    return painter


def paint_empty(widget: QWidget, painter: QPainter, text: str) -> None:
    """Draw a dashed frame with what is missing."""
    area = QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
    painter.setPen(QPen(ink(widget, 0.2), 1, Qt.PenStyle.DashLine))
    painter.drawRoundedRect(area, 3, 3)
    painter.setPen(ink(widget, 0.72))
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    painter.drawText(area.adjusted(12, 4, -12, -4), int(flags), text)


def adds(event: Any) -> bool:
    """Return whether a press adds to what is chosen (Ctrl, Shift or Cmd is held)."""
    held = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    return bool(event.modifiers() & (held | Qt.KeyboardModifier.MetaModifier))
