"""The skeleton of a vessel mask as a graph of voxels.

Notation: a node is a voxel of the skeleton (Lee's thinning, as in `measure.topology`); an edge joins two that
are neighbours through a face, an edge or a corner, its length being their distance in um. Of every triangle
the longest edge is taken out, which leaves all pieces and loops as they are; an end has one edge, a junction
three and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.proofreading.tools.boxes import F64, I64, Mask

_OFFSETS = [one for one in product((-1, 0, 1), repeat=3) if one > (0, 0, 0)]  # one of each opposite pair
_AROUND = [one for one in product((-1, 0, 1), repeat=3) if any(one)]


@dataclass(frozen=True, eq=False)
class SkeletonGraph:
    """A skeleton in voxels of the mask it was made of.

    Attributes
    ----------
    nodes : ndarray (N, 3) of int
        Voxels (z, y, x).
    edges : ndarray (E, 2) of int
        Indices of nodes.
    lengths : ndarray (E,)
        In um.
    radius_um : ndarray (N,)
        Distance to the wall, half a voxel taken off.
    voxel_size_um : (z, y, x)
    """

    nodes: I64
    edges: I64
    lengths: F64
    radius_um: F64
    voxel_size_um: VoxelSize

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def length_um(self) -> float:
        """Length of all vessels."""
        return float(self.lengths.sum())

    @cached_property
    def places_um(self) -> F64:
        """Where the nodes are, (N, 3) in um."""
        return np.asarray(self.nodes * np.asarray(self.voxel_size_um))

    @cached_property
    def degree(self) -> I64:
        """Number of edges of each node, (N,)."""
        return np.bincount(self.edges.ravel(), minlength=len(self.nodes))

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """The lengths as a symmetric sparse matrix, (N, N)."""
        one, other = self.edges.T
        both = (np.r_[one, other], np.r_[other, one])
        count = len(self.nodes)
        return sparse.csr_array((np.r_[self.lengths, self.lengths], both), shape=(count, count))

    @cached_property
    def pieces(self) -> I64:
        """The number of the connected piece of each node, (N,) from 0."""
        return np.asarray(csgraph.connected_components(self.matrix, directed=False)[1], np.int64)

    @cached_property
    def branches(self) -> I64:
        """The number of the branch of each node, (N,) from 0: pieces that are left without the junctions.

        Each junction voxel is a branch of its own.
        """
        plain = self.degree <= 2
        kept = self.edges[plain[self.edges].all(axis=1)]
        count = len(self.nodes)
        matrix = sparse.coo_array((np.ones(len(kept)), (kept[:, 0], kept[:, 1])), shape=(count, count))
        return np.asarray(csgraph.connected_components(matrix, directed=False)[1], np.int64)

    def neighbours(self, node: int) -> I64:
        """Return the nodes that `node` has an edge to."""
        matrix = self.matrix
        return np.asarray(matrix.indices[matrix.indptr[node] : matrix.indptr[node + 1]], np.int64)

    def walk(self, start: int, most_um: float = np.inf) -> list[int]:
        """Return the nodes from an end or isolated node to a junction or another end, that included."""
        path, before = [start], -1
        travelled = 0.0
        while travelled <= most_um:
            onward = [int(one) for one in self.neighbours(path[-1]) if one != before]
            if not onward or (len(path) > 1 and len(onward) != 1):
                break
            before = path[-1]
            path.append(onward[0])
            travelled += float(np.linalg.norm(self.places_um[path[-1]] - self.places_um[before]))
        return path

    def near(self, node: int, most_um: float) -> F64:
        """Return the distance in um along the skeleton from a node to each, (N,), inf above `most_um`."""
        found = csgraph.dijkstra(self.matrix, directed=False, indices=node, limit=most_um)
        return np.asarray(found, np.float64)


def skeleton_graph(mask: Mask, voxel_size_um: VoxelSize) -> SkeletonGraph:
    """Return the graph of the skeleton of `mask` (z, y, x); about 30 bytes per voxel while it is made.

    Cavities are filled first: thinning leaves a closed surface around each, which is no centreline.
    """
    solid = ndimage.binary_fill_holes(mask)
    lines = skeleton(solid)
    nodes = np.argwhere(lines)
    depth = (
        ndimage.distance_transform_edt(solid, sampling=voxel_size_um) if len(nodes) else np.zeros(mask.shape)
    )
    radius = np.asarray(depth[tuple(nodes.T)] - min(voxel_size_um) / 2, np.float64)
    edges, lengths = _edges(lines, nodes, voxel_size_um)
    return SkeletonGraph(nodes, edges, lengths, radius, voxel_size_um)


def _edges(lines: Mask, nodes: I64, voxel_size_um: VoxelSize) -> tuple[I64, F64]:
    """Return the edges (E, 2) between neighbouring nodes but the longest of each triangle, and lengths."""
    if not len(nodes):
        return np.zeros((0, 2), np.int64), np.zeros(0)
    numbers = np.full([n + 2 for n in lines.shape], -1, np.int64)
    numbers[1:-1, 1:-1, 1:-1][lines] = np.arange(len(nodes))
    beside = {way: numbers[tuple((nodes + 1 + np.asarray(way)).T)] for way in _AROUND}
    order = _order(voxel_size_um)
    kept, lengths = [], []
    for way in _OFFSETS:
        other = beside[way]
        at = np.flatnonzero(other >= 0)
        keep = np.ones(len(at), bool)
        for third in _AROUND:
            rest = tuple(a - b for a, b in zip(way, third, strict=True))
            if third == way or max(map(abs, rest)) > 1:
                continue
            if order[third] < order[way] and order[rest] < order[way]:
                keep &= beside[third][at] < 0
        kept.append(np.stack([at[keep], other[at[keep]]], axis=1))
        lengths.append(np.full(int(keep.sum()), np.linalg.norm(np.asarray(way) * voxel_size_um)))
    return np.concatenate(kept), np.concatenate(lengths)


def _order(voxel_size_um: VoxelSize) -> dict[tuple[int, ...], int]:
    """Return the rank of each direction by length, the same for opposite ones; ties by the direction.

    The three sides of a triangle have three different directions, so that exactly one is the longest.
    """
    ranked = sorted(_OFFSETS, key=lambda way: (float(np.linalg.norm(np.asarray(way) * voxel_size_um)), way))
    order: dict[tuple[int, ...], int] = {}
    for rank, way in enumerate(ranked):
        order[way] = order[tuple(-one for one in way)] = rank
    return order
