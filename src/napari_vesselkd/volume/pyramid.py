"""Coarser levels: which factors, how to average, and which voxels an edit touches.

Notation: level k+1 has ceil(n / f) voxels along an axis of n, with f = 1 or 2 per axis (z, y, x).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape

COARSEST_EDGE = 256
PIECE = 256
_WIDER = {"u1": "u2", "u2": "u4", "u4": "u8", "i1": "i2", "i2": "i4", "i4": "i8", "b1": "u1"}


def level_shapes(
    shape: Shape, voxel_size_um: VoxelSize, levels: int | None = None
) -> tuple[list[Shape], list[VoxelSize]]:
    """Return shape and voxel size of every level, finest first.

    An axis is halved where its voxels are at most sqrt(2) times as long as the shortest, so that coarse-z
    volumes lose only y and x until they are isotropic. Without `levels` the last one has at most 256 voxels
    along each axis.
    """
    shapes, sizes = [shape], [voxel_size_um]
    while len(shapes) < levels if levels is not None else max(shapes[-1]) > COARSEST_EDGE:
        factors = _factors(shapes[-1], sizes[-1])
        if factors == (1, 1, 1):
            break
        shapes.append(as_shape([-(-n // f) for n, f in zip(shapes[-1], factors, strict=True)]))
        z, y, x = (size * f for size, f in zip(sizes[-1], factors, strict=True))
        sizes.append((z, y, x))
    return shapes, sizes


def _factors(shape: Shape, size: VoxelSize) -> Shape:
    """Return 2 for the axes that are fine enough to be halved, 1 for the others and for single slices."""
    open_axes = [length for length, n in zip(size, shape, strict=True) if n > 1]
    finest = min(open_axes, default=math.inf)
    return as_shape(
        [2 if n > 1 and length <= finest * math.sqrt(2) else 1 for n, length in zip(shape, size, strict=True)]
    )


def factors_between(fine: Sequence[int], coarse: Sequence[int]) -> Shape:
    """Return the factor (1 or 2) per axis from one level's shape to the next one's."""
    return as_shape([1 if n == m else 2 for n, m in zip(fine, coarse, strict=True)])


def downsample(block: npt.NDArray[Any], factors: Sequence[int], label: bool) -> npt.NDArray[Any]:
    """Return the next coarser level of a block.

    Parameters
    ----------
    block : ndarray (z, y, x)
        Its first voxel lies on an even coordinate of every axis with factor 2.
    factors : (z, y, x)
        1 or 2 each.
    label : bool
        True takes the largest of the voxels, so that thin vessels do not vanish; False their mean, rounded.

    Returns
    -------
    ndarray (z, y, x)
        ceil(n / factor) voxels per axis, same dtype; a last odd voxel stands for itself.
    """
    if label or block.dtype.kind == "b":
        for axis, factor in enumerate(factors):
            if factor == 2:
                block = np.maximum(*_pairs(block, axis))
        return block
    total, wider = block, _wider(block.dtype)
    for axis, factor in enumerate(factors):
        if factor == 2:
            total = np.add(*_pairs(total, axis), dtype=wider)
    count = math.prod(factors)
    if count == 1:
        return block
    if block.dtype.kind == "f" or total.dtype.kind == "f":
        mean = total / total.dtype.type(count)
        rounded: npt.NDArray[Any] = mean if block.dtype.kind == "f" else np.floor(mean + 0.5)
    else:
        rounded = (total + count // 2) // count
    return rounded.astype(block.dtype)


def _pairs(block: npt.NDArray[Any], axis: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return even and odd voxels along `axis`; a last even one without partner is its own."""
    even = block[(slice(None),) * axis + (slice(0, None, 2),)]
    odd = block[(slice(None),) * axis + (slice(1, None, 2),)]
    if odd.shape[axis] < even.shape[axis]:
        odd = np.concatenate([odd, even[(slice(None),) * axis + (slice(-1, None),)]], axis)
    return even, odd


def _wider(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type that holds the sum of eight voxels."""
    if dtype.kind == "f":
        return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    return np.dtype(_WIDER.get(dtype.str[1:], "f8"))


def update_pyramid(arrays: Sequence[Any], region: Region, label: bool) -> None:
    """Recompute exactly the coarser voxels that level-0 voxels of `region` are part of.

    Not safe beside another writer whose region shares a coarse chunk: run it in one thread per store.

    Parameters
    ----------
    arrays : sequence of arrays (z, y, x)
        Every level, finest first; read and written by slicing.
    region : Region
        The changed voxels of ``arrays[0]``.
    label : bool
        As in `downsample`.
    """
    for fine, coarse in pairwise(arrays):
        factors = factors_between(fine.shape, coarse.shape)
        region = coarser_region(region, factors)
        for piece in region.pieces((PIECE, PIECE, PIECE)):
            write_coarser(fine, coarse, piece, label)


def coarser_region(region: Region, factors: Sequence[int]) -> Region:
    """Return the voxels of the next level that `region` is part of."""
    start = as_shape([low // f for low, f in zip(region.start, factors, strict=True)])
    stop = as_shape([-(-high // f) for high, f in zip(region.stop, factors, strict=True)])
    return Region(start, stop)


def write_coarser(fine: Any, coarse: Any, region: Region, label: bool) -> None:
    """Compute `region` of the level `coarse` from the next finer level."""
    factors = factors_between(fine.shape, coarse.shape)
    start = as_shape([low * f for low, f in zip(region.start, factors, strict=True)])
    stop = as_shape([min(high * f, n) for high, f, n in zip(region.stop, factors, fine.shape, strict=True)])
    coarse[region.slices] = downsample(np.asarray(fine[Region(start, stop).slices]), factors, label)
