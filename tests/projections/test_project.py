from collections import Counter

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.projections import Projection, mip, parse_slab, pixel_size_um, projecting
from napari_vesselkd.projections import project as module
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import open_volume, volume_from_arrays, write_multiscale

SHAPE, CHUNK = (20, 37, 50), (8, 16, 16)


class CountedChunks:
    """An array that counts how often each of its chunks is read, and the largest read."""

    ndim, chunks = 3, CHUNK

    def __init__(self, data):
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.reads, self.largest = Counter(), 0

    def __getitem__(self, index):
        box = Region(*zip(*[(part.start, part.stop) for part in index], strict=True))
        self.largest = max(self.largest, box.size)
        for piece in box.aligned(CHUNK).pieces(CHUNK):
            self.reads[piece.start] += 1
        return self.data[index]


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 60000, SHAPE, dtype=np.uint16)


@pytest.fixture
def counted(data, monkeypatch):
    monkeypatch.setattr(module, "READ_VOXELS", 4 * 8 * 16 * 16)
    return CountedChunks(data)


def volume_of(array, size=(5.0, 2.0, 1.0)):
    return volume_from_arrays([array], voxel_size_um=size, name="v")


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_projection_in_pieces_is_the_projection_of_the_whole(counted, data, axis):
    assert np.array_equal(mip(volume_of(counted), axis), data.max(axis="zyx".index(axis)))


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("region", [None, "3:17,5:33,10:49"])
def test_every_chunk_is_read_exactly_once_and_few_at_a_time(counted, axis, region):
    mip(volume_of(counted), axis, region=region)
    touched = Region.whole(SHAPE) if region is None else Region.parse(region, SHAPE)
    expected = {piece.start for piece in touched.aligned(CHUNK).pieces(CHUNK)}
    assert set(counted.reads) == expected
    assert set(counted.reads.values()) == {1}
    assert counted.largest <= module.READ_VOXELS


def test_a_slab_reads_only_its_chunks(counted, data):
    assert np.array_equal(mip(volume_of(counted), "z", (9, 15)), data[9:15].max(axis=0))
    assert {start[0] for start in counted.reads} == {8}


def test_slab_and_region_narrow_each_other(data):
    image = mip(volume_of(data), "x", (5, 20), region=Region((2, 3, 10), (18, 30, 40)))
    assert np.array_equal(image, data[2:18, 3:30, 10:20].max(axis=2))


@pytest.mark.parametrize("how", ["max", "min", "mean"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, bool])
def test_other_types_and_projections(data, how, dtype):
    values = (data.astype(np.int32) - 30000).astype(dtype) if dtype is not bool else data > 30000
    image = mip(volume_of(values), "y", how=how)
    assert image == pytest.approx(getattr(values, how)(axis=1), rel=1e-5)
    assert image.dtype == (np.float64 if how == "mean" else dtype)


def test_nan_voxels_do_not_hide_the_others():
    values = np.full((4, 5, 6), np.nan, np.float32)
    values[2, 3, 4] = -7
    image = mip(volume_of(values))
    assert image[3, 4] == -7
    assert np.isnan(image).sum() == 29


def test_a_coarser_level_is_projected_in_its_own_voxels(tmp_path, data):
    write_multiscale(tmp_path / "v.ome.zarr", data, voxel_size_um=(1, 1, 1), levels=2)
    with open_volume(tmp_path / "v.ome.zarr") as volume:
        coarse = volume.read(Region.whole(volume.levels[1].shape), 1)
        assert np.array_equal(mip(volume, "z", (0, 3), 1), coarse[:3].max(axis=0))


def test_the_task_reports_each_read_and_ends_with_the_projection(counted):
    *progress, last = projecting(volume_of(counted), "y")
    assert isinstance(last, Projection)
    assert last.pixel_size_um == (5.0, 1.0)
    assert all(isinstance(report, Progress) for report in progress)
    assert [report.done for report in progress] == list(range(1, progress[0].total + 1))


def test_pixels_keep_the_voxel_size_of_the_axes_that_stay():
    assert [pixel_size_um(axis, (5, 2, 1)) for axis in "zyx"] == [(2, 1), (5, 1), (5, 2)]


def test_an_unknown_voxel_size_stays_unknown(data):
    *_, last = projecting(volume_of(data, size=None))
    assert last.pixel_size_um is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"axis": "t"}, InvalidInputError, "No such axis: 't' .*z, y or x"),
        ({"level": 3}, InvalidInputError, "no such level"),
        ({"slab": (5, 5)}, RegionError, "5:5 .*<= 20"),
        ({"slab": (0, 21)}, RegionError, "0:21"),
        ({"slab": (0, 4), "region": "5:9,0:5,0:5"}, RegionError, "inside 5:9"),
        ({"region": "0:30,0:5,0:5"}, RegionError, "0:30"),
    ],
)
def test_what_cannot_be_projected_is_named(data, arguments, error, message):
    with pytest.raises(error, match=message):
        mip(volume_of(data), **arguments)


@pytest.mark.parametrize("text", ["", "5", "5:", "a:b", "5:2:1", "1.5:3", "-1:4"])
def test_a_slab_is_two_whole_numbers(text):
    with pytest.raises(RegionError, match="a:b"):
        parse_slab(text)


def test_a_slab_is_read():
    assert parse_slab(" 10:30 ") == (10, 30)
