"""Promises of the clock: only the time that a person is at work on a block counts."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_vesselkd.plugin.reviewing.clock import IDLE, KEEP, BlockClock


class Time:
    """Seconds that a test moves on."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def kept():
    return []


@pytest.fixture
def passing():
    return Time()


@pytest.fixture
def field(qtbot):
    """Where a person works."""
    field = QLineEdit()
    qtbot.addWidget(field)
    field.show()
    return field


@pytest.fixture
def clock(field, kept, passing):
    clock = BlockClock(lambda number, seconds: kept.append((number, seconds)), field, passing)
    yield clock
    clock.end()


def total(kept, number):
    return sum(seconds for one, seconds in kept if one == number)


def work(clock, passing, seconds):
    for _ in range(seconds):
        passing.now += 1
        clock.noticed()
        clock.tick()


def test_the_time_at_work_is_kept_for_its_block(clock, kept, passing):
    clock.begin(3)
    work(clock, passing, 12)
    clock.begin(4)
    work(clock, passing, 5)
    clock.end()
    assert (total(kept, 3), total(kept, 4)) == (12, 5)


def test_a_person_who_is_away_is_not_at_work(clock, kept, passing):
    clock.begin(3)
    work(clock, passing, 10)
    passing.now += 3600
    clock.tick()
    clock.noticed()
    work(clock, passing, 10)
    clock.end()
    assert total(kept, 3) == 20 + IDLE


def test_time_is_kept_now_and_then_so_that_a_crash_loses_little(clock, kept, passing):
    clock.begin(3)
    work(clock, passing, round(KEEP) + 1)
    assert total(kept, 3) >= KEEP


def test_nothing_is_kept_while_no_block_is_open(clock, kept, passing):
    work(clock, passing, 10)
    clock.end()
    assert kept == []


def test_real_keys_and_clicks_are_noticed(clock, kept, passing, field):
    clock.begin(3)
    passing.now += IDLE + 100
    QTest.keyClick(field, Qt.Key.Key_A)
    passing.now += 7
    QTest.mouseClick(field, Qt.MouseButton.LeftButton)
    clock.end()
    assert total(kept, 3) == IDLE + 7
