import math
import zipfile

import numpy as np
import pytest

from fake_codes import FakeCodes
from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns import cells
from napari_vesselkd.patterns.place_index import BEST, FILE, PlaceIndex
from napari_vesselkd.patterns.places import find_places

SHAPE = (12, 16, 20)
CODES = 5


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """One chunk of 4 x 4 x 4 cells is a tile: 3 x 4 x 5 tiles."""
    monkeypatch.setattr(cells, "READ_CELLS", 64)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    codes = rng.choice(CODES, SHAPE, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    return codes, rng.permutation(codes.size).reshape(SHAPE).astype(np.float16) / 4096


@pytest.fixture
def fake(tmp_path, arrays):
    return FakeCodes(tmp_path, *arrays, stride=(2, 3, 4), voxel_size_um=(4.0, 1.0, 1.0))


def last_of(places):
    *_, last = places
    assert last.final
    return last.places


def brute_force(fake, arrays, codes, count, region=None, near=None):
    """Return the distances of the nearest cells, or their ways from `near`, by looking at every cell."""
    region = region or Region.whole(SHAPE)
    found = [tuple(at + region.start) for at in np.argwhere(np.isin(arrays[0][region.slices], codes))]
    side = [8.0, 3.0, 4.0]  # um per cell
    if near is None:
        keys = sorted(float(np.float32(arrays[1][at])) for at in found)
    else:
        keys = sorted(math.dist(np.multiply(at, side), np.multiply(near, side)) for at in found)
    return keys[:count]


def keys_of(places, near=None):
    side = [8.0, 3.0, 4.0]
    if near is None:
        return [one.distance for one in places]
    return [math.dist(np.multiply(one.cell, side), np.multiply(near, side)) for one in places]


REGIONS = [None, Region((3, 2, 5), (11, 15, 18)), Region((5, 5, 5), (6, 6, 6))]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("near", [None, (0, 0, 0), (11, 7, 3)])
@pytest.mark.parametrize(
    ("codes", "count"), [([0], 60), ([4], 60), ([1, 3], 10), ([2], 5000), ([0, 1, 2], 200)]
)
def test_places_are_those_that_looking_at_every_cell_finds(fake, arrays, codes, count, region, near):
    found = last_of(find_places(fake, codes, count, region, near))
    np.testing.assert_allclose(
        keys_of(found, near), brute_force(fake, arrays, codes, count, region, near), rtol=1e-6
    )
    for one in found:
        assert arrays[0][one.cell] == one.code in codes
        assert one.distance == np.float32(arrays[1][one.cell])
        assert region is None or region.contains(Region(one.cell, tuple(at + 1 for at in one.cell)))
    assert len({one.cell for one in found}) == len(found)


def test_the_centre_is_that_of_the_cell_in_voxels_also_of_a_cut_one(tmp_path):
    fake = FakeCodes(tmp_path, np.zeros((2, 2, 2)), stride=(4, 4, 4), volume_shape=(8, 7, 5))
    centres = {one.cell: one.centre for one in last_of(find_places(fake, [0]))}
    assert centres[0, 0, 0] == (1.5, 1.5, 1.5)
    assert centres[1, 1, 1] == (5.5, 5.0, 4.0)


def test_the_first_answer_reads_every_chunk_once_and_the_next_ones_none(fake):
    last_of(find_places(fake, [1]))
    assert fake.chunks_read == len(set(fake.store.chunks)) == 2 * 60  # codes and distances
    fake.store.chunks.clear()
    for code in range(CODES):
        assert len(last_of(find_places(fake, [code], BEST))) > 0
    assert fake.chunks_read == 0


def test_with_the_index_a_region_and_a_neighbourhood_read_only_the_chunks_they_need(fake, arrays):
    last_of(find_places(fake, [1]))
    fake.store.chunks.clear()
    region = Region((0, 0, 0), (4, 4, 8))  # two chunks, codes and distances of each
    last_of(find_places(fake, [0], 60, region))
    assert 0 < fake.chunks_read <= 4
    fake.store.chunks.clear()
    last_of(find_places(fake, [0], 5, near=(1, 1, 1)))
    assert fake.chunks_read == 2  # five cells of a code that every second cell has are in the same chunk


def test_more_places_than_the_index_knows_read_only_parts_that_can_have_them(tmp_path):
    codes = np.zeros(SHAPE, int)
    distance = np.full(SHAPE, 0.5)
    distance[:4, :4, :8] = np.linspace(0, 0.1, 128).reshape(4, 4, 8)
    fake = FakeCodes(tmp_path, codes, distance)
    last_of(find_places(fake, [0]))
    fake.store.chunks.clear()
    assert max(one.distance for one in last_of(find_places(fake, [0], 100))) < 0.11
    assert fake.chunks_read == 4


def test_while_the_index_is_made_there_are_places_and_the_share_grows(fake):
    *before, last = find_places(fake, [0, 1], 30)
    assert not any(one.final for one in before)
    assert len(before) >= 59
    assert before[0].places
    searched = [one.searched for one in [*before, last]]
    assert searched == sorted(searched)
    assert searched[-1] == 1.0


def test_closing_it_keeps_what_was_read(fake):
    task = find_places(fake, [0])
    for _ in range(20):
        next(task)
    task.close()
    read = fake.chunks_read
    fake.store.chunks.clear()
    last_of(find_places(fake, [0]))
    assert (read, fake.chunks_read) == (2 * 20, 2 * 40)


def test_when_the_run_goes_on_only_parts_that_were_not_complete_are_read_again(tmp_path, arrays):
    codes, distance = arrays
    begun = codes.copy()
    begun[6:] = -1  # the second of three layers of chunks is half done
    fake = FakeCodes(tmp_path, begun, distance, code_count=CODES)
    last_of(find_places(fake, [0, 1, 2, 3, 4]))
    rest = Region((6, 0, 0), SHAPE)
    fake.write(rest, codes[rest.slices], distance[rest.slices])
    found = last_of(find_places(fake, [2, 3], 40))
    assert fake.chunks_read == 2 * 40
    assert keys_of(found) == brute_force(fake, arrays, [2, 3], 40)
    fresh = FakeCodes(tmp_path / "fresh", codes, distance, code_count=CODES)
    for _ in (kept := PlaceIndex.of(fake)).updating():
        raise AssertionError("it is up to date")
    for _ in (again := PlaceIndex.of(fresh)).updating():
        pass
    np.testing.assert_array_equal(kept.cells, again.cells)
    np.testing.assert_array_equal(kept.distances, again.distances)
    np.testing.assert_array_equal(kept.totals(), np.bincount(codes.ravel()))


def test_a_part_whose_distances_are_not_written_yet_is_read_again(tmp_path, arrays):
    distance = arrays[1].copy()
    distance[0, 0, 0] = np.nan
    fake = FakeCodes(tmp_path, arrays[0], distance)
    last_of(find_places(fake, [0]))
    fake.write(Region.whole(SHAPE), *arrays)
    last_of(find_places(fake, [0]))
    assert fake.chunks_read == 2


def test_an_index_of_another_map_or_a_damaged_one_is_not_used(tmp_path, arrays):
    codes, distance = arrays
    last_of(find_places(FakeCodes(tmp_path, codes, distance, code_count=CODES), [0]))
    other = FakeCodes(tmp_path, codes[::-1], distance, id="second", code_count=CODES)
    assert (tmp_path / FILE).is_file()
    for one in last_of(find_places(other, [3])):
        assert codes[::-1][one.cell] == 3
    whole = (tmp_path / FILE).read_bytes()
    for damaged in (b"", b"no index", whole[: len(whole) // 2]):
        (tmp_path / FILE).write_bytes(damaged)
        assert len(last_of(find_places(other, [3]))) > 0
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("id.npy", b"nothing of numpy")
    assert len(last_of(find_places(other, [3]))) > 0


def test_an_index_with_a_pickle_in_it_is_not_opened(tmp_path, fake):
    last_of(find_places(fake, [0]))
    with np.load(tmp_path / FILE) as kept:
        values = dict(kept)
    values["tiles"] = np.array([{"a": 1}], object)
    np.savez(tmp_path / FILE, allow_pickle=True, **values)
    fake.store.chunks.clear()
    last_of(find_places(fake, [0]))
    assert fake.chunks_read == 2 * 60


def test_a_folder_that_cannot_be_written_costs_only_the_index(fake, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError("read-only")

    monkeypatch.setattr(np, "savez", refuse)
    assert len(last_of(find_places(fake, [0]))) == 60
    assert not list(fake.path.glob("*places*"))


def test_a_map_without_a_computed_cell_has_no_places(tmp_path):
    fake = FakeCodes(tmp_path, np.full((3, 3, 3), -1), code_count=2)
    assert last_of(find_places(fake, [0, 1])) == ()


def test_what_cannot_be_looked_for_is_refused_at_once(fake):
    with pytest.raises(InvalidInputError, match="no such code: 5"):
        find_places(fake, [1, 5])
    with pytest.raises(InvalidInputError, match="No code"):
        find_places(fake, [])
    with pytest.raises(InvalidInputError, match="number of places"):
        find_places(fake, [0], 0)
    with pytest.raises(RegionError):
        find_places(fake, [0], region=Region((0, 0, 0), (13, 1, 1)))
