"""Promises of connecting two points, and of what all proposals are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.graph import MCP_Geometric, route_through_array

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.proofreading.tools import BACKGROUND, VESSEL, OnlyValue, Proposal, connect
from napari_vesselkd.proofreading.tools.paths import cheapest_path, path_length, travel_cost, tube
from tubes import Counting, picture, tube_mask

ALL = np.ones((3, 3, 3), bool)
ONE = (1.0, 1.0, 1.0)
SIZES = [ONE, (4.0, 1.0, 1.0), (0.5, 2.0, 1.0)]


def connected(mask, a, b):
    label, _ = ndimage.label(mask, ALL)
    return bool(label[a]) and label[a] == label[b]


def with_change(mask, change):
    after = mask.copy()
    after[change.voxels] = change.value == VESSEL
    return after


@pytest.mark.parametrize("size", SIZES)
def test_two_stumps_become_one_vessel_as_thick_as_they_are(size):
    shape, ends = (20, 40, 80), ((10, 20, 4), (10, 20, 76))
    truth = tube_mask(shape, *ends, 5.3, size)
    broken = truth.copy()
    broken[:, :, 30:50] = False
    change = connect((10, 20, 15), (10, 20, 65), vessel=broken, voxel_size_um=size, image=picture(truth))
    after = with_change(broken, change)
    assert connected(after, (10, 20, 15), (10, 20, 65))
    assert change.value == VESSEL and not broken[change.voxels].any()
    gap = truth & ~broken
    assert 2 * (after & gap).sum() / (change.count + gap.sum()) > 0.85
    assert change.score > 0.8 and change.tool == "connect"


@pytest.mark.parametrize("size", SIZES)
def test_the_path_costs_what_other_implementations_find(size):
    rng = np.random.default_rng(3)
    cost = travel_cost(rng.random((9, 15, 17)).astype(np.float32), np.zeros((9, 15, 17), bool))
    path, price = cheapest_path(cost, (0, 1, 2), (8, 14, 15), size)
    graph = MCP_Geometric(cost, sampling=size)
    everywhere, _ = graph.find_costs([(0, 1, 2)])
    assert price == pytest.approx(float(everywhere[8, 14, 15]))
    steps = np.linalg.norm(np.diff(path, axis=0) * size, axis=1)
    values = cost[tuple(path.T)]
    assert price == pytest.approx(float((steps * (values[1:] + values[:-1]) / 2).sum()), rel=1e-5)
    assert np.abs(np.diff(path, axis=0)).max() == 1
    if size == ONE:
        assert price == pytest.approx(route_through_array(cost, (0, 1, 2), (8, 14, 15), geometric=True)[1])


def test_the_image_leads_around_a_bend_where_a_straight_line_would_be_shorter():
    truth = tube_mask((9, 60, 60), (4, 10, 10), (4, 50, 10), 2.5)
    truth |= tube_mask(truth.shape, (4, 50, 10), (4, 50, 50), 2.5)
    nothing = np.zeros(truth.shape, bool)
    bent = connect((4, 10, 10), (4, 50, 50), vessel=nothing, voxel_size_um=ONE, image=picture(truth))
    assert np.mean([truth[tuple(np.int64(p))] for p in bent.points]) > 0.95
    after = nothing.copy()
    after[bent.voxels] = True
    assert 2 * (after & truth).sum() / (after.sum() + truth.sum()) > 0.8  # the radius comes from the image
    by_chance = connect((4, 10, 10), (4, 50, 50), vessel=nothing, voxel_size_um=ONE, probability=0.4 * truth)
    assert np.mean([truth[tuple(np.int64(p))] for p in by_chance.points]) > 0.95


def test_voxel_sizes_decide_which_way_is_shorter():
    """Around a wall above (a few slices) or beside (many columns): the coarse axis is the longer way."""
    truth = np.zeros((21, 41, 21), bool)
    truth[10, 20, [2, 18]] = True
    truth[4, 20, 2:19] = truth[4:11, 20, [2, 18]] = True  # 6 slices up and down
    truth[10, 10, 2:19] = truth[10, 10:21, [2, 18]] = True  # 10 rows to the side and back
    vessel = np.zeros(truth.shape, bool)
    chance = truth * 1.0
    thin = connect((10, 20, 2), (10, 20, 18), vessel=vessel, voxel_size_um=ONE, probability=chance)
    coarse = (4.0, 1.0, 1.0)
    thick = connect((10, 20, 2), (10, 20, 18), vessel=vessel, voxel_size_um=coarse, probability=chance)
    assert min(z for z, _, _ in thin.points) < 10
    assert min(z for z, _, _ in thick.points) == 10


@pytest.mark.parametrize("level", [0.0, 7.0, np.nan])
def test_an_empty_image_gives_a_straight_line_that_says_it_is_not_supported(level):
    image = np.full((10, 30, 50), level, np.float32)
    change = connect((5, 5, 5), (5, 25, 45), vessel=np.zeros(image.shape), voxel_size_um=ONE, image=image)
    assert change.score == 0 and "hardly supports" in change.reason
    assert path_length(np.array(change.points), ONE) <= 1.1 * np.hypot(20, 40)
    mask = np.zeros(image.shape, bool)
    mask[change.voxels] = True
    assert connected(mask, (5, 5, 5), (5, 25, 45))


def test_points_that_are_connected_already_change_nothing():
    mask = tube_mask((10, 20, 60), (5, 10, 3), (5, 10, 57), 3.0)
    change = connect((5, 10, 10), (5, 10, 50), vessel=mask, voxel_size_um=ONE, image=picture(mask))
    assert change.count == 0 and change.score == 1 and "already" in change.reason


def test_a_given_radius_is_taken_and_a_tube_follows_the_voxel_size():
    size = (3.0, 1.0, 1.0)
    nothing, ends = np.zeros((15, 31, 60), bool), ((7, 15, 10), (7, 15, 50))
    change = connect(*ends, vessel=nothing, voxel_size_um=size, radius_um=6.0)
    across = np.zeros(nothing.shape, bool)
    across[change.voxels] = True
    wanted = tube_mask(nothing.shape, *ends, 6.0, size)
    assert np.array_equal(across[:, :, 30], wanted[:, :, 30])
    thin = tube(np.array([[2, 2, 2], [3, 3, 3], [4, 4, 4]]), np.zeros(3), (8, 8, 8), size)
    assert connected(thin, (2, 2, 2), (4, 4, 4))


def test_points_at_the_border_of_the_volume_and_reads_only_near_them():
    mask = np.zeros((30, 200, 200), bool)
    source = Counting(mask)
    change = connect((0, 0, 0), (0, 9, 0), vessel=source, voxel_size_um=ONE)
    assert Region.whole(mask.shape).contains(change.region) and change.count >= 10
    assert source.voxels < 5000


@pytest.mark.parametrize("point", [(-1, 5, 5), (5, 5, 30), (np.nan, 1, 1), (np.inf, 1, 1), (1, 2)])
def test_points_outside_are_refused(point):
    with pytest.raises(RegionError):
        connect(point, (1, 1, 1), vessel=np.zeros((10, 20, 30)), voxel_size_um=ONE)


def test_points_too_far_apart_and_sources_of_another_shape_are_refused():
    class Huge:
        shape = (2000, 4000, 4000)

    with pytest.raises(InvalidInputError, match="too large a part"):
        connect((0, 0, 0), (1999, 3999, 3999), vessel=Huge(), voxel_size_um=ONE)
    with pytest.raises(InvalidInputError, match="not of one shape"):
        connect(
            (0, 0, 0), (1, 1, 1), vessel=np.zeros((4, 4, 4)), voxel_size_um=ONE, image=np.zeros((4, 4, 5))
        )
    with pytest.raises(InvalidInputError, match="voxel size"):
        connect((0, 0, 0), (1, 1, 1), vessel=np.zeros((4, 4, 4)), voxel_size_um=(0.0, 1.0, 1.0))


def test_a_proposal_is_moved_clipped_and_applied_without_touching_the_labels():
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 2, 3] = mask[0, 0, 0] = True
    one = Proposal("x", Region((4, 5, 6), (6, 8, 10)), mask, BACKGROUND, "why", 0.5, ((4.0, 5.0, 6.0),))
    labels = np.full((10, 10, 12), 2, np.uint8)
    after = one.applied(labels)
    assert (labels == 2).all() and (after == 1).sum() == 2 and after.shape == mask.shape
    moved = one.shifted((10, 20, 30))
    assert moved.region.start == (14, 25, 36) and moved.points == ((14.0, 25.0, 36.0),)
    assert [tuple(int(v) for v in axis) for axis in one.voxels] == [(4, 5), (5, 7), (6, 9)]
    part = one.clipped(Region((0, 0, 0), (5, 99, 99)))
    assert part is not None and part.count == 1 and part.region.shape == (1, 3, 4)
    assert one.clipped(Region((0, 0, 0), (4, 5, 6))) is None
    assert one.tightened().count == 2 and one.volume_um3((2.0, 1.0, 3.0)) == 12
    with pytest.raises(InvalidInputError):
        Proposal("x", Region((0, 0, 0), (1, 1, 1)), mask, VESSEL, "", 0)


def test_corrections_are_a_source_of_vessels():
    labels = np.zeros((10, 20, 60), np.uint8)
    labels[tube_mask(labels.shape, (5, 10, 3), (5, 10, 57), 3.0)] = 2
    labels[0] = 1  # background is no vessel
    change = connect((5, 10, 10), (5, 10, 50), vessel=OnlyValue(labels, 2), voxel_size_um=ONE)
    assert change.count == 0
