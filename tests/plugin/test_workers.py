"""Tasks: reports arrive in the GUI thread; pause, cancel, errors; the generator is closed where it ran."""

import subprocess
import sys
import threading
import time

import pytest
from qtpy.QtCore import QThread

from napari_vesselkd.errors import DeviceError
from napari_vesselkd.plugin.workers import Task, run


class Source:
    """A generator of numbers that notes what happens to it."""

    def __init__(self, count, error=None):
        self.count, self.error = count, error
        self.made, self.closed_in = 0, None

    def __call__(self):
        try:
            for number in range(self.count):
                time.sleep(0.005)
                self.made += 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.closed_in = threading.get_ident()


def test_reports_arrive_in_order_in_the_gui_thread(qtbot):
    task, got, threads = Task(Source(5)), [], set()
    task.reported.connect(lambda report: (got.append(report), threads.add(QThread.currentThread())))
    with qtbot.waitSignal(task.done, timeout=5000) as done:
        task.start()
    assert got == [0, 1, 2, 3, 4]
    assert done.args == [4]
    assert threads == {QThread.currentThread()}
    assert not task.running


def test_cancel_stops_after_the_current_report_and_closes_the_generator_in_its_thread(qtbot):
    source = Source(10_000)
    task = Task(source)
    task.reported.connect(lambda report: task.cancel() if report == 3 else None)
    with qtbot.waitSignal(task.cancelled, timeout=5000):
        task.start()
    assert source.made < 20
    assert source.closed_in not in (None, threading.get_ident())


def test_a_paused_task_makes_nothing_until_it_goes_on(qtbot):
    source = Source(200)
    task = Task(source)
    with qtbot.waitSignal(task.paused, timeout=5000):
        task.start()
        task.pause()
    made = source.made
    qtbot.wait(100)
    assert source.made == made < 200
    with qtbot.waitSignal(task.done, timeout=10_000):
        task.resume()
    assert source.made == 200


def test_a_paused_task_can_be_cancelled(qtbot):
    source = Source(10_000)
    task = Task(source)
    task.reported.connect(lambda report: task.pause() if report == 0 else None)
    with qtbot.waitSignal(task.paused, timeout=5000):
        task.start()
    with qtbot.waitSignal(task.cancelled, timeout=5000):
        task.cancel()
    assert source.closed_in is not None


def test_an_error_arrives_as_a_failure_and_nowhere_else(qtbot):
    task = Task(Source(2, DeviceError("There is no GPU", value="cuda", remedy="Choose cpu")))
    with qtbot.waitSignal(task.failed, timeout=5000) as failed:
        task.start()
    failure = failed.args[0]
    assert failure.headline == "There is no GPU: cuda."
    assert failure.remedy == "Choose cpu"
    assert "test_workers.py" in failure.details


def test_an_error_before_the_first_report_arrives_too(qtbot):
    def broken():
        raise ZeroDivisionError("x")

    task = Task(broken)
    with qtbot.waitSignal(task.failed, timeout=5000) as failed:
        task.start()
    assert failed.args[0].headline == "ZeroDivisionError: x"


def test_a_function_runs_once_and_returns_its_value(qtbot):
    task = run(lambda: 42)
    with qtbot.waitSignal(task.done, timeout=5000) as done:
        task.start()
    assert done.args == [42]


def test_an_abandoned_task_stops_and_tells_nobody(qtbot):
    source = Source(10_000)
    task, heard = Task(source), []
    for signal in (task.done, task.cancelled, task.failed):
        signal.connect(lambda *_: heard.append(1))
    task.start()
    qtbot.wait(50)
    task.abandon()
    qtbot.waitUntil(lambda: source.closed_in is not None, timeout=5000)
    qtbot.wait(50)
    assert heard == []


@pytest.mark.window
def test_python_ends_well_while_a_task_is_at_work():
    """Qt's objects are gone at the end of a script; a thread that still reported to them would abort it."""
    script = (
        "import time, napari\n"
        "from napari_vesselkd.plugin.commands import show_dock\n"
        "from napari_vesselkd.plugin.workers import run\n"
        "viewer = napari.Viewer()\n"
        "show_dock(viewer).task = run(lambda: time.sleep(4)).start()\n"
        "time.sleep(0.3)\n"
        "viewer.close()\n"
    )
    words = [sys.executable, "-c", script]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
