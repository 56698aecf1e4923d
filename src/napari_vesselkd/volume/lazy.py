"""Lazy arrays: anything that is read by slicing, and the thin view that brings its axes to (z, y, x).

Notation: t time, c channel, s samples of one pixel (red, green, blue), z y x space. A view reads exactly the
part of its base that an index asks for; it keeps nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import AXES, Shape, as_shape

Key = int | slice


@runtime_checkable
class LazyArray(Protocol):
    """What `Volume.levels` holds: zarr arrays, or views that read on indexing. (z, y, x)."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class AxisView:
    """A (z, y, x) view of an array with other axes, read on indexing.

    Parameters
    ----------
    base : array-like
        Anything with ``shape``, ``dtype`` and basic slicing; one dimension per letter of `axes`.
    axes : str
        The base's axes, for example ``"tczyx"`` or ``"xyz"``; a missing z means one slice.
    fixed : mapping of str to int, optional
        The index taken along every axis that is not z, y or x; 0 where it is not given.
    """

    def __init__(self, base: Any, axes: str, fixed: Mapping[str, int] | None = None) -> None:
        self.base = base
        self.axes = axes
        self.fixed = dict(fixed or {})
        self.dtype: np.dtype[Any] = np.dtype(base.dtype)
        self.shape: Shape = as_shape([self.length(axis) for axis in AXES])

    ndim = 3

    def length(self, axis: str) -> int:
        """Voxels along `axis`; 1 where the base does not have it."""
        return int(self.base.shape[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def size(self) -> int:
        z, y, x = self.shape
        return z * y * x

    @property
    def chunks(self) -> Shape:
        """What one read of the base decodes at least, (z, y, x)."""
        return axis_chunks(self.base, self.axes)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<AxisView {self.shape} {self.dtype} of {self.axes} {type(self.base).__name__}>"

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read with basic indexing (whole numbers, slices, Ellipsis) along z, y, x."""
        keys = full_index(index, self.ndim)
        reads = [_forward(key, size) for key, size in zip(keys, self.shape, strict=True)]
        wanted = dict(zip(AXES, reads, strict=True))
        block = np.asarray(self.base[tuple(wanted.get(axis, self.fixed.get(axis, 0)) for axis in self.axes)])
        present = [axis for axis in self.axes if axis in AXES]
        block = block.transpose([present.index(axis) for axis in AXES if axis in present])
        for position, axis in enumerate(AXES):
            if axis not in present:
                block = np.expand_dims(block, position)[(slice(None),) * position + (reads[position],)]
        return block[tuple(_afterwards(key) for key in keys)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read everything: only for volumes known to be small."""
        return np.asarray(self[...], dtype=dtype)


def full_index(index: Any, ndim: int) -> list[Key]:
    """Return `index` as one whole number or slice per axis.

    Raises
    ------
    IndexError
        If it has too many entries, or one that is neither.
    """
    entries = list(index) if isinstance(index, tuple) else [index]
    if sum(entry is Ellipsis for entry in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    at = next((i for i, entry in enumerate(entries) if entry is Ellipsis), len(entries))
    before, after = entries[:at], entries[at + 1 :]
    missing = ndim - len(before) - len(after)
    if missing < 0:
        raise IndexError(
            f"too many indices: the array has {ndim} axes, {len(before) + len(after)} were given"
        )
    return [_key(entry) for entry in (*before, *[slice(None)] * missing, *after)]


def axis_chunks(array: Any, axes: str) -> Shape:
    """Return the storage chunk of `array` in (z, y, x): what one read of the source decodes at least.

    Where the source says nothing, one slice: that is how files without chunks are laid out.
    """
    chunks = _declared_chunks(array)
    if chunks is None:
        sizes = {axis: int(array.shape[axes.index(axis)]) for axis in AXES if axis in axes}
        return (1, sizes["y"], sizes["x"])
    return as_shape([chunks[axes.index(axis)] if axis in axes else 1 for axis in AXES])


def _declared_chunks(array: Any) -> Sequence[int] | None:
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if chunks is None or any(not isinstance(size, int | np.integer) for size in chunks):
        return None
    return [min(int(size), max(int(length), 1)) for size, length in zip(chunks, array.shape, strict=True)]


def _key(entry: Any) -> Key:
    if isinstance(entry, slice):
        return entry
    try:
        return operator.index(entry)
    except TypeError:
        raise IndexError(
            f"only whole numbers, slices and '...' are valid indices, not {type(entry).__name__}"
        ) from None


def _forward(key: Key, size: int) -> slice:
    """Return the slice with a positive step that reads the voxels of `key`."""
    if isinstance(key, int):
        if not -size <= key < size:
            raise IndexError(f"index {key} is out of bounds for an axis of {size}")
        return slice(key % size, key % size + 1, 1)
    steps = range(*key.indices(size))
    if len(steps) == 0:
        return slice(0, 0, 1)
    low, high = min(steps[0], steps[-1]), max(steps[0], steps[-1])
    return slice(low, high + 1, abs(steps.step))


def _afterwards(key: Key) -> Key:
    if isinstance(key, int):
        return 0
    return slice(None, None, -1) if (key.step or 1) < 0 else slice(None)
