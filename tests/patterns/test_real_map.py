"""Usage, places, pictures, meaning and comparison on a map that a real teacher made."""

import numpy as np
import pytest

from coding import write_teacher
from napari_vesselkd.checkpoints import load_checkpoint
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.codes import map_codes
from napari_vesselkd.patterns.comparison import changed_cells, compare_maps
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.decoding import decoded_code
from napari_vesselkd.patterns.meaning import describe_codes
from napari_vesselkd.patterns.notes import CodeNotes, artefact_mask
from napari_vesselkd.patterns.place_index import FILE
from napari_vesselkd.patterns.places import find_places
from napari_vesselkd.patterns.thumbnails import thumbnail
from napari_vesselkd.patterns.usage import compare_usage, usage
from napari_vesselkd.volume import open_volume, write_multiscale
from segmenting import structured

SHAPE = (40, 120, 100)
CELLS = (2, 4, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    write_multiscale(folder / "v.ome.zarr", structured(SHAPE, seed=3), voxel_size_um=(2, 1, 1))
    for name, seed in (("a", 0), ("b", 1)):
        teacher = write_teacher(folder / f"{name}.safetensors", seed=seed)
        with open_volume(folder / "v.ome.zarr") as volume:
            list(map_codes(volume, folder / f"{name}.codes.ome.zarr", CodesConfig(teacher, device="cpu")))
    return folder


@pytest.fixture
def volume(folder):
    with open_volume(folder / "v.ome.zarr") as volume:
        yield volume


def map_of(folder, name="a"):
    return CodeMap.open(folder / f"{name}.codes.ome.zarr")


def last_of(task):
    *_, last = task
    return last


def test_usage_and_its_difference_are_those_of_the_stored_codes(folder):
    code_map = map_of(folder)
    assert code_map.shape == CELLS
    stored = np.asarray(code_map.codes[...])
    found = usage(code_map)
    np.testing.assert_array_equal(found.counts, np.bincount(stored.ravel(), minlength=17)[1:])
    assert found.computed == 1.0
    left, right = Region((0, 0, 0), (2, 4, 2)), Region((0, 0, 2), CELLS)
    difference = compare_usage(usage(code_map, left), usage(code_map, right))
    assert 0 <= difference.jensen_shannon <= 1
    assert compare_usage(found, found).jensen_shannon == 0


def test_places_are_sorted_kept_and_the_map_stays_readable(folder, volume):
    code_map = map_of(folder)
    stored, distance = np.asarray(code_map.codes[...]), np.asarray(code_map.distance[...], np.float32)
    code = int(usage(code_map).counts.argmax())
    found = last_of(find_places(code_map, [code], 5)).places
    np.testing.assert_array_equal([one.distance for one in found], np.sort(distance[stored == code + 1])[:5])
    assert (code_map.path / FILE).is_file()
    again = map_of(folder)
    assert last_of(find_places(again, [code], 5)).places == found
    picture = thumbnail(again.volume_at(volume), again, found[0].cell, 96, "z", window=again.window)
    assert picture.shape == (96, 96)
    assert picture.max() > 100


def test_codes_are_described_and_the_artefacts_become_a_mask(folder, volume, tmp_path):
    code_map = map_of(folder)
    image = volume.read(Region.whole(SHAPE))
    labels = LabelStore.create(tmp_path / "l.ome.zarr", SHAPE, (2, 1, 1))
    labels.write(Region.whole(SHAPE), (image > np.percentile(image, 95)).astype(np.uint8))
    table = last_of(describe_codes(code_map, volume, labels))
    stored = np.asarray(code_map.codes[...])
    for axis in range(3):
        stored = stored.repeat(32, axis)
    under = stored[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    for code in np.flatnonzero(table.cells):
        mask = under == code + 1
        assert table.intensity[code] == pytest.approx(image[mask].mean())
        assert table.vessel_fraction[code] == pytest.approx(labels.read(Region.whole(SHAPE))[mask].mean())
    notes = CodeNotes.load(tmp_path, code_map.sha256)
    code = int(np.argmax(table.cells))
    notes.set(code, artefact=True)
    region = Region((10, 20, 30), (40, 101, 100))
    np.testing.assert_array_equal(
        artefact_mask(code_map, notes, region), (under == code + 1)[region.slices].astype(np.uint8)
    )


def test_two_checkpoints_are_compared(folder):
    a, b = map_of(folder, "a"), map_of(folder, "b")
    found = last_of(compare_maps(a, b))
    first, second = np.asarray(a.codes[...]), np.asarray(b.codes[...])
    assert found.share == np.mean(first != second) > 0
    assert found.share_matched <= found.share
    assert np.asarray(changed_cells(a, b)).sum() == found.changed
    assert last_of(compare_maps(a, a)).changed == 0


def test_the_decoder_has_a_picture_of_the_most_used_code(folder):
    model, _ = load_checkpoint(folder / "a.safetensors")
    code = int(usage(map_of(folder)).counts.argmax())
    assert np.isfinite(decoded_code(model, code)).all()
