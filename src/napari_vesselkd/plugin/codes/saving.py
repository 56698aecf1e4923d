"""The histogram and the plane of the codebook as a picture file."""

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QWidget

from napari_vesselkd.errors import OutputError

SCALE = 3  # pixels of the file per pixel on screen
GAP = 8


def save_views(path: Path, views: Sequence[QWidget]) -> Path:
    """Save widgets, one below the other, in the colours they have on screen, as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    width = max(view.width() for view in views)
    height = sum(view.height() for view in views) + GAP * (len(views) - 1)
    image = QImage(SCALE * width, SCALE * height, QImage.Format.Format_RGB32)
    image.fill(views[0].palette().window().color())
    painter = QPainter(image)
    painter.scale(SCALE, SCALE)
    top = 0
    for view in views:
        view.render(painter, QPoint(0, top))
        top += view.height() + GAP
    painter.end()
    path = path if path.suffix else path.with_suffix(".png")
    aside = path.with_name(f".{path.stem}.part.png")
    large = image.size()
    image.setDotsPerMeterX(round(300 / 0.0254))
    image.setDotsPerMeterY(round(300 / 0.0254))
    if large.isEmpty() or not image.convertToFormat(
        QImage.Format.Format_RGB888, Qt.ImageConversionFlag.AutoColor
    ).save(str(aside), "PNG"):
        raise OutputError(
            "The picture cannot be written", value=path, remedy="Choose a folder that can be written"
        )
    aside.replace(path)
    return path
