"""The picture of a held-out block in the dock: image, truth, before and now, two by two."""

from typing import Any

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

CAPTIONS = ("image", "truth", "before", "now")
GAP, CAPTION = 6, 16
STRIP_GAP = 4  # pixels between two panels of the strip, as `training.validation` draws it


class HeldOutView(QWidget):
    """Cuts a strip of four panels side by side, image | truth | before | now, and shows it two by two."""

    def __init__(self) -> None:
        super().__init__()
        self.picture: QImage | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(policy)
        self.setToolTip(
            "A held-out block: it is not learned from. Before: the current checkpoint. Now: this run"
        )
        self.setVisible(False)

    def show_picture(self, picture: QImage | None) -> None:
        """Show `picture`; None hides the view."""
        if picture is self.picture:
            return
        self.picture = picture
        self.setVisible(picture is not None)
        self._fit()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(300, self.height())

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def paintEvent(self, _event: Any) -> None:
        if self.picture is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        font = self.font()
        font.setPixelSize(11)
        painter.setFont(font)
        ink = QColor(self.palette().windowText().color())
        ink.setAlphaF(0.72)
        painter.setPen(ink)
        width, height = self._panel()
        side = self._side()
        for index, caption in enumerate(CAPTIONS):
            x = (index % 2) * (width + GAP)
            y = (index // 2) * (height + CAPTION + GAP)
            painter.drawText(QRect(x, y, width, CAPTION), int(Qt.AlignmentFlag.AlignLeft), caption)
            source = QRectF(index * (side + STRIP_GAP), 0, side, self.picture.height())
            painter.drawImage(QRectF(x, y + CAPTION, width, height), self.picture, source)
        painter.end()

    def _side(self) -> float:
        """Return the width of one panel of the strip, in its pixels."""
        gaps = STRIP_GAP * (len(CAPTIONS) - 1)
        return 1.0 if self.picture is None else (self.picture.width() - gaps) / len(CAPTIONS)

    def _panel(self) -> tuple[int, int]:
        if self.picture is None:
            return 1, 1
        width = max(1, (self.width() - GAP) // 2)
        height = round(width * self.picture.height() / self._side())
        return width, max(1, height)

    def _fit(self) -> None:
        if self.picture is not None:
            self.setFixedHeight(2 * (self._panel()[1] + CAPTION) + GAP)
