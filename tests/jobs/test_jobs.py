"""A job outlives who started it, ends when asked, and is never taken for what it is not."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from napari_vesselkd import jobs
from napari_vesselkd.errors import InvalidInputError, OutputBusyError, VesselKDError
from napari_vesselkd.jobs import JobState, RunFolder, recorded, run_folder
from napari_vesselkd.reports import Notice, Progress

TICKING = Path(__file__).with_name("ticking.py")
LIMIT = 120


def until(condition, what="it"):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path, monkeypatch):
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    folder = tmp_path / "Gehirn Nr. 2 - größer & 'so'"
    (folder / "control").mkdir(parents=True)
    (folder / "control" / "go").touch()
    yield folder
    for status in jobs.known_runs(folder):
        if status.state.active and RunFolder(status.path).session()["pid"] != os.getpid():
            jobs.stop(status.path, wait=5)


@pytest.fixture
def startable(place, monkeypatch):
    """Make `jobs.start` run the ticking task in place of the command line."""
    wrapper = place / "python"
    wrapper.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{TICKING}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr("napari_vesselkd.jobs.launch.sys", SimpleNamespace(executable=str(wrapper)))
    return place


def command(run):
    return ["tick", "--out", str(run)]


def spawn(run, **options):
    return subprocess.Popen(
        [sys.executable, str(TICKING), str(run)], stderr=subprocess.PIPE, text=True, **options
    )


def taken_over(run, pid):
    return RunFolder(run).session().get("pid") == pid and RunFolder(run).status().state is JobState.RUNNING


def done(run):
    progress = RunFolder(run).status().progress
    return progress["done"] if progress else 0


def lines(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_bytes().splitlines()]


def test_a_job_killed_at_any_moment_is_crashed_and_its_events_stay_readable(place):
    run, chance = place / "run", random.Random(0)
    for round_ in range(4):
        child = spawn(run)
        until(partial(taken_over, run, child.pid))
        time.sleep(chance.random() * 0.05)
        child.kill()
        child.communicate()
        assert RunFolder(run).status().state is JobState.CRASHED
        with (run / "events.jsonl").open("ab") as file:  # what a machine that went down leaves
            file.write(b'{"time": "2026-11-21T08:0')
        events, end = RunFolder(run).events()
        assert sum(event["report"] == "started" for event in events) == round_ + 1
        assert end == (run / "events.jsonl").stat().st_size - 25
    (place / "control" / "fail").touch()
    child = spawn(run)
    child.communicate()
    found = lines(run)
    assert found[-1]["report"] == "failed"
    assert RunFolder(run).status().state is JobState.FAILED


def test_a_crashed_job_says_what_happened_and_how_to_go_on(place):
    child = spawn(place / "run")
    until(lambda: done(place / "run") > 3)
    child.kill()
    child.communicate()
    status = RunFolder(place / "run").status()
    assert status.error is not None and {"what", "remedy", "where", "traceback"} <= set(status.error)


def test_a_job_goes_on_when_its_parent_is_killed_and_a_third_process_finds_and_stops_it(startable, tmp_path):
    run = startable / "run"
    code = (
        "import sys, time\nfrom types import SimpleNamespace\nfrom napari_vesselkd.jobs import launch\n"
        f"launch.sys = SimpleNamespace(executable={str(startable / 'python')!r})\n"
        f"launch.start({command(run)!r}, {str(run)!r})\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "up\n"
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    before = done(run)
    until(lambda: done(run) > before + 100)
    code = (
        "from napari_vesselkd import jobs\n(one,) = jobs.known_runs()\nprint(one.state, one.path)\n"
        "print(jobs.stop(one.path).state)\n"
    )
    third = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert third.stdout.splitlines() == [f"running {run}", "stopped"], third.stderr
    assert lines(run)[-1]["report"] == "stopped"


def test_stop_and_resume_again_and_again(startable):
    run = startable / "run"
    jobs.start(command(run), run)
    for _ in range(2):
        assert jobs.stop(run).state is JobState.STOPPED
        assert not (run / "stop").exists()
        assert jobs.resume(run).state is JobState.RUNNING
    assert jobs.stop(run).state is JobState.STOPPED
    words = [event["report"] for event in lines(run) if event["report"] in ("started", "stopped")]
    assert words == ["started", "stopped"] * 3


def test_a_job_that_does_not_listen_is_ended_and_counts_as_stopped(startable):
    run = startable / "run"
    (startable / "control" / "go").unlink()
    jobs.start(command(run), run)
    assert jobs.stop(run, wait=0.2).state is JobState.STOPPED
    (startable / "control" / "go").touch()
    assert jobs.resume(run).state is JobState.RUNNING


def test_a_second_start_is_refused(startable):
    run = startable / "run"
    pid = RunFolder(jobs.start(command(run), run).path).session()["pid"]
    with pytest.raises(OutputBusyError, match="running already"):
        jobs.start(command(run), run)
    assert RunFolder(run).session()["pid"] == pid


def test_of_many_starts_at_once_one_runs_and_the_others_are_refused(startable):
    run, outcomes = startable / "run", []

    def go():
        try:
            outcomes.append(jobs.start(command(run), run).state)
        except VesselKDError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome is JobState.RUNNING for outcome in outcomes) == 1, outcomes
    assert all(
        isinstance(o, OutputBusyError | InvalidInputError) for o in outcomes if not isinstance(o, JobState)
    )
    assert sum(event["report"] == "started" for event in lines(run)) == 1


def test_a_folder_deleted_under_a_job_ends_it_with_one_message(place):
    run = place / "run"
    child = spawn(run)
    until(lambda: done(run) > 3)
    assert [one.path for one in jobs.known_runs()] == [run]
    until(lambda: shutil.rmtree(run, ignore_errors=True) or not run.exists())
    _, said = child.communicate(timeout=LIMIT)
    assert said.count("\n") == 1 and "deleted while the job was running" in said
    assert child.returncode == 2
    assert RunFolder(run).status().state is JobState.MISSING
    assert [one.state for one in jobs.known_runs()] == [JobState.MISSING]
    assert jobs.known_runs() == []


@pytest.mark.parametrize("limit", (1000, 1451, 2003))
def test_a_full_disk_leaves_whole_events_only(place, limit):
    run = place / "run"
    child = spawn(run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, said = child.communicate(timeout=LIMIT)
    content = (run / "events.jsonl").read_bytes()
    assert content.endswith(b"\n") and len(content) <= limit
    assert all(json.loads(line) for line in content.splitlines())
    assert "The disk is full" in said and said.count("\n") == 1


def test_a_full_disk_is_what_the_status_says_once_there_is_room_for_it(place):
    run = place / "run"
    child = spawn(run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)))
    child.communicate(timeout=LIMIT)
    status = RunFolder(run).status()
    assert status.state is JobState.FAILED, status.state
    assert "disk is full" in status.error["what"]


def test_a_task_that_fails_before_its_first_report_has_failed(place):
    def task():
        raise RuntimeError("no generator at all")

    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    with pytest.raises(RuntimeError):
        list(recorded(run, task))
    assert run.status().state is JobState.FAILED


def test_a_clock_that_is_set_while_a_job_runs_changes_nothing(place):
    """The start of a process, in s since 1970, moves with the clock; so do the times of events."""
    run = place / "run"
    child = spawn(run)
    until(lambda: done(run) > 3)
    session = json.loads((run / "session.json").read_text())
    session["created"] += 30.0
    (run / "session.json").write_text(json.dumps(session))
    assert RunFolder(run).status().state is JobState.RUNNING
    child.kill()
    child.communicate()


def test_a_job_that_ended_after_the_clock_was_put_back_has_ended(place):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    list(recorded(run, lambda: iter([Notice("one")])))
    session = json.loads((place / "run" / "session.json").read_text())
    session["started"] = "2099-01-01T00:00:00.000+00:00"
    session["pid"] = 2**22 + 5
    (place / "run" / "session.json").write_text(json.dumps(session))
    assert run.status().state is JobState.FINISHED


def test_another_process_with_the_same_number_is_not_the_job(place):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    (run.path / "session.json").write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "created": psutil.Process().create_time() - 100,
                "started": "2026-01-01T00:00:00+00:00",
            }
        )
    )
    assert run.status().state is JobState.CRASHED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": "x"}',
        '{"pid": -1, "created": 0}',
        '{"pid": 1e400, "created": 1}',
        '{"pid": 1, "created": null}',
    ],
)
def test_a_damaged_session_file_is_no_crash_of_ours(place, text):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    (run.path / "session.json").write_text(text)
    assert run.status().state in (JobState.STOPPED, JobState.CRASHED)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"[1]\n",
        b"null\n",
        b"{}\n",
        b'{"report": "failed"}\n',
        b'{"done": 1}\n',
        b'{"report": "finished", "time": 5}\n',
        b"\n",
    ],
)
def test_damaged_events_are_no_crash_of_ours(place, line):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    list(recorded(run, lambda: iter([Progress(1, 2, "steps", 1.0)])))
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(line)
    status = run.status()
    assert isinstance(status.state, JobState)
    from napari_vesselkd.cli.console import Console
    from napari_vesselkd.cli.job_view import list_jobs

    list_jobs(str(place), Console())


def test_status_reads_the_end_of_a_long_file_only(place, monkeypatch):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    list(recorded(run, lambda: (Progress(n, 5_000, "steps", 1.0) for n in range(5_000))))
    assert run.status().state is JobState.FINISHED
    assert run.status().progress["done"] == 4_999


def test_a_job_has_less_priority_and_keeps_its_memory(startable):
    run = startable / "run"
    jobs.start(command(run), run)
    process = psutil.Process(RunFolder(run).session()["pid"])
    assert process.nice() > psutil.Process().nice()
    assert "MALLOC_TRIM_THRESHOLD_" in process.environ()
    assert os.getsid(process.pid) != os.getsid(0)


def test_follow_from_elsewhere_sees_everything_and_ends_with_the_job(startable):
    (startable / "control" / "steps").write_text("500")
    run = startable / "run"
    jobs.start(command(run), run)
    events = list(jobs.follow(run))
    assert events[0]["report"] == "started" and events[-1]["report"] == "finished"
    assert [e["done"] for e in events if "done" in e] == list(range(1, 501))


def test_a_refused_start_says_what_the_command_said_and_leaves_nothing(place, monkeypatch):
    python = place / "python"
    python.write_text("#!/bin/sh\necho 'Error: no such thing.' >&2\nexit 2\n")
    python.chmod(0o755)
    monkeypatch.setattr("napari_vesselkd.jobs.launch.sys", SimpleNamespace(executable=str(python)))
    with pytest.raises(InvalidInputError, match="no such thing"):
        jobs.start(command(place / "run"), place / "run")
    assert not (place / "run").exists()
    assert jobs.known_runs() == []


def test_an_error_names_where_and_keeps_the_traceback(place):
    def task():
        yield Progress(3, 9, "steps", 1.0)
        raise RuntimeError("a bug")

    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    with pytest.raises(RuntimeError):
        list(recorded(run, task))
    error = run.status().error
    assert (error["what"], error["where"]) == ("RuntimeError: a bug", "after 3 of 9 steps")
    assert 'raise RuntimeError("a bug")' in error["traceback"]


def test_an_error_of_the_package_says_the_way_out(place):
    def task():
        yield Notice("one")
        raise InvalidInputError("Too small", value=1, limit="2", remedy="Take 2")

    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    with pytest.raises(InvalidInputError):
        list(recorded(run, task))
    error = run.status().error
    assert (error["what"], error["remedy"]) == ("Too small: 1 (allowed: 2)", "Take 2")


def test_a_run_that_is_closed_between_two_reports_has_stopped(place):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    closed = []

    def task():
        try:
            for step in range(9):
                yield Progress(step, 9, "steps", 1.0)
        finally:
            closed.append(True)

    reports = recorded(run, task)
    next(reports)
    reports.close()
    assert closed
    assert run.status().state is JobState.STOPPED


def test_a_second_process_in_one_run_is_refused(place):
    run = RunFolder.create(place / "run", kind="tick", command=["tick"], config={"steps": 10**9})
    reports = recorded(run, lambda: iter([Notice("one"), Notice("two")]))
    next(reports)
    child = spawn(run.path)
    _, said = child.communicate(timeout=LIMIT)
    assert child.returncode == 2
    assert "Another process works on this run" in said
    reports.close()


def test_a_torn_last_line_waits_until_it_is_whole(place):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    list(recorded(run, lambda: iter([Notice("one")])))
    whole = run.events_path.stat().st_size
    with run.events_path.open("ab") as file:
        file.write(b'{"report": "No')
    events, offset = run.events()
    assert [event["report"] for event in events] == ["started", "Notice", "finished"]
    assert offset == whole
    with run.events_path.open("ab") as file:
        file.write(b'tice", "text": "two"}\n')
    assert [event["text"] for event in run.events(offset)[0]] == ["two"]


def test_another_configuration_or_kind_in_the_folder_is_refused(place):
    RunFolder.create(place / "run", kind="k", command=["k"], config={"steps": 3, "name": "a"})
    with pytest.raises(InvalidInputError, match=r"other settings.*name a, steps 3"):
        RunFolder.create(place / "run", kind="k", command=["k"], config={"steps": 4})
    with pytest.raises(InvalidInputError, match="a run of k"):
        RunFolder.create(place / "run", kind="m", command=["m"], config={"steps": 3, "name": "a"})


def test_a_run_may_get_more_of_what_can_grow_and_nothing_else(place):
    def create(**config):
        wanted = {"steps": 3, "seeds": 2, "names": ["a", "b"], **config}
        return RunFolder.create(
            place / "run", kind="k", command=["k"], config=wanted, grows=("seeds", "names")
        )

    create()
    for config in ({"seeds": 1}, {"names": ["a"]}, {"seeds": 3, "steps": 4}, {"seeds": 3, "other": 1}):
        with pytest.raises(InvalidInputError, match="other settings"):
            create(**config)
    run = create(seeds=3, names=["b", "c", "a"])
    assert run.config == {"steps": 3, "seeds": 3, "names": ["b", "c", "a"]}
    reports = recorded(run, lambda: iter([Notice("one"), Notice("two")]))
    next(reports)
    for asked_to_stop in (False, True):
        if asked_to_stop:
            run.ask_to_stop()
        with pytest.raises(InvalidInputError, match="other settings"):
            create(seeds=4, names=["a", "b", "c"])
    run.stop_path.unlink()
    list(reports)
    assert create(seeds=3, names=["b", "c", "a"]).status().state is JobState.FINISHED


@pytest.mark.parametrize("dies_at", ["command.txt", "config.toml"])
def test_a_finished_run_that_got_more_is_not_finished_whenever_it_is_killed(place, monkeypatch, dies_at):
    def create(seeds):
        return RunFolder.create(
            place / "run", kind="k", command=["k", str(seeds)], config={"seeds": seeds}, grows=("seeds",)
        )

    list(recorded(create(2), lambda: iter([Notice("one")])))
    written = run_folder.write_aside

    def killed(path, text):
        if path.name == dies_at:
            raise KeyboardInterrupt
        written(path, text)

    monkeypatch.setattr(run_folder, "write_aside", killed)
    with pytest.raises(KeyboardInterrupt):
        create(3)
    assert RunFolder.open(place / "run").status().state is JobState.STOPPED
    monkeypatch.undo()
    assert create(3).status().state is JobState.STOPPED
    list(recorded(create(3), lambda: iter([Notice("two")])))
    assert create(3).status().state is JobState.FINISHED


@pytest.mark.parametrize("name", ["notes.txt", "config.toml"])
def test_a_folder_that_holds_something_else_is_refused(place, name):
    (place / "run").mkdir()
    (place / "run" / name).write_text("answer = 42\n")
    with pytest.raises(InvalidInputError, match="holds something else"):
        RunFolder.create(place / "run", kind="k", command=["k"], config={})
    with pytest.raises(InvalidInputError, match="There is no run in this folder"):
        RunFolder.open(place / "run")


BEFORE = ["f", "/a/brain.vesselkd", "--out", "/a/brain.vesselkd/runs/f-1"]


@pytest.mark.parametrize(
    ("run", "project"),
    [
        ("/b/brain.vesselkd/runs/f-1", "/b/brain.vesselkd"),
        ("/a/other.vesselkd/runs/f-1", "/a/other.vesselkd"),
        ("/a/brain.vesselkd/runs/f-2", "/a/brain.vesselkd"),
        ("/c/f-1", "/a/brain.vesselkd"),
    ],
)
def test_the_command_of_a_run_moves_with_its_project(run, project):
    assert jobs.launch.moved_here(BEFORE, Path(run)) == ["f", project, "--out", run]


def test_a_run_that_is_finished_or_without_its_command_is_not_resumed(place):
    run = RunFolder.create(place / "run", kind="k", command=["k"], config={})
    (run.path / "command.txt").unlink()
    with pytest.raises(InvalidInputError, match="command of this run is not known"):
        jobs.resume(run.path)
    list(recorded(run, lambda: iter([Notice("one")])))
    with pytest.raises(InvalidInputError, match="finished"):
        jobs.resume(run.path)


def test_runs_are_found_by_project_by_folder_and_by_user(place):
    runs = [place / "brain.vesselkd" / "runs" / f"tick-00{number}" for number in (1, 2)]
    for path in runs:
        run = RunFolder.create(path, kind="tick", command=["tick"], config={})
        list(recorded(run, lambda: iter([Notice("one")])))
        time.sleep(0.002)  # starts are told apart by the millisecond
    (runs[0].parent / "empty").mkdir()
    newest_first = runs[::-1]
    for where in ((place / "brain.vesselkd",), (runs[0].parent,), ()):
        assert [status.path for status in jobs.known_runs(*where)] == newest_first
    assert [status.path for status in jobs.known_runs(runs[0])] == [runs[0]]
    assert jobs.known_runs(place) == []


def test_config_survives_toml(place):
    config = {
        "steps": 3,
        "rate": 2e-3,
        "name": 'a "b" \\ ü\n',
        "none": None,
        "list": [1, 2],
        "flag": True,
        "path": "C:\\x",
        "t": {"a": 1.0},
    }
    run = RunFolder.create(place / "run", kind="k", command=["k", "a b", "ü'"], config=config)
    again = RunFolder.create(place / "run", kind="k", command=["k", "a b", "ü'"], config=config)
    assert again.command == ("k", "a b", "ü'")
    assert run.config == {k: v for k, v in config.items() if v is not None}
    with pytest.raises(InvalidInputError, match="steps 3"):
        RunFolder.create(place / "run", kind="k", command=["k"], config={**config, "steps": 4})
    assert again.command == ("k", "a b", "ü'")
