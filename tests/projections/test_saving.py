import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_vesselkd.errors import OutputError
from napari_vesselkd.projections import check_picture_path, overlay, save_png, save_tiff, write_png
from napari_vesselkd.volume import open_volume


@pytest.fixture
def gray():
    return np.random.default_rng(0).integers(0, 4000, (60, 80), dtype=np.uint16)


def test_a_png_has_square_pixels_and_a_scale_bar(tmp_path, gray):
    save_png(tmp_path / "a.png", overlay(gray), (5.0, 1.0))
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (80, 300)
    write_png(tmp_path / "b.png", overlay(gray))
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image), overlay(gray))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64, bool])
def test_a_tiff_keeps_the_raw_values_and_the_pixel_size(tmp_path, gray, dtype):
    values = gray > 2000 if dtype is bool else gray.astype(dtype)
    save_tiff(tmp_path / "a.tif", values, (5.0, 2.0))
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), values)
    with open_volume(tmp_path / "a.tif") as volume:
        assert volume.voxel_size_um[1:] == (5.0, 2.0)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        x, y = (file.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
    assert x[0] / x[1] == pytest.approx(5000)
    assert y[0] / y[1] == pytest.approx(2000)


def test_an_rgb_tiff_says_that_it_is_one(tmp_path, gray):
    save_tiff(tmp_path / "a.tif", overlay(gray))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
        assert np.array_equal(file.asarray(), overlay(gray))


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path, gray, monkeypatch):
    write_png(tmp_path / "a.png", overlay(gray))
    before = (tmp_path / "a.png").read_bytes()

    def full(self, stream, **options):
        stream.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="The disk is full"):
        write_png(tmp_path / "a.png", overlay(gray))
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.gz", "a.ome.zarr"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"unknown ending.*\.png, \.tif, \.tiff"):
        check_picture_path(tmp_path / name)


def test_a_folder_or_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="cannot be written there"):
        check_picture_path(tmp_path / "a.png")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written there"):
        check_picture_path(tmp_path / "file" / "a.png")


def test_a_picture_in_a_new_folder_is_fine(tmp_path):
    assert check_picture_path(tmp_path / "new" / "a.tif") == tmp_path / "new" / "a.tif"
