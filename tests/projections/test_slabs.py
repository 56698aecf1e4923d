"""Slabs that move: numpy's own projections, the voxel behind each pixel, and no chunk read without need."""

from collections import Counter

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.projections import SlabProjection, SlabProjector
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import open_volume, volume_from_arrays, write_multiscale

SHAPE, CHUNK = (40, 37, 50), (8, 16, 16)
IN_PLANE = {"z": 3 * 4, "y": 5 * 4, "x": 5 * 3}  # chunks behind one picture of the whole plane
REDUCE = {"max": np.max, "min": np.min, "mean": np.mean}


class CountedChunks:
    """An array that counts the chunks it is asked for."""

    ndim, chunks = 3, CHUNK

    def __init__(self, data):
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.reads = Counter()

    def __getitem__(self, index):
        box = Region(*zip(*[(part.start, part.stop) for part in index], strict=True))
        for piece in box.aligned(CHUNK).pieces(CHUNK):
            self.reads[piece.start] += 1
        return self.data[index]

    def taken(self):
        """Return the number of chunks read since the last call."""
        found, self.reads = sum(self.reads.values()), Counter()
        return found


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 200, SHAPE, dtype=np.uint8)  # with many equal voxels


@pytest.fixture
def counted(data):
    return CountedChunks(data)


def projector(array, **options):
    return SlabProjector(volume_from_arrays([array], voxel_size_um=(5.0, 2.0, 1.0), name="v"), **options)


def slab(axis, start, stop, shape=SHAPE):
    low, high = [0, 0, 0], list(shape)
    low["zyx".index(axis)], high["zyx".index(axis)] = start, stop
    return Region(tuple(low), tuple(high))


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("how", ["max", "min", "mean"])
def test_slabs_at_every_place_are_numpys_projection(data, axis, how):
    found, at = projector(CountedChunks(data)), "zyx".index(axis)
    for start, stop in [(0, 1), (0, SHAPE[at]), (5, 30), (6, 31), (8, 16), (SHAPE[at] - 1, SHAPE[at])]:
        region = slab(axis, start, stop)
        shown = found.project(region, axis, how=how)
        np.testing.assert_allclose(shown.image, REDUCE[how](data[region.slices], axis=at))
        assert shown.region == region


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("how", ["max", "min"])
def test_every_pixel_knows_the_first_voxel_that_made_it(data, axis, how):
    at = "zyx".index(axis)
    region = Region((3, 5, 7), (33, 36, 41))
    shown = projector(CountedChunks(data)).project(region, axis, how=how)
    block = data[region.slices]
    depth = (block.argmax if how == "max" else block.argmin)(axis=at) + region.start[at]
    np.testing.assert_array_equal(shown.depth, depth)
    for row, column in [(0, 0), (11, 13), tuple(size - 1 for size in shown.image.shape)]:
        assert data[shown.voxel(row, column)] == shown.image[row, column]


def test_a_slab_reads_each_chunk_it_touches_once(counted):
    projector(counted).project(Region((9, 3, 3), (23, 20, 30)))
    assert set(counted.reads.values()) == {1}
    assert set(counted.reads) == {(z, y, x) for z in (8, 16) for y in (0, 16) for x in (0, 16)}


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_neighbouring_slab_reads_only_the_chunks_that_are_new(counted, axis):
    found = projector(counted)
    step, plane = CHUNK["zyx".index(axis)], IN_PLANE[axis]
    thick = step + 2
    found.project(slab(axis, 1, 1 + thick), axis)
    assert counted.taken() == 2 * plane
    found.project(slab(axis, 2, 2 + thick), axis)  # the same chunks
    assert counted.taken() == 0
    found.project(slab(axis, step, 2 * step), axis)  # one layer of chunks left behind, none new
    assert counted.taken() == 0
    found.project(slab(axis, step + 1, step + 1 + thick), axis)  # one layer left behind, one new
    assert counted.taken() == plane
    found.project(slab(axis, 1, 1 + thick), axis)  # and back
    assert counted.taken() == 0
    assert found.chunks_read == 3 * plane


def test_panning_reads_only_the_chunks_that_come_into_view(counted):
    found = projector(counted)
    found.project(Region((0, 0, 0), (10, 16, 32)))
    counted.taken()
    found.project(Region((0, 0, 5), (10, 16, 37)))
    assert counted.taken() == 2


def test_max_and_min_and_mean_share_what_was_read(counted):
    found = projector(counted)
    for how in ("max", "min", "mean"):
        found.project(slab("z", 0, 24), how=how)
    assert counted.taken() == 3 * IN_PLANE["z"]


def test_the_three_axes_share_what_was_read(counted):
    found = projector(counted)
    for axis in "zyx":
        found.project(Region.whole(SHAPE), axis)
    assert counted.taken() == 5 * 3 * 4


def test_a_small_cache_stays_small_and_the_picture_right(counted, data):
    limit = 40_000  # a layer of chunks is 12 x 2 kB; the whole volume 74 kB
    found = projector(counted, cache_bytes=limit)
    for start in range(0, 30, 3):
        region = slab("z", start, start + 10)
        np.testing.assert_array_equal(found.project(region).image, data[region.slices].max(axis=0))
        assert found.nbytes <= limit


def test_a_thick_slab_keeps_its_ends_rather_than_its_inside(counted):
    found = projector(counted, cache_bytes=120_000)
    found.project(slab("z", 2, 38))
    counted.taken()
    found.project(slab("z", 3, 39))
    assert counted.taken() == 0


def test_without_a_cache_every_slab_is_read_again(counted, data):
    found = projector(counted, cache_bytes=0)
    for _ in range(2):
        assert np.array_equal(found.project(Region.whole(SHAPE)).image, data.max(axis=0))
        assert counted.taken() == 60


def test_chunks_too_large_to_keep_are_cut_to_the_picture(data):
    found = projector(data, cache_bytes=8 * 1000)  # plain numpy: a chunk is one slice of 1850 bytes
    region = Region((4, 10, 20), (30, 20, 40))
    np.testing.assert_array_equal(found.project(region).image, data[region.slices].max(axis=0))
    assert found.nbytes <= 8000
    np.testing.assert_array_equal(found.project(region, "y").image, data[region.slices].max(axis=1))


def test_closing_cancels_and_what_was_read_is_not_read_again(counted, data):
    found = projector(counted)
    running = found.projecting(Region.whole(SHAPE))
    first = next(running)
    assert isinstance(first, Progress)
    assert (first.done, first.total) == (1, len(range(0, SHAPE[0], 8)) * 3)
    running.close()
    assert np.array_equal(found.project(Region.whole(SHAPE)).image, data.max(axis=0))
    assert set(counted.reads.values()) == {1}


def test_what_changed_is_read_again_after_forget(data):
    found = projector(data)
    found.project(Region.whole(SHAPE))
    data[3] = 255
    found.forget()
    assert (found.project(Region.whole(SHAPE)).image == 255).all()


def test_nan_voxels_do_not_hide_the_others():
    values = np.full((20, 5, 6), np.nan, np.float32)
    values[2, 3, 4], values[11, 3, 4], values[15, 1, 1] = -7, -9, 4
    for how, deep in (("max", 2), ("min", 11)):
        shown = projector(values).project(Region.whole(values.shape), how=how)
        assert shown.depth[3, 4] == deep
        assert (shown.image[1, 1], shown.depth[1, 1]) == (4, 15)
        assert np.isnan(shown.image).sum() == 28


@pytest.mark.parametrize("dtype", [bool, np.int16, np.float64])
def test_other_voxel_types(data, dtype):
    values = data > 195 if dtype is bool else (data.astype(np.int16) - 100).astype(dtype)
    shown = projector(values).project(slab("x", 3, 44), "x")
    np.testing.assert_array_equal(shown.image, values[:, :, 3:44].max(axis=2))
    assert shown.image.dtype == dtype


@pytest.fixture
def pyramid(tmp_path):
    image = np.random.default_rng(1).integers(0, 60000, (41, 50, 67), dtype=np.uint16)
    path = tmp_path / "v.ome.zarr"
    write_multiscale(path, image, voxel_size_um=(4, 2, 2), chunk=(16, 16, 16), levels=3)
    with open_volume(path) as volume:
        yield image, volume


def test_coarse_comes_first_and_each_level_lies_over_the_slab(pyramid):
    image, volume = pyramid
    slab_ = Region((5, 7, 9), (30, 44, 60))
    shown = [
        report
        for report in SlabProjector(volume).projecting(slab_, levels=(2, 1, 0))
        if isinstance(report, SlabProjection)
    ]
    assert [one.level for one in shown] == [2, 1, 0]
    for one in shown:
        low = [start * f for start, f in zip(one.region.start, one.factors, strict=True)]
        high = [stop * f for stop, f in zip(one.region.stop, one.factors, strict=True)]
        assert all(a <= b < a + f for a, b, f in zip(low, slab_.start, one.factors, strict=True))
        assert all(b <= a < b + f for a, b, f in zip(high, slab_.stop, one.factors, strict=True))
        coarse = volume.read(one.region, one.level)
        np.testing.assert_array_equal(one.image, coarse.max(axis=0))
    np.testing.assert_array_equal(shown[-1].image, image[slab_.slices].max(axis=0))


def test_a_pixel_of_a_coarse_level_leads_to_the_brightest_voxel_under_it(pyramid):
    image, volume = pyramid
    found = SlabProjector(volume)
    shown = found.project(Region.whole(volume.shape), "y", level=1)
    factors = [round(factor) for factor in shown.factors]
    for row, column in [(0, 0), (5, 9), tuple(size - 1 for size in shown.image.shape)]:
        coarse = shown.voxel(row, column)
        start = [index * factor for index, factor in zip(coarse, factors, strict=True)]
        cell = image[tuple(slice(a, a + f) for a, f in zip(start, factors, strict=True))]
        inside = np.unravel_index(cell.argmax(), cell.shape)
        assert found.voxel_at(shown, row, column) == tuple(a + i for a, i in zip(start, inside, strict=True))


def test_a_pixel_of_a_mean_leads_to_the_middle_of_the_slab(data):
    shown = projector(data).project(slab("z", 10, 20), how="mean")
    assert shown.voxel(4, 5) == (15, 4, 5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"axis": "t"}, InvalidInputError, "No such axis: 't'"),
        ({"how": "median"}, InvalidInputError, "max, min, mean"),
        ({"levels": (1,)}, InvalidInputError, "no such level"),
        ({"region": slab("z", 5, 5)}, RegionError, "5:5"),
        ({"region": slab("z", 30, 41)}, RegionError, "30:41 .*<= 40"),
    ],
)
def test_what_cannot_be_projected_is_named(data, arguments, error, message):
    arguments = {"region": Region.whole(SHAPE), **arguments}
    with pytest.raises(error, match=message):
        list(projector(data).projecting(**arguments))


def test_a_pixel_outside_is_refused(data):
    shown = projector(data).project(Region.whole(SHAPE))
    with pytest.raises(InvalidInputError, match=r"37, 0 \(allowed: 0\.\.36"):
        shown.voxel(37, 0)


def test_a_real_stack_in_chunks_is_numpys_projection_along_every_axis(vesselkd_data, tmp_path):
    path = next((vesselkd_data / "vesselnn_2photon" / "images").glob("*noLeakage*"))
    with open_volume(path) as source:
        image = source.read(Region.whole(source.shape))
    write_multiscale(tmp_path / "v.ome.zarr", image, voxel_size_um=(5, 0.994, 0.994), chunk=(8, 64, 64))
    with open_volume(tmp_path / "v.ome.zarr") as volume:
        found = SlabProjector(volume)
        for at, axis in enumerate("zyx"):
            low, high = [0, 0, 0], list(image.shape)
            low[at], high[at] = image.shape[at] // 3, image.shape[at]
            shown = found.project(Region(tuple(low), tuple(high)), axis)
            block = image[shown.region.slices]
            np.testing.assert_array_equal(shown.image, block.max(axis=at))
            np.testing.assert_array_equal(shown.depth, block.argmax(axis=at) + low[at])
