"""Errors say what is wrong, the value, what is allowed and the way out."""

import builtins
import pickle

import pytest

from napari_vesselkd import errors
from napari_vesselkd.reports import Notice, Progress

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.VesselKDError) and kind is not errors.VesselKDError
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_also_a_builtin_one(kind):
    assert any(base.__module__ == builtins.__name__ and base is not Exception and base is not object
               and base is not BaseException for base in kind.__mro__)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_is_one_line_with_all_its_parts(kind):
    error = kind("The threshold is out of range", value=1.5, limit="0..1", remedy="Give a probability.")
    assert str(error) == "The threshold is out of range: 1.5 (allowed: 0..1). Give a probability."


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_a_process_border_whole(kind):
    error = pickle.loads(pickle.dumps(kind("what", value=3, limit="4", remedy="way")))  # noqa: S301
    assert (str(error), error.value, error.remedy) == ("what: 3 (allowed: 4). way.", 3, "way")


def test_the_rate_leaves_out_what_an_earlier_run_had_done():
    progress = Progress(done=60, total=100, unit="blocks", seconds=5.0, resumed=50)
    assert progress.rate == 2.0
    assert progress.seconds_left == 20.0


def test_time_left_is_unknown_before_the_first_unit():
    assert Progress(done=50, total=100, unit="blocks", seconds=1.0, resumed=50).seconds_left is None


def test_a_report_becomes_plain_values():
    assert Notice("careful").to_dict() == {"report": "Notice", "text": "careful"}
