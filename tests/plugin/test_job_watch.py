"""A run folder is watched in a worker, from where the last look ended."""

import threading

import pytest

from napari_vesselkd.jobs import RunFolder, recorded
from napari_vesselkd.plugin import job_watch
from napari_vesselkd.plugin.job_events import JobView
from napari_vesselkd.plugin.job_watch import JobWatch, Seen, look, tail
from napari_vesselkd.reports import Notice, Progress


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(
        tmp_path / "finetune-001", kind="finetune", command=["finetune"], config={"steps": 3}
    )


@pytest.fixture
def watch(qtbot):
    found = JobWatch()
    yield found
    found.release()
    qtbot.waitUntil(lambda: not found.looking, timeout=20_000)


def reports(count):
    yield Notice("begun")
    for done in range(1, count + 1):
        yield Progress(done, count, "blocks", 1.0)


def test_a_finished_job_is_read_once_and_not_again(run, watch, qtbot, monkeypatch):
    list(recorded(run, lambda: reports(500)))
    read, threads = [], set()
    original = RunFolder.events

    def counted(self, offset=0):
        events, end = original(self, offset)
        read.append((offset, len(events)))
        threads.add(threading.get_ident())
        return events, end

    monkeypatch.setattr(RunFolder, "events", counted)
    monkeypatch.setattr(job_watch, "ENDED_MS", 10)
    watch.attach(run.path)
    qtbot.waitUntil(lambda: watch.view.state == "finished", timeout=20_000)
    qtbot.waitUntil(lambda: sum(1 for offset, _ in read if offset) >= 4, timeout=20_000)
    assert threading.get_ident() not in threads
    whole = [count for offset, count in read if offset == 0]
    assert max(whole) >= 500
    at_the_end = [count for offset, count in read if offset == run.events_path.stat().st_size]
    assert at_the_end
    assert set(at_the_end) == {0}


def test_nothing_new_is_not_announced(run, watch, qtbot, monkeypatch):
    list(recorded(run, lambda: reports(3)))
    monkeypatch.setattr(job_watch, "ENDED_MS", 10)
    watch.attach(run.path)
    qtbot.waitUntil(lambda: watch.view.state == "finished", timeout=20_000)
    told, looks = [], []
    watch.changed.connect(lambda: told.append(1))
    original = job_watch.look
    monkeypatch.setattr(job_watch, "look", lambda seen: (looks.append(1), original(seen))[1])
    qtbot.waitUntil(lambda: len(looks) >= 3, timeout=20_000)
    assert told == []


def test_a_folder_that_is_gone_is_missing(tmp_path):
    seen = look(Seen(JobView(tmp_path / "gone", "running")))
    assert seen.view.state == "missing"
    assert "gone" in seen.view.failure.headline


def test_what_was_read_survives_the_folder(run):
    list(recorded(run, lambda: reports(3)))
    seen = look(Seen(JobView(run.path, "running")))
    run.path.rename(run.path.with_name("elsewhere"))
    assert look(seen).view.counted == seen.view.counted


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    (tmp_path / "output.log").write_text("x" * 100_000 + "Killed\n")
    assert tail(tmp_path / "output.log").endswith("Killed")
    assert len(tail(tmp_path / "output.log")) <= job_watch.TAIL_BYTES
    assert tail(tmp_path / "none.log") == ""
