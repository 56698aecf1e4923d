"""Gaps: ends of vessels that probably belong together, or to the side of another vessel.

Notation: an end is an open end of the skeleton; its targets are other ends and the sides of vessels within
reach and in front of it. The cheapest way through the image to each is judged by `gap_score`; then every end
is used at most once, the surest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.graph import MCP_Geometric

from napari_vesselkd.geometry import Region, VoxelSize, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    I64,
    Mask,
    Source,
    checked_box,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.connect import new_tube, path_radii
from napari_vesselkd.proofreading.tools.ends import End
from napari_vesselkd.proofreading.tools.ends import inside as lies_in
from napari_vesselkd.proofreading.tools.evidence import read_evidence, read_sight
from napari_vesselkd.proofreading.tools.gap_features import Sight, seen_features, shape_features
from napari_vesselkd.proofreading.tools.gap_score import GapFeatures, belief
from napari_vesselkd.proofreading.tools.gap_search import (
    Scene,
    axis_behind,
    box_of,
    reach_of,
    scene_of,
    targets_of,
)
from napari_vesselkd.proofreading.tools.paths import path_length, runs_outside, travel_cost
from napari_vesselkd.proofreading.tools.proposal import VESSEL, Proposal, as_points, proposal

LEAST_SCORE = 0.7  # 91 % right on phantoms that the weights were not fitted on


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
    scene = scene_of(inside, size, looked, image=image, probability=probability)
    begin = (core or looked).relative_to(looked.start)
    return [
        gap
        for end in (*scene.ends.values(), *scene.stubs.values())
        if lies_in(end, begin)
        for gap in _across(scene, end, most_um)
    ]


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


def _across(scene: Scene, end: End, most_um: float | None) -> list[Gap]:
    """Return the gaps from one end to its targets."""
    reach = reach_of(scene, end, most_um)
    targets = targets_of(scene, end, reach)
    if not targets:
        return []
    box = box_of(scene, end, targets, reach)
    sight = _sight(scene, end, box)
    graph = MCP_Geometric(travel_cost(sight.evidence, sight.inside), sampling=scene.size)
    low = np.asarray(box.start)
    stops = [tuple(scene.graph.nodes[target] - low) for target in targets]
    graph.find_costs([tuple(scene.graph.nodes[end.node] - low)], stops)
    found = []
    for target, stop in zip(targets, stops, strict=True):
        gap = _measured(scene, end, target, np.asarray(graph.traceback(stop), np.int64), sight)
        if gap is not None:
            found.append(gap)
    return found


def _sight(scene: Scene, end: End, box: Region) -> Sight:
    """Return what is seen around an end."""
    inside = scene.inside[box.slices]
    behind = axis_behind(scene, end, box)
    evidence, shown = read_sight(
        scene.image,
        scene.probability,
        box.shifted(scene.region.start),
        inside=inside,
        voxel_size_um=scene.size,
        seeds=behind,
    )
    return Sight(box, inside, evidence, shown, behind)


def _measured(scene: Scene, end: End, target: int, way: I64, sight: Sight) -> Gap | None:
    """Return the gap on a way, with its features; None where the way takes another vessel or no gap."""
    runs = runs_outside(way, sight.inside)
    if len(runs) != 1:
        return None
    first, last = runs[0]
    size = np.asarray(scene.size)
    path = way[max(first - 1, 0) : last + 2]
    start = scene.graph.nodes[end.node] - np.asarray(sight.box.start)
    away = float(np.linalg.norm((path[0] - start) * size))
    if away > 2.5 * end.radius_um + 2 * max(size) or (path[0] == path[-1]).all():
        return None
    shape = shape_features(scene, end, target, path)
    seen = seen_features(scene, end, target, way[first : last + 1], sight)
    features = GapFeatures.of((*shape, *seen))
    score = belief(features, seen=scene.image is not None or scene.probability is not None)
    return Gap(end, scene.end(target), target, path, sight.box, features, score)


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
