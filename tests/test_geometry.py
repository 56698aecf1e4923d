"""Regions and voxel sizes."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vesselkd.errors import RegionError, VoxelSizeError
from napari_vesselkd.geometry import Region, checked_voxel_size, parse_voxel_size

SHAPE = (20, 30, 40)


@st.composite
def regions(draw):
    low = [draw(st.integers(0, size - 1)) for size in SHAPE]
    high = [draw(st.integers(start + 1, size)) for start, size in zip(low, SHAPE, strict=True)]
    return Region(tuple(low), tuple(high))


@given(regions())
def test_a_printed_region_is_read_back(region):
    assert Region.parse(str(region), SHAPE) == region


@given(regions())
def test_slices_select_exactly_the_voxels_of_the_region(region):
    mask = np.zeros(SHAPE, bool)
    mask[region.slices] = True
    assert mask.sum() == region.size
    assert mask[region.slices].shape == region.shape


@given(regions(), regions())
def test_the_intersection_holds_the_common_voxels(one, other):
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[one.slices] = True
    second[other.slices] = True
    common = one.intersection(other)
    assert (first & second).sum() == (0 if common is None else common.size)
    if common is not None:
        assert one.contains(common) and other.contains(common)


@given(regions(), st.tuples(*[st.integers(1, 16)] * 3))
def test_aligned_bounds_are_multiples_and_no_larger_than_needed(region, multiple):
    aligned = region.aligned(multiple)
    assert aligned.contains(region)
    for low, high, size, start, stop in zip(
        aligned.start, aligned.stop, multiple, region.start, region.stop, strict=True
    ):
        assert low % size == high % size == 0
        assert start - low < size and high - stop < size


@given(regions(), st.tuples(*[st.integers(1, 12)] * 3))
def test_pieces_cover_every_voxel_once(region, shape):
    count = np.zeros(SHAPE, int)
    for piece in region.pieces(shape):
        assert all(side <= limit for side, limit in zip(piece.shape, shape, strict=True))
        count[piece.slices] += 1
    assert count.sum() == region.size
    assert count.max() == 1


@given(regions(), st.tuples(*[st.integers(0, 9)] * 3))
def test_expanding_and_shifting_are_what_they_say(region, margin):
    grown = region.expanded(margin)
    assert grown.shape == tuple(side + 2 * m for side, m in zip(region.shape, margin, strict=True))
    assert grown.relative_to(grown.start).start == (0, 0, 0)
    assert region.shifted(margin).relative_to(margin) == region


def test_open_bounds_mean_the_border():
    assert Region.parse(":,10:,:5", SHAPE) == Region((0, 10, 0), (20, 30, 5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:5,0:5", "not three ranges"),
        ("a:b,0:5,0:5", "not a whole number along z"),
        ("0:5,0:2.5,0:5", "not a whole number along y"),
        ("5:2,0:5,0:5", "reversed along z"),
        ("0:5,0:5,0:41", "outside the volume or empty along x: 0:41"),
        ("-1:5,0:5,0:5", "outside the volume or empty along z"),
        ("3:3,0:5,0:5", "outside the volume or empty along z"),
        ("", "not three ranges"),
    ],
)
def test_a_bad_region_says_what_is_wrong_and_what_is_allowed(text, message):
    with pytest.raises(RegionError, match=message) as caught:
        Region.parse(text, SHAPE)
    assert "(allowed: " in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["0,1,1", "-1,1,1", "nan,1,1", "inf,1,1", "1,1", "1,1,1,1", "a,b,c", ""])
def test_a_bad_voxel_size_says_so(text):
    with pytest.raises(VoxelSizeError, match="voxel size"):
        parse_voxel_size(text)


def test_a_good_voxel_size_is_read():
    assert parse_voxel_size("3, 1.625,1.625") == (3.0, 1.625, 1.625)
    assert checked_voxel_size(np.array([1, 2, 3])) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("chunk", [(1, 40, 50), (8, 16, 16), (64, 64, 64), (3, 5, 7)])
@pytest.mark.parametrize("voxels", [1, 4000, 10**9])
def test_reads_cover_a_region_once_and_split_no_chunk(chunk, voxels):
    region = Region((3, 5, 10), (19, 33, 49))
    seen, parts = np.zeros((20, 40, 50), int), Counter()
    for read in region.reads(chunk, voxels):
        seen[read.slices] += 1
        parts.update(piece.start for piece in read.aligned(chunk).pieces(chunk))
        assert read.size <= max(voxels, math.prod(chunk))
    assert (seen[region.slices] == 1).all()
    assert seen.sum() == region.size
    assert set(parts.values()) == {1}
