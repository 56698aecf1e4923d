"""Spurs: short branches that end in the open and are no vessel.

Notation: a branch goes from an open end of the skeleton to the next junction; to it belong the voxels of the
vessel that are nearer to it than to the rest of the skeleton and outside of the vessel that it comes from,
the ball of the junction's radius.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F32,
    F64,
    Mask,
    Point,
    Source,
    box_around,
    checked_box,
    checked_sources,
    read_values,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.components import vessel_at
from napari_vesselkd.proofreading.tools.ends import End, open_ends
from napari_vesselkd.proofreading.tools.evidence import SMOOTHING, levels_near, local_support
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, Proposal, as_points, proposal
from napari_vesselkd.proofreading.tools.skeleton import SkeletonGraph, skeleton_graph

LOOK = 24  # voxels of the longest side around a click, at first; twice as much where the branch goes on
LEAST_SCORE = 0.65  # at most a third of the contrast of the vessel that it comes from
LONGEST = 4.0  # radii of the vessel it comes from, and
SPARE = 6  # voxels, of a spur that is proposed unasked
THINNEST = 0.65  # of the radius of the vessel it comes from: a thicker branch is none
DARK = 0.5  # of the contrast of that vessel: of a spur goes what is darker
LEAST_VOXELS = 4


def delete_spur(point: Point, *, vessel: Source, voxel_size_um: VoxelSize) -> Proposal:
    """Propose to take out the branch that ends in the open and to which `point` (z, y, x) belongs.

    Raises
    ------
    RegionError
        If the point is outside the volume.
    InvalidInputError
        If there is no vessel at the point, or no branch with an open end that comes from a junction.
    """
    shape, size = checked_sources(vessel), checked_voxel_size(voxel_size_um)
    voxel = vessel_at(point, vessel, shape)
    reach = LOOK * max(size)
    for _ in range(4):
        box = box_around([voxel], reach, shape, size)
        found = _branch_at(voxel, box, vessel, shape, size)
        if found is not None:
            return found
        if box == Region.whole(shape):
            break
        reach *= 2
    raise InvalidInputError(
        "There is no spur at the point",
        value=",".join(str(value) for value in voxel),
        limit="a branch that ends in the open and comes from another vessel",
        remedy="Click near the tip of the spur; take out an isolated piece with delete component",
    )


def spur_proposals(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    image: Source | None = None,
    probability: Source | None = None,
    region: Region | None = None,
    least_score: float = LEAST_SCORE,
) -> tuple[Proposal, ...]:
    """Return the short branches that the image does not support, the surest first.

    The score is 1 less the support of the branch: by the image its contrast in parts of that of the vessel it
    comes from, by a probability ``min(2 p, 1)``, by both their mean. Without image and probability it is how
    short the branch is: 1 less its length divided by 4 radii of the vessel that it comes from and 6 voxels.
    Branches longer than that, or not much thinner than the vessel, are left alone, and those that end at the
    border of `region`; of a spur only what is dark from its tip on is taken out.
    """
    shape, size = checked_sources(vessel, image, probability), checked_voxel_size(voxel_size_um)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    inside = read_vessel(vessel, looked)
    graph = skeleton_graph(inside, size)
    if not len(graph):
        return ()
    sigma = SMOOTHING * min(size) / np.asarray(size)
    shown = None if image is None else ndimage.gaussian_filter(read_values(image, looked), sigma)
    chance = None if probability is None else np.clip(2 * read_values(probability, looked), 0, 1)
    tree = KDTree(graph.places_um)
    offered = (
        _spur(end, graph, tree, inside, image=shown, chance=chance, origin=looked.start)
        for end in open_ends(graph, as_shape(inside.shape))
    )
    found = [one for one in offered if one is not None]
    return tuple(sorted((one for one in found if one.score >= least_score), key=lambda one: -one.score))


def _spur(
    end: End,
    graph: SkeletonGraph,
    tree: KDTree,
    inside: Mask,
    *,
    image: F32 | None,
    chance: F32 | None,
    origin: Shape,
) -> Proposal | None:
    root, step = end.branch[-1], min(graph.voxel_size_um)
    thick = max(float(graph.radius_um[root]), step)
    longest = LONGEST * thick + SPARE * step
    if graph.degree[root] < 3 or end.length_um > longest or end.radius_um > THINNEST * thick:
        return None
    if any(at in (0, size - 1) for at, size in zip(end.voxel, inside.shape, strict=True) if size > 1):
        return None
    box, mask = branch_voxels(end, graph, tree, inside)
    if not mask.any():
        return None
    found = _supports(box, mask, inside, image=image, chance=chance)
    why = f"A branch of {end.length_um:.1f} um that ends in the open"
    if not found:
        score = 1 - end.length_um / longest
    else:
        score = 1 - float(np.mean(found))
        why += f", vessel by {1 - score:.0%}"
        mask = _dark_part(end, box, mask, inside, values=chance if image is None else image)
    return proposal(
        "spur",
        box.shifted(origin),
        mask,
        BACKGROUND,
        reason=why,
        score=score,
        points=as_points(end.voxel, origin),
    )


def _supports(box: Region, mask: Mask, inside: Mask, *, image: F32 | None, chance: F32 | None) -> list[float]:
    """Return how much image and probability, those of them that there are, support a branch, 0 to 1."""
    found = []
    if image is not None:
        room, part = _with_room(box, mask, inside)
        found.append(local_support(image[room.slices], part, inside[room.slices]))
    if chance is not None:
        found.append(float(chance[box.slices][mask].mean()))
    return found


def _dark_part(end: End, box: Region, mask: Mask, inside: Mask, *, values: F32 | None) -> Mask:
    """Return what of a branch is darker than half of the vessel it comes from, from its tip on.

    All of it where that is less than 4 voxels or cannot be told.
    """
    room, part = _with_room(box, mask, inside)
    if values is None or (levels := levels_near(values[room.slices], part, inside[room.slices])) is None:
        return mask
    low, high = levels
    dark = mask & ((values[box.slices] - low) / (high - low) < DARK)
    label, count = ndimage.label(dark, EVERYWHERE)
    if not count:
        return mask
    away = np.linalg.norm(np.argwhere(dark) - np.subtract(end.voxel, box.start), axis=1)
    tip = label[tuple(np.argwhere(dark)[int(np.argmin(away))])]
    kept = np.asarray(label == tip)
    return _with_crumbs(kept, inside[box.slices]) if np.count_nonzero(kept) >= LEAST_VOXELS else mask


def _with_room(box: Region, mask: Mask, inside: Mask) -> tuple[Region, Mask]:
    """Return a box with 4 voxels around `box`, and `mask` in it."""
    room = box.expanded((4, 4, 4)).intersection(Region.whole(as_shape(inside.shape))) or box
    part = np.zeros(room.shape, bool)
    part[box.relative_to(room.start).slices] = mask
    return room, part


def branch_voxels(end: End, graph: SkeletonGraph, tree: KDTree, inside: Mask) -> tuple[Region, Mask]:
    """Return the voxels of the branch of an end that may go, in a box: what stays is connected as before."""
    size = np.asarray(graph.voxel_size_um)
    branch = np.array(end.branch, np.int64)
    margin = np.ceil((float(graph.radius_um[branch].max()) + 2 * size.max()) / size).astype(int)
    low = np.maximum(graph.nodes[branch].min(axis=0) - margin, 0)
    high = np.minimum(graph.nodes[branch].max(axis=0) + margin + 1, inside.shape)
    box = Region(as_shape(low.tolist()), as_shape(high.tolist()))
    here = inside[box.slices]
    voxels = np.argwhere(here)
    places = (voxels + low) * size
    _, nearest = tree.query(places)
    own = np.isin(nearest, branch[:-1]) & ~_in_trunk(places, graph, end, tree)
    mask = np.zeros(box.shape, bool)
    mask[tuple(voxels[own].T)] = True
    return box, _with_crumbs(mask, here)


def _in_trunk(places: F64, graph: SkeletonGraph, end: End, tree: KDTree) -> Mask:
    """Return which places lie in the vessel that the branch comes from: its balls near the junction."""
    root = end.branch[-1]
    reach = 2.5 * float(graph.radius_um[root]) + 2 * max(graph.voxel_size_um)
    around = [
        node
        for node in tree.query_ball_point(graph.places_um[root], reach)
        if node == root or node not in end.branch
    ]
    inside = np.zeros(len(places), bool)
    for node in around:
        radius = float(graph.radius_um[node]) + min(graph.voxel_size_um) / 2
        inside |= np.linalg.norm(places - graph.places_um[node], axis=1) <= radius
    return inside


def _with_crumbs(mask: Mask, here: Mask) -> Mask:
    """Return `mask` with the small pieces that it would leave behind in the box, connected to nothing."""
    rest, count = ndimage.label(here & ~mask, EVERYWHERE)
    if count < 2 or not mask.any():
        return mask
    before, _ = ndimage.label(here, EVERYWHERE)
    touched = np.unique(before[mask])
    sizes = np.bincount(rest.ravel(), minlength=count + 1)
    out = mask.copy()
    for number in range(1, count + 1):
        piece = rest == number
        open_side = any(piece.take(side, axis).any() for axis in range(3) for side in (0, -1))
        if before[piece][0] in touched and not open_side and sizes[number] < mask.sum():
            out |= piece
    return out


def _branch_at(voxel: Shape, box: Region, vessel: Source, shape: Shape, size: VoxelSize) -> Proposal | None:
    """Return the spur that a voxel belongs to, None where that is not to be found in `box`."""
    label, _ = ndimage.label(read_vessel(vessel, box), EVERYWHERE)
    own = np.subtract(voxel, box.start)
    inside = np.asarray(label == label[tuple(own)])
    graph = skeleton_graph(inside, size)
    if not len(graph):
        return None
    tree = KDTree(graph.places_um)
    distance = np.linalg.norm(graph.places_um - own * np.asarray(size), axis=1)
    ends = [end for spurs in (False, True) for end in open_ends(graph, as_shape(box.shape), spurs=spurs)]
    branches = [end for end in ends if graph.degree[end.branch[-1]] >= 3]
    if not branches:
        return None
    end = min(branches, key=lambda one: float(distance[list(one.branch[:-1])].min()))
    where, mask = branch_voxels(end, graph, tree, inside)
    apart = float(distance[list(end.branch[:-1])].min())
    if not mask.any() or apart > end.radius_um + 3 * max(size):
        return None
    reason = f"A branch of {end.length_um:.1f} um that ends in the open"
    return proposal(
        "delete spur",
        where.shifted(box.start),
        mask,
        BACKGROUND,
        reason=reason,
        score=1.0,
        points=as_points(end.voxel, box.start),
    )
