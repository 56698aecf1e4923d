import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.projections import coloured, contrast_window, figure, overlay, picture
from napari_vesselkd.projections.picture import length_text, nice_length, square_pixels, with_scale_bar


@pytest.fixture
def gray():
    return np.random.default_rng(0).integers(0, 4000, (60, 80), dtype=np.uint16)


@pytest.fixture
def labels():
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 10:70] = 1
    return mask


def test_without_labels_the_image_is_gray_between_the_window(gray):
    rgb = overlay(gray, window=(1000, 3000))
    assert (rgb[..., 0] == rgb[..., 1]).all()
    assert (rgb[..., 0] == rgb[..., 2]).all()
    assert (rgb[gray <= 1000] == 0).all()
    assert (rgb[gray >= 3000] == 255).all()
    assert rgb[gray == 2000] == pytest.approx(127.5, abs=0.6)


def test_vessels_are_warm_and_everything_else_stays_gray(gray, labels):
    rgb = overlay(gray, labels, (0, 4000)).astype(int)
    plain = overlay(gray, None, (0, 4000))
    assert (rgb[labels == 0] == plain[labels == 0]).all()
    inside = rgb[labels > 0]
    assert (inside[:, 0] >= inside[:, 2]).all()


def test_the_outline_is_brighter_than_the_fill(labels):
    rgb = overlay(np.zeros((60, 80), np.uint8), labels).astype(int).sum(axis=2)
    assert rgb[20, 40] > 2 * rgb[30, 40] > 0


def test_the_image_can_be_seen_through_the_fill(labels):
    image = np.zeros((60, 80), np.uint8)
    image[30, 30:50] = 200
    rgb = overlay(image, labels, (0, 200)).astype(int).sum(axis=2)
    assert rgb[30, 40] > rgb[28, 40] + 300


def test_nan_is_black():
    image = np.full((8, 8), np.nan, np.float32)
    image[2:, 2:] = 1.0
    assert (overlay(image, window=(0, 1))[0, 0] == 0).all()


def test_one_bright_pixel_does_not_darken_the_rest():
    image = np.linspace(0, 100, 10_000).reshape(100, 100)
    image[0, 0] = 1e9
    low, high = contrast_window(image)
    assert 0 <= low < 2
    assert 95 < high < 105


def test_a_constant_or_empty_image_has_a_window_all_the_same():
    assert contrast_window(np.full((4, 4), 7, np.uint8)) == (7, 8)
    assert contrast_window(np.full((4, 4), np.nan)) == (0, 1)


def test_labels_of_another_shape_are_refused(gray):
    with pytest.raises(InvalidInputError, match=r"\(3, 3\) and \(60, 80\)"):
        overlay(gray, np.zeros((3, 3)))


@pytest.mark.parametrize("pixel", [(5.0, 1.0), (1.0, 5.0), (2.0, 2.0)])
def test_a_picture_has_the_physical_proportions(gray, pixel):
    rows, columns, _ = picture(gray, pixel_size_um=pixel).shape
    assert rows / columns == pytest.approx(60 * pixel[0] / (80 * pixel[1]), rel=0.01)


def test_square_pixels_keep_the_finer_axis(gray):
    rgb = overlay(gray)
    stretched, pixel = square_pixels(rgb, (5.0, 1.0))
    assert stretched.shape == (300, 80, 3)
    assert pixel == 1.0
    assert square_pixels(rgb, (2.0, 2.0))[0] is rgb


def test_large_pictures_are_not_enlarged():
    assert picture(np.zeros((1300, 900), np.uint8)).shape == (1300, 900, 3)


def test_the_scale_bar_is_as_long_as_it_says():
    rgb = with_scale_bar(np.zeros((600, 800, 3), np.uint8), 0.5)
    rows, columns = np.nonzero((rgb == 255).all(axis=2))
    bar = columns[rows == rows.max()]
    assert bar.max() - bar.min() + 1 == 50 / 0.5
    assert len(set(rows)) > 10


def test_a_tiny_picture_is_left_alone():
    rgb = np.zeros((20, 30, 3), np.uint8)
    assert with_scale_bar(rgb, 1.0) is rgb


@pytest.mark.parametrize(
    ("largest", "length", "text"),
    [
        (99, 50, "50 µm"),
        (100, 100, "100 µm"),
        (0.3, 0.2, "200 nm"),
        (7, 5, "5 µm"),
        (2600, 2000, "2 mm"),
        (1999, 1000, "1 mm"),
    ],
)
def test_lengths_are_round_and_have_the_unit_that_reads_best(largest, length, text):
    assert nice_length(largest) == pytest.approx(length)
    assert length_text(nice_length(largest)) == text


@pytest.mark.parametrize(("pixel_um", "tail"), [(0.5, True), (20.0, False)], ids=["50 µm", "2 mm"])
def test_only_a_micrometre_has_a_stem_below_the_line(pixel_um, tail):
    rgb = with_scale_bar(np.zeros((600, 800, 3), np.uint8), pixel_um)
    white = (rgb == 255).all(axis=2).any(axis=1)
    bar = int(np.flatnonzero(white)[-1]) - 2
    assert not white[bar - 3 : bar].any()
    assert white[bar - 6 : bar - 3].any() == tail


def test_labels_have_their_own_colours_and_the_rest_stays(gray):
    rgb = overlay(gray)
    labels = np.zeros(gray.shape, np.uint16)
    labels[10:20, 10:20], labels[30:40, 30:40], labels[50:, 50:] = 3, 7, 9
    painted = coloured(rgb, labels, {3: (1, 0, 0, 1), 7: (0, 0, 1, 1), 0: (0, 0, 0, 0)}).astype(int)
    assert (painted[labels == 0] == rgb[labels == 0]).all()
    assert (painted[labels == 9] == rgb[labels == 9]).all()
    assert (painted[labels == 3][:, 0] > painted[labels == 3][:, 2]).all()
    assert (painted[labels == 7][:, 2] > painted[labels == 7][:, 0]).all()


def test_a_figure_has_square_pixels_and_a_bar_where_the_size_is_known(gray):
    rgb = overlay(gray)
    assert figure(rgb, (4.0, 1.0)).shape[0] == pytest.approx(figure(rgb, (4.0, 1.0)).shape[1] * 3, abs=2)
    plain, barred = figure(rgb, (1.0, 1.0), bar=False), figure(rgb, (1.0, 1.0))
    assert plain.shape == barred.shape
    assert (plain != barred).any()
    assert (figure(rgb, None) == plain).all()
