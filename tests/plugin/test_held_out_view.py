"""The picture of a held-out block is cut where training drew its panels."""

import numpy as np
from qtpy.QtGui import QImage

from napari_vesselkd.plugin.held_out_view import STRIP_GAP, HeldOutView
from napari_vesselkd.training import validation


def test_the_four_panels_are_shown_two_by_two_without_the_gaps_between_them(qtbot):
    assert STRIP_GAP == validation.GAP
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    strip = np.full((48, 4 * 48 + 3 * STRIP_GAP, 3), 255, np.uint8)
    for index, colour in enumerate(colours):
        strip[:, index * (48 + STRIP_GAP) : index * (48 + STRIP_GAP) + 48] = colour
    rows, columns, _ = strip.shape
    view = HeldOutView()
    qtbot.addWidget(view)
    view.resize(306, 100)
    pixels = strip.tobytes()  # the image does not keep them
    view.show_picture(QImage(pixels, columns, rows, 3 * columns, QImage.Format.Format_RGB888))
    view.show()
    shown = view.grab().toImage()
    assert view.height() == 2 * (150 + 16) + 6
    for index, colour in enumerate(colours):
        x, y = (index % 2) * 156, (index // 2) * 172 + 16
        for dx, dy in ((3, 3), (75, 75), (146, 146)):
            assert shown.pixelColor(x + dx, y + dy).getRgb()[:3] == colour
