"""What the Learn tab shows, without a window."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from napari_vesselkd.plugin.goals import Goal, LearnForm, arguments
from napari_vesselkd.plugin.job_events import JobView
from napari_vesselkd.plugin.job_stages import FINETUNE, StageView, Validated
from napari_vesselkd.plugin.learn_state import SECONDS_PER_STEP, Lesson, describe_time, draw_learn
from napari_vesselkd.plugin.progress_text import duration
from napari_vesselkd.plugin.stage_text import describe_job
from napari_vesselkd.reports import Progress

PROJECT = Path("/data/brain.vesselkd")
RUN = PROJECT / "runs" / "finetune-001"


@pytest.fixture
def lesson():
    return Lesson(PROJECT, training=3, held_out=1, vessel=42_000, background=690_000)


@pytest.fixture
def job():
    return job_of(
        StageView(FINETUNE, progress=Progress(120, 400, "steps", 40.0), losses=((20, 0.9), (40, 0.7)))
    )


def job_of(stage, state="running", **more):
    return JobView(RUN, state, stages=(stage,), **more)


def draw(lesson, job=None, form=LearnForm(), **more):  # noqa: B008 (frozen)
    return draw_learn(lesson, form, job, **more)


def test_it_says_what_it_learns_from_what_is_held_out_and_where_it_begins(lesson):
    picture = draw(lesson)
    assert picture.lesson == (
        "3 accepted blocks with 42 k vessel and 690 k background voxels; 1 more held out for the comparison."
    )
    assert "comes with the package" in picture.parent
    assert "finetune-002" in draw(replace(lesson, current="finetune-002")).parent
    assert picture.start.enabled
    assert picture.reason == ""


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"path": None, "locked": "No project is open"}, "No project"),
        ({"locked": "The project is read-only here"}, "read-only"),
        ({"training": 0, "held_out": 0}, "correct a block"),
        ({"training": 0}, "held out"),
        ({"vessel": 0}, "only background"),
    ],
)
def test_a_disabled_start_says_why_and_the_tab_says_it_too(lesson, changes, word):
    picture = draw(replace(lesson, **changes))
    assert not picture.start.enabled
    assert word in picture.start.tooltip
    assert word in picture.reason


def test_one_block_alone_says_that_nothing_can_be_compared_yet(lesson):
    picture = draw(replace(lesson, training=1, held_out=0))
    assert picture.start.enabled
    assert "nothing can be compared" in picture.hint
    assert "none is held out yet" in picture.lesson


def test_the_time_is_estimated_and_then_measured():
    assert duration(400 * SECONDS_PER_STEP) in describe_time(400, None)
    assert describe_time(400, 0.1) == "About 40 s, as the last run"


def test_the_command_line_holds_what_differs_from_the_defaults(lesson):
    assert shlex.split(draw(lesson).command) == ["vesselkd", "finetune", str(PROJECT)]
    form = LearnForm(steps=77, phantom_share=0.4)
    assert arguments(PROJECT, form, RUN) == [
        "finetune", str(PROJECT), "--out", str(RUN), "--set", "steps=77", "--set", "phantom_share=0.4",
    ]  # fmt: skip


def test_a_running_job_locks_start_and_settings_and_can_be_stopped(lesson, job):
    picture = draw(lesson, job)
    assert not picture.start.enabled
    assert "learning already" in picture.start.tooltip
    assert not picture.inputs_enabled
    assert picture.stop.enabled
    assert not picture.resume.enabled
    assert picture.bar_permille == 300
    assert picture.bar_text == "120 of 400 steps · 3 steps/s · 1 min 33 s left"
    assert picture.reason == ""


@pytest.mark.parametrize("state", ["stopped", "failed", "crashed"])
def test_a_job_that_ended_early_can_be_resumed_or_left_for_a_new_one(lesson, job, state):
    picture = draw(lesson, replace(job, state=state))
    assert picture.resume.enabled
    assert picture.start.enabled
    assert not picture.stop.enabled


def test_a_finished_or_lost_job_cannot_be_resumed(lesson, job):
    for state in ("finished", "missing"):
        assert not draw(lesson, replace(job, state=state)).resume.enabled


def test_a_read_only_project_cannot_resume(lesson, job):
    picture = draw(replace(lesson, locked="read-only here"), replace(job, state="stopped"))
    assert picture.resume.tooltip == "read-only here"


def test_what_was_asked_for_is_said_until_it_happens(lesson):
    picture = draw(lesson, asked="Starting…")
    assert picture.bar_text == "Starting…"
    assert picture.bar_permille is None
    assert not picture.start.enabled


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("stopping", "Stopping after"),
        ("stopped", "Resume goes on"),
        ("failed", "by an error"),
        ("crashed", "unexpectedly"),
        ("missing", "gone"),
        ("finished", "Finished"),
    ],
)
def test_every_state_says_what_it_is(job, state, word):
    assert word in describe_job(replace(job, state=state))


def test_preparing_and_comparing_are_said(job):
    preparing = job_of(StageView(FINETUNE), counted=Progress(2, 4, "blocks", 1.0))
    assert describe_job(preparing) == "Preparing: 2 of 4 blocks"
    learned = job_of(replace(job.stage, progress=Progress(400, 400, "steps", 1.0)))
    assert describe_job(learned) == "Comparing with the current checkpoint…"
    comparing = replace(learned, counted=Progress(1, 4, "held-out blocks", 1.0))
    assert describe_job(comparing).endswith(": 1 of 4 held-out blocks")


def test_scores_that_are_no_numbers_are_not_drawn(lesson, job):
    nan = float("nan")
    found = (Validated(20, nan, nan, nan), Validated(40, 0.2, 0.8, 0.9))
    picture = draw(lesson, job_of(replace(job.stage, validations=found)))
    assert picture.stage.scores == (("clDice", ((40, 0.9),)), ("Dice", ((40, 0.8),)))


def test_the_form_begins_with_the_defaults_of_the_training():
    from napari_vesselkd.training.finetune import FinetuneConfig

    form, config = LearnForm(), FinetuneConfig()
    assert (form.steps, form.phantom_share) == (config.steps, config.phantom_share)


def test_places_painted_anywhere_are_not_counted_as_blocks():
    only = Lesson(PROJECT, painted=2, vessel=10, background=20)
    assert draw(only).lesson.startswith("2 places painted anywhere with 10 vessel")
    assert draw(only).start.enabled
    both = draw(Lesson(PROJECT, training=3, painted=1, vessel=10, background=20)).lesson
    assert both.startswith("3 accepted blocks and 1 place painted anywhere with 10 vessel")


def test_painted_projections_are_counted_and_enough_for_fine_tuning():
    only = Lesson(path=PROJECT, mips=2, mip_vessel=1500)
    assert draw(only).lesson == "2 painted projections with 1.5 k pixels of vessel; none is held out yet."
    assert draw(only).start.enabled
    taught = draw(only, form=LearnForm(goal=Goal.TEACH, preset="quick"))
    assert not taught.start.enabled and "Projections alone" in taught.reason
    both = draw(Lesson(PROJECT, training=1, vessel=10, background=20, mips=1, mip_vessel=5)).lesson
    assert "1 accepted block with 10 vessel" in both and "1 painted projection with 5 pixels" in both
