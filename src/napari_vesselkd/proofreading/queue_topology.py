"""What the shape of the vessels in a block says: open ends, loose pieces, jumps of the radius, likely gaps.

Notation: all of it is counted in the block; what lies around it, up to `MARGIN` voxels, is only context, so
that a vessel that leaves the block does not end there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F64,
    I64,
    Mask,
    Source,
    checked_box,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.ends import inside, open_ends
from napari_vesselkd.proofreading.tools.gaps import gap_proposals
from napari_vesselkd.proofreading.tools.skeleton import SkeletonGraph, skeleton_graph

MARGIN = 16  # voxels of context
SMALL = 0.02  # share of all vessels in the box up to which a piece by itself is one to look at
STEEP = 0.7  # change of the radius per length from which it is a jump; real vessels taper by less than .3
SMOOTHED = 4  # times that the radius is averaged along the vessel first
LONGEST_GAP_UM = 60.0


@dataclass(frozen=True)
class Topology:
    """What was found in a block.

    Attributes
    ----------
    ends : int
        Open ends that are no mere bumps.
    pieces : int
        Small pieces that are connected with nothing.
    jumps : int
        Places along a vessel where the radius changes implausibly fast.
    gaps : int
        Gaps that are probably none, by `gap_proposals`.
    length_um : float
        Of the centrelines.
    """

    ends: int = 0
    pieces: int = 0
    jumps: int = 0
    gaps: int = 0
    length_um: float = 0.0

    @property
    def count(self) -> int:
        """All findings together; the ends of a likely gap are findings already."""
        return self.ends + self.pieces + self.jumps + self.gaps


def topology(
    vessel: Source, voxel_size_um: VoxelSize, block: Region, *, image: Source | None = None
) -> Topology:
    """Return what the shape of the vessels in `block` says.

    Parameters
    ----------
    vessel : source, (z, y, x)
        Not 0 where there is vessel.
    voxel_size_um : (z, y, x)
    block : Region
        In voxels of the source, at most 2**25 with the context around it.
    image : source (z, y, x), optional
        Lets likely gaps be judged by what is seen there too.
    """
    shape, size = checked_sources(vessel, image), checked_voxel_size(voxel_size_um)
    whole = Region.whole(shape)
    around = checked_box(block.checked(shape).expanded((MARGIN,) * 3).intersection(whole) or block)
    mask = read_vessel(vessel, around)
    place = block.relative_to(around.start)
    if not mask.any():
        return Topology()
    graph = skeleton_graph(mask, size)
    ends = [end for end in open_ends(graph, as_shape(mask.shape)) if inside(end, place)]
    ends = [end for end in ends if not _at_seam(end.voxel, around, shape)]
    gaps = 0
    if ends:
        found = gap_proposals(vessel, size, image=image, region=around, core=block, most_um=LONGEST_GAP_UM)
        gaps = len(found)
    here = _in(graph.nodes, place)
    return Topology(
        len(ends), _pieces(mask, place, around, shape), _jumps(graph, here), gaps, _length(graph, here)
    )


def _at_seam(voxel: Shape, around: Region, shape: Shape) -> bool:
    """Return whether a voxel lies at a side of the box that is none of the volume's: cut, not ended."""
    low = [a > 0 and v <= 1 for a, v in zip(around.start, voxel, strict=True)]
    sides = zip(around.stop, around.shape, shape, voxel, strict=True)
    high = [stop < n and v >= side - 2 for stop, side, n, v in sides]
    return any(low) or any(high)


def _pieces(mask: Mask, place: Region, around: Region, shape: Shape) -> int:
    """Return how many small pieces have their middle in `place` and do not leave the box or the volume."""
    label, count = ndimage.label(mask, EVERYWHERE)
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:]
    most, found = SMALL * int(sizes.sum()), 0
    for number, box in enumerate(ndimage.find_objects(label), start=1):
        low, high = [one.start for one in box], [one.stop for one in box]
        touches = any(a == 0 for a in low) or any(b == n for b, n in zip(high, mask.shape, strict=True))
        middle = [(a + b) // 2 for a, b in zip(low, high, strict=True)]
        here = all(a <= m < b for a, m, b in zip(place.start, middle, place.stop, strict=True))
        found += sizes[number - 1] <= most and not touches and here
    return int(found)


def _jumps(graph: SkeletonGraph, here: Mask) -> int:
    """Return how many places there are, away from junctions, where the radius changes by `STEEP`."""
    if not len(graph.edges):
        return 0
    radius = _smoothed(graph)
    one, other = graph.edges.T
    steep = np.abs(radius[one] - radius[other]) / graph.lengths >= STEEP
    plain = ~_near_junctions(graph)
    steep &= plain[one] & plain[other] & (here[one] | here[other])
    marked = np.zeros(len(graph), bool)
    marked[graph.edges[steep].ravel()] = True
    return _groups(graph, marked)


def _smoothed(graph: SkeletonGraph) -> F64:
    """Return the radius (N,) averaged along the skeleton: what voxels round off is no jump."""
    near = sparse.csr_array((graph.matrix > 0).astype(float)) + sparse.eye_array(len(graph), format="csr")
    count, radius = np.asarray(near.sum(axis=1)).ravel(), graph.radius_um
    for _ in range(SMOOTHED):
        radius = np.asarray(near @ radius).ravel() / count
    return np.asarray(radius, np.float64)


def _near_junctions(graph: SkeletonGraph) -> Mask:
    """Return which nodes (N,) lie within a radius of a junction, or of an end: there it changes by itself."""
    special = np.flatnonzero((graph.degree >= 3) | (graph.degree <= 1))
    if not len(special):
        return np.zeros(len(graph), bool)
    reach = 2 * graph.radius_um + SMOOTHED * min(graph.voxel_size_um)
    away, _, source = csgraph.dijkstra(
        graph.matrix, directed=False, indices=special, min_only=True, return_predecessors=True
    )
    known = np.isfinite(away)
    near = np.zeros(len(graph), bool)
    near[known] = away[known] <= reach[source[known]]
    return near


def _groups(graph: SkeletonGraph, marked: Mask) -> int:
    """Return how many connected groups of nodes are marked."""
    if not marked.any():
        return 0
    numbers = np.flatnonzero(marked)
    count, _ = csgraph.connected_components(graph.matrix[numbers][:, numbers], directed=False)
    return int(count)


def _in(nodes: I64, place: Region) -> Mask:
    return np.asarray(((nodes >= place.start) & (nodes < place.stop)).all(axis=1))


def _length(graph: SkeletonGraph, here: Mask) -> float:
    """Return the length in um of the edges inside; one that crosses the border counts by half."""
    return float((graph.lengths * here[graph.edges].mean(axis=1)).sum()) if len(graph.edges) else 0.0
