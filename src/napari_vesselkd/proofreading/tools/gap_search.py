"""Where a vessel may go on from an open end: the other ends and the sides of vessels in front of it.

Notation: lengths in um; nodes are those of a `SkeletonGraph`; boxes are in voxels of the region looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

from napari_vesselkd.geometry import Region, VoxelSize, as_shape
from napari_vesselkd.proofreading.tools.boxes import I64, Mask, Source, box_around
from napari_vesselkd.proofreading.tools.ends import End, open_ends
from napari_vesselkd.proofreading.tools.skeleton import SkeletonGraph, skeleton_graph

REACH = 14.0  # radii of the end, between the ends of two skeletons; thinning has taken a radius off each
LEAST_REACH = 18  # voxels
FRONT = 0.2  # cosine of the widest angle between an end and the way to its target
BESIDE = 2.5  # how much longer the way along the vessel must be than the gap
SIDES = 4  # so many sides of vessels are tried for an end
AXIS_RADII, AXIS_VOXELS = 4.0, 4.0  # of the vessel behind an end: how far its axis is taken as its likeness


@dataclass(frozen=True, eq=False)
class Scene:
    """What the gaps of a region are looked for in.

    Attributes
    ----------
    inside : ndarray of bool, (z, y, x)
    graph : SkeletonGraph
    ends, stubs : dict of End by node
        Open ends, and those that are hardly more than a bump of a thicker vessel.
    region : Region
        In voxels of the sources.
    image, probability : source or None
    """

    inside: Mask
    graph: SkeletonGraph
    ends: dict[int, End]
    stubs: dict[int, End]
    region: Region
    image: Source | None
    probability: Source | None

    @property
    def size(self) -> VoxelSize:
        return self.graph.voxel_size_um

    @cached_property
    def tree(self) -> KDTree:
        return KDTree(self.graph.places_um)

    def end(self, node: int) -> End | None:
        """Return the end or stub at a node."""
        return self.ends.get(node) or self.stubs.get(node)


def scene_of(
    inside: Mask, size: VoxelSize, region: Region, *, image: Source | None, probability: Source | None
) -> Scene:
    """Return the ends of `inside` (z, y, x), the mask of `region`."""
    graph, shape = skeleton_graph(inside, size), as_shape(inside.shape)
    ends, stubs = (
        {end.node: end for end in open_ends(graph, shape, spurs=spurs)} if len(graph) else {}
        for spurs in (False, True)
    )
    return Scene(inside, graph, ends, stubs, region, image, probability)


def reach_of(scene: Scene, end: End, most_um: float | None) -> float:
    """Return how far from an end another side is looked for, in um."""
    reach = max(REACH * end.radius_um, LEAST_REACH * min(scene.size))
    return reach if most_um is None else min(reach, most_um)


def targets_of(scene: Scene, end: End, reach: float) -> list[int]:
    """Return the nodes that a vessel may go on to: ends within reach, the nearest node of other branches.

    Nodes behind the end, and those that it is connected to by a way hardly longer than the gap, are none.
    """
    graph, here = scene.graph, scene.graph.places_um[end.node]
    near = np.asarray(scene.tree.query_ball_point(here, reach), np.int64)
    way = graph.places_um[near] - here
    distance = np.linalg.norm(way, axis=1)
    along = graph.near(end.node, BESIDE * reach)[near]
    ahead = way @ end.direction >= FRONT * distance if end.direction.any() else distance > 0
    free = (distance > 0) & (along > np.maximum(BESIDE * distance, 4 * end.radius_um))
    ends = np.array([scene.end(node) is not None for node in near.tolist()], bool)
    wall = np.maximum(distance - graph.radius_um[near], 0.0)
    chosen = free & ahead & ~ends
    facing = np.divide(way @ end.direction, distance, where=distance > 0, out=np.ones_like(wall))
    sides, cost = near[chosen], (wall * (2 - facing))[chosen]
    nearest: dict[int, int] = {}
    for node in sides[np.argsort(cost, kind="stable")].tolist():
        nearest.setdefault(int(graph.branches[node]), node)
    others = near[free & ends & (ahead | (distance < 3 * end.radius_um))].tolist()
    return [*others, *list(nearest.values())[:SIDES]]


def box_of(scene: Scene, end: End, targets: list[int], reach: float) -> Region:
    """Return the box in which ways from an end to its targets are looked for."""
    nodes = scene.graph.nodes[[end.node, *targets]]
    return box_around(nodes, max(0.35 * reach, 4 * min(scene.size)), as_shape(scene.inside.shape), scene.size)


def axis_behind(scene: Scene, end: End, box: Region) -> Mask:
    """Return the axis of the vessel near its end, in `box`: what lies beyond should look alike."""
    places = scene.graph.places_um
    near = [
        node
        for node in end.branch[:-1] or end.branch
        if np.linalg.norm(places[node] - places[end.node]) <= _axis_length(scene, end.radius_um)
    ]
    return _marked(scene.graph.nodes[near], box) & scene.inside[box.slices]


def axis_beyond(scene: Scene, target: int, box: Region) -> Mask:
    """Return the axis of the vessel around a target, in `box`."""
    graph = scene.graph
    reach = _axis_length(scene, max(float(graph.radius_um[target]), min(scene.size) / 2))
    near = np.asarray(scene.tree.query_ball_point(graph.places_um[target], reach), np.int64)
    near = near[graph.pieces[near] == graph.pieces[target]]
    return _marked(graph.nodes[near], box) & scene.inside[box.slices]


def _axis_length(scene: Scene, radius_um: float) -> float:
    return AXIS_RADII * radius_um + AXIS_VOXELS * max(scene.size)


def _marked(nodes: I64, box: Region) -> Mask:
    """Return where nodes (N, 3) lie in `box`, as a mask of it."""
    local = nodes - np.asarray(box.start)
    local = local[((local >= 0) & (local < np.asarray(box.shape))).all(axis=1)]
    mask = np.zeros(box.shape, bool)
    mask[tuple(local.T)] = True
    return mask
