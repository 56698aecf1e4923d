import numpy as np
import pytest

from fake_codes import FakeCodes
from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.patterns.thumbnails import thumbnail
from napari_vesselkd.volume import IntensityWindow, open_volume, volume_from_arrays, write_multiscale

WINDOW = IntensityWindow(0, 255)
SHAPE = (16, 24, 32)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def map_of(tmp_path, shape=SHAPE, stride=(8, 8, 8), size=(1.0, 1.0, 1.0)):
    cells = tuple(-(-n // s) for n, s in zip(shape, stride, strict=True))
    return FakeCodes(tmp_path / "map", np.zeros(cells), stride=stride, volume_shape=shape, voxel_size_um=size)


def volume_of(image, size=(1.0, 1.0, 1.0)):
    return volume_from_arrays([image], voxel_size_um=size)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_thumbnail_is_numpys_projection_of_the_cell(tmp_path, image, axis):
    found = thumbnail(volume_of(image), map_of(tmp_path), (1, 2, 3), 8, axis, window=WINDOW)
    cell = image[8:16, 16:24, 24:32]
    np.testing.assert_array_equal(found, cell.max(axis="zyx".index(axis)))


def test_a_larger_one_has_the_cell_in_its_middle_and_black_outside_the_volume(tmp_path, image):
    found = thumbnail(volume_of(image), map_of(tmp_path), (0, 0, 0), 16, window=WINDOW)
    np.testing.assert_array_equal(found[4:, 4:], image[:12, :12, :12].max(axis=0))
    assert not found[:4].any()
    assert not found[:, :4].any()


def test_a_round_vessel_looks_round_where_voxels_are_not(tmp_path):
    size = (4.0, 1.0, 1.0)
    z, y, _ = np.ogrid[:16, :64, :64]
    ball = ((z - 7.5) * 4) ** 2 + (y - 31.5) ** 2 < 20**2  # a tube along x
    image = np.broadcast_to(ball, (16, 64, 64)).astype(np.uint8) * 255
    codes = map_of(tmp_path, (16, 64, 64), (16, 64, 64), size)
    found = thumbnail(volume_of(image, size), codes, (0, 0, 0), 64, "x", window=WINDOW) > 127
    assert found.shape == (64, 64)
    high, wide = found.any(axis=1).sum(), found.any(axis=0).sum()
    assert abs(int(high) - int(wide)) <= 3
    assert abs(int(wide) - 40) <= 1


def test_without_a_window_the_picture_uses_its_own_contrast(tmp_path):
    image = np.random.default_rng(0).normal(1000, 3, SHAPE).astype(np.float32)
    found = thumbnail(volume_of(image), map_of(tmp_path), (1, 1, 1), 8)
    assert (found.min(), found.max()) == (0, 255)


def test_only_the_chunks_around_the_cell_are_read(tmp_path, monkeypatch):
    write_multiscale(
        tmp_path / "v.ome.zarr", np.ones((64, 64, 64), np.uint8), voxel_size_um=(1, 1, 1), chunk=(8, 8, 8)
    )
    codes = map_of(tmp_path, (64, 64, 64))
    with open_volume(tmp_path / "v.ome.zarr") as volume:
        sizes, read = [], type(volume).read
        monkeypatch.setattr(
            type(volume), "read", lambda self, box, level=0: (sizes.append(box.size), read(self, box))[1]
        )
        thumbnail(volume, codes, (4, 4, 4), 24)
    assert sizes == [24**3]


def test_an_image_of_one_slice_has_thumbnails(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40), dtype=np.uint8)
    codes = map_of(tmp_path, (1, 40, 40), (8, 8, 8))
    found = thumbnail(volume_of(image), codes, (0, 2, 2), 8, window=WINDOW)
    np.testing.assert_array_equal(found, image[0, 16:24, 16:24])
    assert thumbnail(volume_of(image), codes, (0, 2, 2), 8, "y", window=WINDOW).any(axis=1).sum() == 1


def test_what_cannot_be_is_refused(tmp_path, image):
    codes, volume = map_of(tmp_path), volume_of(image)
    with pytest.raises(InvalidInputError, match="No such axis"):
        thumbnail(volume, codes, (0, 0, 0), 8, "t")
    with pytest.raises(InvalidInputError, match="side"):
        thumbnail(volume, codes, (0, 0, 0), 0)
    with pytest.raises(RegionError):
        thumbnail(volume, codes, (0, 0, 4), 8)
    with pytest.raises(InvalidInputError, match="another shape"):
        thumbnail(volume_of(image[1:]), codes, (0, 0, 0), 8)
