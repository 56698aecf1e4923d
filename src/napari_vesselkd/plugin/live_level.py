"""One level of a label image that is being written, decoded once and shown many times.

Notation: arrays are (z, y, x). napari slices its layers in the GUI thread. Sliced from zarr, a plane of a
label image under prediction would decode every chunk it crosses at each refresh (tens of ms). A `LiveLevel`
keeps the decoded chunks, bounded in bytes; the worker tells it which region changed and decodes those chunks
again in the worker thread, so that the GUI thread only copies.
"""

import itertools
import math
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape

BUDGET_BYTES = 256 * 2**20
MAX_CHUNKS = 50_000


class LiveLevel:
    """A (z, y, x) array that reads `array` chunk by chunk and remembers the chunks.

    Parameters
    ----------
    array : zarr array or any lazy array with ``shape``, ``dtype`` and ``chunks``
        The stored level, (z, y, x).
    budget : int
        Bytes of decoded chunks to keep; the longest unused go first. An all-zero chunk costs nothing.
    """

    ndim = 3

    def __init__(self, array: Any, *, budget: int = BUDGET_BYTES) -> None:
        self._array = array
        self._budget = budget
        self._chunks: OrderedDict[Shape, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._epoch = 0
        self._bytes = 0
        self.shape: Shape = as_shape(array.shape)
        self.dtype = np.dtype(array.dtype)
        self.chunks: Shape = as_shape(array.chunks)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return int(self.size * self.dtype.itemsize)

    @property
    def cached_bytes(self) -> int:
        """Bytes of decoded chunks held now."""
        return self._bytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :, :], dtype=dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        bounds, drop = self._bounds(index)
        if bounds is None:
            return np.asarray(self._array[index])
        region = Region(as_shape([b.start for b in bounds]), as_shape([b.stop for b in bounds]))
        block = self._assemble(region)
        steps = tuple(0 if gone else slice(None, None, b.step) for b, gone in zip(bounds, drop, strict=True))
        return np.asarray(block[steps])

    def __setitem__(self, index: Any, value: Any) -> None:
        raise InvalidInputError(
            "A prediction cannot be painted on", remedy="Duplicate the layer and convert it to edit a copy"
        )

    def changed(self, region: Region) -> None:
        """Forget what `region` (voxels of this level) touches; decode again, here, what had been shown."""
        touched = [key for key in self._keys(region) if key in self._chunks]
        with self._lock:
            self._epoch += 1
            for key in touched:
                self._drop(key)
        for key in touched:
            self._chunk(key)

    def _bounds(self, index: Any) -> tuple[list[slice] | None, list[bool]]:
        """Return one slice per axis and whether the axis is dropped; None for indices that are not basic."""
        items = index if isinstance(index, tuple) else (index,)
        if Ellipsis in [item for item in items if not isinstance(item, np.ndarray)]:
            at = items.index(Ellipsis)
            items = (*items[:at], *[slice(None)] * (3 - len(items) + 1), *items[at + 1 :])
        items = (*items, *[slice(None)] * (3 - len(items)))
        bounds, drop = [], []
        for item, size in zip(items, self.shape, strict=True):
            if isinstance(item, slice):
                start, stop, step = item.indices(size)
                if step < 1:
                    return None, []
                bounds.append(slice(start, max(start, stop), step))
                drop.append(False)
            elif np.ndim(item) == 0 and not isinstance(item, (bool, np.bool_)):
                at = int(item) + (size if item < 0 else 0)
                if not 0 <= at < size:
                    raise IndexError(f"index {item} is outside an axis of {size} voxels")
                bounds.append(slice(at, at + 1, 1))
                drop.append(True)
            else:
                return None, []
        return bounds, drop

    def _keys(self, region: Region) -> list[Shape]:
        ranges = [
            range(low // chunk, -(-high // chunk))
            for low, high, chunk in zip(region.start, region.stop, self.chunks, strict=True)
        ]
        return [as_shape(key) for key in itertools.product(*ranges)]

    def _assemble(self, region: Region) -> np.ndarray:
        out = np.zeros(region.shape, self.dtype)
        for key in self._keys(region):
            box = self._box(key)
            common = box.intersection(region)
            if common is None:
                continue
            chunk = self._chunk(key)
            if chunk.strides != (0, 0, 0):
                out[common.relative_to(region.start).slices] = chunk[common.relative_to(box.start).slices]
        return out

    def _box(self, key: Shape) -> Region:
        start = [k * c for k, c in zip(key, self.chunks, strict=True)]
        stop = [min(s + c, size) for s, c, size in zip(start, self.chunks, self.shape, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def _chunk(self, key: Shape) -> np.ndarray:
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
                return self._chunks[key]
            epoch = self._epoch
        box = self._box(key)
        chunk = np.asarray(self._array[box.slices])
        if not chunk.any():
            chunk = np.broadcast_to(np.zeros((), self.dtype), box.shape)
        with self._lock:
            if epoch == self._epoch:
                self._drop(key)
                self._chunks[key] = chunk
                self._bytes += _cost(chunk)
                self._shrink()
        return chunk

    def _drop(self, key: Shape) -> None:
        if key in self._chunks:
            self._bytes -= _cost(self._chunks.pop(key))

    def _shrink(self) -> None:
        while len(self._chunks) > 1 and (self._bytes > self._budget or len(self._chunks) > MAX_CHUNKS):
            _, oldest = self._chunks.popitem(last=False)
            self._bytes -= _cost(oldest)


def _cost(chunk: np.ndarray) -> int:
    return 0 if chunk.strides == (0, 0, 0) else chunk.nbytes


class FlatView:
    """The only slice of a (1, y, x) array, as (y, x): what a 2D layer shows.

    Parameters
    ----------
    array : LiveLevel or any array of shape (1, y, x) with ``chunks``
    """

    ndim = 2

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, int] = (int(array.shape[1]), int(array.shape[2]))
        self.dtype = np.dtype(array.dtype)
        self.chunks: tuple[int, int] = (int(array.chunks[1]), int(array.chunks[2]))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return int(self.size * self.dtype.itemsize)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype=dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        items = index if isinstance(index, tuple) else (index,)
        return np.asarray(self._array[(0, *items)])
