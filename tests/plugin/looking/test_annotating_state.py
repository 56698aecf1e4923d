"""The brush, and what the bar of painting on projections says."""

import numpy as np
import pytest

from napari_vesselkd.errors import RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.looking.annotating_state import (
    Painting,
    check_slab,
    describe_slabs,
    draw_painting,
    stamp,
)
from napari_vesselkd.project import BlockState, ReviewBlock

SLAB = Region((8, 0, 0), (24, 60, 90))


def painting(vessel=0, background=0, proposed=0, region=SLAB):
    return Painting(3, region, 0, vessel, background, 5400, True, False, proposed)


def drawn(one, refusal="", busy="", notice=""):
    return draw_painting(one, refusal=refusal, busy=busy, failure=None, notice=notice)


def test_a_brush_is_round_in_um():
    plane = np.zeros((40, 40), np.uint8)
    assert stamp(plane, ((20.0, 20.0), (20.0, 20.0)), 6.0, (2.0, 1.0), 2)
    rows, columns = np.nonzero(plane)
    assert np.ptp(rows) + 1 == 6 and np.ptp(columns) + 1 == 12
    away = np.hypot((rows + 0.5 - 20) * 2, columns + 0.5 - 20)
    assert away.max() <= 6 and plane.sum() / 2 == pytest.approx(np.pi * 36 / 2, rel=0.1)


def test_a_stroke_has_no_gaps_however_fast_it_is():
    plane = np.zeros((50, 50), np.uint8)
    stamp(plane, ((5.0, 5.0), (45.0, 40.0)), 1.0, (1.0, 1.0), 2)
    assert all(plane[row].any() for row in range(5, 45))


def test_a_brush_smaller_than_a_pixel_paints_the_pixel_under_it():
    plane = np.zeros((9, 9), np.uint8)
    stamp(plane, ((4.5, 4.5), (4.5, 4.5)), 0.1, (1.0, 1.0), 1)
    assert plane[4, 4] == 1 and (plane > 0).sum() == 1


def test_strokes_beyond_the_border_paint_what_is_inside():
    plane = np.zeros((9, 9), np.uint8)
    assert stamp(plane, ((0.0, 0.0), (0.0, 9.0)), 2.0, (1.0, 1.0), 2)
    assert plane[0].all() and not plane[4:].any()
    assert not stamp(plane, ((30.0, 30.0), (30.0, 30.0)), 2.0, (1.0, 1.0), 2)
    assert not stamp(plane, ((0.0, 0.0), (0.0, 9.0)), 2.0, (1.0, 1.0), 2)  # nothing new


def test_nothing_is_enabled_without_a_project_and_the_reason_is_said():
    picture = drawn(None, refusal="No project is open")
    assert not picture.start.enabled and picture.start.tooltip == "No project is open"
    assert not picture.tools_visible and not picture.accept.enabled


def test_buttons_come_with_what_is_painted():
    empty, some, shown = drawn(painting()), drawn(painting(vessel=9)), drawn(painting(9, 20, proposed=40))
    assert [one.accept.enabled for one in (empty, some, shown)] == [False, True, True]
    assert [one.show.enabled for one in (empty, some, shown)] == [False, True, True]
    assert [one.take.enabled for one in (empty, some, shown)] == [False, False, True]
    assert "Propose it in 3D first" in some.take.tooltip
    busy = drawn(painting(9, 20, 40), busy="Accepting…")
    assert not (busy.accept.enabled or busy.take.enabled or busy.undo) and busy.hint == "Accepting…"


def test_the_facts_name_slab_and_counts():
    text = drawn(painting(1200, 4146)).facts
    assert text == "MIP 3 along z · slices 8–24 · 1,200 vessel, 4,146 background, 1 % unlabelled"


def test_a_thick_slab_is_advised_against():
    thick = painting(vessel=1, region=Region((0, 0, 0), (200, 60, 90)))
    assert "8 to 32 slices" in drawn(thick).hint and "200" in drawn(thick).hint
    assert not drawn(painting(vessel=1)).hint


def test_only_projections_are_listed_the_newest_first():
    blocks = (
        ReviewBlock(1, SLAB),
        ReviewBlock(2, SLAB, axis=0, state=BlockState.ACCEPTED),
        ReviewBlock(3, SLAB, axis=2),
    )
    assert describe_slabs(blocks) == [(3, "MIP 3 · x 0–90 · open"), (2, "MIP 2 · z 8–24 · accepted")]


def test_a_slab_that_does_not_fit_memory_is_refused():
    with pytest.raises(RegionError, match="too large"):
        check_slab(Region((0, 0, 0), (64, 2048, 2048)))
    check_slab(Region((0, 0, 0), (16, 2048, 2048)))
