"""Promises of reading a block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vesselkd.blocks import continued, read_block
from napari_vesselkd.geometry import Region


class Stored:
    """An array that counts its reads and refuses to be read outside."""

    def __init__(self, array):
        self.array, self.shape, self.reads = array, array.shape, []

    def read(self, region):
        self.reads.append(region.checked(self.shape))
        return self.array[region.slices]


@given(st.integers(1, 30), st.integers(0, 40))
def test_the_continuation_is_numpys_reflection(size, extra):
    expected = np.pad(np.arange(size), (0, extra), mode="edge" if size == 1 else "reflect")
    np.testing.assert_array_equal(continued(0, size + extra, size), expected)
    edge = np.pad(np.arange(size), (0, extra), mode="edge")
    np.testing.assert_array_equal(continued(0, size + extra, size, "edge"), edge)


@pytest.mark.parametrize("shape", [(1, 50, 33), (10, 64, 40), (26, 3, 2)])
def test_a_block_beyond_the_volume_shows_its_reflection_whatever_the_block(shape):
    array = np.random.default_rng(0).integers(0, 999, shape)
    extended = tuple(-(-n // 32) * 32 for n in shape)
    rows = [continued(0, n, size) for n, size in zip(extended, shape, strict=True)]
    whole = array[np.ix_(*rows)]
    for start in ((0, 0, 0), tuple(n - 32 for n in extended)):
        outer = Region(start, tuple(low + 32 for low in start))
        np.testing.assert_array_equal(read_block(Stored(array), outer), whole[outer.slices])


def test_a_block_inside_is_one_read_of_exactly_its_voxels():
    volume = Stored(np.zeros((40, 40, 40), np.uint16))
    outer = Region((4, 8, 0), (36, 40, 32))
    assert read_block(volume, outer).dtype == np.uint16
    assert volume.reads == [outer]
