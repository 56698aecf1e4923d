import csv

import numpy as np
import pytest

from fake_codes import FakeCodes
from napari_vesselkd.errors import InvalidInputError, OutputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.patterns import meaning
from napari_vesselkd.patterns.meaning import CodeTable, describe_codes
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.phantoms.raster import Segments, signed_distance
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import volume_from_arrays

SIZE = (2.0, 1.0, 1.0)
STRIDE = (4, 8, 8)
SHAPE = (14, 38, 41)  # 4 x 5 x 6 cells, the last ones cut
CELLS = (4, 5, 6)
FIELDS = ("cells", "share", "vessel_fraction", "intensity", "depth_um", "distance")


def volume_of(array, size=SIZE):
    return volume_from_arrays([array], voxel_size_um=size)


@pytest.fixture
def world(tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 6, CELLS)
    distance = rng.random(CELLS).astype(np.float16)
    fake = FakeCodes(
        tmp_path / "map", codes, distance, stride=STRIDE, volume_shape=SHAPE, voxel_size_um=SIZE, code_count=7
    )
    image = rng.integers(0, 60_000, SHAPE).astype(np.uint16)
    labels = (rng.random(SHAPE) > 0.8).astype(np.uint8)
    return fake, codes, distance.astype(float), image, labels


def spread(values, shape=SHAPE):
    """Return the value of each voxel from those of the cells."""
    for axis, side in enumerate(STRIDE):
        values = values.repeat(side, axis)
    return values[: shape[0], : shape[1], : shape[2]]


def table_of(task):
    *_, last = task
    assert isinstance(last, CodeTable)
    return last


def by_hand(world, region):
    """Return the columns by looking at every voxel and cell."""
    _, codes, distance, image, labels = world
    inside = np.zeros(CELLS, bool)
    inside[region.slices] = True
    codes = np.where(inside, codes, -1)
    voxels = spread(codes)
    z = np.minimum((np.arange(4) * 4 + np.minimum(np.arange(4) * 4 + 4, 14) - 1) / 2, 99) * 2.0
    depth = np.broadcast_to(z[:, None, None], CELLS)
    rows = []
    for code in range(7):
        there, under = codes == code, voxels == code
        if not there.any():
            rows.append([0, 0.0, *[np.nan] * 4])
            continue
        means = labels[under].mean(), image[under].mean(), depth[there].mean(), distance[there].mean()
        rows.append([there.sum(), there.sum() / (codes >= 0).sum(), *means])
    return np.array(rows).T


@pytest.mark.parametrize("region", [None, Region((1, 0, 2), (4, 4, 6))])
@pytest.mark.parametrize("block", [2**22, 600])
def test_means_are_those_of_looking_at_every_voxel(world, region, block, monkeypatch):
    monkeypatch.setattr(meaning, "BLOCK_VOXELS", block)
    fake, _, _, image, labels = world
    found = table_of(describe_codes(fake, volume_of(image), volume_of(labels), region))
    expected = by_hand(world, region or Region.whole(CELLS))
    for name, column in zip(FIELDS, expected, strict=True):
        np.testing.assert_allclose(getattr(found, name), column, rtol=1e-6, err_msg=name)
    assert found.seen == 1.0


def test_nan_voxels_of_an_image_count_as_nothing(world):
    fake, _, _, image, _ = world
    broken = image.astype(np.float32)
    broken[0, 0, 0] = np.nan
    found = table_of(describe_codes(fake, volume_of(broken)))
    assert np.isfinite(found.intensity[found.cells > 0]).all()


def test_without_labels_nothing_is_said_about_vessels(world):
    fake, _, _, image, _ = world
    found = table_of(describe_codes(fake, volume_of(image)))
    for name in ("vessel_fraction", "radius_um", "tortuosity", "centreline_um"):
        assert np.isnan(getattr(found, name)).all()
    assert np.isfinite(found.intensity[found.cells > 0]).all()


def test_labels_without_a_vessel_give_a_fraction_of_zero_and_no_radius(world):
    fake, _, _, image, labels = world
    found = table_of(describe_codes(fake, volume_of(image), volume_of(0 * labels)))
    used = found.cells > 0
    assert (found.vessel_fraction[used] == 0).all()
    assert np.isnan(found.radius_um).all()
    assert np.isnan(found.tortuosity).all()


def winding(shape=(64, 96, 192), size=(1.0, 1.0, 1.0)):
    """Return a mask: a straight thick tube in the upper half (y), a winding thin one in the lower half."""
    x = np.arange(-20.0, 220.0)
    depth = 28 + x / 30  # not along the grid, where all voxels of a wall would err alike
    straight = np.stack([depth, 20 + x / 25, x], axis=1)
    wave = np.stack([depth, 72 + 9 * np.sin(x * 2 * np.pi / 40), x], axis=1)
    masks = []
    for path, radius in ((straight, 6.0), (wave, 2.5)):
        radii = np.full(len(path) - 1, radius)
        segments = Segments(path[:-1], path[1:], radii, radii, np.zeros(len(radii), np.int32))
        masks.append(signed_distance(segments, shape, size, reach_um=0.5, inflation_um=(0, 0, 0))[0] <= 0)
    return masks[0] | masks[1]


@pytest.fixture(scope="module")
def vessels():
    return winding().astype(np.uint8)


def vessel_map(tmp_path, stride):
    """Return a map of `vessels`: code 0 in the upper half, 1 in the lower."""
    codes = np.zeros([n // s for n, s in zip((64, 96, 192), stride, strict=True)], int)
    codes[:, codes.shape[1] // 2 :] = 1
    return FakeCodes(tmp_path, codes, stride=stride)


@pytest.mark.parametrize("block", [2**22, 2**15])
def test_radius_and_tortuosity_under_a_code_are_those_of_the_phantom(tmp_path, vessels, block, monkeypatch):
    monkeypatch.setattr(meaning, "BLOCK_VOXELS", block)  # of the small ones every tube crosses several
    fake, image = vessel_map(tmp_path, (32, 48, 48)), volume_of(vessels, (1.0, 1.0, 1.0))
    *_, found = describe_codes(fake, image, image)
    assert found.radius_um == pytest.approx([6.0, 2.5], rel=0.08)
    slope = 9 * 2 * np.pi / 40
    way = np.sqrt(1 + (slope * np.cos(np.linspace(0, 2 * np.pi, 1000))) ** 2).mean()
    assert found.tortuosity[0] == pytest.approx(1.0, abs=0.02)
    assert found.tortuosity[1] == pytest.approx(way, rel=0.12)
    assert found.tortuosity[1] > 1.25
    np.testing.assert_allclose(found.vessel_fraction, [vessels[:, :48].mean(), vessels[:, 48:].mean()])


def test_only_blocks_with_their_margin_are_read(tmp_path, vessels, monkeypatch):
    monkeypatch.setattr(meaning, "BLOCK_VOXELS", 32**3)
    monkeypatch.setattr(meaning, "HALO", 8)
    fake, image = vessel_map(tmp_path, (32, 32, 32)), volume_of(vessels, (1.0, 1.0, 1.0))
    sizes, read = [], type(image).read
    monkeypatch.setattr(
        type(image), "read", lambda self, box, level=0: (sizes.append(box.size), read(self, box))[1]
    )
    *_, last = describe_codes(fake, image, image)
    assert max(sizes) <= 48**3
    assert last.seen == 1.0


def test_blocks_that_are_not_computed_are_not_read(tmp_path, monkeypatch):
    fake = FakeCodes(tmp_path, np.full((2, 2, 2), -1), code_count=3)
    image = volume_of(np.ones((8, 8, 8), np.uint8), (1.0, 1.0, 1.0))
    monkeypatch.setattr(type(image), "read", None)
    found = table_of(describe_codes(fake, image, image))
    assert found.cells.tolist() == [0, 0, 0]
    assert np.isnan(found.intensity).all()


def test_tables_come_on_the_way_and_are_estimates_of_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(meaning, "BLOCK_VOXELS", 8**3)
    rng = np.random.default_rng(0)
    fake = FakeCodes(tmp_path, rng.integers(0, 2, (10, 10, 10)), stride=(4, 4, 4))
    image = volume_of(rng.normal(100, 10, (40, 40, 40)).astype(np.float32), (1.0, 1.0, 1.0))
    reports = list(describe_codes(fake, image))
    tables = [one for one in reports if isinstance(one, CodeTable)]
    progress = [one for one in reports if isinstance(one, Progress)]
    assert [one.done for one in progress] == list(range(1, 126))
    assert [round(one.seen * 125) for one in tables] == [1, 2, 4, 8, 16, 32, 64, 125]
    np.testing.assert_allclose(tables[5].share, tables[-1].share, atol=0.12)
    np.testing.assert_allclose(tables[5].intensity, tables[-1].intensity, atol=1)
    assert tables[5].depth_um[0] == pytest.approx(20, abs=4)  # spread over the volume, not its top
    few = list(describe_codes(fake, image, most_blocks=5))
    assert few[-1].seen == pytest.approx(5 / 125)
    assert few[-2].total == 5


def test_a_label_store_is_as_good_as_a_volume(world, tmp_path):
    fake, _, _, image, labels = world
    store = LabelStore.create(tmp_path / "l.ome.zarr", SHAPE, SIZE)
    store.write(Region.whole(SHAPE), labels)
    one, other = (table_of(describe_codes(fake, volume_of(image), w)) for w in (store, volume_of(labels)))
    np.testing.assert_array_equal(one.radius_um, other.radius_um)


def test_the_csv_has_a_row_per_code_with_what_was_said_about_it(world, tmp_path):
    fake, _, _, image, labels = world
    found = table_of(describe_codes(fake, volume_of(image), volume_of(labels)))
    notes = CodeNotes.load(tmp_path, "0" * 64)
    notes.set(2, name='vein, "large"', artefact=True)
    path = found.to_csv(tmp_path / "new" / "codes.csv", notes)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 7
    assert (rows[2]["name"], rows[2]["artefact"], rows[3]["artefact"]) == ('vein, "large"', "yes", "")
    for row, code in zip(rows, range(7), strict=True):
        assert int(row["code"]) == code
        for name in found.columns:
            value = getattr(found, name)[code]
            assert row[name] == "" if np.isnan(value) else float(row[name]) == value
    assert [one.name for one in path.parent.iterdir()] == ["codes.csv"]
    plain = list(csv.reader(found.to_csv(tmp_path / "plain.csv").read_text().splitlines()))
    assert plain[0] == ["code", *found.columns]
    assert found.to_dict()["radius_um"][6] is None
    assert found.to_dict()["cells"] == found.cells.tolist()


def test_a_csv_that_cannot_be_written_is_an_output_error(world, tmp_path):
    fake, _, _, image, _ = world
    found = table_of(describe_codes(fake, volume_of(image)))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        found.to_csv(tmp_path / "file" / "codes.csv")


def test_images_of_another_shape_and_regions_outside_are_refused_at_once(world):
    fake, _, _, image, labels = world
    with pytest.raises(InvalidInputError, match="volume has another shape"):
        describe_codes(fake, volume_of(image[1:]))
    with pytest.raises(InvalidInputError, match="label image has another shape"):
        describe_codes(fake, volume_of(image), volume_of(labels[1:]))
    with pytest.raises(RegionError):
        describe_codes(fake, volume_of(image), region=Region((0, 0, 0), (5, 1, 1)))
