"""The picture of a stage in the dock: a held-out block, or patches and what was made of them."""

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

CAPTIONS = ("image", "truth", "before", "now")
PATCH_CAPTIONS = ("patches", "reconstructed from their codes")
HELD_OUT_TIP = "A held-out block: it is not learned from. Before: the current checkpoint. Now: this run"
PATCHES_TIP = "Patches, and what the teacher makes of their codes alone"
GAP, CAPTION = 6, 16
STRIP_GAP = 4  # pixels between two parts of the picture, as `training.validation` draws it
LEAST_PATCH = 64  # pixels on screen


@dataclass(frozen=True)
class Panel:
    """A part of the picture, what stands above it, and where it is shown."""

    caption: str
    source: QRectF
    target: QRect


class HeldOutView(QWidget):
    """Cuts a picture into its parts and shows them large enough for a dock.

    A held-out block is a strip of four, image | truth | before | now, shown two by two. Patches are a row
    above the row of their reconstructions; the first few are shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture: QImage | None = None
        self._patches = False
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(policy)
        self.setVisible(False)

    def show_picture(self, picture: QImage | None, *, patches: bool = False) -> None:
        """Show `picture`, of a held-out block or of patches; None hides the view."""
        if picture is self.picture and patches == self._patches:
            return
        self.picture, self._patches = picture, patches
        self.setToolTip(PATCHES_TIP if patches else HELD_OUT_TIP)
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
        for panel in self.panels():
            at = panel.target
            above = QRect(at.x(), at.y() - CAPTION, at.width(), CAPTION)
            painter.drawText(above, int(Qt.AlignmentFlag.AlignLeft), panel.caption)
            painter.drawImage(QRectF(at), self.picture, panel.source)
        painter.end()

    def panels(self) -> list[Panel]:
        """Return the parts of the picture and their places at the present width."""
        if self.picture is None:
            return []
        size = self.picture.width(), self.picture.height()
        return _patches(self.width(), *size) if self._patches else _two_by_two(self.width(), *size)

    def _fit(self) -> None:
        panels = self.panels()
        if panels:
            self.setFixedHeight(panels[-1].target.y() + panels[-1].target.height())


def _two_by_two(width: int, columns: int, rows: int) -> list[Panel]:
    side = (columns - STRIP_GAP * (len(CAPTIONS) - 1)) / len(CAPTIONS)
    across = max(1, (width - GAP) // 2)
    down = max(1, round(across * rows / side))
    return [
        Panel(
            caption,
            QRectF(index * (side + STRIP_GAP), 0, side, rows),
            QRect(
                (index % 2) * (across + GAP), CAPTION + (index // 2) * (down + CAPTION + GAP), across, down
            ),
        )
        for index, caption in enumerate(CAPTIONS)
    ]


def _patches(width: int, columns: int, rows: int) -> list[Panel]:
    side = (rows - STRIP_GAP) / 2
    there = round((columns + STRIP_GAP) / (side + STRIP_GAP))
    count = max(1, min(there, width // LEAST_PATCH))
    shown = count * (side + STRIP_GAP) - STRIP_GAP
    down = max(1, round(min(width, 2 * shown) * side / shown))
    across = min(width, round(2 * shown))
    return [
        Panel(
            caption,
            QRectF(0, row * (side + STRIP_GAP), shown, side),
            QRect(0, CAPTION + row * (down + CAPTION + GAP), across, down),
        )
        for row, caption in enumerate(PATCH_CAPTIONS)
    ]
