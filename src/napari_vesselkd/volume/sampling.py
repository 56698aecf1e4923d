"""Where to look when a volume is too large to read: a bounded number of small blocks, spread evenly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_vesselkd.geometry import Region, Shape, as_shape


def sample_regions(
    shape: Sequence[int], chunk: Sequence[int], voxels: int, *, blocks: int = 128, seed: int = 0
) -> list[Region]:
    """Return about `blocks` regions of `voxels` voxels in all, at random places of an even grid of cells.

    No region crosses a chunk border, so reading them all decodes at most one chunk each. They come in storage
    order, so that a gzip stream is unpacked once, forwards.

    Parameters
    ----------
    shape, chunk : (z, y, x) in voxels
    voxels : int
        Bound on the sum of the regions' voxels; the whole volume is returned where it fits.
    blocks : int, optional
        Number of regions; fewer where the volume has fewer chunks' worth of cells.
    seed : int, optional
        Of the random places.
    """
    size = as_shape(shape)
    if math.prod(size) <= voxels:
        return [Region.whole(size)]
    limit = as_shape([min(c, n) for c, n in zip(chunk, size, strict=True)])
    edge = _block_shape(limit, max(1, voxels // blocks))
    cells = even_grid(as_shape([-(-n // e) for n, e in zip(size, edge, strict=True)]), blocks)
    rng = np.random.default_rng(seed)
    regions = []
    for index in np.ndindex(*cells):
        start = [
            _inside_chunk(_between(rng, i * n // k, (i + 1) * n // k - e), edge=e, chunk=c, size=n)
            for i, k, n, e, c in zip(index, cells, size, edge, limit, strict=True)
        ]
        stop = [min(low + e, n) for low, e, n in zip(start, edge, size, strict=True)]
        regions.append(Region(as_shape(start), as_shape(stop)))
    return regions


def _inside_chunk(start: int, *, edge: int, chunk: int, size: int) -> int:
    """Return the start nearest to `start` of a block of `edge` voxels that does not cross a chunk border."""
    border = (start // chunk + 1) * chunk
    if start + edge > border:
        start = max(start // chunk * chunk, border - edge)
    return max(0, min(start, size - edge))


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, max(low, high) + 1))


def _block_shape(limit: Shape, voxels: int) -> Shape:
    """Return the most cubic box of at most `voxels` voxels inside `limit`."""
    edges = [0, 0, 0]
    left = voxels
    for rank, axis in enumerate(sorted(range(3), key=lambda i: limit[i])):
        edges[axis] = max(1, min(limit[axis], round(left ** (1 / (3 - rank)))))
        left = max(1, left // edges[axis])
    return as_shape(edges)


def even_grid(available: Shape, blocks: int) -> Shape:
    """Return a grid of at most `blocks` cells, as many per axis as its length in blocks deserves."""
    cells = [1, 1, 1]
    while True:
        order = sorted(range(3), key=lambda i: cells[i] / available[i])
        for axis in order:
            grown = [n + (i == axis) for i, n in enumerate(cells)]
            if grown[axis] <= available[axis] and math.prod(grown) <= blocks:
                cells = grown
                break
        else:
            return as_shape(cells)
