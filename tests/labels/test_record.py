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
