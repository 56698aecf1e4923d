"""Labels of rays: where the image is brightest, and what stays of a label where a patch cuts its ray."""

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.projections import SlabProjector
from napari_vesselkd.projections.picture import contrast_window
from napari_vesselkd.projections.rays import RayLabels, cut, hull, plane_shape, ray_depths, ray_window
from napari_vesselkd.volume import volume_from_arrays

WHOLE = Region((0, 0, 0), (8, 8, 8))


def labels_of(truth, axis, region=None):
    """Return the labels that a careful painter gives the rays of `truth` (z, y, x) in `region`."""
    region = region or Region.whole(truth.shape)
    seen = truth[region.slices].any(axis=axis, keepdims=True)
    return RayLabels(region, axis, np.where(seen, 2, 1).astype(np.uint8))


def tube_along_x(z, y):
    truth = np.zeros((8, 8, 8), bool)
    truth[z, y, :] = True
    return truth


def test_the_depth_is_that_of_the_clipped_maximum_and_lies_amid_equals():
    ray = np.array([0, 5, 9, 9, 9, 1, 40, 0], np.float32)
    image = np.broadcast_to(ray[:, None, None], (8, 2, 3))
    depths = ray_depths(image, 0, (0.0, 100.0))
    assert depths.shape == (1, 2, 3) and (depths == 6).all()  # nothing is clipped: the outlier wins
    clipped = ray_depths(image, 0, (0.0, 9.0))
    assert (clipped == 3).all()  # 40 is no brighter than 9 any more; the middle of the longest run


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_depths_agree_with_the_projection_that_was_seen(axis):
    image = np.random.default_rng(0).permutation(6 * 7 * 8).reshape(6, 7, 8).astype(np.uint16)
    shown = SlabProjector(volume_from_arrays([image], voxel_size_um=(1, 1, 1))).project(
        Region.whole(image.shape), "zyx"[axis]
    )
    depths = ray_depths(image, axis, (0.0, float(image.max())))
    assert np.array_equal(np.squeeze(depths, axis), shown.depth)
    assert ray_window(image, axis) == contrast_window(shown.image)


def test_missing_values_are_never_the_maximum():
    image = np.zeros((3, 2, 2), np.float32)
    image[0], image[1] = np.nan, 4
    assert (ray_depths(image, 0, (0.0, 10.0)) == 1).all()
    assert np.isfinite(ray_window(image, 0)).all()


def test_the_hull_is_where_no_ray_is_background_and_slabs_end_where_they_end():
    truth = tube_along_x(z=5, y=2)
    upper = labels_of(truth, 0, Region((4, 0, 0), (8, 8, 8)))
    side = labels_of(truth, 1)
    assert np.array_equal(hull(WHOLE, [labels_of(truth, 0), side]), truth)
    maybe = hull(WHOLE, [upper, side])
    assert np.array_equal(maybe[4:], truth[4:])
    assert not maybe[:4].any()  # along y every ray but z = 5 is background
    assert hull(WHOLE, [upper])[:4].all()  # no slab reaches there: nothing is known


def test_unlabelled_rays_leave_the_hull_as_it_is():
    nothing = RayLabels(WHOLE, 0, np.zeros((1, 8, 8), np.uint8))
    assert hull(WHOLE, [nothing]).all()


def test_a_tube_outside_the_patch_is_background_with_a_second_axis():
    truth = tube_along_x(z=6, y=3)
    along_z, along_y = labels_of(truth, 0), labels_of(truth, 1)
    patch = Region((0, 0, 0), (4, 8, 8))  # the tube lies below it
    said = cut(along_z, patch, [along_z, along_y])
    assert (said.plane == 1).all()
    inside = cut(along_z, Region((4, 0, 0), (8, 8, 8)), [along_z, along_y])
    assert np.array_equal(inside.plane, along_z.plane)  # with it inside the label stays


def test_with_one_axis_vessel_on_a_cut_ray_is_unlabelled_and_background_stays():
    truth = tube_along_x(z=6, y=3)
    along_z = labels_of(truth, 0)
    for patch in (Region((0, 0, 0), (4, 8, 8)), Region((4, 0, 0), (8, 8, 8))):
        plane = cut(along_z, patch).plane
        assert (plane[0, 3] == 0).all() and (np.delete(plane[0], 3, axis=0) == 1).all()


def test_whole_rays_keep_their_vessel_with_one_axis():
    along_z = labels_of(tube_along_x(z=6, y=3), 0, Region((4, 0, 0), (8, 8, 8)))
    said = cut(along_z, Region((2, 2, 2), (8, 6, 6)))
    assert said.region == Region((4, 2, 2), (8, 6, 6))
    assert np.array_equal(said.plane, along_z.plane[:, 2:6, 2:6])


def test_where_the_other_axis_is_unlabelled_a_cut_ray_is_too():
    truth = tube_along_x(z=6, y=3)
    along_z = labels_of(truth, 0)
    unsure = RayLabels(WHOLE, 1, np.zeros((8, 1, 8), np.uint8))
    plane = cut(along_z, Region((0, 0, 0), (4, 8, 8)), [along_z, unsure]).plane
    assert (plane[0, 3] == 0).all()


def test_three_axes_must_agree_on_vessel():
    truth = tube_along_x(z=2, y=3)
    along_z, along_y = labels_of(truth, 0), labels_of(truth, 1)
    unsure = RayLabels(WHOLE, 2, np.zeros((8, 8, 1), np.uint8))
    patch = Region((0, 0, 0), (4, 8, 8))
    assert (cut(along_z, patch, [along_y]).plane[0, 3] == 2).all()
    assert (cut(along_z, patch, [along_y, unsure]).plane[0, 3] == 0).all()


def test_a_whole_ray_that_the_others_contradict_is_unlabelled():
    along_z = labels_of(tube_along_x(z=2, y=3), 0)
    wrong = RayLabels(WHOLE, 1, np.ones((8, 1, 8), np.uint8))
    plane = cut(along_z, WHOLE, [wrong]).plane
    assert (plane[0, 3] == 0).all() and (plane[0, 4] == 1).all()


def test_labels_along_the_same_axis_do_not_decide_about_depth():
    truth = tube_along_x(z=6, y=3)
    along_z = labels_of(truth, 0)
    again = RayLabels(WHOLE, 0, along_z.plane.copy())
    assert (cut(along_z, Region((0, 0, 0), (4, 8, 8)), [again]).plane[0, 3] == 0).all()


def test_a_patch_beside_the_slab_has_nothing():
    assert (
        cut(labels_of(tube_along_x(6, 3), 0, Region((4, 0, 0), (8, 8, 8))), Region((0, 0, 0), (4, 8, 8)))
        is None
    )


@pytest.mark.parametrize(("axis", "shape"), [(0, (8, 1, 8)), (1, (1, 8, 8)), (3, (1, 8, 8))])
def test_a_plane_of_another_axis_is_refused(axis, shape):
    with pytest.raises(InvalidInputError):
        RayLabels(WHOLE, axis, np.zeros(shape, np.uint8))


def test_the_plane_of_a_slab_is_flat_along_its_axis():
    assert [plane_shape((4, 5, 6), axis) for axis in range(3)] == [(1, 5, 6), (4, 1, 6), (4, 5, 1)]
