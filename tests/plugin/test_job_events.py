"""What is made of a job's events, without a window."""

import math
from pathlib import Path

import pytest

from napari_vesselkd.plugin.job_events import JobView, failure_of, fold

RUN = Path("brain.vesselkd/runs/finetune-001")


def step(done, *, loss=0.5, resumed=0, total=100):
    return {
        "report": "FitProgress",
        "done": done,
        "total": total,
        "unit": "steps",
        "seconds": float(done - resumed),
        "resumed": resumed,
        "loss": loss,
        "learning_rate": 1e-3,
    }


def validation(at, *, dice=0.8, cldice=0.85, picture=None):
    return {
        "report": "Validation",
        "step": at,
        "loss": 0.3,
        "dice": dice,
        "cldice": cldice,
        "picture": picture,
    }


@pytest.fixture
def view():
    return JobView(RUN, "running")


def test_losses_scores_picture_and_progress_are_taken_from_the_events(view):
    seen = fold(view, [step(10, loss=0.9), step(20, loss=0.7), validation(20, picture="v20.png")])
    assert seen.stage.losses == ((10, 0.9), (20, 0.7))
    assert [(one.step, one.dice, one.cldice) for one in seen.stage.validations] == [(20, 0.8, 0.85)]
    assert seen.stage.picture == "v20.png"
    assert (seen.progress.done, seen.progress.total) == (20, 100)
    assert seen.seconds_per_step == 1.0


def test_folding_in_pieces_gives_what_folding_at_once_gives(view):
    events = [step(10), validation(10, picture="a.png"), step(20), validation(20), step(30, loss=0.1)]
    in_pieces = view
    for event in events:
        in_pieces = fold(in_pieces, [event])
    assert in_pieces == fold(view, events)
    assert in_pieces.stage.picture == "a.png"


def test_a_resumed_run_replaces_the_steps_it_repeats(view):
    killed = fold(view, [step(10), step(20), validation(20, dice=0.1), step(30)])
    resumed = fold(killed, [{"report": "started"}, step(20, loss=0.4, resumed=10), validation(20, dice=0.9)])
    assert resumed.stage.losses == ((10, 0.5), (20, 0.4))
    assert [one.dice for one in resumed.stage.validations] == [0.9]


def test_preparing_is_not_drawn_as_steps(view):
    copying = {"report": "Progress", "done": 2, "total": 4, "unit": "blocks", "seconds": 1.0, "resumed": 0}
    seen = fold(view, [copying])
    assert seen.stage.losses == ()
    assert (seen.counted.done, seen.counted.unit) == (2, "blocks")
    assert fold(seen, [step(10)]).counted is None


def test_a_loss_that_is_not_a_number_is_no_point(view):
    assert fold(view, [step(10, loss=math.nan), step(20)]).stage.losses == ((20, 0.5),)


def test_unknown_events_are_passed_over(view):
    assert fold(view, [{"report": "Surprise", "x": 1}, {"time": "now"}]) == view


def test_notices_are_kept_once(view):
    notice = {"report": "Notice", "text": "One block is held out"}
    assert fold(fold(view, [notice]), [notice]).notices == ("One block is held out",)


def test_a_failure_names_what_and_where_and_keeps_the_traceback():
    error = {
        "what": "The loss is not a number",
        "where": "step 183, block 3",
        "remedy": "Give fewer steps",
        "traceback": "Traceback (most recent call last): x",
    }
    failure = failure_of("failed", error, "", RUN)
    assert failure.headline == "The loss is not a number (step 183, block 3)."
    assert failure.remedy == "Give fewer steps"
    assert failure.details.startswith("Traceback")


def test_a_crash_says_so_and_shows_what_was_printed():
    failure = failure_of("crashed", None, "Killed", RUN)
    assert "killed" in failure.headline
    assert "Resume" in failure.remedy
    assert failure.details == "Killed"


def test_a_missing_folder_is_named():
    failure = failure_of("missing", None, "", RUN)
    assert "gone" in failure.headline
    assert str(RUN) in failure.details


@pytest.mark.parametrize("state", ["running", "stopping", "stopped", "finished"])
def test_a_job_that_did_not_fail_has_no_failure(state):
    assert failure_of(state, None, "", RUN) is None
