from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vesselkd.geometry import Region
from napari_vesselkd.volume.sampling import sample_regions

shapes = st.tuples(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000))
chunks = st.tuples(st.integers(1, 200), st.integers(1, 3000), st.integers(1, 3000))


@given(shapes, chunks, st.integers(1, 100_000), st.integers(1, 200), st.integers(0, 5))
def test_samples_stay_inside_one_chunk_each_and_inside_their_budget(
    shape: tuple[int, ...], chunk: tuple[int, ...], voxels: int, blocks: int, seed: int
) -> None:
    regions = sample_regions(shape, chunk, voxels, blocks=blocks, seed=seed)
    assert sum(region.size for region in regions) <= max(voxels, blocks)
    for region in regions:
        region.checked(shape)
    if math.prod(shape) > voxels:
        assert 1 <= len(regions) <= blocks
        for region in regions:
            assert all(
                low // c == (high - 1) // c
                for low, high, c in zip(region.start, region.stop, chunk, strict=True)
            )


def test_a_small_volume_is_read_whole() -> None:
    assert sample_regions((3, 4, 5), (1, 4, 5), 60) == [Region.whole((3, 4, 5))]


def test_samples_reach_every_octant_of_a_large_volume() -> None:
    regions = sample_regions((1000, 1000, 1000), (64, 64, 64), 1_000_000)
    octants = {tuple(int(c > 500) for c in region.centre) for region in regions}
    assert len(octants) == 8
    assert len(regions) >= 64


@pytest.mark.parametrize("shape", [(10, 20_000, 20_000), (1, 20_000, 20_000)])
def test_samples_of_a_thin_volume_spread_over_the_plane(shape: tuple[int, int, int]) -> None:
    regions = sample_regions(shape, (1, 20_000, 20_000), 1_000_000)
    ys, xs = np.array([region.centre[1:] for region in regions]).T
    assert np.ptp(ys) > 15_000
    assert np.ptp(xs) > 15_000


def test_the_same_seed_gives_the_same_samples() -> None:
    first, again, other = (sample_regions((500, 500, 500), (64, 64, 64), 10_000, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other
