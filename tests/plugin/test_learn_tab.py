"""Learning from the dock, by clicking, in a real window; the job is a process that waits for the test."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from qtpy.QtWidgets import QApplication

import napari_vesselkd.inference  # noqa: F401 (here, as the dock's workers load it with little priority)
from fake_learning import DONE, accept, allow, make_project
from napari_vesselkd import jobs
from napari_vesselkd.project import Project

STEPS = DONE - 1


@pytest.fixture
def project(learner, tmp_path):
    """A project with three accepted blocks, one of them held out, open in the dock."""
    return learner.open(make_project(tmp_path, blocks=3))


def test_without_a_project_the_tab_says_what_to_do(learner):
    assert not learner.panel.start.isEnabled()
    assert "New… or Open…" in learner.panel.reason.text()
    assert not learner.shown(learner.panel.running)
    assert not learner.shown(learner.panel.command_fold)


@pytest.mark.parametrize(("blocks", "value", "word"), [(0, 2, "correct a block"), (1, 1, "only background")])
def test_what_cannot_be_learned_from_is_said(learner, tmp_path, blocks, value, word):
    learner.open(make_project(tmp_path, blocks=blocks, value=value))
    assert not learner.panel.start.isEnabled()
    assert word in learner.panel.reason.text()
    assert learner.panel.reason.text() == learner.panel.start.toolTip()


def test_accepting_blocks_shows_at_once_what_there_is_to_learn_from(learner, tmp_path):
    project = learner.open(make_project(tmp_path, blocks=1))
    assert "1 accepted block with" in learner.panel.lesson.text()
    assert "nothing can be compared" in learner.panel.hint.text()
    for index in (1, 2):
        accept(project, index)
    learner.dock.session.notify()
    assert "2 accepted blocks with" in learner.panel.lesson.text()
    assert "1 more held out" in learner.panel.lesson.text()
    assert learner.panel.start.isEnabled()


def test_start_fills_the_curves_and_the_picture_and_ends_at_the_gate(learner, project):
    run = learner.start()
    assert run == project.runs / "finetune-001"
    assert not learner.panel.start.isEnabled()
    allow(run, 2)
    learner.wait(lambda: len(learner.job.stage.losses) == 2)
    learner.wait(lambda: bool(learner.tab.watch.pictures))
    learner.wait(lambda: {one.points[-1][0] for one in learner.panel.stage.scores.series} == {2})
    (loss,) = learner.panel.stage.loss.series
    assert loss.points == ((1, 1.0), (2, 0.5))
    last = {one.name: one.points[-1] for one in learner.panel.stage.scores.series}
    assert last == {"clDice": (2, pytest.approx(0.82)), "Dice": (2, pytest.approx(0.72))}
    first = learner.panel.stage.held_out.picture
    assert learner.shown(learner.panel.stage.held_out)
    assert "2 of 6 steps" in learner.panel.bar_text.text()
    assert not learner.shown(learner.gate)
    assert "not a real job" in learner.panel.notices.text.text()
    allow(run, DONE)
    learner.wait_for("finished")
    assert learner.panel.stage.held_out.picture is not first
    assert len(learner.panel.stage.loss.series[0].points) == STEPS
    assert learner.panel.bar.value() == learner.panel.bar.maximum()
    assert learner.shown(learner.gate)
    assert learner.gate.verdict.text() == "Better"
    assert learner.gate.cells[0][2].text() == "0.880"


def test_the_command_line_is_that_of_the_job(learner, project):
    learner.panel.goal.steps.setValue(40)
    learner.panel.command_fold.header.setChecked(True)
    learner.click(learner.panel.command.copy)
    text = QApplication.clipboard().text()
    assert text == f"vesselkd finetune {project.path} --set steps=40"
    run = learner.start()
    command = jobs.RunFolder.open(run)
    assert command.kind == "finetune"


def test_stop_ends_after_a_step_and_resume_goes_on_from_what_was_saved(learner, project):
    run = learner.start()
    allow(run, 3)
    learner.wait(lambda: len(learner.job.stage.losses) == 3)
    learner.click(learner.panel.stop)
    learner.wait_for("stopped")
    assert "Resume goes on" in learner.panel.bar_text.text()
    allow(run, DONE)
    learner.click(learner.panel.resume)
    learner.wait_for("finished")
    assert learner.job.progress.resumed == 2
    assert [step for step, _ in learner.panel.stage.loss.series[0].points] == [1, 2, 3, 4, 5, 6]


def test_an_error_says_what_and_where_with_the_traceback_on_request(learner, project):
    run = learner.start()
    (run / "fail_at").write_text("3")
    allow(run, DONE)
    learner.wait_for("failed")
    error = learner.panel.error
    assert learner.shown(error)
    assert "The loss is not a number: nan" in error.headline.text()
    assert error.remedy.text() == "Give fewer steps"
    assert not error.details.isVisibleTo(learner.dock)
    error.fold.header.setChecked(True)
    assert "TrainingError" in error.details.box.toPlainText()
    (run / "fail_at").unlink()
    learner.click(learner.panel.resume)
    learner.wait_for("finished")
    assert not learner.shown(error)


def test_a_killed_job_is_recognised_and_resumed(learner, project):
    run = learner.start()
    allow(run, 3)
    learner.wait(lambda: len(learner.job.stage.losses) == 3)
    os.kill(jobs.RunFolder.open(run).session()["pid"], signal.SIGKILL)
    learner.wait_for("crashed")
    assert "killed" in learner.panel.error.headline.text()
    allow(run, DONE)
    learner.click(learner.panel.resume)
    learner.wait_for("finished")


def test_a_run_folder_deleted_under_a_job_is_said(learner, project):
    run = learner.start()
    allow(run, 2)
    learner.wait(lambda: len(learner.job.stage.losses) == 2)
    shutil.rmtree(run)
    learner.wait_for("missing")
    assert "gone" in learner.panel.error.headline.text()
    assert learner.panel.start.isEnabled()
    assert not learner.panel.resume.isEnabled()


def test_a_job_that_refuses_to_start_says_why_and_leaves_nothing(learner, project, monkeypatch):
    original = jobs.launch._launched
    monkeypatch.setattr(
        jobs.launch,
        "_launched",
        lambda command, log: subprocess.Popen(
            [sys.executable, "-c", "print('Error: no disk'); raise SystemExit(2)"], stdout=log
        ),
    )
    learner.click(learner.panel.start)
    learner.wait(lambda: learner.shown(learner.panel.error))
    assert "no disk" in learner.panel.error.headline.text()
    assert learner.panel.start.isEnabled()
    monkeypatch.setattr(jobs.launch, "_launched", original)


def test_closing_and_opening_the_project_finds_the_job_again(learner, project):
    path = project.path
    run = learner.start()
    allow(run, 2)
    learner.wait(lambda: len(learner.job.stage.losses) == 2)
    learner.dock.session.close()
    assert learner.job is None
    assert not learner.shown(learner.panel.running)
    allow(run, 4)
    learner.open(path)
    learner.wait(lambda: learner.job is not None and len(learner.job.stage.losses) == 4)
    assert learner.job.path == run
    assert learner.job.state == "running"
    assert learner.panel.stop.isEnabled()


def test_promote_uses_the_new_one_and_one_click_leads_back(learner, project):
    learner.learn()
    learner.click(learner.gate.promote)
    learner.settle()
    assert project.current == "brain-001"
    assert project.promotions[-1].scores["cldice"] == [0.85, 0.88]
    assert "brain-001" in learner.panel.goal.parent_fact.text()
    assert not learner.gate.promote.isEnabled()
    listed = [(one.name, one.current) for one in learner.panel.checkpoints.entries]
    assert listed == [("brain-001", True), ("auto", False)]
    assert "2 blocks\nclDice 0.880" in learner.panel.checkpoints.entries[0].detail
    learner.panel.checkpoints.list.setCurrentRow(1)
    learner.click(learner.panel.checkpoints.use)
    learner.settle()
    assert project.current == "auto"
    assert [one.current for one in learner.panel.checkpoints.entries] == [False, True]


def test_segment_again_leads_to_the_segment_tab_which_uses_the_new_one(learner, project):
    learner.learn()
    learner.click(learner.gate.promote)
    learner.click(learner.gate.again)
    assert learner.dock.tabs.tabText(learner.dock.tabs.currentIndex()) == "Segment"
    form = learner.dock.segment.form
    learner.wait(lambda: "brain-001" in form.checkpoint_fact.text())
    assert learner.dock.segment.current_form().target.current == "brain-001"


def test_keep_is_remembered(learner, project):
    path = project.path
    learner.learn()
    learner.click(learner.gate.keep)
    learner.wait(lambda: learner.job.kept)
    assert project.current == "auto"
    assert "Kept" in learner.gate.decided.text()
    learner.dock.session.close()
    learner.open(path)
    learner.wait(lambda: learner.job is not None and learner.job.state == "finished")
    assert "Kept" in learner.gate.decided.text()
    assert not learner.gate.keep.isEnabled()


def test_without_held_out_blocks_promoting_takes_a_second_click(learner, project):
    run = learner.start()
    (run / "no_held_out").touch()
    allow(run, DONE)
    learner.wait_for("finished")
    assert "No held-out block" in learner.gate.verdict.text()
    learner.click(learner.gate.promote)
    assert project.current == "auto"
    assert learner.gate.promote.text() == "Promote without a comparison"
    learner.click(learner.gate.promote)
    assert project.current == "brain-001"
    assert project.promotions[-1].scores == {}


def test_the_worst_block_is_gone_to(viewer, learner, project):
    learner.learn()
    viewer.dims.set_current_step(0, 30)
    learner.click(learner.gate.worst)
    assert viewer.dims.current_step[0] in (7, 8)
    assert viewer.scene.camera.center[-2:] == pytest.approx((15.5, 47.5))


def test_earlier_runs_can_be_looked_at(learner, project):
    first, second = learner.learn(), learner.learn()
    assert [learner.panel.runs.itemText(at) for at in range(2)] == [second.name, first.name]
    assert learner.panel.runs.currentText() == second.name
    learner.panel.runs.setCurrentIndex(1)
    learner.panel.runs.activated.emit(1)
    learner.wait(lambda: learner.job.path == first and learner.job.state == "finished")
    assert learner.gate.title.text() == "Is brain-001 better?"


def test_a_project_that_another_process_holds_can_be_looked_at_only(learner, tmp_path):
    path = make_project(tmp_path, blocks=3)
    holder = Project.open(path)
    try:
        learner.open(path)
        assert not learner.panel.start.isEnabled()
        assert "read-only" in learner.panel.reason.text()
        learner.panel.checkpoints.list.setCurrentRow(0)
        assert "read-only" in learner.panel.checkpoints.use.toolTip()
    finally:
        holder.close()


def test_a_killed_viewer_leaves_the_job_running_and_a_new_one_finds_it(learner, tmp_path):
    path = make_project(tmp_path, blocks=3)
    run = path / "runs" / "finetune-001"
    script = Path(__file__).with_name("learning_viewer.py")
    child = subprocess.Popen([sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True)
    try:
        learner.wait((run / "config.toml").exists)  # before, the folder must be empty
        allow(run, 2)
        assert str(run) in child.stdout.readline()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert jobs.RunFolder.open(run).status().state == "running"
    learner.open(path)
    learner.wait(lambda: learner.job is not None and len(learner.job.stage.losses) == 2)
    assert learner.job.state == "running"
    allow(run, DONE)
    learner.wait_for("finished")
    assert len(learner.panel.stage.loss.series[0].points) == STEPS
    assert learner.shown(learner.gate)
