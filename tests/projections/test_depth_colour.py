"""Depth as colour: the hue says where, the brightness how much."""

import numpy as np
import pytest

from napari_vesselkd.projections import depth_coloured, with_depth_key
from napari_vesselkd.projections.depth_colour import ANCHORS, depth_hues


def test_the_first_and_the_last_slice_have_the_ends_of_the_scale():
    image = np.full((1, 3), 100, np.uint8)
    rgb = depth_coloured(image, np.array([[5, 8, 14]]), (5, 15), window=(0, 100))
    assert tuple(rgb[0, 0]) == tuple(ANCHORS[0])
    assert tuple(rgb[0, 2]) == tuple(ANCHORS[-1])


def test_brightness_is_that_of_the_image_and_nan_is_black():
    image = np.array([[100.0, 50.0, 0.0, np.nan]])
    rgb = depth_coloured(image, np.zeros((1, 4), int), (0, 9), window=(0, 100)).astype(int)
    assert rgb[0, 1] == pytest.approx(rgb[0, 0] / 2, abs=1)
    assert rgb[0, 2:].sum() == 0


def test_a_slab_of_one_slice_has_one_colour():
    rgb = depth_coloured(np.full((4, 4), 9), np.full((4, 4), 7), (7, 8), window=(0, 9))
    assert (rgb == rgb[0, 0]).all()


def test_neighbouring_depths_have_similar_hues_and_far_ones_do_not():
    hues = depth_hues(np.linspace(0, 1, 101))
    steps = np.linalg.norm(np.diff(hues, axis=0), axis=1)
    assert steps.max() < 10
    far = np.linalg.norm(hues[::20, None] - hues[None, ::20], axis=2)
    assert far[~np.eye(6, dtype=bool)].min() > 50


def test_the_key_is_drawn_in_its_corner_alone():
    black = np.zeros((400, 600, 3), np.uint8)
    keyed = with_depth_key(black, 0, 120)
    rows, columns = keyed.any(axis=2).nonzero()
    assert rows.max() < 200
    assert columns.max() < 200
    assert {tuple(pixel) for pixel in keyed.reshape(-1, 3)} >= {tuple(ANCHORS[0].astype(int))}


def test_a_picture_too_small_for_a_key_stays_as_it_is():
    small = np.zeros((40, 60, 3), np.uint8)
    assert with_depth_key(small, 0, 9) is small
