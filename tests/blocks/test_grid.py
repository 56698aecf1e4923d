"""Promises of the block grid."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.blocks import BlockGrid, blocks_in_order
from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region, as_shape

steps = st.sampled_from([1, 2, 4, 8])
small = st.integers(1, 40)


@st.composite
def grids(draw):
    shape = (draw(small), draw(small), draw(small))
    multiple = (draw(steps), draw(steps), draw(steps))
    core = as_shape([m * draw(st.integers(1, 3)) for m in multiple])
    halo = as_shape([m * draw(st.integers(0, 2)) for m in multiple])
    start = [draw(st.integers(0, n - 1)) for n in shape]
    stop = [draw(st.integers(low + 1, n)) for low, n in zip(start, shape, strict=True)]
    region = draw(st.sampled_from([None, Region(as_shape(start), as_shape(stop))]))
    return BlockGrid(shape, core, halo, multiple, region)


@given(grids())
@settings(deadline=None)
def test_targets_cover_the_region_once(grid):
    count = np.zeros(grid.volume_shape, dtype=int)
    blocks = list(grid)
    for block in blocks:
        count[block.target.slices] += 1
    asked = np.zeros_like(count)
    asked[grid.asked.slices] = 1
    np.testing.assert_array_equal(count, asked)
    assert len(grid) == len(blocks) == len(grid.indices())


@given(grids())
@settings(deadline=None)
def test_bounds_are_multiples_of_the_stride_and_inside_the_extended_volume(grid):
    for block in grid:
        for box in (block.core, block.outer):
            assert box == box.aligned(grid.multiple)
        assert block.core.contains(block.target)
        assert block.outer.contains(block.core)
        assert grid.extended.contains(block.outer)
        assert all(a <= b for a, b in zip(block.outer.shape, grid.largest_outer(), strict=True))


@given(grids())
@settings(deadline=None)
def test_every_core_has_its_halo_or_ends_with_the_extended_volume(grid):
    for block in grid:
        for axis in range(3):
            low, high = block.outer.start[axis], block.outer.stop[axis]
            assert low == max(0, block.core.start[axis] - grid.halo[axis])
            assert high == min(grid.extended.stop[axis], block.core.stop[axis] + grid.halo[axis])


@given(grids())
@settings(deadline=None)
def test_halving_a_block_loses_and_doubles_nothing(grid):
    for block in list(grid)[:3]:
        waiting, count = [block], np.zeros(grid.volume_shape, dtype=int)
        while waiting:
            piece = waiting.pop()
            parts = grid.halves(piece)
            waiting += parts
            if not parts:
                count[piece.target.slices] += 1
                assert all(a <= b for a, b in zip(piece.core.shape, grid.multiple, strict=True))
        expected = np.zeros_like(count)
        expected[block.target.slices] = 1
        np.testing.assert_array_equal(count, expected)


def test_blocks_do_not_move_with_the_region():
    whole = BlockGrid((96, 96, 96), (32, 32, 32), (0, 0, 0), (32, 32, 32))
    part = BlockGrid((96, 96, 96), (32, 32, 32), (0, 0, 0), (32, 32, 32), Region((40, 40, 40), (70, 50, 50)))
    assert {block.core for block in part} <= {block.core for block in whole}


def test_core_and_halo_must_fit_the_stride():
    with pytest.raises(InvalidInputError, match=r"halo does not fit the net along y: 24 .* multiples of 32"):
        BlockGrid((64, 64, 64), (32, 32, 32), (32, 24, 32), (32, 32, 32))
    with pytest.raises(InvalidInputError, match="block does not fit"):
        BlockGrid((64, 64, 64), (0, 32, 32), (0, 0, 0), (32, 32, 32))
    with pytest.raises(RegionError, match="outside"):
        BlockGrid((64, 64, 64), (32, 32, 32), (0, 0, 0), region=Region((0, 0, 0), (65, 1, 1)))


def test_the_focus_comes_first_and_then_outward():
    grid = BlockGrid((1, 160, 160), (1, 32, 32), (0, 0, 0), region=None)
    focus = Region((0, 70, 70), (1, 90, 90))
    order = [block.index for block in blocks_in_order(grid, focus)]
    assert order[0] == (0, 2, 2)
    rings = [max(abs(y - 2), abs(x - 2)) for _, y, x in order]
    assert rings[:9] == [0] + [1] * 8
    assert sorted(order) == sorted(block.index for block in grid)


def test_the_order_follows_a_focus_that_moves():
    grid = BlockGrid((1, 1, 320), (1, 1, 32), (0, 0, 0))
    views = iter([Region((0, 0, 0), (1, 1, 32))] * 2 + [Region((0, 0, 288), (1, 1, 320))] * 10)
    order = [block.index[2] for block in blocks_in_order(grid, lambda: next(views))]
    assert order[:4] == [0, 1, 9, 8]
    assert sorted(order) == list(range(10))


def test_finished_blocks_are_left_out():
    grid = BlockGrid((1, 1, 128), (1, 1, 32), (0, 0, 0))
    order = blocks_in_order(grid, skip=lambda block: block.index[2] in (0, 2))
    assert [block.index[2] for block in order] == [1, 3]


def test_two_hundred_thousand_blocks_are_no_objects_until_needed():
    grid = BlockGrid((4096, 8192, 8192), (128, 128, 64), (32, 32, 32), (32, 32, 32))
    assert len(grid) > 200_000
    assert grid.indices().nbytes < 5e6
    before = time.process_time()
    first = next(blocks_in_order(grid, Region((2000, 4000, 4000), (2001, 4100, 4100))))
    assert first.core.intersection(Region((2000, 4000, 4000), (2001, 4100, 4100))) is not None
    assert time.process_time() - before < 30  # a runaway, not a speed
