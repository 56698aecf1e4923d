from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.volume import IntensityWindow, measure_intensity_window, open_volume, volume_from_arrays


def window_of(array: np.ndarray, **options: float) -> IntensityWindow:
    return measure_intensity_window(volume_from_arrays([array], voxel_size_um=None), **options)  # type: ignore[arg-type]


def vessels(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Return bright bars in noise, brighter with depth: percentiles that differ from place to place."""
    rng = np.random.default_rng(seed)
    image = rng.normal(200, 30, shape)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    image += 400 * (((y + x) % 60 < 6) & (z % 40 < 25)) + 50 * z / shape[0]
    return np.clip(image, 0, None).astype(np.uint16)


def test_a_small_volume_gives_the_exact_percentiles() -> None:
    image = vessels((20, 60, 60))
    window = window_of(image, lower=1, upper=99)
    assert (window.low, window.high) == tuple(np.percentile(image, [1, 99]))
    assert window.sampled == image.size
    assert window.saturated == pytest.approx(np.mean(image >= window.high))


def test_a_sample_of_a_large_volume_gives_nearly_the_percentiles() -> None:
    image = vessels((160, 320, 320))
    window = window_of(image, max_voxels=200_000)
    assert window.sampled <= 200_000
    below = np.mean(image <= window.high)
    assert 0.94 <= below <= 0.96


def test_one_absurdly_bright_voxel_changes_nothing_for_the_others() -> None:
    image = vessels((20, 60, 60)).astype(np.float32)
    image += np.random.default_rng(1).random(image.shape, np.float32)  # no two alike
    before = window_of(image)
    image[7, 30, 11] = 1e6
    window = window_of(image)
    values = window.apply(image)
    assert values.min() == 0 and values.max() == values[7, 30, 11] == 1
    assert (window.low, window.high) == pytest.approx((before.low, before.high), rel=0.01)
    order = np.argsort(image, axis=None)[: int(0.95 * image.size)]
    steps = np.diff(values.ravel()[order])
    assert (steps >= 0).all() and np.mean(steps > 0) > 0.99


def test_the_same_seed_gives_the_same_window() -> None:
    image = vessels((80, 200, 200))
    first, again = (window_of(image, max_voxels=50_000, seed=3) for _ in range(2))
    assert first == again


def test_it_maps_low_to_zero_and_high_to_one_and_clips() -> None:
    window = IntensityWindow(100.0, 300.0)
    values = window.apply(np.array([0, 100, 200, 300, 60_000], np.uint16))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "u8", "f2", "f4", "f8", "?"])
def test_every_voxel_type_is_mapped(dtype: str) -> None:
    image = np.arange(24).reshape(2, 3, 4).astype(dtype)
    values = window_of(image, upper=100).apply(image)
    assert values.dtype == np.float32
    assert values.min() == 0
    assert values.max() == 1


def test_large_integers_keep_their_contrast() -> None:
    image = (np.arange(24).reshape(2, 3, 4) + 2**40).astype(np.int64)
    np.testing.assert_allclose(
        window_of(image, upper=100).apply(image).ravel(), np.arange(24) / 23, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_constant_volume_becomes_zeros(dtype: type) -> None:
    image = np.full((3, 4, 5), 7, dtype)
    window = window_of(image)
    assert window.constant
    assert window.low == window.high == 7
    assert window.saturated == 0
    assert not window.apply(image).any()


def test_nan_and_inf_are_left_out_and_become_zero() -> None:
    image = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10)
    image[0, 0, :4] = [np.nan, np.inf, -np.inf, np.nan]
    window = window_of(image, upper=100)
    assert window.non_finite == pytest.approx(0.004)
    assert window.low == pytest.approx(image[0, 0, 4])
    assert window.high == 1
    values = window.apply(image)
    assert np.isfinite(values).all()
    assert not values[0, 0, :4].any()


def test_a_volume_of_nan_becomes_zeros() -> None:
    image = np.full((3, 4, 5), np.nan, np.float32)
    window = window_of(image)
    assert window.constant
    assert window.non_finite == 1
    assert not window.apply(image).any()


@pytest.mark.parametrize("percentiles", [(50, 50), (-1, 95), (0, 101), (95, 5), (0, float("nan"))])
def test_percentiles_out_of_order_are_an_error(percentiles: tuple[float, float]) -> None:
    with pytest.raises(InvalidInputError, match="0 <= lower < upper <= 100"):
        window_of(np.zeros((2, 2, 2)), lower=percentiles[0], upper=percentiles[1])


def test_a_huge_zarr_costs_a_bounded_number_of_chunk_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(tmp_path / "v.zarr", shape=(8000, 8000, 8000), chunks=(64, 64, 64), dtype="u2")
    reads: list[str] = []
    with open_volume(tmp_path / "v.zarr") as volume:
        store = type(volume.levels[0].store)  # type: ignore[attr-defined]
        get = store.get

        async def counted(self: object, key: str, *args: object, **kwargs: object) -> object:
            reads.append(key)
            return await get(self, key, *args, **kwargs)

        monkeypatch.setattr(store, "get", counted)
        window = measure_intensity_window(volume)
    assert window.sampled > 1_000_000
    assert 64 <= len(reads) <= 128
    assert len(set(reads)) == len(reads)
