"""The projection of one piece of a slab, and how pieces that lie behind each other become one.

Notation: a block is (z, y, x); its partial is (rows, columns), the two axes that stay in their order. A depth
is the index along the projected axis of the voxel that made the pixel, the first one where several did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

How = Literal["max", "min", "mean"]
JOINED_VOXELS = 2**23  # so long as a block and its depths fit 32 MB
HOWS: tuple[How, ...] = ("max", "min", "mean")


@dataclass(frozen=True, eq=False)
class Partial:
    """A projected block.

    Attributes
    ----------
    values : ndarray (rows, columns)
        Of the block's type; for a mean the float64 sum.
    depth : ndarray (rows, columns) int32, or None
        Index within the block; none for a mean.
    """

    values: npt.NDArray[Any]
    depth: npt.NDArray[np.int32] | None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.depth is None else self.depth.nbytes)

    def __getitem__(self, part: tuple[slice, slice]) -> Partial:
        return Partial(self.values[part], None if self.depth is None else self.depth[part])


def empty(shape: tuple[int, int], dtype: np.dtype[Any], how: How) -> Partial:
    """Return the partial of nothing, which every block that is merged into it replaces."""
    if how == "mean":
        return Partial(np.zeros(shape, np.float64), None)
    return Partial(np.zeros(shape, dtype), np.full(shape, -1, np.int32))


def reduced(block: npt.NDArray[Any], at: int, how: How) -> Partial:
    """Return the projection of `block` along axis `at`; NaN voxels are ignored by "max" and "min"."""
    if how == "mean":
        return Partial(np.add.reduce(block, axis=at, dtype=np.float64), None)
    missing = np.isnan(block) if block.dtype.kind == "f" else None
    if missing is not None and missing.any():
        block = np.where(missing, block.dtype.type(-np.inf if how == "max" else np.inf), block)
        values, depth = _extreme(block, at, how)
        values[np.logical_and.reduce(missing, axis=at)] = np.nan
        return Partial(values, depth)
    return Partial(*_extreme(block, at, how))


def merge(result: Partial, piece: Partial, offset: int, how: How) -> None:
    """Put `piece` into `result`, in place; pieces come in the order of their `offset` along the axis."""
    if result.depth is None or piece.depth is None:
        np.add(result.values, piece.values, out=result.values)
        return
    with np.errstate(invalid="ignore"):
        better = piece.values > result.values if how == "max" else piece.values < result.values
    better |= result.depth < 0
    if result.values.dtype.kind == "f":
        better |= np.isnan(result.values) & ~np.isnan(piece.values)
    np.copyto(result.values, piece.values, where=better)
    np.copyto(result.depth, piece.depth + np.int32(offset), where=better)


def _extreme(block: npt.NDArray[Any], at: int, how: How) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Return the extreme values and where they are first.

    numpy's argmax is slow along the axes that are not the last one. Values of up to 16 bits are joined with
    their depth into one number whose maximum gives both; others are compared slice by slice.
    """
    length = block.shape[at]
    if length == 1:
        values = np.take(block, 0, axis=at)
        return values, np.zeros(values.shape, np.int32)
    if (
        block.dtype.kind in "bu"
        and block.dtype.itemsize <= 2
        and block.size <= JOINED_VOXELS
        and length < 2**16
    ):
        return _joined(block, at, how)
    if at == block.ndim - 1:
        depth = (block.argmax if how == "max" else block.argmin)(axis=at)
        values = np.take_along_axis(block, depth[..., None], axis=at)[..., 0]
        return values, depth.astype(np.int32)
    return _compared(np.moveaxis(block, at, 0), how)


def _joined(block: npt.NDArray[Any], at: int, how: How) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    length = block.shape[at]
    order = np.arange(length, dtype=np.uint32)
    order = order[::-1] if how == "max" else order
    joined = block.astype(np.uint32)
    joined <<= np.uint32(16)
    joined |= order.reshape([length if axis == at else 1 for axis in range(block.ndim)])
    best = (np.maximum if how == "max" else np.minimum).reduce(joined, axis=at)
    depth = (best & np.uint32(0xFFFF)).astype(np.int32)
    return (best >> np.uint32(16)).astype(block.dtype), length - 1 - depth if how == "max" else depth


def _compared(layers: npt.NDArray[Any], how: How) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    values = layers[0].copy()
    depth = np.zeros(values.shape, np.int32)
    better = np.empty(values.shape, bool)
    compare = np.greater if how == "max" else np.less
    for index in range(1, len(layers)):
        compare(layers[index], values, out=better)
        np.copyto(depth, np.int32(index), where=better)
        np.copyto(values, layers[index], where=better)
    return values, depth
