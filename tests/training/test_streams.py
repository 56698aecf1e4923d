"""Patches come straight from chunked volumes, the same for the same number, and no more than is asked."""

import tracemalloc

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.training import AugmentConfig, streams
from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.sources import material_of_csv
from napari_vesselkd.training.streams import Place, Source, Stream, StreamPatches, source_of_crop
from napari_vesselkd.volume import IntensityWindow, open_volume, volume_from_arrays, write_multiscale

SHAPE = (16, 32, 32)


class Reads:
    """An array that notes what is read."""

    def __init__(self, array):
        self.array, self.regions = array, []
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key):
        self.regions.append(key)
        return self.array[key]


def source(shape=(40, 64, 64), *, vessel=None, labelled=None, name="volume"):
    image = np.random.default_rng(0).integers(0, 100, shape).astype(np.uint16)
    label = np.ones(shape, np.uint8)
    if labelled is not None:
        label[:] = 0
        label[labelled] = 1
    if vessel is not None:
        label[vessel] = 2
    volume = volume_from_arrays([image], voxel_size_um=(1, 1, 1), name=name)
    return Source(name, volume, IntensityWindow(0, 100), lambda region: label[region.slices])


def test_the_same_number_gives_the_same_batch_and_another_number_another():
    stream = Stream([source()], SHAPE)
    one, same = (StreamPatches(stream, 2, AugmentConfig(), seed=3)(5) for _ in range(2))
    other = StreamPatches(stream, 2, AugmentConfig(), seed=3)(6)
    assert (one.image == same.image).all() and one.names == same.names
    assert (one.image != other.image).any()


def test_a_place_of_a_large_source_reads_its_own_voxels_and_nothing_else(monkeypatch):
    monkeypatch.setattr(streams, "KEPT_BYTES", 40 * 64 * 64 * 4 - 1)
    array = Reads(np.arange(40 * 64 * 64, dtype=np.float32).reshape(40, 64, 64))
    volume = volume_from_arrays([array], voxel_size_um=(1, 1, 1), name="counted")
    stream = Stream([Source("counted", volume, IntensityWindow(0, 40 * 64 * 64))], SHAPE)
    array.regions.clear()
    patch = stream.read(Place(0, (3, 5, 7)))
    assert len(array.regions) == 1
    assert tuple(part.stop - part.start for part in array.regions[0]) == SHAPE
    expected = array.array[3:19, 5:37, 7:39] / (40 * 64 * 64)
    np.testing.assert_allclose(patch.image, expected, atol=1e-6)


def test_small_sources_are_read_once_as_many_as_fit(monkeypatch):
    """The first one fits with its labels, the second not any more; the patches are the same."""
    first, second = (Reads(source().volume.levels[0][:]) for _ in range(2))
    volumes = [volume_from_arrays([array], voxel_size_um=(1, 1, 1)) for array in (first, second)]
    asked = []

    def labels(region):
        asked.append(region)
        return np.full(region.shape, 2, np.uint8)

    monkeypatch.setattr(streams, "KEPT_BYTES", volumes[0].nbytes * 2)
    stream = Stream([Source("one", volume, IntensityWindow(0, 100), labels) for volume in volumes], SHAPE)
    for array in (first, second):
        array.regions.clear()
    places = [Place(number, (z, 3, 5)) for z in range(4) for number in (0, 1)]
    patches = [stream.read(place) for place in places]
    assert len(first.regions) == 1 and len(second.regions) == 4
    assert asked.count(Region.whole((40, 64, 64))) == 1 and len(asked) == 5
    for place, patch in zip(places, patches, strict=True):
        z = place.start[0]
        expected = first.array[z : z + 16, 3:35, 5:37] / 100
        np.testing.assert_allclose(patch.image, expected, atol=1e-6)
        assert (patch.mask & 1).all()


def test_a_large_source_does_not_keep_small_ones_from_being_kept(monkeypatch):
    large, small = (Reads(np.zeros(shape, np.uint16)) for shape in ((64, 64, 64), (16, 32, 32)))
    volumes = [volume_from_arrays([array], voxel_size_um=(1, 1, 1)) for array in (large, small)]
    monkeypatch.setattr(streams, "KEPT_BYTES", volumes[1].nbytes)
    stream = Stream([Source("one", volume, IntensityWindow(0, 100)) for volume in volumes], SHAPE)
    for array in (large, small):
        array.regions.clear()
    for number in (0, 1, 0, 1, 0, 1):
        stream.read(Place(number, (0, 0, 0)))
    assert len(large.regions) == 3 and len(small.regions) == 1


def test_the_window_is_that_of_the_volume_and_not_of_a_patch(tmp_path):
    """A patch without vessels stays dark; its own percentile would stretch its noise to white."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 50, (32, 64, 96)).astype(np.uint16)
    image[:, :, 48:] += 1000
    write_multiscale(tmp_path / "image.ome.zarr", image, voxel_size_um=(1, 1, 1), chunk=(16, 16, 16))
    (tmp_path / "data.csv").write_text('image,label,group,voxel_size_um\nimage.ome.zarr,,one,"1,1,1"\n')
    with material_of_csv(tmp_path / "data.csv", upper=95.0, labels=False) as material:
        (source,) = material.all
        low, high = np.percentile(image, [0, 95])
        stream = Stream([source], SHAPE)
        dark, bright = (stream.read(Place(0, (0, 0, x))).image for x in (0, 64))
    assert (source.window.low, source.window.high) == (low, high)
    np.testing.assert_allclose(dark, image[:16, :32, :32] / (high - low), atol=1e-6)
    assert dark.max() < 0.05 and bright.min() > 0.9


def test_a_volume_thinner_than_a_patch_is_reflected_and_the_filling_does_not_count():
    stream = Stream([source((10, 64, 64))], SHAPE)
    patch = stream.read(stream.place(np.random.default_rng(0)))
    assert patch.image.shape == SHAPE
    assert patch.valid[:10].all() and not patch.valid[10:].any()
    np.testing.assert_array_equal(patch.image[10:16], patch.image[8:2:-1])


def test_places_of_sparse_labels_hold_labels_and_half_of_them_vessels():
    sparse = source(labelled=(slice(0, 20), slice(0, 40), slice(0, 64)), vessel=(8, 8, slice(None)))
    stream = Stream([sparse], SHAPE, vessels=0.5)
    masks = [stream.read(place).mask for place in stream.places(40, seed=1)]
    assert sum(bool((mask & 4 == 0).any()) for mask in masks) == 40
    assert 10 <= sum(bool((mask & 1).any()) for mask in masks) <= 38


def test_larger_sources_are_drawn_more_often():
    stream = Stream([source((16, 32, 32), name="small"), source((32, 64, 64), name="large")], SHAPE)
    drawn = [place.source for place in stream.places(200, seed=0)]
    assert 140 <= sum(drawn) <= 200


def test_unlabelled_sources_have_no_label_and_count_everywhere():
    plain = source()
    stream = Stream([Source("plain", plain.volume, plain.window)], SHAPE)
    batch = StreamPatches(stream, 2)(0)
    assert not batch.label.any() and batch.valid.all()


def test_a_crop_is_a_source_with_its_own_labels():
    label = np.zeros((20, 40, 40), np.uint8)
    label[5:, 5:, 5:] = 1
    label[8, 10:30, 10:30] = 2
    crop = Crop("block 3", np.full(label.shape, 50, np.uint16), label, (0.0, 100.0), "abc", (1, 1, 1))
    found = source_of_crop(crop)
    assert found.name == "block 3"
    np.testing.assert_array_equal(found.labels(Region.whole(label.shape)), label)
    assert Stream([found], SHAPE).read(Place(0, (0, 0, 0))).image == pytest.approx(0.5)


def test_a_volume_eight_times_larger_costs_a_patch_no_more_chunks_and_keeps_nothing(tmp_path, monkeypatch):
    """What memory of training on any volume rests on: per patch at most 2 x 3 x 3 chunks of 16^3."""
    read, held = {}, {}
    for times in (1, 2):
        shape = tuple(times * side for side in (48, 96, 96))
        path = tmp_path / f"{times}.ome.zarr"
        rng = np.random.default_rng(0)
        image = rng.integers(0, 100, shape).astype(np.uint16)
        write_multiscale(path, image, voxel_size_um=(1, 1, 1), levels=1, chunk=(16, 16, 16))
        monkeypatch.setattr(streams, "KEPT_BYTES", image.nbytes - 1)
        with open_volume(path) as volume:
            batches = StreamPatches(Stream([Source("volume", volume, IntensityWindow(0, 100))], SHAPE), 1)
            batches(0)
            counts = chunk_reads(volume, monkeypatch)
            tracemalloc.start()
            for number in range(1, 9):
                batches(number)
            held[times] = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            read[times] = len(counts) / 8
            monkeypatch.undo()
    assert 0 < read[1] <= 2 * 3 * 3 and 0 < read[2] <= 2 * 3 * 3
    assert max(held.values()) < 256 * 2**10  # eight patches, as they were read and scaled, have 768 kB


def chunk_reads(volume, monkeypatch):
    """Return the list to which every chunk that is read from now on is added."""
    found, store = [], type(volume.levels[0].store)
    get = store.get

    async def counted(self, key, *args, **options):
        found.append(key)
        return await get(self, key, *args, **options)

    monkeypatch.setattr(store, "get", counted)
    return found


def test_a_stored_volume_gives_the_patches_of_the_array(tmp_path):
    plain = source()
    image = plain.volume.read(Region.whole(plain.volume.shape))
    write_multiscale(tmp_path / "image.ome.zarr", image, voxel_size_um=(1, 1, 1), chunk=(16, 16, 16))
    with open_volume(tmp_path / "image.ome.zarr") as volume:
        stored = Stream([Source("volume", volume, plain.window, plain.labels)], SHAPE)
        one = StreamPatches(stored, 2, seed=1)(4)
    assert (one.image == StreamPatches(Stream([plain], SHAPE), 2, seed=1)(4).image).all()
