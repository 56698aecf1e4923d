from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import downsample, level_shapes, update_pyramid


def test_anisotropic_volumes_lose_only_their_fine_axes_first() -> None:
    shapes, sizes = level_shapes((100, 2000, 2000), (5.0, 1.0, 1.0))
    assert shapes == [(100, 2000, 2000), (100, 1000, 1000), (100, 500, 500), (50, 250, 250)]
    assert sizes[2] == (5.0, 4.0, 4.0)
    assert sizes[3] == (10.0, 8.0, 8.0)


def test_the_coarsest_level_fits_a_screen() -> None:
    shapes, _ = level_shapes((5120, 5120, 5120), (1.0, 1.0, 1.0))
    assert max(shapes[-1]) <= 256 < max(shapes[-2])


def test_one_slice_stays_one_slice() -> None:
    shapes, sizes = level_shapes((1, 1000, 1000), (1.0, 1.0, 1.0))
    assert shapes == [(1, 1000, 1000), (1, 500, 500), (1, 250, 250)]
    assert sizes[-1] == (1.0, 4.0, 4.0)


def test_one_slice_with_thin_voxels_still_gets_levels() -> None:
    shapes, _ = level_shapes((1, 1000, 1000), (0.1, 1.0, 1.0))
    assert shapes[-1] == (1, 250, 250)


def test_a_number_of_levels_asked_for_is_kept_as_far_as_it_goes() -> None:
    assert len(level_shapes((8, 64, 64), (1.0, 1.0, 1.0), levels=3)[0]) == 3
    assert level_shapes((1, 1, 1), (1.0, 1.0, 1.0), levels=3)[0] == [(1, 1, 1)]


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_an_image_level_is_the_rounded_mean(dtype: str) -> None:
    rng = np.random.default_rng(0)
    high = 250 if dtype in ("u1",) else 120
    block = rng.integers(0, high, (6, 8, 10)).astype(dtype)
    means = block.astype(float).reshape(3, 2, 4, 2, 5, 2).mean((1, 3, 5))
    coarse = downsample(block, (2, 2, 2), label=False)
    assert coarse.dtype == block.dtype
    if block.dtype.kind == "f":
        np.testing.assert_allclose(coarse, means.astype(dtype))
    else:
        np.testing.assert_array_equal(coarse, np.floor(means + 0.5))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_the_largest_values_do_not_overflow(dtype: str) -> None:
    block = np.full((2, 2, 2), np.iinfo(dtype).max, dtype)
    assert downsample(block, (2, 2, 2), label=False) == np.iinfo(dtype).max


def test_a_label_level_keeps_a_vessel_of_one_voxel() -> None:
    block = np.zeros((4, 4, 4), np.uint8)
    block[1, 2, 3] = 1
    coarse = downsample(block, (2, 2, 2), label=True)
    assert coarse[0, 1, 1] == 1
    assert coarse.sum() == 1


def test_a_last_odd_voxel_stands_for_itself() -> None:
    block = np.array([[[2, 4, 7]]], np.uint8)
    np.testing.assert_array_equal(downsample(block, (1, 1, 2), label=False), [[[3, 7]]])
    np.testing.assert_array_equal(downsample(block, (1, 1, 2), label=True), [[[4, 7]]])


def reference_pyramid(
    finest: np.ndarray, shapes: list[tuple[int, int, int]], label: bool
) -> list[np.ndarray]:
    levels = [finest]
    for shape in shapes[1:]:
        factors = [1 if a == b else 2 for a, b in zip(levels[-1].shape, shape, strict=True)]
        levels.append(downsample(levels[-1], factors, label))
    return levels


class Recorder(np.ndarray):
    """An array that counts how often each voxel is written."""

    writes: np.ndarray

    def __setitem__(self, index: object, value: object) -> None:
        super().__setitem__(index, value)  # type: ignore[misc]
        self.writes[index] += 1  # type: ignore[index]


def recorded(array: np.ndarray) -> Recorder:
    recorder = array.copy().view(Recorder)
    recorder.writes = np.zeros(array.shape, int)
    return recorder


@settings(deadline=None, max_examples=60)
@given(st.data(), st.booleans())
def test_an_update_writes_exactly_the_voxels_above_the_region_once(data: st.DataObject, label: bool) -> None:
    shape = tuple(data.draw(st.integers(1, 14), label="size") for _ in range(3))
    shapes, _ = level_shapes(shape, (2.0, 1.0, 1.0), levels=4)  # type: ignore[arg-type]
    start = tuple(data.draw(st.integers(0, n - 1), label="start") for n in shape)
    stop = tuple(
        data.draw(st.integers(low + 1, n), label="stop") for low, n in zip(start, shape, strict=True)
    )
    region = Region(start, stop)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    finest = rng.integers(0, 200, shape).astype(np.uint8)
    arrays = [recorded(level) for level in reference_pyramid(finest, shapes, label)]
    finest[region.slices] = rng.integers(0, 200, region.shape)
    arrays[0][region.slices] = finest[region.slices]
    update_pyramid(arrays, region, label)
    for got, want in zip(arrays, reference_pyramid(finest, shapes, label), strict=True):
        np.testing.assert_array_equal(got, want)
        above = np.zeros(want.shape, int)
        for z, y, x in np.ndindex(region.shape):
            above[_above(np.add(start, (z, y, x)), shape, want)] = 1
        np.testing.assert_array_equal(got.writes, above)


def _above(voxel: np.ndarray, shape: tuple[int, ...], level: np.ndarray) -> tuple[int, ...]:
    """Return the voxel of a level that a level-0 voxel is part of: halved as often as its axis was."""
    halvings = [
        next(k for k in range(9) if -(-n // 2**k) == m) for n, m in zip(shape, level.shape, strict=True)
    ]
    return tuple(int(v) >> k for v, k in zip(voxel, halvings, strict=True))


@pytest.mark.parametrize("label", [False, True])
def test_updates_of_all_blocks_give_the_pyramid_of_the_whole(label: bool) -> None:
    shapes, _ = level_shapes((37, 50, 61), (1.0, 1.0, 1.0), levels=4)
    rng = np.random.default_rng(0)
    finest = rng.integers(0, 255, shapes[0]).astype(np.uint8)
    arrays = [finest, *[np.zeros(shape, np.uint8) for shape in shapes[1:]]]
    for region in Region.whole(shapes[0]).pieces((16, 16, 16)):
        update_pyramid(arrays, region, label)
    for got, want in zip(arrays, reference_pyramid(finest, shapes, label), strict=True):
        np.testing.assert_array_equal(got, want)
