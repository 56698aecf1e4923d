"""The list of blocks shows all of its reasons, however narrow it is."""

from napari_vesselkd.plugin.reviewing.list_view import ROWS, ReviewList
from napari_vesselkd.plugin.reviewing.rows import Row

LONG, SHORT = "246 unsure, 15 ends, mirror 116", "6 pieces"


def heights(view):
    return [view.visualItemRect(view.topLevelItem(row)).height() for row in range(view.topLevelItemCount())]


def test_reasons_take_as_many_lines_as_the_width_asks_for(qtbot):
    view = ReviewList()
    qtbot.addWidget(view)
    rows = tuple(Row("new", "", "0 · 64 · 128", why, "tip") for why in (LONG, SHORT) * ROWS)
    view.show_rows(rows, 0)
    view.resize(900, view.height())
    view.show()
    qtbot.waitExposed(view)
    qtbot.waitUntil(lambda: len(set(heights(view))) == 1)
    one_line, height = heights(view)[0], view.height()
    view.resize(260, view.height())
    qtbot.waitUntil(lambda: heights(view)[0] > 1.5 * one_line)
    assert heights(view)[1] == one_line
    qtbot.waitUntil(lambda: view.height() > height)
    room = view.viewport().height()
    assert abs(sum(heights(view)[:ROWS]) - room) <= 2  # six rows are seen, none cut
    view.resize(900, view.height())
    qtbot.waitUntil(lambda: set(heights(view)) == {one_line} and view.height() == height)
