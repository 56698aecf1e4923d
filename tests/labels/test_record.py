"""Promises of the run record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import RunRecord

SHAPE, CELL = (20, 33, 47), (8, 8, 16)
WHOLE = Region.whole(SHAPE)


@st.composite
def regions(draw):
    start = [draw(st.integers(0, n - 1)) for n in SHAPE]
    return Region(tuple(start), tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, SHAPE, strict=True)))


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path, SHAPE, CELL, {"volume": "a", "threshold": 0.5})


def ones(region):
    return np.ones(region.shape, np.uint8)


def test_it_is_found_again_as_it_was(record, tmp_path):
    record.ask_for(WHOLE)
    record.mark(Region((0, 0, 0), (8, 8, 16)), ones(Region((0, 0, 0), (8, 8, 16))))
    record.save(window={"low": 1.5})
    again = RunRecord.open(tmp_path)
    assert again.values["window"] == {"low": 1.5}
    np.testing.assert_array_equal(again.done, record.done)
    assert again.share_done(WHOLE) == 1 / (3 * 5 * 3)


def test_a_folder_without_a_whole_record_has_none(record, tmp_path):
    assert RunRecord.open(tmp_path / "elsewhere") is None
    (record.folder / "run.json").write_text("{")
    assert RunRecord.open(tmp_path) is None


def test_another_volume_or_setting_is_named(record, tmp_path):
    record.check({"volume": "a", "threshold": 0.5}, tmp_path)
    with pytest.raises(OutputError, match=r"another threshold.*threshold 0.5.*--restart"):
        record.check({"volume": "a", "threshold": 0.6}, tmp_path)


@given(region=regions(), cut=st.integers(1, 46))
@settings(deadline=None, max_examples=40)
def test_a_region_done_in_two_parts_is_done_and_its_vessels_counted_once(tmp_path_factory, region, cut):
    record = RunRecord.create(tmp_path_factory.mktemp("run"), SHAPE, CELL, {})
    record.ask_for(region)
    labels = (np.random.default_rng(cut).random(SHAPE) < 0.3).astype(np.uint8)
    cut = cut // CELL[2] * CELL[2]
    for low, high in ((0, cut), (cut, SHAPE[2])):
        part = region.intersection(Region((0, 0, low), (SHAPE[0], SHAPE[1], high))) if low < high else None
        if part is not None:
            assert record.missing(part) == part
            record.mark(part, labels[part.slices])
            assert record.missing(part) is None
    assert record.is_done(region)
    assert record.vessel_voxels(region) == labels[region.slices].sum()


@given(region=regions())
@settings(deadline=None, max_examples=40)
def test_only_whole_cells_count_for_another_region(tmp_path_factory, region):
    record = RunRecord.create(tmp_path_factory.mktemp("run"), SHAPE, CELL, {})
    record.ask_for(region)
    record.mark(region, ones(region))
    record.ask_for(WHOLE)
    for cell in WHOLE.aligned(CELL).pieces(CELL):
        part = cell.intersection(WHOLE)
        assert (record.missing(part) is None) == region.contains(part)


def test_what_is_missing_is_the_box_around_it(record):
    record.ask_for(WHOLE)
    done = Region((0, 0, 0), (16, 33, 47))
    record.mark(done, ones(done))
    assert record.missing(WHOLE) == Region((16, 0, 0), (20, 33, 47))


def test_what_is_forgotten_is_to_be_done_again_and_nothing_else(record):
    record.track_uncertainty()
    record.ask_for(WHOLE)
    record.mark(WHOLE, ones(WHOLE), np.zeros(record.done.shape, np.float32))
    record.forget(Region((7, 8, 0), (9, 9, 1)))
    assert record.missing(WHOLE) == Region((0, 8, 0), (16, 16, 16))
    assert np.isnan(record.uncertainty).sum() == 2
    assert not record.shown(WHOLE)[:16, 8:16, :16].any()


def test_vessels_are_counted_again_in_what_is_done(record):
    record.ask_for(WHOLE)
    half = Region((0, 0, 0), (20, 16, 47))
    record.mark(half, ones(half))
    labels = np.zeros(SHAPE, np.uint8)
    labels[:3, :, :5] = 1
    record.recount(Region((2, 0, 2), (3, 33, 3)), lambda box: labels[box.slices])
    assert record.vessel_voxels(Region((0, 0, 0), (8, 8, 16))) == 3 * 8 * 5
    assert record.vessel_voxels(Region((0, 0, 16), (8, 8, 32))) == 8 * 8 * 16
    assert record.missing(WHOLE) == Region((0, 16, 0), SHAPE)


@given(region=regions())
@settings(deadline=None, max_examples=40)
def test_labels_are_shown_exactly_where_the_last_region_was_done(tmp_path_factory, region):
    record = RunRecord.create(tmp_path_factory.mktemp("run"), SHAPE, CELL, {})
    assert record.shown_box(WHOLE) is None
    record.ask_for(region)
    record.mark(region, ones(region))
    expected = np.zeros(SHAPE, bool)
    expected[region.slices] = True
    np.testing.assert_array_equal(record.shown(WHOLE), expected)
    assert record.shown_box(WHOLE) == region


def test_going_on_with_other_settings_keeps_what_is_shown_and_does_everything_again(record, tmp_path):
    record.track_uncertainty()
    record.ask_for(WHOLE)
    half = Region((0, 0, 0), (16, 33, 47))
    record.mark(half, ones(half), np.full((2, 5, 3), 0.5, np.float32))
    record.save(window={"low": 0}, statistics=[1])
    new = record.renew((8, 16, 8), {"volume": "a", "threshold": 0.7})
    again = RunRecord.open(tmp_path)
    for one in (new, again):
        assert one.cell == (8, 16, 8)
        assert one.fingerprint == {"volume": "a", "threshold": 0.7}
        assert not {"window", "statistics"} & set(one.values)
        assert one.missing(WHOLE) == WHOLE
        expected = np.zeros(SHAPE, bool)
        expected[half.slices] = True
        np.testing.assert_array_equal(one.shown(WHOLE), expected)
        assert (one.uncertainty[:2] == 0.5).all()
        assert np.isnan(one.uncertainty[2:]).all()
    third = again.renew(CELL, {"volume": "a"})
    assert third.shown(half).all()
    assert sorted(path.name for path in third.folder.iterdir()) == [
        "done-2", "earlier-2", "run.json", "uncertainty-2"
    ]  # fmt: skip


def test_killed_while_settings_change_the_record_is_the_old_one_or_the_new_one(record, tmp_path, monkeypatch):
    record.ask_for(WHOLE)
    record.mark(WHOLE, ones(WHOLE))

    def killed(self, **values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunRecord, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            record.renew(CELL, {"volume": "b"})
    again = RunRecord.open(tmp_path)
    assert again.is_done(WHOLE)
    assert again.fingerprint["volume"] == "a"
    assert not again.renew(CELL, {"volume": "b"}).is_done(WHOLE)
