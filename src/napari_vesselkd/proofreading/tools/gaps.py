"""Gaps: ends of vessels that probably belong together, or to the side of another vessel.

Notation: an end is an open end of the skeleton; its targets are other ends and the sides of vessels within
reach and in front of it. The cheapest way through the image to each is judged by `gap_score`; then every end
is used at most once, the surest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.graph import MCP_Geometric

from napari_vesselkd.geometry import Region, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    F32,
    F64,
    I64,
    Mask,
    Source,
    box_around,
    checked_box,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.connect import new_tube, path_radii
from napari_vesselkd.proofreading.tools.ends import End, open_ends
from napari_vesselkd.proofreading.tools.evidence import read_evidence
from napari_vesselkd.proofreading.tools.gap_score import GapFeatures, belief
from napari_vesselkd.proofreading.tools.paths import path_length, runs_outside, travel_cost
from napari_vesselkd.proofreading.tools.proposal import VESSEL, Proposal, as_points, proposal
from napari_vesselkd.proofreading.tools.skeleton import SkeletonGraph, skeleton_graph

REACH = 14.0  # radii of the end, between the ends of two skeletons; thinning has taken a radius off each
LEAST_REACH = 18  # voxels
FRONT = 0.2  # cosine of the widest angle between an end and the way to its target
BESIDE = 2.5  # how much longer the way along the vessel must be than the gap
SIDES = 4  # so many sides of vessels are tried for an end
LEAST_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Gap:
    """A gap that was looked at: a candidate, or more.

    Attributes
    ----------
    end : End
    other : End or None
        None where the gap leads to the side of a vessel.
    target : int
        Node of the skeleton on the other side.
    path : ndarray (N, 3)
        The part of the way outside of the vessels and one voxel on each side, in voxels of `box`.
    box : Region
    features : GapFeatures
    score : float
    """

    end: End
    other: End | None
    target: int
    path: I64
    box: Region
    features: GapFeatures
    score: float


@dataclass(frozen=True, eq=False)
class _Scene:
    """What the gaps of a region are looked for in; boxes are in voxels of the region."""

    inside: Mask
    graph: SkeletonGraph
    ends: dict[int, End]
    region: Region
    image: Source | None
    probability: Source | None
    size: VoxelSize
    tree: KDTree


def gap_proposals(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    image: Source | None = None,
    probability: Source | None = None,
    region: Region | None = None,
    core: Region | None = None,
    most_um: float | None = None,
    least_score: float = LEAST_SCORE,
) -> tuple[Proposal, ...]:
    """Return the gaps that are probably none, the surest first.

    Parameters
    ----------
    vessel : source, (z, y, x)
        Not 0 where there is vessel.
    voxel_size_um : (z, y, x)
    image, probability : source (z, y, x), optional
        Without them only the shape of the ends is judged.
    region : Region, optional
        Where to look, at most 2**25 voxels; the whole if not given. `walk.walk_gaps` goes through any volume.
    core : Region, optional
        Only gaps that begin at an end in it, in voxels of the sources; the rest of `region` is context.
    most_um : float, optional
        No longer gaps; at most 14 radii or 18 voxels from end to end otherwise.
    least_score : float, optional
        Less likely gaps are left out; 0 gives all that were looked at and are not in each other's way.

    Returns
    -------
    tuple of Proposal
        Their points are the way across the gap; `score` is the probability that it is a vessel.

    Raises
    ------
    InvalidInputError
        If the region is too large or the shapes differ.
    """
    shape = checked_sources(vessel, image, probability)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    candidates = gap_candidates(
        vessel, voxel_size_um, image=image, probability=probability, region=looked, core=core, most_um=most_um
    )
    inside, size = read_vessel(vessel, looked), checked_voxel_size(voxel_size_um)
    chosen = [one for one in without_conflicts(candidates, size) if one.score >= least_score]
    return tuple(_proposed(one, inside, looked, size, image=image, probability=probability) for one in chosen)


def gap_candidates(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    image: Source | None = None,
    probability: Source | None = None,
    region: Region | None = None,
    core: Region | None = None,
    most_um: float | None = None,
) -> list[Gap]:
    """Return every gap that is looked at, with its features; arguments as `gap_proposals`."""
    shape = checked_sources(vessel, image, probability)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    size = checked_voxel_size(voxel_size_um)
    inside = read_vessel(vessel, looked)
    graph = skeleton_graph(inside, size)
    if not len(graph):
        return []
    begin = (core or looked).relative_to(looked.start)
    ends = {end.node: end for end in open_ends(graph, as_shape(inside.shape))}
    scene = _Scene(inside, graph, ends, looked, image, probability, size, KDTree(graph.places_um))
    found: list[Gap] = []
    for end in ends.values():
        if all(a <= v < b for a, v, b in zip(begin.start, end.voxel, begin.stop, strict=True)):
            found += _across(scene, end, most_um)
    return found


def without_conflicts(gaps: Sequence[Gap], voxel_size_um: VoxelSize) -> list[Gap]:
    """Return the surest gaps first, such that every end is used at most once, and no gap is closed twice."""
    used: set[int] = set()
    kept: list[Gap] = []
    for gap in sorted(gaps, key=lambda one: -one.score):
        ends = {gap.end.node} | ({gap.other.node} if gap.other is not None else set())
        if not ends & used and not any(_same_gap(gap, one, voxel_size_um) for one in kept):
            kept.append(gap)
            used |= ends
    return kept


def _same_gap(one: Gap, other: Gap, size: VoxelSize) -> bool:
    """Return whether two ways lead from and to the same two places: one gap, seen from its two sides."""
    mine, its = ((gap.path[[0, -1]] + np.asarray(gap.box.start)) * np.asarray(size) for gap in (one, other))
    near = 2 * max(one.end.radius_um, other.end.radius_um) + 2 * max(size)
    apart = [np.linalg.norm(mine - way, axis=1).max() for way in (its, its[::-1])]
    return bool(min(apart) <= near)


def _across(scene: _Scene, end: End, most_um: float | None) -> list[Gap]:
    """Return the gaps from one end to its targets."""
    reach = max(REACH * end.radius_um, LEAST_REACH * min(scene.size))
    reach = reach if most_um is None else min(reach, most_um)
    targets = _targets(scene, end, reach)
    if not targets:
        return []
    nodes = scene.graph.nodes[[end.node, *targets]]
    box = box_around(nodes, max(0.35 * reach, 4 * min(scene.size)), as_shape(scene.inside.shape), scene.size)
    inside = scene.inside[box.slices]
    evidence = read_evidence(
        scene.image,
        scene.probability,
        box.shifted(scene.region.start),
        inside=inside,
        voxel_size_um=scene.size,
        seeds=_axis(scene, end, box),
    )
    graph = MCP_Geometric(travel_cost(evidence, inside), sampling=scene.size)
    low = np.asarray(box.start)
    stops = [tuple(scene.graph.nodes[target] - low) for target in targets]
    graph.find_costs([tuple(scene.graph.nodes[end.node] - low)], stops)
    found = []
    for target, stop in zip(targets, stops, strict=True):
        way = np.asarray(graph.traceback(stop), np.int64)
        gap = _measured(scene, end, target, way, inside=inside, evidence=evidence, box=box)
        if gap is not None:
            found.append(gap)
    return found


def _axis(scene: _Scene, end: End, box: Region) -> Mask:
    """Return the axis of the vessel near its end, in `box`: what lies beyond should look alike."""
    places = scene.graph.places_um
    near = [
        node
        for node in end.branch[:-1] or end.branch
        if np.linalg.norm(places[node] - places[end.node]) <= 4 * end.radius_um + 4 * max(scene.size)
    ]
    nodes = scene.graph.nodes[near] - np.asarray(box.start)
    nodes = nodes[((nodes >= 0) & (nodes < np.asarray(box.shape))).all(axis=1)]
    mask = np.zeros(box.shape, bool)
    mask[tuple(nodes.T)] = True
    return mask & scene.inside[box.slices]


def _targets(scene: _Scene, end: End, reach: float) -> list[int]:
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
    ends = np.array([node in scene.ends for node in near.tolist()], bool)
    wall = np.maximum(distance - graph.radius_um[near], 0.0)
    chosen = free & ahead & ~ends
    facing = np.divide(way @ end.direction, distance, where=distance > 0, out=np.ones_like(wall))
    sides, cost = near[chosen], (wall * (2 - facing))[chosen]
    nearest: dict[int, int] = {}
    for node in sides[np.argsort(cost, kind="stable")].tolist():
        nearest.setdefault(int(graph.branches[node]), node)
    others = near[free & ends & (ahead | (distance < 3 * end.radius_um))].tolist()
    return [*others, *list(nearest.values())[:SIDES]]


def _measured(
    scene: _Scene, end: End, target: int, way: I64, *, inside: Mask, evidence: F32, box: Region
) -> Gap | None:
    """Return the gap on a way, with its features; None where the way takes another vessel or no gap."""
    runs = runs_outside(way, inside)
    if len(runs) != 1:
        return None
    first, last = runs[0]
    size = np.asarray(scene.size)
    path = way[max(first - 1, 0) : last + 2]
    start, stop = path[0] * size, path[-1] * size
    away = float(np.linalg.norm(start - (scene.graph.nodes[end.node] - np.asarray(box.start)) * size))
    if away > 2.5 * end.radius_um + 2 * max(size):
        return None
    other = scene.ends.get(target)
    chord = stop - start
    length, straight = path_length(path, scene.size), float(np.linalg.norm(chord))
    if straight == 0:
        return None
    features = _features(
        scene, end, target, other=other, chord=chord / straight, length=length, straight=straight / length
    )
    seen = evidence_of(way[first : last + 1], inside, evidence, radius_um=end.radius_um, size=scene.size)
    complete = GapFeatures.of((*features, *seen))
    score = belief(complete, seen=scene.image is not None or scene.probability is not None)
    return Gap(end, other, target, path, box, complete, score)


def _features(
    scene: _Scene, end: End, target: int, *, other: End | None, chord: F64, length: float, straight: float
) -> tuple[float, ...]:
    """Return the features of the shape of a gap, as `GapFeatures` has them first."""
    radius = float(scene.graph.radius_um[target]) if other is None else other.radius_um
    radius = max(radius, min(scene.size) / 2)
    mean = end.radius_um if other is None else (end.radius_um + radius) / 2
    calibre = np.log(end.radius_um / radius)
    branch = end.length_um / end.radius_um
    if other is not None:
        branch = min(branch, other.length_um / other.radius_um)
    return (
        float(np.log(max(length / mean, 0.1))),
        float(np.log1p(length / min(scene.size))),
        float(end.direction @ chord),
        0.0 if other is None else float(-other.direction @ chord),
        float(other is None),
        float(max(calibre, 0) if other is None else abs(calibre)),
        float(min(np.log1p(branch), 3.0)),
        float(scene.graph.pieces[target] != end.piece),
        straight,
    )


def evidence_of(
    path: I64, inside: Mask, evidence: F32, *, radius_um: float, size: VoxelSize
) -> tuple[float, float, float, float]:
    """Return the mean evidence on a path (N, 3), its 10th percentile, the mean less that around, how sure."""
    on_path = evidence[tuple(path.T)]
    mean, least = float(on_path.mean()), float(np.percentile(on_path, 10))
    margin = [int(np.ceil(4 * radius_um / one)) + 2 for one in size]
    low = np.maximum(path.min(axis=0) - margin, 0)
    high = np.minimum(path.max(axis=0) + margin + 1, inside.shape)
    part = Region(as_shape(low.tolist()), as_shape(high.tolist())).slices
    off = np.ones(inside[part].shape, bool)
    off[tuple((path - low).T)] = False
    distance = ndimage.distance_transform_edt(off, sampling=size)
    ring = (distance > 2 * radius_um) & (distance < 4 * radius_um + max(size)) & ~inside[part]
    around = evidence[part][ring] if ring.any() else np.zeros(1, np.float32)
    above = mean - float(around.mean())
    noise = max(float(around.std()), 0.02) / np.sqrt(max(len(path) / 2, 1))
    return mean, least, above, float(np.sign(above) * np.log1p(abs(above) / noise))


def _proposed(
    gap: Gap,
    inside: Mask,
    looked: Region,
    size: VoxelSize,
    *,
    image: Source | None,
    probability: Source | None,
) -> Proposal:
    """Return the proposal that closes a gap."""
    here = inside[gap.box.slices]
    box = gap.box.shifted(looked.start)
    evidence = read_evidence(image, probability, box, inside=here, voxel_size_um=size)
    mask = new_tube(gap.path, path_radii(gap.path, here, evidence, size), here, size)
    length = path_length(gap.path, size)
    what = "the side of a vessel" if gap.other is None else "another end"
    reason = f"An end {length:.1f} um from {what}, in line by {np.clip(gap.features.here, 0, 1):.0%}"
    if image is not None or probability is not None:
        reason += f"; the image supports it by {gap.features.mean:.0%}"
    return proposal(
        "gap", box, mask, VESSEL, reason=reason, score=gap.score, points=as_points(gap.path, box.start)
    )
