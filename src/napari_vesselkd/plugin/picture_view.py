"""A picture in a dock: as wide as the dock, with its physical proportions."""

from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy

TALLEST = 380


class PictureView(QLabel):
    """Shows an RGB picture scaled to the width there is, at most `TALLEST` pixels high."""

    def __init__(self) -> None:
        super().__init__()
        self._pixmap: QPixmap | None = None
        self._ratio = 1.0
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(20)

    def show_picture(self, rgb: np.ndarray, height_um: float, width_um: float) -> None:
        """Show `rgb`, (rows, columns, 3) uint8, that is `height_um` high and `width_um` wide in the world."""
        rows, columns, _ = rgb.shape
        pixels = np.ascontiguousarray(rgb).tobytes()  # the image does not keep them
        image = QImage(pixels, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self._pixmap = QPixmap.fromImage(image)
        self._ratio = height_um / width_um
        self._rescale()

    @property
    def shown_size(self) -> QSize:
        """The size of the picture on screen, in pixels."""
        return self.pixmap().size()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._rescale()

    def _rescale(self) -> None:
        if self._pixmap is None:
            return
        width = max(40, self.width())
        height = width * self._ratio
        if height > TALLEST:
            width, height = TALLEST / self._ratio, TALLEST
        size = QSize(max(1, round(width)), max(1, round(height)))
        mode = Qt.TransformationMode.SmoothTransformation
        self.setPixmap(self._pixmap.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, mode))
        self.setFixedHeight(size.height())
