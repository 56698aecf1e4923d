"""The newest wish wins, and what is shown is never far behind."""

import time

import pytest

from napari_vesselkd.plugin.looking import latest as module
from napari_vesselkd.plugin.looking.latest import LatestTask


@pytest.fixture
def latest(qtbot):
    task = LatestTask(lambda report: report.startswith("picture"))
    task.got, task.problems = [], []
    task.reported.connect(task.got.append)
    task.failed.connect(task.problems.append)
    yield task
    task.stop()
    qtbot.waitUntil(lambda: not task.running, timeout=10_000)


def slow(name, steps=20, first="progress"):
    """Yield a picture after some steps, then go on for a while."""
    yield f"{first} {name}"
    for step in range(steps):
        time.sleep(0.02)
        yield f"progress {name} {step}"
    yield f"picture {name}"


def done(latest, qtbot):
    qtbot.waitUntil(lambda: not latest.running, timeout=20_000)


def pictures(latest):
    return [report.split()[1] for report in latest.got if report.startswith("picture")]


def test_of_the_wishes_that_wait_only_the_latest_is_run(latest, qtbot):
    for name in "abcd":
        latest.ask(lambda name=name: slow(name))
    done(latest, qtbot)
    assert pictures(latest) == ["a", "d"]  # a was not cancelled before it showed something
    assert not [report for report in latest.got if " b" in report or " c" in report]


def test_a_task_that_has_shown_something_gives_way_at_once(latest, qtbot):
    latest.ask(lambda: slow("a", steps=500, first="picture"))
    qtbot.waitUntil(lambda: pictures(latest) == ["a"], timeout=5000)
    latest.ask(lambda: slow("b", steps=1))
    done(latest, qtbot)
    assert pictures(latest) == ["a", "b"]
    assert len(latest.got) < 300


def test_a_task_that_shows_nothing_gives_way_in_the_end(latest, qtbot, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_MS", 200)
    latest.ask(lambda: slow("a", steps=1500))
    qtbot.wait(50)
    latest.ask(lambda: slow("b", steps=1))
    done(latest, qtbot)
    assert pictures(latest) == ["b"]


def test_stopping_forgets_what_waits(latest, qtbot):
    latest.ask(lambda: slow("a"))
    latest.ask(lambda: slow("b"))
    latest.stop()
    done(latest, qtbot)
    assert not pictures(latest)


def test_an_error_is_told_and_the_next_wish_is_run(latest, qtbot):
    def broken():
        yield "progress"
        raise ValueError("no")

    latest.ask(broken)
    done(latest, qtbot)
    assert len(latest.problems) == 1
    latest.ask(lambda: slow("b", steps=1))
    done(latest, qtbot)
    assert pictures(latest) == ["b"]
