"""The scale, the ticks and the points of a plot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vesselkd.plugin.curves import CurvePlot, Series, scale_of, thinned, ticks, value_at

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_a_scale_holds_its_values_and_has_round_ticks_inside(values):
    low, high = scale_of(values)
    assert low < high
    assert low <= min(values)
    assert high >= max(values)
    marks = ticks(low, high)
    assert 1 <= len(marks) <= 5
    assert all(low - 1e-6 * abs(low) <= mark <= high + 1e-6 * abs(high) for mark in marks)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_scale_of_scores_stays_between_0_and_1(values):
    low, high = scale_of(values, unit_range=True)
    assert 0 <= low < high <= 1


def test_long_curves_are_thinned_and_keep_their_last_point():
    points = [(step, 1 / (step + 1)) for step in range(10_001)]
    kept = thinned(points)
    assert len(kept) <= 602
    assert kept[-1] == points[-1]
    assert list(thinned(points[:50])) == points[:50]


@pytest.mark.parametrize(("step", "value"), [(0, 1.0), (14, 1.0), (16, 2.0), (999, 3.0)])
def test_the_value_under_the_mouse_is_that_of_the_nearest_point(step, value):
    assert value_at([(10, 1.0), (20, 2.0), (30, 3.0)], step) == value


def test_a_plot_paints_its_curves_and_its_empty_text(qtbot):
    plot = CurvePlot("nothing yet")
    qtbot.addWidget(plot)
    plot.resize(300, 112)
    empty = plot.grab().toImage()
    plot.show_series([Series("loss", "#ff0000", ((10, 1.0), (20, 0.5)))], 100)
    drawn = plot.grab().toImage()
    assert drawn != empty
    reds = [
        (x, y) for x in range(300) for y in range(20, 112)
        if drawn.pixelColor(x, y).red() > 200 and drawn.pixelColor(x, y).green() < 80
    ]  # fmt: skip
    assert min(x for x, _ in reds) < 80
    assert max(x for x, _ in reds) < 130
