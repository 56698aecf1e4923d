"""Promises of painting on a label volume of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.overlay import CHUNK, Overlay

SHAPE = (70, 130, 90)


def stored(seed=0):
    voxels = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    voxels[:64, :64, :64] = 0
    return voxels


class Counting:
    """A stored array that counts its reads."""

    def __init__(self, voxels):
        self.voxels, self.reads = voxels, []

    def __call__(self, box):
        self.reads.append(box)
        return self.voxels[box.slices]


@pytest.fixture
def source():
    return Counting(stored())


places = st.tuples(*(st.integers(-size, size - 1) for size in SHAPE))
slices = st.tuples(*(st.slices(size) if size else st.nothing() for size in SHAPE))


@given(st.one_of(slices, places, st.tuples(st.integers(0, 69), st.just(slice(None)), st.slices(90))))
@settings(deadline=None)
def test_it_reads_as_the_array_it_stands_for(index):
    voxels = stored()
    np.testing.assert_array_equal(Overlay(lambda box: voxels[box.slices], SHAPE)[index], voxels[index])


@given(st.lists(st.tuples(slices, st.integers(0, 2)), max_size=6))
@settings(deadline=None, max_examples=40)
def test_what_is_painted_equals_the_array_and_what_is_taken_rebuilds_it(strokes):
    voxels = stored()
    expected, overlay = voxels.copy(), Overlay(lambda box: voxels[box.slices], SHAPE)
    rebuilt = voxels.copy()
    for index, value in strokes:
        expected[index] = overlay[index] = value
        np.testing.assert_array_equal(np.asarray(overlay), expected)
        for one in overlay.take():
            np.testing.assert_array_equal(rebuilt[one.box.slices], one.before)
            rebuilt[one.box.slices] = one.after
        np.testing.assert_array_equal(rebuilt, expected)
        assert not overlay.dirty


def test_lists_of_places_are_read_and_written(source):
    overlay = Overlay(source, SHAPE)
    index = (np.array([1, 69, 5]), np.array([2, 129, -1]), np.array([3, 89, 0]))
    np.testing.assert_array_equal(overlay[index], source.voxels[index])
    overlay[index] = 2
    assert (overlay[index] == 2).all()
    with pytest.raises(IndexError):
        overlay[(np.array([70]), np.array([0]), np.array([0]))]
    with pytest.raises(IndexError):
        overlay[0, 0, 90]


def test_a_stamp_of_naparis_brush_reads_the_chunks_under_it_and_no_plane(source):
    overlay = Overlay(source, SHAPE)
    layer = Labels(overlay)
    layer.n_edit_dimensions, layer.brush_size = 3, 7
    source.reads.clear()
    overlay._chunks.clear()
    layer.paint([32, 32, 75], 2)
    assert source.reads == [Region((0, 0, 64), (64, 64, 90))]
    assert overlay[32, 32, 75] == 2
    assert overlay[0].dtype == np.uint8
    assert overlay[0].shape == (130, 90)
    np.testing.assert_array_equal(np.asarray(overlay[3]), source.voxels[3])
    np.testing.assert_array_equal(overlay[3][4], source.voxels[3, 4])


def test_naparis_own_undo_fill_and_erase_work_on_it(source):
    overlay = Overlay(source, SHAPE)
    layer = Labels(overlay)
    layer.n_edit_dimensions = 2
    before = np.asarray(overlay)
    layer.fill([0, 10, 10], 1)
    assert (overlay[0, :64, :64] == 1).all()
    layer.paint([0, 10, 10], 0)
    assert overlay[0, 10, 10] == 0
    layer.undo()
    layer.undo()
    np.testing.assert_array_equal(np.asarray(overlay), before)


def test_where_nothing_is_stored_nothing_is_read(source):
    overlay = Overlay(source, SHAPE, filled=[Region((0, 64, 0), (10, 70, 10))])
    plane = overlay[3, :, :]
    assert source.reads == [Region((0, 64, 0), (64, 128, 64))]
    np.testing.assert_array_equal(plane[64:128, :64], source.voxels[3, 64:128, :64])
    assert not plane[:64].any()


def test_memory_is_bounded_and_what_is_painted_is_never_lost(source):
    overlay = Overlay(source, SHAPE, budget=2 * CHUNK**3)
    overlay[0, 0, 0] = 2
    for start in range(0, 70, 8):
        np.asarray(overlay[start])
    assert overlay.held <= 4 * CHUNK**3
    assert overlay[0, 0, 0] == 2
    (one,) = overlay.take()
    assert one.box == Region((0, 0, 0), (1, 1, 1))


def test_what_was_written_elsewhere_is_read_again_but_not_over_what_is_painted(source):
    overlay = Overlay(source, SHAPE)
    np.asarray(overlay)
    source.voxels[65:70, 100:110, 70:80] = 1
    overlay[0, 0, 0] = 2
    assert overlay.changed(Region((60, 90, 60), (70, 120, 90)))
    assert (overlay[65:70, 100:110, 70:80] == 1).all()
    source.voxels[0, 0, 0] = 1
    overlay.changed(Region((0, 0, 0), (1, 1, 1)))
    assert overlay[0, 0, 0] == 2
    overlay.take()
    assert overlay.changed(Region((0, 0, 0), (1, 1, 1)))
    assert overlay[0, 0, 0] == 1
    assert not overlay.changed(Region((0, 0, 0), (1, 1, 1)))


def test_an_image_of_one_slice_is_shown_flat():
    voxels = stored()[:1]
    overlay = Overlay(lambda box: voxels[box.slices], voxels.shape, flat=True)
    layer = Labels(overlay)
    assert (layer.ndim, overlay.shape) == (2, (130, 90))
    layer.paint([5, 70], 2)
    assert overlay[5, 70] == 2
    (one,) = overlay.take()
    assert one.box.start[0] == 0
    np.testing.assert_array_equal(np.asarray(overlay[100]), voxels[0, 100])
