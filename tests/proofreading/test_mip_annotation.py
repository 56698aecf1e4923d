"""Painted projections become voxels: round vessels where the image is brightest."""

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.projections.rays import RayLabels
from napari_vesselkd.proofreading.mip_annotation import back_project

SHAPE = (24, 40, 48)


def tube(radius=3.0, size=(1.0, 1.0, 1.0), slope=0.2):
    """Return a round vessel along x that climbs in z, and its image."""
    z, y, x = np.indices(SHAPE)
    away = np.hypot((z - 8 - slope * x) * size[0], (y - 20) * size[1])
    image = np.round(1000 * np.exp(-((away / (2 * radius)) ** 2))).astype(np.uint16)
    return away <= radius, image


def paint(truth, axis, region=None):
    region = region or Region.whole(truth.shape)
    seen = truth[region.slices].any(axis=axis, keepdims=True)
    return RayLabels(region, axis, np.where(seen, 2, 1).astype(np.uint8))


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_a_climbing_vessel_comes_back_round_and_in_place(axis, size):
    truth, image = tube(size=size)
    found = back_project(paint(truth, axis), image, size)
    assert dice(found.voxels == 2, truth) > 0.85


def test_a_ray_of_background_is_background_from_front_to_back_and_the_rest_is_left():
    truth, image = tube()
    found = back_project(paint(truth, 0), image, (1, 1, 1))
    beside = ~truth.any(axis=0)
    assert (found.voxels[:, beside] == 1).all()
    assert not (found.voxels[:, ~beside] == 1).any()  # above and below a vessel nothing is known
    assert found.vessel + found.background == found.where.sum()


def test_unpainted_pixels_say_nothing():
    _, image = tube()
    labels = RayLabels(Region.whole(SHAPE), 0, np.zeros((1, 40, 48), np.uint8))
    assert not back_project(labels, image, (1, 1, 1)).voxels.any()


def test_a_bright_cell_behind_one_pixel_does_not_pull_the_vessel_to_it():
    truth, image = tube(slope=0.0)
    image[22, 20, 24] = 60000
    found = back_project(paint(truth, 0), image, (1, 1, 1), window=(0.0, 60000.0))
    assert dice(found.voxels == 2, truth) > 0.85 and not (found.voxels[16:] == 2).any()


def test_two_vessels_at_different_depths_stay_apart():
    lower, image = tube(slope=0.0)
    upper = np.roll(lower, (10, 12), axis=(0, 1))
    both = np.maximum(image, np.roll(image, (10, 12), axis=(0, 1)))
    found = back_project(paint(lower | upper, 0), both, (1, 1, 1))
    assert dice(found.voxels == 2, lower | upper) > 0.85


def test_a_single_painted_pixel_is_one_voxel_at_the_maximum():
    _, image = tube(slope=0.0)
    plane = np.zeros((1, 40, 48), np.uint8)
    plane[0, 20, 10] = 2
    found = back_project(RayLabels(Region.whole(SHAPE), 0, plane), image, (3, 1, 1), window=(0.0, 2000.0))
    assert np.argwhere(found.voxels == 2).tolist() == [[8, 20, 10]]


def test_the_slab_alone_is_looked_at():
    truth, image = tube(slope=0.0)
    image[2, 20, :] = 5000  # brighter, in front of the slab
    region = Region((4, 0, 0), (16, 40, 48))
    found = back_project(paint(truth, 0, region), image[region.slices], (1, 1, 1))
    assert found.region == region and dice(found.voxels == 2, truth[region.slices]) > 0.85


def test_an_image_of_another_slab_is_refused():
    truth, image = tube()
    with pytest.raises(InvalidInputError):
        back_project(paint(truth, 0), image[1:], (1, 1, 1))
