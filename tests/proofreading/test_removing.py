"""Promises of taking out: components, spurs, cuts; and of accepting components."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.proofreading.tools import (
    BACKGROUND,
    VESSEL,
    accept_components,
    component_proposals,
    cut,
    delete_component,
    delete_spur,
    spur_proposals,
)
from tubes import Counting, picture, tube_mask

ALL = np.ones((3, 3, 3), bool)
ONE = (1.0, 1.0, 1.0)
SIZES = [ONE, (3.0, 1.0, 1.0)]


def without(mask, change):
    assert change.value == BACKGROUND and mask[change.voxels].all()
    after = mask.copy()
    after[change.voxels] = False
    return after


def test_a_component_is_that_of_scipy_however_far_it_reaches():
    rng = np.random.default_rng(2)
    mask = ndimage.gaussian_filter(rng.normal(size=(40, 150, 300)), 3) > 0.025
    label, _ = ndimage.label(mask, ALL)
    sizes = np.bincount(label.ravel())
    for number in (int(np.argmax(sizes[1:])) + 1, int(np.argmin(sizes[1:])) + 1):
        point = np.argwhere(label == number)[0]
        change = delete_component(point, vessel=mask, voxel_size_um=ONE)
        assert np.array_equal(without(mask, change), mask & (label != number))


def test_a_small_component_of_a_large_volume_takes_few_reads():
    mask = np.zeros((100, 400, 400), bool)
    mask[50, 200, 200:205] = True
    source = Counting(mask)
    assert delete_component((50, 200, 199), vessel=source, voxel_size_um=ONE).count == 5
    assert source.voxels < 200_000


def test_no_vessel_at_the_point_is_said():
    empty = np.zeros((10, 20, 30), bool)
    for tool in (delete_component, delete_spur, cut):
        with pytest.raises(InvalidInputError, match="no vessel at the point"):
            tool((5, 5, 5), vessel=empty, voxel_size_um=ONE)
        with pytest.raises(RegionError):
            tool((5, 5, 30), vessel=empty, voxel_size_um=ONE)


def trunk_and_branch(size=ONE, length=14, thin=2.0):
    trunk = tube_mask((31, 60, 120), (15, 20, -9), (15, 20, 129), 5.0, size)
    branch = tube_mask(trunk.shape, (15, 20, 60), (15, 20 + 5 + length, 60), thin, size)
    return trunk, branch


@pytest.mark.parametrize("size", SIZES)
def test_a_spur_goes_and_the_vessel_stays(size):
    trunk, branch = trunk_and_branch(size)
    change = delete_spur((15, 36, 60), vessel=trunk | branch, voxel_size_um=size)
    after = without(trunk | branch, change)
    assert ndimage.label(after, ALL)[1] == 1
    assert (trunk & ~after).sum() <= 0.003 * trunk.sum()
    assert (after & ~trunk).sum() <= 0.25 * (branch & ~trunk).sum()


def test_a_spur_at_the_border_of_the_box_and_one_that_is_none():
    trunk, branch = trunk_and_branch()
    with pytest.raises(InvalidInputError, match="no spur"):
        delete_spur((15, 20, 20), vessel=trunk, voxel_size_um=ONE)
    leaving = trunk | tube_mask(trunk.shape, (15, 20, 60), (15, 80, 60), 2.0)  # goes on outside: no open end
    with pytest.raises(InvalidInputError, match="no spur"):
        delete_spur((15, 45, 60), vessel=leaving, voxel_size_um=ONE)
    away = np.zeros((31, 60, 400), bool)
    away[:, :, 250:370] = trunk | branch
    change = delete_spur((15, 36, 310), vessel=away, voxel_size_um=ONE)
    assert without(away, change)[15, 20].sum() == away[15, 20].sum()


def test_spurs_that_the_image_does_not_show_are_proposed_and_real_branches_are_not():
    trunk, branch = trunk_and_branch()
    other = tube_mask(trunk.shape, (15, 20, 90), (15, 38, 90), 2.0)
    mask = trunk | branch | other
    (found,) = spur_proposals(mask, ONE, image=picture(trunk | other))
    assert abs(found.points[0][2] - 60) <= 2 and found.score > 0.5
    assert not without(mask, found)[15, 34, 60] and without(mask, found)[15, 34, 90]
    both = spur_proposals(mask, ONE, least_score=0.0)
    assert len(both) == 2


def test_only_the_dark_part_of_a_spur_goes_and_thick_or_leaving_branches_stay():
    trunk, branch = trunk_and_branch(length=14)
    _, stump = trunk_and_branch(length=4)  # as far as this the image shows a branch
    (found,) = spur_proposals(trunk | branch, ONE, image=picture(trunk | stump))
    after = without(trunk | branch, found)
    assert (branch & ~trunk & ~stump & after).sum() <= 0.1 * (branch & ~trunk & ~stump).sum()
    assert (stump & ~after).sum() <= 0.1 * (stump & ~trunk).sum()
    _, thick = trunk_and_branch(thin=4.5)
    assert spur_proposals(trunk | thick, ONE, image=picture(trunk), least_score=0.0) == ()
    at_border = (trunk | branch)[:, :34]  # goes on outside
    assert spur_proposals(at_border, ONE, image=picture(trunk[:, :34]), least_score=0.0) == ()


def test_false_pieces_are_dark_or_improbable_ones():
    trunk, _ = trunk_and_branch()
    dark = tube_mask(trunk.shape, (8, 45, 30), (8, 45, 38), 2.0)
    bright = tube_mask(trunk.shape, (8, 45, 80), (8, 45, 88), 2.0)
    mask = trunk | dark | bright
    for sources in ({"image": picture(trunk | bright)}, {"probability": 0.9 * (trunk | bright) + 0.3 * dark}):
        (found,) = component_proposals(mask, ONE, **sources)
        assert np.array_equal(without(mask, found), trunk | bright)
    assert {one.count for one in component_proposals(mask, ONE)} == {int(dark.sum()), int(bright.sum())}
    cut_off = component_proposals(mask, ONE, region=Region((0, 30, 34), (31, 60, 120)))
    assert all(one.count == bright.sum() for one in cut_off)  # what goes on outside is not judged


def test_large_and_certain_components_are_accepted():
    trunk, _ = trunk_and_branch()
    small = tube_mask(trunk.shape, (8, 45, 30), (8, 45, 38), 2.0)
    unsure = tube_mask(trunk.shape, (8, 45, 80), (8, 45, 110), 2.0)
    chance = 0.95 * trunk + 0.9 * small + 0.6 * unsure
    size = (2.0, 1.0, 1.0)
    limits = {"least_um3": 2.0 * small.sum() + 1, "least_certainty": 0.8}
    (found,) = accept_components(trunk | small | unsure, chance, size, **limits)
    assert found.value == VESSEL and found.count == trunk.sum()
    assert found.volume_um3(size) == 2 * trunk.sum() and found.score == pytest.approx(0.95)
    everything = accept_components(trunk | small | unsure, chance, size, least_um3=0, least_certainty=0)
    assert [one.count for one in everything] == sorted([one.count for one in everything], reverse=True)
    for wrong in ({"least_um3": -1, "least_certainty": 0.5}, {"least_um3": 1, "least_certainty": 1.5}):
        with pytest.raises(InvalidInputError):
            accept_components(trunk, chance, size, **wrong)
    assert accept_components(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), size, **limits) == ()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stop", [(15, 20, 129), (25, 60, 129), (2, 45, 129)])
def test_a_cut_parts_the_vessel_with_a_thin_slice(size, stop):
    mask = tube_mask((31, 60, 120), (15, 20, -9), stop, 5.0, size)
    middle = np.round(np.mean([(15, 20, -9), stop], axis=0)).astype(int)
    change = cut(middle, vessel=mask, voxel_size_um=size)
    after = without(mask, change)
    label, count = ndimage.label(after, ALL)
    assert count == 2 and min(np.bincount(label.ravel())[1:]) > 0.3 * mask.sum()
    assert change.volume_um3(size) < np.pi * 6**2 * 3.5 * max(size)


def test_a_cut_where_nothing_comes_apart_is_refused():
    blob = np.ones((20, 20, 20), bool)
    with pytest.raises(InvalidInputError, match="does not come apart"):
        cut((10, 10, 10), vessel=blob, voxel_size_um=ONE)
