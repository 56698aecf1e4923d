"""LiveLevel: the same voxels as its array, decoded once, fresh after a change, bounded in memory."""

import threading

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.live_level import FlatView, LiveLevel


class CountingArray:
    """A numpy array with chunks that counts how often it is read."""

    def __init__(self, array, chunks):
        self.array, self.chunks = array, chunks
        self.shape, self.dtype = array.shape, array.dtype
        self.reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return self.array[index].copy()


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 2, (20, 33, 41), dtype=np.uint8)


def bounds(size):
    return st.one_of(
        st.integers(-size, size - 1),
        st.builds(slice, st.integers(0, size), st.integers(0, size + 4), st.sampled_from([None, 1, 2, 3])),
        st.just(slice(None)),
    )


@settings(max_examples=60, deadline=None)
@given(index=st.tuples(bounds(20), bounds(33), bounds(41)))
def test_basic_indexing_gives_what_numpy_gives(index):
    array = np.random.default_rng(0).integers(0, 9, (20, 33, 41), dtype=np.uint8)
    live = LiveLevel(CountingArray(array, (8, 16, 16)))
    np.testing.assert_array_equal(live[index], array[index])


def test_ellipsis_and_short_indices_mean_what_they_mean_in_numpy(array):
    live = LiveLevel(CountingArray(array, (8, 16, 16)))
    np.testing.assert_array_equal(live[..., 3], array[..., 3])
    np.testing.assert_array_equal(live[2], array[2])
    np.testing.assert_array_equal(np.asarray(live), array)


def test_an_index_outside_the_array_is_refused(array):
    with pytest.raises(IndexError, match="outside an axis of 20"):
        LiveLevel(CountingArray(array, (8, 16, 16)))[20]


def test_a_chunk_is_decoded_once(array):
    source = CountingArray(array, (8, 16, 16))
    live = LiveLevel(source)
    live[3]
    first = source.reads
    live[4]
    assert source.reads == first == 3  # one read per row of chunks


def test_a_changed_region_is_read_again_and_nothing_else(array):
    source = CountingArray(array, (8, 16, 16))
    live = LiveLevel(source)
    live[3]
    array[0:8, 0:16, 0:16] = 7
    before = source.reads
    live.changed(Region((0, 0, 0), (8, 16, 16)))
    assert source.reads == before + 1
    assert (live[3][:16, :16] == 7).all()
    assert source.reads == before + 1


def test_chunks_never_shown_are_not_decoded_when_they_change(array):
    source = CountingArray(array, (8, 16, 16))
    LiveLevel(source).changed(Region((0, 0, 0), (20, 33, 41)))
    assert source.reads == 0


def test_memory_stays_within_the_budget_and_empty_chunks_are_free():
    full = np.ones((64, 64, 64), np.uint8)
    live = LiveLevel(CountingArray(full, (16, 16, 16)), budget=5 * 16**3)
    np.testing.assert_array_equal(np.asarray(live), full)
    assert live.cached_bytes <= 5 * 16**3
    empty = LiveLevel(CountingArray(np.zeros((64, 64, 64), np.uint8), (16, 16, 16)), budget=0)
    np.asarray(empty)
    assert empty.cached_bytes == 0


def test_a_write_to_the_zarr_behind_it_is_seen_after_changed(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(16, 16, 16), chunks=(8, 8, 8), dtype="uint8")
    live = LiveLevel(stored)
    assert not live[5].any()
    stored[0:8] = 1
    live.changed(Region((0, 0, 0), (8, 16, 16)))
    assert live[5].all()


def test_a_flat_view_is_the_only_slice():
    array = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    flat = FlatView(LiveLevel(CountingArray(array, (1, 2, 2))))
    assert flat.shape == (3, 4)
    assert flat.chunks == (2, 2)
    np.testing.assert_array_equal(flat[1:, 2], array[0, 1:, 2])


def test_cropping_to_the_screen_before_taking_a_slice_reads_only_that_slice():
    """As napari slices multiscale layers: first the tile with all its slices, then one of them."""
    array = np.random.default_rng(0).integers(1, 9, (64, 32, 32), dtype=np.uint8)
    source = CountingArray(array, (8, 16, 16))
    tile = LiveLevel(source)[:, 0:16, 0:32]
    assert tile.shape == (64, 16, 32)
    assert source.reads == 0
    np.testing.assert_array_equal(tile[20, :, :], array[20, 0:16, 0:32])
    assert source.reads == 1
    np.testing.assert_array_equal(np.asarray(tile), array[:, 0:16, 0:32])


def test_a_refresh_after_a_change_elsewhere_in_the_chunk_reads_nothing_in_the_viewer(array):
    source = CountingArray(array, (8, 16, 16))
    live = LiveLevel(source)
    live[3]
    array[3, 5, 5] = 77
    live.changed(Region((0, 0, 0), (8, 16, 16)))
    before = source.reads
    assert live[3][5, 5] == 77
    np.testing.assert_array_equal(live[3], array[3])
    assert source.reads == before


def test_reading_while_another_thread_writes_ends_with_what_was_written():
    array = np.zeros((16, 64, 64), np.uint8)
    live = LiveLevel(CountingArray(array, (8, 16, 16)))
    stop = threading.Event()

    def look():
        while not stop.is_set():
            live[4]

    reader = threading.Thread(target=look)
    reader.start()
    for y in range(0, 64, 16):
        for x in range(0, 64, 16):
            region = Region((0, y, x), (8, y + 16, x + 16))
            array[region.slices] = 1
            live.changed(region)
    stop.set()
    reader.join()
    assert live[4].all()
