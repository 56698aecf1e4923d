"""The pictures of codes: bars, dots and thumbnails, chosen with the mouse."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_vesselkd.patterns.notes import stable_colour
from napari_vesselkd.plugin.codes.colours import colours_of, layer_colours, ramp_colour, rgba
from napari_vesselkd.plugin.codes.gallery import CodeGallery, Place
from napari_vesselkd.plugin.codes.histogram import Bar, CodeHistogram, scale_marks
from napari_vesselkd.plugin.codes.plane_view import CodebookPlot

LEFT = Qt.MouseButton.LeftButton
CTRL = Qt.KeyboardModifier.ControlModifier
BARS = [Bar(7, 1000, "#ff0000", "stem"), Bar(3, 100, "#00ff00"), Bar(9, 10, "#0000ff"), Bar(1, 1, "#ffff00")]


@pytest.fixture
def pressed():
    """What a view said was chosen, in order."""
    return []


@pytest.fixture
def histogram(qtbot, pressed):
    view = CodeHistogram("nothing yet")
    qtbot.addWidget(view)
    view.resize(330, view.sizeHint().height())
    view.show()
    view.chosen_pressed.connect(lambda *what: pressed.append(what))
    return view


@pytest.fixture
def plot(qtbot, pressed):
    view = CodebookPlot("nothing yet")
    qtbot.addWidget(view)
    view.resize(330, view.sizeHint().height())
    view.show()
    view.chosen_pressed.connect(lambda *what: pressed.append(what))
    return view


def middle(view, index):
    return view.bar_rect(index).center().toPoint()


def drag(view, first, last):
    QTest.mousePress(view, LEFT, Qt.KeyboardModifier.NoModifier, first)
    QTest.mouseMove(view, QPoint((first.x() + last.x()) // 2, (first.y() + last.y()) // 2))
    QTest.mouseMove(view, last)
    QTest.mouseRelease(view, LEFT, Qt.KeyboardModifier.NoModifier, last)


def pixel(view, at):
    """The colour on screen at a place of `view`."""
    shown = view.grab().toImage()
    ratio = shown.devicePixelRatio()
    return shown.pixelColor(round(at.x() * ratio), round(at.y() * ratio))


def test_bars_are_as_high_as_the_logarithm_of_their_counts(histogram):
    histogram.show_bars(BARS, 1111)
    heights = [histogram.bar_rect(index).height() for index in range(4)]
    steps = np.diff(heights)
    assert heights == sorted(heights, reverse=True)
    assert np.allclose(steps, steps[0], atol=0.5)
    assert heights[-1] > 3
    assert pixel(histogram, middle(histogram, 0)).red() > 200


def test_a_click_on_a_bar_chooses_its_code_and_ctrl_adds(histogram, pressed, qtbot):
    histogram.show_bars(BARS, 1111)
    qtbot.mouseClick(histogram, LEFT, pos=middle(histogram, 1))
    qtbot.mouseClick(histogram, LEFT, CTRL, pos=middle(histogram, 2))
    assert pressed == [((3,), False), ((9,), True)]


def test_a_drag_over_bars_chooses_all_of_them_in_either_direction(histogram, pressed):
    histogram.show_bars(BARS, 1111)
    drag(histogram, middle(histogram, 0), middle(histogram, 2))
    drag(histogram, middle(histogram, 3), middle(histogram, 2))
    drag(histogram, middle(histogram, 1), QPoint(329, 60))
    assert pressed == [((7, 3, 9), False), ((9, 1), False), ((3, 9, 1), False)]


def test_a_click_beside_the_bars_chooses_nothing(histogram, pressed, qtbot):
    histogram.show_bars(BARS, 1111)
    qtbot.mouseClick(histogram, LEFT, pos=QPoint(300, 60))
    assert pressed == [((), False)]


def test_arrow_keys_go_to_the_neighbour_and_escape_lets_go(histogram, pressed):
    histogram.show_bars(BARS, 1111)
    histogram.show_chosen((3,))
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Escape):
        QTest.keyClick(histogram, key)
    assert pressed == [((9,), False), ((7,), False), ((), False)]


def test_what_is_not_chosen_is_faded(histogram):
    histogram.show_bars(BARS, 1111)
    before = pixel(histogram, middle(histogram, 0))
    histogram.show_chosen((3,))
    after = pixel(histogram, middle(histogram, 0))
    assert after.saturation() < before.saturation()


def test_an_empty_histogram_says_what_is_missing_and_chooses_nothing(histogram, pressed, qtbot):
    qtbot.mouseClick(histogram, LEFT, pos=QPoint(100, 60))
    assert pressed == []
    assert not histogram.grab().isNull()


def test_dots_lie_as_their_points_and_grow_with_use(plot):
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    plot.show_codes(points, (0.5, 0.25), BARS, "colour: code")
    places = plot.positions()
    assert places[1, 0] > places[0, 0]
    assert places[2, 1] < places[0, 1]
    assert plot._radii[0] == plot._radii.max()
    assert (np.diff(plot._radii) < 0).all()


def test_a_click_takes_the_nearest_dot_and_a_frame_all_inside(plot, pressed, qtbot):
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    plot.show_codes(points, (0.5, 0.25), BARS, "")
    places = [QPoint(round(x), round(y)) for x, y in plot.positions()]
    qtbot.mouseClick(plot, LEFT, pos=places[1] - QPoint(3, 3))
    qtbot.mouseClick(plot, LEFT, CTRL, pos=places[3])
    qtbot.mouseClick(plot, LEFT, pos=QPoint(165, 110))
    drag(plot, places[0] + QPoint(-9, 9), places[1] + QPoint(9, -40))
    assert pressed == [((3,), False), ((1,), True), ((), False), ((7, 3), False)]


def test_codes_that_lie_on_one_point_are_drawn(plot):
    plot.show_codes(np.zeros((4, 2)), (0.0, 0.0), BARS, "")
    assert np.isfinite(plot.positions()).all()
    assert not plot.grab().isNull()


@pytest.fixture
def gallery(qtbot):
    view = CodeGallery("nothing chosen")
    qtbot.addWidget(view)
    view.resize(330, 100)
    view.show()
    return view


def places(count):
    return [Place(index % 2, (0, 0, index), index / 10) for index in range(count)]


def test_thumbnails_stand_in_rows_and_a_click_says_which(gallery, qtbot):
    shown = []
    gallery.pressed.connect(shown.append)
    gallery.show_places(places(6), ["#ff0000"] * 6)
    first, fifth = gallery.cell_rect(0), gallery.cell_rect(4)
    assert fifth.top() > first.bottom()
    assert gallery.cell_rect(3).right() <= gallery.width()
    assert gallery.height() >= fifth.bottom()
    qtbot.mouseClick(gallery, LEFT, pos=fifth.center())
    assert shown == [4]
    assert gallery.current == 4


def test_a_thumbnail_keeps_its_proportions(gallery):
    gallery.show_places(places(1), ["#ff0000"])
    gallery.show_picture(gallery.places[0], np.full((10, 40), 255, np.uint8))
    box = gallery.cell_rect(0)
    side = box.width()
    assert pixel(gallery, QPoint(box.left() + side // 2, box.top() + side // 2)).lightness() > 240
    assert pixel(gallery, QPoint(box.left() + side // 2, box.top() + side // 8)).lightness() < 240


def test_pictures_of_places_that_stay_are_kept(gallery):
    gallery.show_places(places(3), ["#ff0000"] * 3)
    second = gallery.places[1]
    gallery.show_picture(second, np.zeros((8, 8), np.uint8))
    gallery.show_places(places(5)[::-1], ["#ff0000"] * 5)
    assert gallery.missing() == [place for place in places(5)[::-1] if place != second]
    gallery.show_places([*places(1), Place(5, (9, 9, 9), 0.0)], ["#ff0000"] * 2)
    assert len(gallery.missing()) == 2
    gallery.show_picture(second, np.zeros((8, 8), np.uint8))
    assert len(gallery.missing()) == 2


def test_colours_of_codes_are_stable_and_the_users_own_come_first():
    found = colours_of(300, {4: "#123456"})
    assert found[4] == "#123456"
    assert found[5] == stable_colour(5) == colours_of(6, {})[5]
    near = [np.subtract(rgba(found[i])[:3], rgba(found[i + 1])[:3]) for i in range(20, 200)]
    assert min(np.abs(one).sum() for one in near) > 0.2


def test_a_layer_shows_the_chosen_codes_and_fades_the_others():
    every = layer_colours(["#ff0000", "#00ff00"], ())
    assert every[1] == (1, 0, 0, 1)
    assert every[2] == (0, 1, 0, 1)
    assert every[0][3] == 0
    only = layer_colours(["#ff0000", "#00ff00"], (1, 99))
    assert set(only) == {None, 0, 2}
    assert 0 < only[None][3] < 0.5


def test_shares_run_from_blue_to_red():
    low, high = rgba(ramp_colour(0.0)), rgba(ramp_colour(1.0))
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert ramp_colour(7.0) == ramp_colour(1.0)


def test_the_scale_is_marked_at_round_counts():
    assert scale_marks(4) == [1, 2]
    assert scale_marks(60) == [1, 2, 5, 10, 20, 50]
    assert scale_marks(12_345) == [1, 10, 100, 1000, 10_000]
