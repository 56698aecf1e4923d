"""A region for a 3D view: the finest level that fits, and nothing that does not."""

import numpy as np
import pytest

from napari_vesselkd.errors import RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.projections import Crop, cropping
from napari_vesselkd.projections.crop import crop_level
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import open_volume, write_multiscale

HUGE = tuple(tuple(-(-size // 2**level) for size in (4096, 10_000, 10_000)) for level in range(7))


@pytest.fixture
def volume(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 70), dtype=np.uint8)
    write_multiscale(tmp_path / "v.ome.zarr", image, voxel_size_um=(1, 1, 1), chunk=(16, 16, 16), levels=3)
    with open_volume(tmp_path / "v.ome.zarr") as opened:
        yield opened


def test_what_fits_is_cropped_in_full(volume):
    region = Region((3, 5, 7), (33, 55, 66))
    *progress, crop = cropping(volume, region)
    assert isinstance(crop, Crop)
    assert (crop.level, crop.region, crop.factors) == (0, region, (1, 1, 1))
    np.testing.assert_array_equal(crop.voxels, volume.read(region))
    assert all(isinstance(report, Progress) for report in progress)


@pytest.mark.parametrize("limits", [{"side": 35}, {"nbytes": 22_000}])
def test_what_is_too_large_comes_from_the_next_level(volume, limits):
    *_, crop = cropping(volume, Region((0, 0, 0), (40, 60, 70)), **limits)
    assert crop.level == 1
    assert crop.factors == (2, 2, 2)
    np.testing.assert_array_equal(crop.voxels, volume.read(Region.whole(volume.levels[1].shape), 1))


def test_a_region_that_fits_nowhere_is_refused(volume):
    with pytest.raises(RegionError, match=r"3D view.*8 voxels along an axis"):
        list(cropping(volume, Region((0, 0, 0), (40, 60, 70)), side=8))


def test_a_huge_volume_stays_within_texture_and_memory():
    level = crop_level(HUGE, Region.whole(HUGE[0]), 1)
    assert max(HUGE[level]) <= 2048
    assert np.prod(HUGE[level]) <= 512 * 2**20
    assert crop_level(HUGE, Region((0, 0, 0), (512, 1024, 1024)), 1) == 0


def test_a_region_outside_is_refused(volume):
    with pytest.raises(RegionError, match="0:41"):
        list(cropping(volume, Region((0, 0, 0), (41, 60, 70))))
