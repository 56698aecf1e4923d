"""What the list and the queue say, without a window."""

from dataclasses import replace

import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.reviewing.rows import FLAG, NOTE, describe_seconds, progress_text, row_of
from napari_vesselkd.plugin.reviewing.state import NO_BLOCK, NOT_CALIBRATED, Looking, draw_queue
from napari_vesselkd.project import BlockState, ReviewBlock
from napari_vesselkd.proofreading import Candidate
from napari_vesselkd.proofreading.calibration import Reliability

REGION = Region((0, 64, 128), (32, 128, 192))
BLOCK = ReviewBlock(3, REGION)
CURVE = Reliability(1.8, 0.5, 2, 900, (0.1, None), (0.2, None), (900, 0), 0.15, 0.02)


def test_a_row_gives_the_reasons_short_and_all_of_them_at_the_mouse():
    found = Candidate(
        REGION, 0.31, None, "7 ends, 2 gaps", ("7 open ends", "2 likely gaps"), worth=2.34, stands_for=0.14
    )
    row = row_of(found)
    assert (row.state, row.place, row.why) == ("new", "0 · 64 · 128", "7 ends, 2 gaps")
    for words in ("• 7 open ends", "• 2 likely gaps", "Worth 2.3 times", "Stands for 14%", "0.31 bits"):
        assert words in row.tooltip


def test_a_block_of_the_queue_without_a_reason_says_so_and_one_of_another_order_its_entropy():
    assert row_of(Candidate(REGION, 0.31, None, worth=0.5)).why == "nothing striking"
    assert row_of(Candidate(REGION, 0.31, None)).why == "0.31"
    assert row_of(Candidate(REGION, None, None)).why == ""


def test_flag_note_and_time_of_a_block_are_in_its_row():
    block = replace(BLOCK, flagged=True, note="ask Anna", seconds=125.0)
    row = row_of(Candidate(REGION, None, block))
    assert row.place.startswith(FLAG + NOTE) and row.state == "open"
    assert "Note: ask Anna" in row.tooltip and "Worked on for 2.1 min" in row.tooltip
    assert row_of(Candidate(REGION, None, block), open_number=3).state == "being edited"
    assert FLAG not in row_of(Candidate(REGION, None, BLOCK)).place


def test_progress_counts_blocks_and_tells_how_long_the_rest_takes():
    done = [
        replace(BLOCK, number=n, state=BlockState.ACCEPTED, seconds=s)
        for n, s in ((1, 60), (2, 120), (3, 600))
    ]
    skipped = replace(BLOCK, number=4, state=BlockState.SKIPPED)
    text = progress_text((*done, skipped, BLOCK), 10)
    assert text == "4 of 10 done: 3 accepted, 1 skipped · 1 open · 2.0 min a block · 12.0 min for the rest"
    assert progress_text([replace(one, held_out=True) for one in done], 3).startswith(
        "3 of 3 done: 3 accepted (3 held out) · 2.0 min a block"
    )
    assert progress_text((), 10) == "0 of 10 done"
    assert progress_text((), 0) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (89, "89 s"), (150, "2.5 min"), (7200, "2.0 h")])
def test_times_are_said_in_a_fitting_unit(seconds, text):
    assert describe_seconds(seconds) == text


def test_work_in_the_background_says_how_far_it_is_and_can_be_stopped_and_gone_on_with():
    running = draw_queue(Looking(running=True, done=12, total=48))
    assert "12 of 48" in running.status and running.share == 0.25 and running.turn.text == "Stop"
    stopped = draw_queue(Looking(stopped=True, done=12, total=48))
    assert "Stopped after 12 of 48" in stopped.status and stopped.turn.text == "Go on"
    assert stopped.share is None
    idle = draw_queue(Looking(done=48, total=48))
    assert idle.status == "" and idle.turn is None


def test_flag_and_note_need_a_block_that_was_begun_and_a_project_that_can_be_written():
    assert draw_queue(Looking()).flag.tooltip == NO_BLOCK
    picture = draw_queue(Looking(), block=replace(BLOCK, flagged=True, note="x"))
    assert picture.flag.enabled and picture.flagged and picture.note == "x" and picture.flag.text == "Flagged"
    locked = draw_queue(Looking(), block=BLOCK, locked="The project is read-only here")
    assert not locked.flag.enabled and not locked.note_enabled
    assert locked.flag.tooltip == "The project is read-only here"


def test_what_went_wrong_is_said():
    failure = Failure("The disk is full.", "Free some space", "", expected=True)
    assert draw_queue(Looking(failure=failure)).notice == "The disk is full."
    assert draw_queue(Looking(notice="a chunk is missing")).notice == "a chunk is missing"


def test_the_curve_is_put_in_a_sentence_and_without_one_it_says_how_to_get_it():
    assert draw_queue(Looking()).curve == NOT_CALIBRATED
    text = draw_queue(Looking(reliability=CURVE)).curve
    assert (
        "2 held-out blocks" in text
        and "too sure" in text
        and "too little" in text
        and "1.80" in text
        and "15.0%" in text
    )
    assert "less sure" in draw_queue(Looking(reliability=replace(CURVE, temperature=0.7))).curve
    assert "too much" in draw_queue(Looking(reliability=replace(CURVE, shift=-1.0))).curve
    assert "about right" in draw_queue(Looking(reliability=replace(CURVE, temperature=1.02, blocks=1))).curve
