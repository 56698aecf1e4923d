"""What the gate shows and allows, without a window."""

from dataclasses import replace

import pytest

from napari_vesselkd.plugin.judgement import GateState, Judged, draw_gate, needs_a_second_click

BLOCK = {
    "region": "0:32,0:64,64:128",
    "number": 4,
    "dice_new": 0.83,
    "dice_old": 0.84,
    "cldice_new": 0.85,
    "cldice_old": 0.86,
}
EVENT = {
    "report": "Judgement",
    "candidate": "finetune-001",
    "current": "student-coarse-z",
    "verdict": "better",
    "text": "Better on 2 held-out blocks",
    "dice_new": 0.842,
    "dice_old": 0.815,
    "cldice_new": 0.881,
    "cldice_old": 0.850,
    "dice_gain": [0.027, -0.004, 0.044],
    "cldice_gain": [0.031, 0.012, 0.050],
    "blocks": [BLOCK, BLOCK],
    "worst": BLOCK,
}
NOTHING = dict.fromkeys(("dice_new", "dice_old", "cldice_new", "cldice_old"), None)


@pytest.fixture
def better():
    return Judged.of(EVENT)


@pytest.fixture
def uncompared():
    gains = {"dice_gain": [None] * 3, "cldice_gain": [None] * 3}
    return Judged.of(
        {
            **EVENT,
            **NOTHING,
            **gains,
            "verdict": "no held-out blocks",
            "text": "None",
            "blocks": [],
            "worst": None,
        }
    )


def state(judged, **changes):
    return replace(GateState("finetune-001", judged, "auto"), **changes)


def test_a_better_one_shows_both_scores_the_gain_with_its_interval_and_is_promoted_in_one_click(better):
    picture = draw_gate(state(better))
    assert picture.tone == "good"
    assert picture.rows[0] == ("clDice", "0.850", "0.881", "+0.031\n+0.012…+0.050")
    assert picture.rows[1] == ("Dice", "0.815", "0.842", "+0.027\n−0.004…+0.044")
    assert picture.promote.enabled
    assert picture.promote.text == "Promote"
    assert picture.promote_first
    assert picture.keep.enabled
    assert "2 held-out blocks" in picture.basis


def test_the_worst_block_is_named_with_its_scores(better):
    worst = draw_gate(state(better)).worst
    assert worst.text == "Worst: block 4: clDice 0.860 → 0.850"
    assert worst.enabled


def test_without_held_out_blocks_a_promotion_takes_a_second_click_that_says_so(uncompared):
    first = draw_gate(state(uncompared))
    assert needs_a_second_click(uncompared)
    assert first.promote.text == "Promote…"
    assert not first.promote_first
    assert first.rows == ()
    second = draw_gate(state(uncompared, sure=True))
    assert second.promote.text == "Promote without a comparison"
    assert second.promote.enabled
    assert uncompared.scores() == {}


def test_a_worse_one_takes_a_second_click(better):
    worse = replace(better, verdict="worse")
    picture = draw_gate(state(worse, sure=True))
    assert picture.tone == "bad"
    assert picture.promote.text == "Promote although it is worse"


def test_an_undecided_one_is_promoted_in_one_click_but_not_suggested(better):
    picture = draw_gate(state(replace(better, verdict="undecided")))
    assert picture.promote.text == "Promote"
    assert not picture.promote_first
    assert picture.tone == "plain"


def test_a_run_without_a_judgement_says_so(better):
    picture = draw_gate(state(None))
    assert "not compared" in picture.verdict
    assert picture.promote.text == "Promote…"


def test_once_promoted_both_buttons_say_why_they_are_off_and_segmenting_again_is_offered(better):
    picture = draw_gate(state(better, current="finetune-001", promoted=True))
    assert not picture.promote.enabled
    assert "current" in picture.promote.tooltip
    assert not picture.keep.enabled
    assert picture.segment_again
    assert "Promoted" in picture.decided


def test_after_the_way_back_it_can_be_promoted_again(better):
    picture = draw_gate(state(better, promoted=True))
    assert picture.promote.enabled
    assert not picture.segment_again
    assert "now auto is in use" in picture.decided


def test_a_read_only_project_says_why_nothing_can_be_promoted(better):
    picture = draw_gate(state(better, locked="The project is read-only here"))
    assert picture.promote.tooltip == picture.keep.tooltip == "The project is read-only here"
    assert not picture.promote.enabled


def test_a_promotion_records_the_scores(better):
    scores = better.scores()
    assert scores["cldice"] == [0.850, 0.881]
    assert scores["held_out_blocks"] == 2
    assert scores["verdict"] == "better"
