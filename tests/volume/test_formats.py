"""The contract of every format: one suite, run over all of them."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np
import psutil
import pytest

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.volume import convert, measure_intensity_window, open_volume

REGIONS = [
    Region((0, 0, 0), (12, 40, 52)),
    Region((3, 5, 7), (4, 6, 8)),
    Region((2, 17, 30), (9, 33, 52)),
    Region((11, 39, 51), (12, 40, 52)),
]


def test_shape_type_and_voxel_size_are_those_of_the_file(source: Any) -> None:
    with open_volume(source.path) as volume:
        assert volume.shape == source.data.shape
        assert volume.ndim == 3
        assert volume.dtype == source.data.dtype
        assert volume.nbytes == source.data.nbytes
        assert volume.voxel_size_um == pytest.approx(source.voxel_size_um, rel=1e-6)
        assert volume.voxel_size_known == source.size_known
        assert source.kind.startswith(volume.format) or source.kind == "mhd"


@pytest.mark.parametrize("region", REGIONS, ids=str)
def test_a_region_reads_as_in_the_array(source: Any, region: Region) -> None:
    with open_volume(source.path) as volume:
        block = volume.read(region)
    np.testing.assert_array_equal(block, source.data[region.slices])
    assert block.flags.c_contiguous
    assert block.dtype == source.data.dtype


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), 3, slice(2, 9)),
        (4,),
        (-1, slice(None, None, 3), ...),
        (..., 5),
        (slice(1, 11, 4), slice(3, 30, 2), 0),
        (slice(5, 5), 0, 0),
    ],
    ids=str,
)
def test_levels_index_like_numpy(source: Any, index: tuple[Any, ...]) -> None:
    with open_volume(source.path) as volume:
        np.testing.assert_array_equal(np.asarray(volume.levels[0][index]), source.data[index])


def test_a_given_voxel_size_wins_over_the_file(source: Any) -> None:
    with open_volume(source.path, voxel_size_um=(7, 8, 9)) as volume:
        assert volume.voxel_size_um == (7.0, 8.0, 9.0)
        assert volume.voxel_size_known


def test_a_level_or_channel_that_is_not_there_is_an_error(source: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"no such level: 9 \(allowed: 0"):
        open_volume(source.path, level=9)
    with pytest.raises(InvalidInputError, match=r"no such channel: 1 \(allowed: 0"):
        open_volume(source.path, channel=1)


def test_a_region_outside_is_an_error(source: Any) -> None:
    with open_volume(source.path) as volume, pytest.raises(RegionError, match="outside"):
        volume.read(Region((0, 0, 0), (13, 1, 1)))


def test_closing_releases_every_file(source: Any) -> None:
    process = psutil.Process(os.getpid())
    with open_volume(source.path) as volume:
        volume.read(Region((0, 0, 0), (2, 2, 2)))
    gc.collect()
    inside = [file.path for file in process.open_files() if file.path.startswith(str(source.path))]
    assert inside == []


def test_an_error_after_opening_releases_every_file(source: Any) -> None:
    process = psutil.Process(os.getpid())
    with pytest.raises(InvalidInputError):
        open_volume(source.path, channel=3)
    inside = [file.path for file in process.open_files() if file.path.startswith(str(source.path))]
    assert inside == []


def test_the_signature_is_of_the_content(source: Any, tmp_path: Any) -> None:
    with open_volume(source.path) as volume, open_volume(source.path) as again:
        signature = volume.signature()
        assert signature == again.signature()
    with open_volume(source.path, voxel_size_um=(9, 9, 9)) as other:
        assert other.signature() != signature


def test_the_intensity_window_is_the_percentile_of_the_voxels(source: Any) -> None:
    with open_volume(source.path) as volume:
        window = measure_intensity_window(volume)
    assert window.low == source.data.min()
    assert window.high == pytest.approx(np.percentile(source.data, 95))


def test_converting_keeps_voxels_and_voxel_size(source: Any, tmp_path: Any) -> None:
    with open_volume(source.path) as volume:
        *_, finished = convert(volume, tmp_path / "out.ome.zarr")
    with open_volume(finished.output) as result:
        np.testing.assert_array_equal(result.read(Region.whole(result.shape)), source.data)
        assert result.voxel_size_um == pytest.approx(source.voxel_size_um, rel=1e-6)
        assert result.voxel_size_known == source.size_known
        assert result.origin_um == volume.origin_um
