"""Promises of what the quality of the open block says, without a window."""

import math

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.measure.betti import BettiNumbers
from napari_vesselkd.plugin.quality_state import MEASURING, Measured, Second, draw_quality
from napari_vesselkd.proofreading.reviewers import Agreement
from napari_vesselkd.proofreading.tools import Quality


def of(pieces=2, loops=0, ends=2, length=100.0, dice=math.nan):
    return Quality(500, 1000.0, length, ends, BettiNumbers(pieces, loops, 0), dice)


def lines(picture):
    return {line.name: line for line in picture.lines}


def test_before_the_first_measurement_and_without_a_block():
    waiting = draw_quality(None, Second(), open_=True)
    assert waiting.visible and waiting.lines == () and waiting.hint == MEASURING
    assert not draw_quality(None, Second(), open_=False).visible


def test_a_gap_that_is_closed_reads_as_better():
    found = lines(draw_quality(Measured(of(), of(1, 0, 0, 112.4)), Second(), open_=True))
    assert (found["pieces"].before, found["pieces"].now, found["pieces"].change) == ("2", "1", "−1")
    assert (found["open ends"].change, found["open ends"].tone) == ("−2", "good")
    assert found["length, µm"].change == "+12" and found["loops"].change == ""
    worse = lines(draw_quality(Measured(of(ends=2), of(ends=5)), Second(), open_=True))
    assert (worse["open ends"].change, worse["open ends"].tone) == ("+3", "bad")


def test_the_estimated_dice_is_offered_until_it_is_known():
    unknown = draw_quality(Measured(of(), of()), Second(), open_=True)
    assert unknown.estimate_visible and unknown.estimate.enabled and "est. Dice" not in lines(unknown)
    at_work = draw_quality(Measured(of(), of()), Second(), open_=True, estimating="The model looks")
    assert not at_work.estimate.enabled and at_work.hint == "The model looks"
    known = draw_quality(Measured(of(dice=0.8), of(dice=0.85)), Second(), open_=True)
    assert not known.estimate_visible
    assert lines(known)["est. Dice"].change == "+0.050" and lines(known)["est. Dice"].tone == "good"


def test_a_measurement_that_strokes_have_outrun_says_so():
    assert draw_quality(Measured(of(), of(), stale=True), Second(), open_=True).hint == MEASURING
    assert draw_quality(Measured(of(), of()), Second(), open_=True).hint == ""


def test_how_far_the_second_reviewer_agrees():
    region = Region((0, 0, 0), (2, 2, 2))
    found = Agreement("anna", region, 8, 0.5, math.nan, 1, 2, np.zeros((2, 2, 2), np.uint8), (0, 1, 1))
    picture = draw_quality(Measured(of(), of()), Second(("anna",), 0, found), open_=True)
    assert picture.agreement == "Dice 0.500 · clDice –" and "2 for anna only" in picture.differs
    assert picture.show.enabled and picture.go.enabled and picture.second_hint == ""
    same = Agreement("anna", region, 8, 1.0, 1.0, 0, 0, np.zeros((2, 2, 2), np.uint8), None)
    picture = draw_quality(Measured(of(), of()), Second(("anna",), 0, same), open_=True)
    assert not picture.show.enabled and picture.differs.startswith("No difference")
    assert "Nobody else" in draw_quality(Measured(of(), of()), Second(), open_=True).second_hint
