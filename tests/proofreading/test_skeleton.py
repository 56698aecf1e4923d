"""Promises of the skeleton's graph and of open ends."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy import ndimage
from skimage.graph import pixel_graph

from napari_vesselkd.measure import betti_numbers
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.proofreading.tools.ends import open_ends
from napari_vesselkd.proofreading.tools.skeleton import skeleton_graph
from tubes import tube_mask

ONE = (1.0, 1.0, 1.0)


def ring(shape=(9, 40, 40)):
    _, y, x = np.indices(shape)
    z = np.indices(shape)[0]
    return np.hypot(np.hypot(y - 20, x - 20) - 12, z - 4) <= 2


def cross():
    shape = (15, 80, 80)
    beam = tube_mask(shape, (7, 30, 15), (7, 30, 65), 3.0)
    return beam | tube_mask(shape, (7, 30, 40), (7, 65, 40), 3.0)


@pytest.mark.parametrize("size", [ONE, (3.0, 1.0, 1.0)])
def test_pieces_and_loops_are_those_of_the_mask(size):
    mask = ring() | np.pad(np.ones((1, 1, 6), bool), ((0, 8), (0, 39), (0, 34)))
    graph = skeleton_graph(mask, size)
    found = betti_numbers(mask)
    assert graph.pieces.max() + 1 == found.pieces == 2
    assert len(graph.edges) - len(graph) + found.pieces == found.loops == 1


def test_random_masks_keep_their_loops_as_another_graph_finds_them():
    """The longest edge of each triangle is no loop: against all neighbours with the triangles filled."""
    rng = np.random.default_rng(5)
    mask = ndimage.gaussian_filter(rng.normal(size=(24, 40, 40)), 2.0) > 0.05
    lines = skeleton(ndimage.binary_fill_holes(mask))
    graph = skeleton_graph(mask, (2.0, 1.0, 1.0))
    found = betti_numbers(lines)
    assert graph.pieces.max() + 1 == found.pieces
    peer, nodes = pixel_graph(lines, connectivity=3, spacing=(2.0, 1.0, 1.0))
    assert len(nodes) == len(graph)
    tree = nx.minimum_spanning_tree(nx.from_scipy_sparse_array(peer))
    assert tree.size(weight="weight") <= graph.length_um <= peer.sum() / 2


def test_the_length_of_straight_vessels_is_right_in_um():
    for size, start, stop in (
        (ONE, (7, 30, 5), (7, 30, 55)),
        ((4.0, 1.0, 0.5), (7, 30, 5), (7, 30, 55)),
        ((2.0, 1.0, 1.0), (2, 5, 5), (27, 55, 55)),
    ):
        mask = tube_mask((30, 60, 60), start, stop, 3.0, size)
        graph = skeleton_graph(mask, size)
        length = np.linalg.norm(np.subtract(stop, start) * np.asarray(size))
        assert graph.length_um == pytest.approx(length, rel=0.2)
        assert np.median(graph.radius_um) == pytest.approx(3.0, abs=0.8)


def test_a_cavity_does_not_become_a_surface():
    mask = tube_mask((31, 31, 60), (15, 15, 5), (15, 15, 54), 8.0)
    hollow = mask & ~tube_mask(mask.shape, (15, 15, 20), (15, 15, 40), 4.0)
    assert skeleton_graph(hollow, ONE).length_um == skeleton_graph(mask, ONE).length_um < 60


def test_ends_point_outwards_and_know_their_radius():
    mask = cross()
    graph = skeleton_graph(mask, ONE)
    ends = open_ends(graph, mask.shape)
    ways = {tuple(np.round(end.direction).astype(int).tolist()) for end in ends}
    assert ways == {(0, 0, -1), (0, 0, 1), (0, 1, 0)}
    assert all(2 <= end.radius_um <= 4 for end in ends)


def test_a_vessel_that_leaves_the_volume_does_not_end():
    mask = tube_mask((15, 30, 60), (7, 15, -9), (7, 15, 40), 3.0)
    (end,) = open_ends(skeleton_graph(mask, ONE), mask.shape)
    assert end.voxel[2] > 30
    beside = tube_mask((15, 30, 60), (1, 15, 10), (1, 15, 40), 2.0)  # runs along the border, ends inside
    assert len(open_ends(skeleton_graph(beside, ONE), beside.shape)) == 2


def test_a_bump_is_a_spur_and_no_end():
    trunk = tube_mask((31, 41, 80), (15, 15, -9), (15, 15, 90), 6.0)
    bump = trunk | tube_mask(trunk.shape, (15, 15, 40), (15, 23, 40), 1.5)
    graph = skeleton_graph(bump, ONE)
    assert open_ends(graph, bump.shape) == []
    assert len(open_ends(graph, bump.shape, spurs=True)) == int((graph.degree >= 3).any())


def test_nothing_and_a_single_voxel():
    assert len(skeleton_graph(np.zeros((4, 5, 6), bool), ONE)) == 0
    one = np.zeros((9, 9, 9), bool)
    one[4, 4, 4] = True
    (end,) = open_ends(skeleton_graph(one, ONE), one.shape)
    assert end.voxel == (4, 4, 4) and not end.direction.any()
