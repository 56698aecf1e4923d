"""What brightness says of the voxels behind painted vessels."""

import numpy as np

from napari_vesselkd.projections.tubes import by_brightness


def scene(tube=100.0):
    """A background ray, and two painted ones of six voxels: a tube, something dark, something in between."""
    image = np.zeros((6, 9, 9), np.float32)
    labels = np.ones(image.shape, np.uint8)
    behind = np.zeros(image.shape, bool)
    behind[:, :, 3:] = True
    labels[:, :, 3:] = 0
    labels[:3, :, 3:] = 2
    image[:3, :, 3:] = tube
    return labels, image, behind


def test_dark_voxels_behind_a_vessel_are_background_and_bright_ones_are_not_said():
    labels, image, behind = scene()
    image[5, :, 3:] = 80
    found = by_brightness(labels, image, behind)
    assert (found[4, :, 5:] == 1).all() and not found[5, :, 5:].any() and (found[1, :, 5:] == 2).all()
    assert (found[:, :, :3] == 1).all()


def test_a_vessel_is_not_learned_where_it_is_as_dark_as_background():
    labels, image, behind = scene()
    image[:3, 6:] = 5
    found = by_brightness(labels, image, behind)
    assert not found[1, 8, 5:].any() and (found[1, :4, 5:] == 2).all()


def test_rays_that_are_not_painted_stay_unlabelled_however_dark():
    labels, image, behind = scene()
    labels[:, 4:], behind[:, 4:], image[:, 4:] = 0, False, 0
    assert not by_brightness(labels, image, behind)[:, 4:].any()


def test_without_background_or_where_vessels_are_no_brighter_nothing_is_changed():
    labels, image, behind = scene(tube=0.0)
    np.testing.assert_array_equal(by_brightness(labels, image, behind), labels)
    labels, image, behind = scene()
    labels[labels == 1] = 0
    np.testing.assert_array_equal(by_brightness(labels, image, behind), labels)


def test_what_is_not_a_number_is_dark():
    labels, image, behind = scene()
    image[4, 4, 7] = np.nan
    assert (by_brightness(labels, image, behind)[4, :, 5:] == 1).all()
