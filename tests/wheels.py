"""The wheel of the mouse over a widget."""

from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent


def wheel(view, turn):
    """Return a turn of the wheel, in eighths of a degree, over the middle of a widget."""
    centre = QPointF(view.rect().center())
    return QWheelEvent(
        centre,
        QPointF(view.mapToGlobal(view.rect().center())),
        QPoint(),
        QPoint(0, turn),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
