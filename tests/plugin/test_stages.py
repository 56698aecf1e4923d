"""A job that goes through stages, without a window: what is seen of each, and how it reads."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

import fake_learning
from napari_vesselkd.plugin.goals import METHODS, PRESETS, Goal, LearnForm, arguments
from napari_vesselkd.plugin.job_events import ANSWERS_UNIT, JobView, fold
from napari_vesselkd.plugin.job_stages import ASKING, plan_of
from napari_vesselkd.plugin.learn_state import Lesson, Offer, draw_learn
from napari_vesselkd.plugin.stage_text import Where, describe_job, permille, phases, seconds_left
from napari_vesselkd.plugin.teaching import ask_for_offer, what_is_tight
from napari_vesselkd.reports import Progress

PROJECT = Path("/data/brain.vesselkd")
RUN = PROJECT / "runs" / "distill-001"
CONFIG = {"preset": "quick", "teach": {"steps": 100}, "distill": {"method": "vpbsd", "steps": 200}}
ESTIMATED = {"report": "StagesPreflight", "stages": {"teacher": 100.0, "answers": 50.0, "student": 150.0}}
TAUGHT = {
    "report": "StageFinished",
    "stage": "finetune-teacher",
    "name": "brain-distill-001-teacher",
    "facts": {"changed_codes": 0.12},
}
FINISHED = {"report": "StageFinished", "stage": "distill", "name": "brain-distill-001", "facts": {}}


def step(done, total, *, seconds=None, resumed=0, **terms):
    return {
        "report": "FitProgress",
        "done": done,
        "total": total,
        "unit": "steps",
        "seconds": 2.0 * (done - resumed) if seconds is None else seconds,
        "resumed": resumed,
        "loss": sum(terms.values()),
        "terms": terms,
    }


def answers(done, seconds):
    return {"report": "Progress", "done": done, "total": 100, "unit": ANSWERS_UNIT, "seconds": seconds}


def validation(at, picture):
    return {"report": "Validation", "step": at, "loss": 0.3, "dice": 0.8, "cldice": 0.9, "picture": picture}


def after(*events, state="running"):
    view = JobView(RUN, state, "distill", stages=plan_of("distill", CONFIG))
    return fold(view, events)


TEACHER = (ESTIMATED, step(50, 100, Dice=0.5, codebook=0.2))
STUDENT = (*TEACHER, step(100, 100, Dice=0.4, codebook=0.1), TAUGHT)


def where(job):
    return [(phase.name, phase.where) for phase in phases(job)]


@pytest.mark.parametrize(
    ("kind", "config", "names"),
    [
        ("distill", CONFIG, ["teacher", "student"]),
        ("distill", {"method": "fitnets"}, ["student"]),
        ("pretrain", {"steps": 10}, ["pretrain"]),
        ("finetune", {"head_rate": 1e-3}, ["teacher"]),
        ("finetune", {"phantom_share": 0.2}, ["finetune"]),
    ],
)
def test_the_stages_of_a_job_are_read_from_its_settings(kind, config, names):
    assert [stage.name for stage in plan_of(kind, config)] == names


def test_each_stage_keeps_its_own_curves_terms_scores_and_picture():
    job = after(
        *TEACHER,
        validation(50, "teach/held-out.png"),
        TAUGHT,
        step(10, 200, Dice=0.9, codes=0.3),
        validation(10, "distill/held-out.png"),
    )
    teacher, student = job.stages
    assert teacher.losses == ((50, 0.7),)
    assert dict(teacher.terms) == {"Dice": ((50, 0.5),), "codebook": ((50, 0.2),)}
    assert dict(student.terms) == {"Dice": ((10, 0.9),), "codes": ((10, 0.3),)}
    assert (teacher.picture, student.picture) == ("teach/held-out.png", "distill/held-out.png")
    assert (teacher.made, teacher.changed_codes) == ("brain-distill-001-teacher", 0.12)
    assert job.stage is student


def test_only_the_student_comes_to_the_gate():
    assert after(*STUDENT).name == ""
    job = after(*STUDENT, FINISHED)
    assert job.name == "brain-distill-001"
    assert job.made == ("brain-distill-001-teacher", "brain-distill-001")


def test_a_resumed_job_passes_the_finished_stage_and_repeats_steps_of_the_other():
    killed = after(*STUDENT, step(10, 200, Dice=0.9), step(20, 200, Dice=0.8))
    begun = fold(killed, [{"report": "started"}, ESTIMATED])
    assert begun.stage.name == "teacher"
    job = fold(begun, [TAUGHT, step(20, 200, resumed=10, Dice=0.6)])
    assert job.stage.losses == ((10, 0.9), (20, 0.6))
    assert job.stages[0].losses == ((50, 0.7), (100, 0.5))
    assert where(job)[2] == ("student", Where.NOW)


def test_a_job_that_ends_early_says_in_which_stage():
    for state, word in (
        ("stopped", "Resume goes on"),
        ("failed", "by an error"),
        ("crashed", "unexpectedly"),
    ):
        text = describe_job(after(*TEACHER, state=state))
        assert word in text
        assert text.endswith("Teacher: 50 of 100 steps")


@pytest.mark.parametrize(
    ("events", "now", "text"),
    [
        ((ESTIMATED,), "teacher", "Preparing…"),
        (TEACHER, "teacher", "Teacher: 50 of 100 steps · 0.5 steps/s"),
        ((*STUDENT, answers(48, 24.0)), "answers", "Teacher's answers: 48 of 100 patches"),
        ((*STUDENT, step(50, 200, Dice=1)), "student", "Student: 50 of 200 steps · 0.5 steps/s"),
        ((*STUDENT, step(200, 200, Dice=1)), "gate", "Comparing with the current checkpoint…"),
    ],
)
def test_every_phase_says_what_is_done(events, now, text):
    job = after(*events)
    assert describe_job(job).splitlines()[0] == text
    marked = [name for name, place in where(job) if place is Where.NOW]
    assert marked == [now]


def test_the_phases_before_are_done_and_those_after_to_come():
    assert [place for _, place in where(after(*STUDENT, answers(1, 1.0)))] == [
        Where.DONE,
        Where.NOW,
        Where.NEXT,
        Where.NEXT,
    ]
    finished = replace(after(*STUDENT, FINISHED), state="finished")
    assert {place for _, place in where(finished)} == {Where.DONE}
    assert permille(finished) == 1000


def test_the_time_left_is_that_of_all_stages_at_the_pace_of_this_one():
    """The teacher takes twice what was estimated: 100 s are left of it, and twice 50 + 150 s after it."""
    job = after(*TEACHER)
    assert seconds_left(job) == pytest.approx(100 + 2 * (50 + 150))
    assert describe_job(job).endswith("About 8 min 20 s left over all stages")


def test_the_teacher_is_asked_twice_about_labelled_and_unlabelled_patches():
    """48 of 2 x 100 in 24 s: 76 s are left, and at that pace (100 s for 50) 300 s of the student."""
    first = after(*STUDENT, answers(48, 24.0))
    assert seconds_left(first) == pytest.approx(76 + 2 * 150)
    second = fold(first, [answers(100, 50.0), answers(50, 25.0)])
    assert seconds_left(second) == pytest.approx(25 + 2 * 150)


def test_without_an_estimate_only_the_time_of_this_stage_is_said():
    job = after(*TEACHER[1:])
    assert seconds_left(job) is None
    assert describe_job(job).endswith("1 min 40 s left in this stage")


def test_the_bar_grows_through_all_stages_by_their_estimated_time():
    whole = 100 + 50 + 150 + 0.02 * 300
    seen = [
        permille(job)
        for job in (
            after(*TEACHER),
            after(*STUDENT, answers(100, 50.0)),
            after(*STUDENT, step(100, 200, Dice=1)),
            after(*STUDENT, step(200, 200, Dice=1)),
        )
    ]
    assert seen == [round(1000 * done / whole) for done in (50, 125, 225, 300)]


def test_the_codebook_is_shown_where_reports_carry_it():
    looked = {
        "report": "CodebookReport",
        "step": 20,
        "usage": 0.8,
        "perplexity": 143.2,
        "dead": 51,
        "reliance": 1.84,
        "mse": 0.01,
        "picture": "held-out.png",
    }
    view = JobView(RUN, "running", "pretrain", stages=plan_of("pretrain", {}))
    job = fold(view, [step(20, 100, reconstruction=0.1), looked])
    stage = draw(job=job).stage
    assert stage.codebook == (("codes used", ((20, 0.8),)),)
    assert stage.codebook_text == (
        "Codebook: 80% of the codes used, 51 unused, perplexity 143, reliance 1.84"
    )
    assert job.name == ""


def test_the_codebook_of_a_teacher_whose_codes_follow_leaves_the_held_out_picture():
    validated = {
        "report": "Validation",
        "step": 50,
        "dice": 0.5,
        "cldice": 0.6,
        "picture": "teach/held-out.png",
    }
    looked = {
        "report": "CodebookReport",
        "step": 50,
        "usage": 0.5,
        "perplexity": 9.0,
        "dead": 8,
        "reliance": 2.0,
    }
    job = after(*TEACHER, validated, {**looked, "mse": 0.1, "picture": None})
    assert job.stage.picture == "teach/held-out.png"
    assert draw(job=job).stage.codebook_text.startswith("Codebook: 50% of the codes used, 8 unused")


# What the tab shows


def draw(form=None, job=None, **more):
    lesson = Lesson(PROJECT, training=3, held_out=1, vessel=42_000, background=690_000)
    return draw_learn(lesson, form or LearnForm(goal=Goal.TEACH), job, **more)


def test_the_command_line_of_teaching_names_preset_and_teacher():
    assert draw().command == f"vesselkd distill {PROJECT} --preset quick"
    form = LearnForm(goal=Goal.TEACH, preset="published", teacher="brain-distill-001-teacher")
    assert arguments(PROJECT, form, RUN) == [
        "distill", str(PROJECT), "--out", str(RUN), "--preset", "published",
        "--teacher", "brain-distill-001-teacher",
    ]  # fmt: skip


def test_the_other_methods_and_pretraining_have_their_commands():
    form = LearnForm(goal=Goal.TEACH, method="mean-teacher")
    assert draw(form).command == f"vesselkd distill {PROJECT} --preset quick --method mean-teacher"
    assert "Mean Teacher" in draw(form, offer=Offer(estimate="1 min")).start.tooltip
    form = replace(form, goal=Goal.PRETRAIN, preset="published", teacher="other")
    assert draw(form).command == f"vesselkd pretrain {PROJECT} --preset published"


def test_a_teacher_can_be_pretrained_before_anything_is_corrected():
    form = LearnForm(goal=Goal.PRETRAIN)
    picture = draw_learn(Lesson(PROJECT), form, None)
    assert picture.start.enabled and picture.reason == "" and picture.hint == ""
    assert not draw_learn(Lesson(locked="Open a project first"), form, None).start.enabled
    assert not draw_learn(Lesson(PROJECT), form, None, offer=Offer(problem="None")).start.enabled


def test_a_teacher_is_not_fine_tuned_before_it_is_known_which():
    """Without its name the command would fine-tune a student."""
    form = LearnForm(goal=Goal.TUNE)
    assert draw(form).start.tooltip == "Looking for the latest teacher…"
    assert draw(form, offer=Offer(problem="There is none")).start.tooltip == "There is none"
    found = draw(form, offer=Offer(teacher="mine"))
    assert found.start.enabled and found.teacher == "Begins with mine."
    assert found.command == f"vesselkd finetune {PROJECT} --preset quick --from mine"
    chosen = draw(replace(form, teacher="other"), offer=Offer(teacher="other"))
    assert chosen.start.enabled and chosen.teacher == "" and "--from other" in chosen.command


def test_the_preflight_says_what_is_missing():
    offer = Offer(estimate="About 20 min on cpu", tight="Only 1.0 GB of memory is free")
    picture = draw(offer=offer)
    assert picture.estimate == "About 20 min on cpu. Only 1.0 GB of memory is free"
    assert picture.estimate_is_problem
    assert draw().estimate == "Estimating…"
    assert what_is_tight(2e9, 1e9, 3e8, 2e8) == "Only 1.0 GB of memory and 0.2 GB of disk are free"
    assert what_is_tight(1e9, 2e9, 1e8, 2e8) == ""


def test_without_a_teacher_start_says_why_but_fine_tuning_can_start():
    offer = Offer(problem="There is no teacher to begin with")
    assert draw(offer=offer).start.tooltip == draw(offer=offer).reason == "There is no teacher to begin with"
    assert not draw(offer=offer).start.enabled
    assert draw(LearnForm(), offer=offer).start.enabled


def test_the_curves_follow_the_job_until_another_stage_is_looked_at():
    job = after(*STUDENT, answers(10, 5.0))
    assert draw(job=job).stage.name == "teacher"
    assert draw(job=job).choices == (("teacher", True), ("student", False))
    job = fold(job, [step(10, 200, Dice=0.9, codes=0.3)])
    assert [name for name, _ in draw(job=job).stage.curves] == ["loss", "Dice", "codes"]
    assert draw(job=job, looked_at="teacher").stage.curves[0][1] == ((50, 0.7), (100, 0.5))


def test_a_loss_of_one_term_is_one_curve():
    job = after(step(10, 100, Dice=0.9))
    assert [name for name, _ in draw(job=job).stage.curves] == ["loss"]


def test_stages_that_begin_are_no_notices_beside_the_row_of_phases():
    job = after(
        {"report": "Notice", "text": "1 of 2: fine-tuning the teacher, from small"},
        {"report": "Notice", "text": "One block is held out"},
    )
    assert draw(job=job).notices == ("One block is held out",)


# What the dock takes for granted of the other packages


def test_the_presets_and_the_methods_that_ask_first_are_those_of_training():
    from napari_vesselkd.distillation import METHODS as REAL_METHODS
    from napari_vesselkd.training.presets import PRESETS as REAL

    assert set(PRESETS) == set(REAL)
    assert set(METHODS) == {"", *REAL_METHODS}
    asking = {name for name, one in REAL_METHODS.items() if one.needs_teacher and not one.needs_live_teacher}
    assert set(ASKING) == asking


def test_the_fake_jobs_report_what_the_real_ones_do():
    from napari_vesselkd.learning.estimate import StagesPreflight
    from napari_vesselkd.training.codebook_watch import CodebookReport
    from napari_vesselkd.training.fit import FitProgress
    from napari_vesselkd.training.pretrain import StageFinished

    assert {one.name for one in fields(StageFinished)} >= {*TAUGHT} - {"report"}
    assert {one.name for one in fields(FitProgress)} == {*step(1, 2)} - {"report"} | {"learning_rate"}
    assert {one.name for one in fields(CodebookReport)} >= {"step", "usage", "perplexity", "dead", "reliance"}
    assert "stages" in {one.name for one in fields(StagesPreflight)}


def test_a_process_of_its_own_says_which_presets_there_are_and_why_a_teacher_is_none(tmp_path):
    path = fake_learning.make_project(tmp_path, blocks=1)
    offer = ask_for_offer(path, LearnForm(goal=Goal.TEACH, teacher="nobody"))
    assert "nobody" in offer.problem
    assert set(offer.descriptions) == set(PRESETS)
    assert offer.estimate == ""


def test_progress_of_another_unit_is_no_answer_of_the_teacher():
    job = replace(after(*STUDENT), counted=Progress(1, 2, "blocks", 1.0))
    assert describe_job(job).startswith("Preparing: 1 of 2 blocks")
