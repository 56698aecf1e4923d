"""A picture in a dock: with its physical proportions, a scale bar, a cross, and clicks as shares of it."""

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vesselkd.projections.picture import length_text, nice_length

TALLEST = 380
SMALLEST_WITH_BAR = 70  # pixels
CROSS = QColor(255, 213, 74)
CROSS_GAP = 5  # pixels around the place itself
SHADE = QColor(0, 0, 0, 150)
MARGIN = 6
FONT = 11


class PictureView(QWidget):
    """Shows an RGB picture as large as fits, in the proportions that it has in the world.

    `clicked` and `hovered` carry the place as shares (down, across) of the picture, 0..1; `left` says that
    the mouse is gone; `scrolled` carries the steps of the wheel, if `wheel` is set. While somebody paints
    (`paint_with`), strokes of the left button are `pressed`, `dragged` and `released` instead of `clicked`.

    Parameters
    ----------
    follows_width : bool
        Whether the widget takes the height that its picture has at the width there is (at most `TALLEST`);
        else it fills what it is given.
    transposed : bool
        Whether rows of the picture are drawn as columns.
    """

    clicked = Signal(float, float)
    hovered = Signal(float, float)
    left = Signal()
    scrolled = Signal(int)
    pressed = Signal(float, float)
    dragged = Signal(float, float)
    released = Signal()

    def __init__(self, *, follows_width: bool = True, transposed: bool = False, wheel: bool = False) -> None:
        super().__init__()
        self._follows_width, self._transposed, self._wheel = follows_width, transposed, wheel
        self._pixmap: QPixmap | None = None
        self._source = QRectF()
        self._height_um = self._width_um = 1.0
        self._bar = False
        self._cross: tuple[float, float] | None = None
        self._title = ""
        self._overlay: QImage | None = None
        self._brush_um: float | None = None
        self._stroke = False
        self._mouse: QPointF | None = None
        self.setMouseTracking(True)
        vertical = QSizePolicy.Policy.Fixed if follows_width else QSizePolicy.Policy.Expanding
        self.setSizePolicy(QSizePolicy.Policy.Ignored, vertical)
        self.setMinimumHeight(20)

    @property
    def has_picture(self) -> bool:
        return self._pixmap is not None

    @property
    def cross(self) -> tuple[float, float] | None:
        """Where the cross is, as shares (down, across) of the picture; None where it is not."""
        return self._cross

    @property
    def shown_size(self) -> QSize:
        """The size of the picture on screen, in pixels."""
        return self.target().size().toSize()

    def show_picture(
        self,
        rgb: np.ndarray,
        height_um: float,
        width_um: float,
        *,
        source: tuple[float, float, float, float] | None = None,
        bar: bool = False,
    ) -> None:
        """Show a picture.

        Parameters
        ----------
        rgb : ndarray (rows, columns, 3) uint8
        height_um, width_um : float
            Size in the world.
        source : (top, left, bottom, right), optional
            The part of `rgb` to show, in shares of its height and width; all of it if not given.
        bar : bool, optional
            Whether to draw a scale bar.
        """
        if self._transposed:
            rgb, height_um, width_um = rgb.swapaxes(0, 1), width_um, height_um
        rows, columns, _ = rgb.shape
        pixels = np.ascontiguousarray(rgb).tobytes()  # the image does not keep them
        image = QImage(pixels, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self._pixmap = QPixmap.fromImage(image)
        top, left, bottom, right = source or (0.0, 0.0, 1.0, 1.0)
        if self._transposed:
            top, left, bottom, right = left, top, right, bottom
        self._source = QRectF(left * columns, top * rows, (right - left) * columns, (bottom - top) * rows)
        self._height_um, self._width_um, self._bar = height_um, width_um, bar
        self._fit()
        self.update()

    def show_nothing(self) -> None:
        """Take the picture away."""
        self._pixmap, self._cross = None, None
        self.update()

    def show_cross(self, place: tuple[float, float] | None) -> None:
        """Draw a cross at a place given as shares (down, across) of the picture."""
        if place != self._cross:
            self._cross = place
            self.update()

    def show_overlay(self, rgba: np.ndarray | None) -> None:
        """Lay colours (rows, columns, 4) uint8 over all of the picture; None takes them away."""
        self._overlay = None
        if rgba is not None:
            rgba = np.ascontiguousarray(rgba.swapaxes(0, 1) if self._transposed else rgba)
            rows, columns, _ = rgba.shape
            image = QImage(rgba.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888)
            self._overlay = image.copy()  # the bytes are not kept
        self.update()

    def paint_with(self, radius_um: float | None) -> None:
        """Let strokes paint with a brush of that radius, whose outline is shown; None ends that."""
        self._brush_um = radius_um
        self._stroke = self._stroke and radius_um is not None
        self.update()

    def show_title(self, text: str) -> None:
        """Write `text` into the upper left corner."""
        if text != self._title:
            self._title = text
            self.update()

    def target(self) -> QRectF:
        """Return where on the widget the picture is."""
        width, height = float(self.width()), float(TALLEST if self._follows_width else self.height())
        scale = min(width / self._width_um, height / self._height_um)
        size = (max(1.0, self._width_um * scale), max(1.0, self._height_um * scale))
        left = (width - size[0]) / 2 if self._follows_width else 0.0
        return QRectF(left, 0.0, size[0], size[1])

    def place(self, point: QPointF) -> tuple[float, float] | None:
        """Return the share (down, across) of the picture under a point of the widget, or None beside it."""
        target = self.target()
        if self._pixmap is None or not target.contains(point):
            return None
        down = (point.y() - target.top()) / target.height()
        across = (point.x() - target.left()) / target.width()
        return (across, down) if self._transposed else (down, across)

    def point(self, down: float, across: float) -> QPointF:
        """Return the point of the widget where a share (down, across) of the picture is."""
        if self._transposed:
            down, across = across, down
        target = self.target()
        return QPointF(target.left() + across * target.width(), target.top() + down * target.height())

    # Qt's events

    def mousePressEvent(self, event: Any) -> None:
        place = self.place(event.position())
        if place is None or event.button() != Qt.MouseButton.LeftButton:
            return
        if self._brush_um is None:
            self.clicked.emit(*place)
        else:
            self._stroke = True
            self.setFocus()
            self.pressed.emit(*place)

    def mouseMoveEvent(self, event: Any) -> None:
        place = self.place(event.position())
        self.setCursor(Qt.CursorShape.ArrowCursor if place is None else Qt.CursorShape.CrossCursor)
        self._mouse = event.position()
        if self._stroke:
            self.dragged.emit(*self._nearest(event.position()))
        if self._brush_um is not None:
            self.update()
        if place is None:
            self.left.emit()
        else:
            self.hovered.emit(*place)

    def mouseReleaseEvent(self, event: Any) -> None:
        if self._stroke and event.button() == Qt.MouseButton.LeftButton:
            self._stroke = False
            self.released.emit()

    def leaveEvent(self, event: Any) -> None:
        super().leaveEvent(event)
        self._mouse = None
        self.update()
        self.left.emit()

    def wheelEvent(self, event: Any) -> None:
        steps = event.angleDelta().y() // 120
        wanted = self._wheel or self._brush_um is not None
        if not wanted or self._pixmap is None or steps == 0:
            event.ignore()
            return
        event.accept()
        self.scrolled.emit(steps)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._fit()

    def paintEvent(self, _event: Any) -> None:
        if self._pixmap is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        target = self.target()
        painter.drawPixmap(target, self._pixmap, self._source)
        if self._overlay is not None:
            painter.drawImage(target, self._overlay)
        if self._cross is not None and self._brush_um is None:
            self._draw_cross(painter, target)
        self._draw_brush(painter, target)
        font = QFont(self.font())
        font.setPixelSize(FONT)
        painter.setFont(font)
        if self._title:
            _draw_text(painter, self._title, QPointF(target.left() + MARGIN, target.top() + MARGIN))
        if self._bar and min(target.width(), target.height()) >= SMALLEST_WITH_BAR:
            self._draw_bar(painter, target)
        painter.end()

    def _fit(self) -> None:
        if self._follows_width and self._pixmap is not None:
            self.setFixedHeight(max(20, round(self.target().height())))

    def _nearest(self, point: QPointF) -> tuple[float, float]:
        """Return the share of the picture nearest to a point: a stroke may leave the picture."""
        target = self.target()
        down = min(max(0.0, (point.y() - target.top()) / target.height()), 1.0)
        across = min(max(0.0, (point.x() - target.left()) / target.width()), 1.0)
        return (across, down) if self._transposed else (down, across)

    def _draw_brush(self, painter: QPainter, target: QRectF) -> None:
        if self._brush_um is None or self._mouse is None:
            return
        radius = max(1.0, self._brush_um / self._width_um * target.width())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor("white"), 1))
        painter.drawEllipse(self._mouse, radius, radius)

    def _draw_cross(self, painter: QPainter, target: QRectF) -> None:
        assert self._cross is not None  # noqa: S101  asked before
        at = self.point(*self._cross)
        if not target.adjusted(-0.5, -0.5, 0.5, 0.5).contains(at):
            return
        painter.setPen(QPen(CROSS, 1))
        x, y = round(at.x()), round(at.y())
        painter.drawLine(round(target.left()), y, x - CROSS_GAP, y)
        painter.drawLine(x + CROSS_GAP, y, round(target.right()), y)
        painter.drawLine(x, round(target.top()), x, y - CROSS_GAP)
        painter.drawLine(x, y + CROSS_GAP, x, round(target.bottom()))

    def _draw_bar(self, painter: QPainter, target: QRectF) -> None:
        length_um = nice_length(self._width_um / 4)
        bar = length_um / self._width_um * target.width()
        text = length_text(length_um)
        metrics = painter.fontMetrics()
        wide = max(bar, metrics.horizontalAdvance(text))
        high = metrics.height() + 8
        box = QRectF(
            target.right() - wide - 3 * MARGIN,
            target.bottom() - high - 2 * MARGIN,
            wide + 2 * MARGIN,
            high + MARGIN,
        )
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(SHADE)
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(QColor("white"))
        painter.drawText(
            QRectF(box.left(), box.top() + 2, box.width(), metrics.height()),
            Qt.AlignmentFlag.AlignCenter,
            text,
        )
        left = box.center().x() - bar / 2
        painter.fillRect(QRectF(left, box.bottom() - 7, bar, 3), QColor("white"))


def _draw_text(painter: QPainter, text: str, corner: QPointF) -> None:
    metrics = painter.fontMetrics()
    box = QRectF(corner.x(), corner.y(), metrics.horizontalAdvance(text) + 8, metrics.height() + 2)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(SHADE)
    painter.drawRoundedRect(box, 3, 3)
    painter.setPen(QColor("white"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
