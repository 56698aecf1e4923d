"""Promises of fill, hollow fill, interpolation, threshold brush, growing and shrinking, split and merge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.proofreading.tools import (
    BACKGROUND,
    VESSEL,
    bounded_fill,
    fit_to_image,
    hollow_fill,
    interpolate,
    merge,
    split,
    threshold_brush,
)
from tubes import picture, tube_mask

ALL = np.ones((3, 3, 3), bool)
ONE = (1.0, 1.0, 1.0)
SIZES = [ONE, (3.0, 1.0, 1.0)]


def changed(mask, *changes):
    after = mask.copy()
    for change in changes:
        after[change.voxels] = change.value == VESSEL
    return after


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def pipe(size=ONE, x0=-9, x1=99):
    full = tube_mask((31, 41, 90), (15, 20, x0), (15, 20, x1), 9.0, size)
    return full, full & ~tube_mask(full.shape, (15, 20, x0), (15, 20, x1), 6.0, size)


def test_a_cavity_is_filled_exactly_and_surely():
    full = tube_mask((31, 41, 90), (15, 20, 20), (15, 20, 70), 9.0)
    hole = tube_mask(full.shape, (15, 20, 30), (15, 20, 60), 4.0)
    change = bounded_fill((15, 20, 45), vessel=full & ~hole, voxel_size_um=ONE)
    assert change.score == 1 and np.array_equal(changed(full & ~hole, change), full)


def test_a_fill_that_leaks_is_bounded_and_says_so():
    full, wall = pipe()
    change = bounded_fill((15, 20, 45), vessel=wall, voxel_size_um=ONE, radius_um=15)
    assert change.score < 1 and (changed(wall, change) & ~full).sum() == 0
    away = np.linalg.norm(np.stack(change.voxels, axis=1) - (15, 20, 45), axis=1)
    assert away.max() <= 15
    punched = wall.copy()
    punched[15:17, :15, 45] = False  # a pinhole in the wall
    leaking = bounded_fill((15, 20, 45), vessel=punched, voxel_size_um=ONE, radius_um=25)
    tight = bounded_fill((15, 20, 45), vessel=punched, voxel_size_um=ONE, radius_um=25, leak_um=3)
    outside = [int((changed(punched, one) & ~full).sum()) for one in (leaking, tight)]
    assert outside[0] > 1000 and outside[1] < 20
    assert (changed(punched, tight)[15, 14:27, 45]).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_slice_is_filled_alone(size):
    full, wall = pipe(size)
    change = bounded_fill((15, 20, 45), vessel=wall, voxel_size_um=size, axis="x")
    assert change.score == 1 and change.region.shape[2] == 1
    assert np.array_equal(changed(wall, change)[:, :, 45], full[:, :, 45])


def test_bad_fills_are_refused():
    full, _ = pipe()
    with pytest.raises(InvalidInputError, match="vessel already"):
        bounded_fill((15, 20, 45), vessel=full, voxel_size_um=ONE)
    with pytest.raises(InvalidInputError, match="Nothing encloses"):
        bounded_fill((5, 5, 5), vessel=np.zeros((9, 9, 9)), voxel_size_um=ONE)
    for wrong in ({"radius_um": 0}, {"radius_um": np.nan}, {"leak_um": -1}, {"axis": "w"}):
        with pytest.raises(InvalidInputError):
            bounded_fill((0, 0, 0), vessel=full, voxel_size_um=ONE, **wrong)


@pytest.mark.parametrize("size", SIZES)
def test_lumens_are_filled_and_loops_stay_open(size):
    full, wall = pipe(size)
    assert np.array_equal(changed(wall, *hollow_fill(wall, size)), full)
    z, y, x = np.indices((15, 60, 60)) * np.asarray(size)[:, None, None, None]
    ring = np.hypot(np.hypot(y - 30, x - 30) - 18, z - 7 * size[0]) <= 4.2
    assert ring.any() and hollow_fill(ring, size) == ()
    wide = hollow_fill(wall, size, most_radius_um=2.0)
    assert wide == ()


def test_interpolated_slices_of_a_cone_and_of_an_oblique_vessel():
    shape, size = (21, 60, 60), (3.0, 1.0, 1.0)
    y, x = np.indices(shape[1:])
    radius = np.linspace(6, 16, 21)
    cone = np.array([np.hypot(y - 30, x - 30) <= r for r in radius])
    drawn = np.zeros(shape, bool)
    drawn[[0, 20]] = cone[[0, 20]]
    change = interpolate(drawn, size, axis="z", first=0, last=20)
    assert dice(changed(drawn, change), cone) > 0.97
    oblique = tube_mask((41, 60, 60), (0, 10, 10), (40, 50, 50), 5.0)
    for axis, at in (("z", (5, 35)), ("y", (15, 45)), ("x", (15, 45))):
        number = "zyx".index(axis)
        ends, inner = [slice(None)] * 3, [slice(None)] * 3
        ends[number], inner[number] = list(at), slice(at[0], at[1] + 1)
        drawn = np.zeros(oblique.shape, bool)
        drawn[tuple(ends)] = oblique[tuple(ends)]
        change = interpolate(drawn, ONE, axis=axis, first=at[0], last=at[1])
        after = changed(drawn, change)[tuple(inner)]
        assert ndimage.label(after, ALL)[1] == 1 and dice(after, oblique[tuple(inner)]) > 0.85


def test_bad_slices_are_refused():
    drawn = np.ones((9, 9, 9), bool)
    drawn[4] = False
    for wrong in (
        {"axis": "q", "first": 0, "last": 5},
        {"axis": "z", "first": 5, "last": 2},
        {"axis": "z", "first": 0, "last": 9},
        {"axis": "z", "first": 0, "last": 1},
        {"axis": "z", "first": 0, "last": 4},
    ):
        with pytest.raises(InvalidInputError):
            interpolate(drawn, ONE, **wrong)


@pytest.mark.parametrize("size", SIZES)
def test_the_threshold_brush_paints_only_what_the_image_shows(size):
    truth = tube_mask((21, 50, 80), (10, 25, -5), (10, 25, 85), 4.5, size)
    image, nothing = picture(truth), np.zeros(truth.shape, bool)
    change = threshold_brush([(10, 25, 40)], 10, image=image, vessel=nothing, voxel_size_um=size)
    places = np.stack(change.voxels, axis=1)
    assert np.linalg.norm((places - (10, 25, 40)) * size, axis=1).max() <= 10
    ball = np.linalg.norm((np.argwhere(truth) - (10, 25, 40)) * size, axis=1) <= 10
    painted = changed(nothing, change)
    assert (painted & ~truth).sum() == 0 and painted.sum() >= 0.98 * ball.sum()
    rubbed = threshold_brush(
        [(10, 32, 40)], 8, image=image, vessel=np.ones(truth.shape, bool), voxel_size_um=size, value=1
    )
    assert rubbed.value == BACKGROUND and not truth[rubbed.voxels].any() and rubbed.count > 100


def test_the_brush_leaves_a_constant_image_and_bad_strokes_alone():
    flat = np.full((9, 20, 20), 5.0, np.float32)
    sources = {"image": flat, "vessel": np.zeros(flat.shape), "voxel_size_um": ONE}
    assert threshold_brush([(4, 9, 9)], 4, **sources).count == 0
    with pytest.raises(RegionError):
        threshold_brush([(4, 9, 20)], 4, **sources)
    with pytest.raises(InvalidInputError):
        threshold_brush([(4, 9, 9)], 0, **sources)
    with pytest.raises(InvalidInputError):
        threshold_brush([(4, 9, 9)], 2, value=0, **sources)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_walls_move_to_the_image(size, dark):
    truth = tube_mask((25, 50, 80), (12, 25, -5), (12, 25, 85), 6.0, size)
    image = -picture(truth) if dark else picture(truth)
    for radius in (4.2, 8.0):
        mask = tube_mask(truth.shape, (12, 25, -5), (12, 25, 85), radius, size)
        grow, shrink = fit_to_image(mask, image, size, most_um=3.0)
        assert (grow.value, shrink.value) == (VESSEL, BACKGROUND)
        assert dice(changed(mask, grow, shrink), truth) > max(0.97, dice(mask, truth))
    part = Region((0, 0, 20), (25, 50, 40))
    grow, shrink = fit_to_image(mask, image, size, most_um=3.0, region=part)
    assert part.contains(grow.region) and part.contains(shrink.region)


def test_a_constant_image_moves_no_wall_and_thin_vessels_are_not_lost():
    mask = tube_mask((15, 30, 60), (7, 15, 5), (7, 15, 55), 2.5)
    assert all(one.count == 0 for one in fit_to_image(mask, np.ones(mask.shape), ONE, most_um=3))
    image = picture(tube_mask(mask.shape, (7, 15, 5), (7, 15, 20), 2.5))  # the rest is not in it
    _, shrink = fit_to_image(mask, image, ONE, most_um=9)
    after = changed(mask, shrink)
    assert ndimage.label(after, ALL)[1] == 1
    with pytest.raises(InvalidInputError):
        fit_to_image(mask, np.ones(mask.shape), ONE, most_um=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_image", [False, True])
def test_two_merged_neighbours_are_split_and_merged_again(size, with_image):
    one = tube_mask((25, 60, 80), (12, 20, -5), (12, 20, 85), 5.0, size)
    other = tube_mask(one.shape, (12, 33, -5), (12, 33, 85), 5.0, size)
    bridge = tube_mask(one.shape, (12, 20, 40), (12, 33, 40), 2.5, size) & ~one & ~other
    merged = one | other | bridge
    image = picture(one | other) if with_image else None
    change = split((12, 20, 40), (12, 33, 40), vessel=merged, voxel_size_um=size, image=image)
    after = changed(merged, change)
    label, count = ndimage.label(after, ALL)
    assert label[12, 20, 40] != label[12, 33, 40]
    assert count == 2 and change.count <= 3 * bridge.sum()
    again = changed(after, merge((12, 20, 40), (12, 33, 40), vessel=after, voxel_size_um=size))
    label, _ = ndimage.label(again, ALL)
    assert label[12, 20, 40] == label[12, 33, 40]


def test_seeds_that_make_no_sense_are_refused():
    mask = tube_mask((15, 60, 40), (7, 15, -5), (7, 15, 45), 3.0) | tube_mask(
        (15, 60, 40), (7, 45, -5), (7, 45, 45), 3.0
    )
    with pytest.raises(InvalidInputError, match="different vessels"):
        split((7, 15, 20), (7, 45, 20), vessel=mask, voxel_size_um=ONE)
    with pytest.raises(InvalidInputError, match="one vessel already"):
        merge((7, 15, 10), (7, 15, 30), vessel=mask, voxel_size_um=ONE)
    with pytest.raises(InvalidInputError, match="are one"):
        split((7, 15, 20), (7, 15, 20), vessel=mask, voxel_size_um=ONE)
    with pytest.raises(InvalidInputError, match="no vessel"):
        split((7, 30, 20), (7, 15, 20), vessel=mask, voxel_size_um=ONE)
