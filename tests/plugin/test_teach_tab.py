"""Teaching a new student from the dock, in a real window; the job is a process that waits for the test."""

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

import napari_vesselkd.inference  # noqa: F401 (here, as the dock's workers load it with little priority)
from fake_learning import allow, make_project
from napari_vesselkd import jobs
from napari_vesselkd.plugin import learn_tab, teaching
from napari_vesselkd.plugin.goals import PRESETS, Goal, LearnForm
from napari_vesselkd.plugin.learn_state import Offer
from napari_vesselkd.plugin.stage_text import Where

TEACHER, ANSWERS, STUDENT, END = 3, 5, 9, 10  # the last step of each phase of the fake job
OFFER = Offer(
    dict.fromkeys(PRESETS, "What it does"),
    "teacher-small",
    "About 20 min on cpu, 2 GB of memory",
)
TEACH = LearnForm(goal=Goal.TEACH)


@pytest.fixture
def offers(monkeypatch):
    """What the pre-flight is asked for; the answer is always the same."""
    asked = []
    monkeypatch.setattr(learn_tab, "ask_for_offer", lambda *about: (asked.append(about), OFFER)[1])
    return asked


@pytest.fixture
def project(learner, offers, tmp_path):
    """A project with three accepted blocks, one held out, open in the dock; a new student is to be taught."""
    project = learner.open(make_project(tmp_path, blocks=3))
    learner.teach()
    return project


def now(learner):
    """Return the phase that the job is in."""
    phases = learner.tab.picture.phases
    return next((phase.name for phase in phases if phase.where is Where.NOW), "")


def test_the_preflight_and_the_command_line_are_those_of_the_choice(learner, project, offers):
    goal = learner.panel.goal
    assert goal.preset.isVisibleTo(learner.dock)
    assert not goal.steps.isVisibleTo(learner.dock)
    assert learner.panel.estimate.text() == OFFER.estimate
    assert goal.preset_fact.text() == "What it does"
    goal.preset.setCurrentIndex(goal.preset.findData("evidence"))
    learner.settle()
    assert offers == [(project.path, TEACH), (project.path, replace(TEACH, preset="evidence"))]
    learner.panel.command_fold.header.setChecked(True)
    learner.click(learner.panel.command.copy)
    assert QApplication.clipboard().text() == f"vesselkd distill {project.path} --preset evidence"
    assert not list(project.runs.glob("*"))


def test_pretraining_and_other_methods_have_their_forms(learner, project, offers):
    goal, picture = learner.panel.goal, lambda: learner.tab.picture
    goal.method.setCurrentIndex(goal.method.findData("kd"))
    learner.settle()
    assert offers[-1] == (project.path, replace(TEACH, method="kd"))
    assert picture().command == f"vesselkd distill {project.path} --preset quick --method kd"
    learner.click(goal.goals[Goal.PRETRAIN])
    learner.settle()
    assert offers[-1][1].goal is Goal.PRETRAIN
    assert picture().command == f"vesselkd pretrain {project.path} --preset quick"
    assert learner.shown(goal.preset) and not learner.shown(goal.teacher) and not learner.shown(goal.method)
    learner.click(goal.goals[Goal.FINETUNE])
    assert learner.shown(goal.parent_fact) and not learner.shown(goal.preset)


def test_a_teacher_alone_is_fine_tuned_from_the_one_that_auto_stands_for(
    learner, project, offers, monkeypatch
):
    goal, begun, start = learner.panel.goal, [], jobs.start
    monkeypatch.setattr(jobs, "start", lambda words, run: (begun.append(words), start(words, run))[1])
    learner.click(goal.goals[Goal.TUNE])
    learner.settle()
    assert offers[-1] == (project.path, LearnForm(goal=Goal.TUNE))
    assert learner.shown(goal.preset) and learner.shown(goal.teacher) and not learner.shown(goal.method)
    assert goal.teacher_fact.text() == "Begins with teacher-small."
    choices = ["--preset", "quick", "--from", "teacher-small"]
    assert learner.tab.picture.command == " ".join(["vesselkd finetune", str(project.path), *choices])
    run = learner.start()
    assert run == project.runs / "finetune-001"
    assert begun == [["finetune", str(project.path), "--out", str(run), *choices]]


def test_where_there_is_a_gpu_the_papers_preset_is_the_first(learner, offers, monkeypatch, tmp_path):
    offer = replace(OFFER, preset=teaching.preset_for(1))
    monkeypatch.setattr(learn_tab, "ask_for_offer", lambda *about: (offers.append(about), offer)[1])
    project, goal = learner.open(make_project(tmp_path, blocks=3)), learner.panel.goal
    learner.teach()
    assert goal.form().preset == "published"
    assert offers == [(project.path, TEACH), (project.path, replace(TEACH, preset="published"))]
    goal.preset.setFocus()
    QTest.keyClick(goal.preset, Qt.Key.Key_Down)
    learner.settle()
    assert goal.form().preset == "evidence"  # a choice is not overruled
    assert offers[2:] == [(project.path, replace(TEACH, preset="evidence"))]


def test_without_a_gpu_quick_is_recommended(project):
    assert teaching.read_offer(project.path, TEACH).preset == teaching.preset_for(0) == "quick"


def test_the_job_goes_through_its_stages_and_ends_at_the_gate(learner, project):
    run = learner.start()
    assert run == project.runs / "distill-001"
    allow(run, 2)
    learner.wait(lambda: len(learner.job.stage.losses) == 2)
    assert now(learner) == "teacher"
    assert "left over all stages" in learner.panel.bar_text.text()
    assert [one.name for one in learner.panel.stage.loss.series] == ["loss", "Dice", "codebook"]
    allow(run, TEACHER + 1)
    learner.wait(lambda: learner.job.answered == 1)
    assert now(learner) == "answers"
    assert not learner.panel.stage.choice.button("Student").isEnabled()
    learner.wait(lambda: learner.panel.goal.teacher.findData("brain-distill-001-teacher") > 0)
    allow(run, STUDENT)
    learner.wait(lambda: learner.job.stage.learned)
    assert len(learner.panel.stage.loss.series) == 5
    students = learner.panel.stage.held_out.picture
    learner.click(learner.panel.stage.choice.button("Teacher"))
    assert [one.name for one in learner.panel.stage.loss.series] == ["loss", "Dice", "codebook"]
    assert learner.panel.stage.held_out.picture is not students
    assert "12% of the codes" in learner.panel.stage.codebook_fact.text()
    allow(run, END)
    learner.wait_for("finished")
    learner.settle()
    assert learner.shown(learner.gate)
    assert learner.gate.title.text() == "Is brain-distill-001 better?"
    names = [entry.name for entry in learner.panel.checkpoints.entries]
    assert set(names) == {"brain-distill-001", "brain-distill-001-teacher", "auto"}
    learner.panel.checkpoints.list.setCurrentRow(names.index("brain-distill-001-teacher"))
    assert not learner.panel.checkpoints.use.isEnabled()
    assert "teacher" in learner.panel.checkpoints.use.toolTip()
    learner.click(learner.gate.promote)
    assert project.current == "brain-distill-001"


def test_stopped_in_a_stage_the_project_opened_again_finds_it_and_resumes(learner, project):
    path, run = project.path, learner.start()
    allow(run, ANSWERS + 1)
    learner.wait(lambda: [len(stage.losses) for stage in learner.job.stages] == [3, 1])
    learner.click(learner.panel.stop)
    learner.wait_for("stopped")
    learner.dock.session.close()
    learner.open(path)
    learner.wait(lambda: learner.job is not None and learner.job.state == "stopped")
    assert now(learner) == "student"
    assert "Student: 1 of 4 steps" in learner.panel.bar_text.text()
    assert learner.panel.stage.held_out.picture is not None
    learner.click(learner.panel.resume)
    allow(run, END)
    learner.wait_for("finished")
    assert [len(stage.losses) for stage in learner.job.stages] == [3, 4]
    assert jobs.RunFolder.open(run).kind == "distill"


def test_an_error_in_a_later_stage_is_shown_with_its_way_out(learner, project):
    run = learner.start()
    (run / "fail_at").write_text(str(ANSWERS + 2))
    allow(run, END)
    learner.wait_for("failed")
    assert "not a number" in learner.panel.error.headline.text()
    assert learner.panel.error.remedy.text() == "Give fewer steps"
    assert now(learner) == "student"
    assert learner.panel.resume.isEnabled()
