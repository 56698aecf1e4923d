"""Promises of editing a block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.labels import journal as journal_module
from napari_vesselkd.labels.edits import changed_box, follow_again, replay

REGION = Region((10, 20, 30), (16, 30, 38))
SHAPE = REGION.shape
WHO = {"project": "p", "image": "i"}


def begin(folder, start=None):
    start = np.zeros(SHAPE, np.uint8) if start is None else start
    return BlockEdit.begin(folder / "000001.jsonl", number=1, region=REGION, start=start, identity=WHO)


@pytest.fixture
def edit(tmp_path):
    edit = begin(tmp_path)
    yield edit
    edit.close()


def painted(edit, box, value):
    new = edit.voxels.copy()
    new[box.slices] = value
    return new


@st.composite
def boxes(draw):
    start = [draw(st.integers(0, n - 1)) for n in SHAPE]
    return Region(tuple(start), tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, SHAPE, strict=True)))


actions = st.lists(
    st.one_of(
        st.tuples(st.just("paint"), boxes(), st.integers(0, 2), st.sampled_from([None, 1, 2])),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
        st.tuples(st.just("reopen")),
        st.tuples(st.just("accept")),
    ),
    max_size=25,
)


class Model:
    """What undo and redo mean, with whole copies of the voxels."""

    def __init__(self):
        self.states, self.at, self.stroke = [np.zeros(SHAPE, np.uint8)], 0, None

    def paint(self, new, stroke):
        if (new == self.states[self.at]).all():
            return
        same = stroke is not None and stroke == self.stroke and self.at > 0
        self.states = [*self.states[: self.at if same else self.at + 1], new]
        self.at, self.stroke = len(self.states) - 1, stroke

    def move(self, step):
        if 0 <= self.at + step < len(self.states):
            self.at, self.stroke = self.at + step, None


@given(actions)
@settings(deadline=None, max_examples=100)
def test_any_sequence_of_strokes_undo_redo_and_reopening_equals_the_model(tmp_path_factory, sequence):
    folder = tmp_path_factory.mktemp("edit")
    edit, model = begin(folder), Model()
    for kind, *values in sequence:
        if kind == "paint":
            box, value, stroke = values
            new = painted(edit, box, value)
            before = edit.voxels.copy()
            assert edit.record(new, stroke=stroke) == changed_box(before, new)
            model.paint(new, stroke)
        elif kind == "undo":
            assert (edit.undo() is not None) == (model.at > 0)
            model.move(-1)
        elif kind == "redo":
            assert (edit.redo() is not None) == (model.at + 1 < len(model.states))
            model.move(1)
        elif kind == "reopen":
            edit.close()
            edit = BlockEdit.open(edit.path, WHO)
            model.stroke = None
        else:
            edit.mark()
            model.stroke = None
        np.testing.assert_array_equal(edit.voxels, model.states[model.at])
        assert edit.can_undo == (model.at > 0)
        assert edit.can_redo == (model.at + 1 < len(model.states))
    edit.close()
    np.testing.assert_array_equal(replay(edit.path, WHO).voxels, model.states[model.at])


def test_the_box_that_changed_is_returned_and_undo_gives_it_back(edit):
    box = Region((1, 2, 3), (3, 5, 4))
    assert edit.record(painted(edit, box, 2)) == box
    assert edit.record(edit.voxels) is None
    assert edit.undo() == box
    assert not edit.voxels.any()
    assert edit.redo() == box


def test_the_changes_of_one_stroke_are_one_step(edit):
    for x in range(4):
        edit.record(painted(edit, Region((0, 0, x), (1, 1, x + 1)), 2), stroke=7)
    edit.record(painted(edit, Region((5, 5, 5), (6, 6, 6)), 1), stroke=8)
    edit.undo()
    assert edit.voxels.sum() == 8
    assert edit.undo() == Region((0, 0, 0), (1, 1, 4))
    assert not edit.voxels.any()
    assert not edit.can_undo


def test_a_stroke_number_used_again_after_reopening_is_a_step_of_its_own(tmp_path):
    edit = begin(tmp_path)
    edit.record(painted(edit, Region((0, 0, 0), (1, 1, 1)), 2), stroke=1)
    edit.close()
    edit = BlockEdit.open(edit.path, WHO)
    edit.record(painted(edit, Region((1, 1, 1), (2, 2, 2)), 2), stroke=1)
    edit.undo()
    assert edit.voxels.sum() == 2
    edit.close()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.full(SHAPE, 3, np.uint8), r"\[3\].*0 unlabelled, 1 background, 2 vessel.*Undo"),
        (np.full(SHAPE, -1, np.int16), r"\[-1\]"),
        (np.full(SHAPE, 0.5, np.float32), "float32"),
        (np.ones((2, 2, 2), np.uint8), r"not those of this block.*\(2, 2, 2\)"),
    ],
)
def test_labels_with_other_values_are_refused_and_nothing_is_recorded(edit, values, told):
    before = edit.path.read_bytes()
    with pytest.raises(InvalidInputError, match=told):
        edit.record(values)
    assert edit.path.read_bytes() == before
    assert not edit.voxels.any()


def test_the_types_that_napari_paints_in_are_taken(edit):
    for kind in (np.int32, np.int64, np.uint16):
        new = edit.voxels.astype(kind)
        new[0, 0, 0] = 2 - new[0, 0, 0]
        assert edit.record(new) is not None
    assert edit.voxels.dtype == np.uint8


def test_the_voxels_cannot_be_changed_past_the_journal(edit):
    with pytest.raises(ValueError, match="read-only"):
        edit.voxels[0, 0, 0] = 2


def test_a_full_disk_leaves_the_stroke_to_be_recorded_again(edit, monkeypatch):
    new = painted(edit, Region((0, 0, 0), (2, 2, 2)), 2)

    def full(file, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal_module.os, "write", full)
        with pytest.raises(OutputError, match="disk is full"):
            edit.record(new)
        assert not edit.voxels.any()
        assert not edit.can_undo
    assert edit.record(new) is not None
    np.testing.assert_array_equal(replay(edit.path, WHO).voxels, new)


def test_voxels_at_each_acceptance_can_be_had_back(edit):
    found = []
    for value in (1, 2):
        edit.record(painted(edit, Region((0, 0, 0), (2, 2, 2)), value))
        found.append((edit.mark(), edit.voxels.copy()))
    edit.undo()
    for mark, voxels in found:
        np.testing.assert_array_equal(replay(edit.path, WHO, mark).marked, voxels)
    assert replay(edit.path, WHO, 3).marked is None


def test_a_damaged_stroke_is_left_out_and_said(tmp_path):
    edit = begin(tmp_path)
    for x in range(3):
        edit.record(painted(edit, Region((0, 0, x), (1, 1, x + 1)), 2))
    edit.close()
    lines = edit.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"stroke", b"strike")
    edit.path.write_bytes(b"".join(lines))
    edit = BlockEdit.open(edit.path, WHO)
    assert "line 3 is damaged" in edit.notice
    assert edit.voxels[0, 0].tolist() == [2, 0, 2, 0, 0, 0, 0, 0]
    while edit.can_undo:
        edit.undo()
    edit.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"begin", b"began")), "lost its beginning"),
        (lambda path: path.write_bytes(b""), "lost its beginning"),
    ],
)
def test_a_journal_without_its_beginning_is_refused(edit, spoil, told):
    edit.close()
    spoil(edit.path)
    with pytest.raises(ProjectError, match=told):
        BlockEdit.open(edit.path, WHO)


def test_a_journal_of_another_project_is_refused(edit):
    with pytest.raises(ProjectError, match="another project"):
        BlockEdit.open(edit.path, {**WHO, "project": "q"})
    np.testing.assert_array_equal(follow_again(edit.path, {"project": "q"}, edit.voxels), edit.voxels)


def test_strokes_can_be_repeated_over_another_start(edit):
    edit.record(painted(edit, Region((0, 0, 0), (1, 1, 3)), 2))
    edit.close()
    edit.path.write_bytes(edit.path.read_bytes().replace(b"begin", b"began"))
    found = follow_again(edit.path, WHO, np.ones(SHAPE, np.uint8))
    assert found[0, 0].tolist() == [2, 2, 2, 1, 1, 1, 1, 1]
    assert (found[1:] == 1).all()
