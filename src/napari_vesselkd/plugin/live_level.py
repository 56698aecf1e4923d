"""One level of a stored image, decoded once and shown many times.

Notation: arrays are (z, y, x). napari slices its layers in the GUI thread, several times when a layer
is added and again at every refresh; sliced from zarr, each time every chunk that the plane crosses would be
decoded. A `LiveLevel` keeps the decoded chunks, bounded in bytes. Of a label image that is being written, the
worker tells it which region changed and decodes those chunks
again in the worker thread, so that the GUI thread only copies.
"""

import itertools
import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape

BUDGET_BYTES = 256 * 2**20
MAX_CHUNKS = 50_000
LARGEST_VIEW = 32 * 2**20
REMEMBERED_CHANGES = 64


class LiveLevel:
    """A (z, y, x) array that reads `array` chunk by chunk and remembers the chunks.

    Parameters
    ----------
    array : zarr array or any lazy array with ``shape`` and ``dtype``
        The stored level, (z, y, x).
    chunks : (z, y, x), optional
        What one read decodes at least; the array's own by default.
    budget : int
        Bytes of decoded chunks to keep; the longest unused go first. An all-zero chunk costs nothing.
    """

    ndim = 3

    def __init__(self, array: Any, *, chunks: Shape | None = None, budget: int = BUDGET_BYTES) -> None:
        self._array = array
        self._budget = budget
        self._chunks: OrderedDict[Shape, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._epoch = 0
        self._log: deque[tuple[int, Region]] = deque(maxlen=REMEMBERED_CHANGES)
        self._bytes = 0
        self._view: tuple[Region, np.ndarray] | None = None
        self.shape: Shape = as_shape(array.shape)
        self.dtype = np.dtype(array.dtype)
        self.chunks: Shape = as_shape(chunks or array.chunks)

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
        return np.asarray(self.read(Region.whole(self.shape)), dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        """Return an array, or for a box of several slices a `Crop`, which reads when it is looked at."""
        found = basic_index(index, self.shape)
        if found is None:
            return np.asarray(self._array[index])
        region, steps = found
        if region.shape[0] > 1 and all(step == slice(None) for step in steps):
            return Crop(self, region)
        return self.read(region)[steps]

    def read(self, region: Region) -> np.ndarray:
        """Return the voxels of `region`, (z, y, x); what was asked for last is at hand."""
        view = self._view
        if view is not None and view[0] == region:
            return view[1]
        while True:
            epoch = self._epoch
            block = self._assemble(region)
            with self._lock:
                if not self._changed_since(epoch, region):
                    self._view = (region, block) if block.nbytes <= LARGEST_VIEW else None
                    return block

    def __setitem__(self, index: Any, value: Any) -> None:
        raise InvalidInputError(
            "A prediction cannot be painted on", remedy="Duplicate the layer and convert it to edit a copy"
        )

    def changed(self, region: Region) -> None:
        """Forget what `region` (voxels of this level) touches; decode again, here, what had been shown."""
        touched = [key for key in self._keys(region) if key in self._chunks]
        with self._lock:
            self._epoch += 1
            self._log.append((self._epoch, region))
            for key in touched:
                self._drop(key)
        for key in touched:
            self._read(key, key)
        self._change_view(region)

    def _keys(self, region: Region) -> list[Shape]:
        ranges = [
            range(low // chunk, -(-high // chunk))
            for low, high, chunk in zip(region.start, region.stop, self.chunks, strict=True)
        ]
        return [as_shape(key) for key in itertools.product(*ranges)]

    def _changed_since(self, epoch: int, region: Region) -> bool:
        """Whether `region` may have changed after `epoch`; ask with the lock held."""
        if self._epoch - epoch > REMEMBERED_CHANGES:
            return True
        return any(at > epoch and box.intersection(region) is not None for at, box in self._log)

    def _change_view(self, region: Region) -> None:
        """Put the changed `region` into what was asked for last: here, so that the viewer need not."""
        view = self._view
        common = view[0].intersection(region) if view is not None else None
        if view is None or common is None:
            return
        block = view[1].copy()
        block[common.relative_to(view[0].start).slices] = self._assemble(common)
        with self._lock:
            self._view = (view[0], block) if self._view is view else None

    def _assemble(self, region: Region) -> np.ndarray:
        out = np.zeros(region.shape, self.dtype)
        for row in self._rows(region):
            for key, chunk in self._row(row):
                box = self._box(key)
                common = box.intersection(region)
                if common is not None and chunk.strides != (0, 0, 0):
                    inside = common.relative_to(box.start).slices
                    out[common.relative_to(region.start).slices] = chunk[inside]
        return out

    def _rows(self, region: Region) -> Iterator[list[Shape]]:
        """Yield the chunks that `region` touches, one row along x after the other."""
        for _, row in itertools.groupby(self._keys(region), key=lambda key: key[:2]):
            yield list(row)

    def _row(self, keys: list[Shape]) -> Iterator[tuple[Shape, np.ndarray]]:
        """Yield the chunks of one row; the missing ones are read in one go, zarr decodes them in parallel."""
        with self._lock:
            held = {key: self._chunks[key] for key in keys if key in self._chunks}
            for key in held:
                self._chunks.move_to_end(key)
        missing = [key for key in keys if key not in held]
        if missing:
            held.update(self._read(missing[0], missing[-1]))
        yield from held.items()

    def _box(self, key: Shape) -> Region:
        start = [k * c for k, c in zip(key, self.chunks, strict=True)]
        stop = [min(s + c, size) for s, c, size in zip(start, self.chunks, self.shape, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def _read(self, first: Shape, last: Shape) -> dict[Shape, np.ndarray]:
        """Read and keep the chunks `first` to `last` of one row."""
        epoch = self._epoch
        origin = self._box(first).start
        block = np.asarray(self._array[Region(origin, self._box(last).stop).slices])
        found = {}
        for x in range(first[2], last[2] + 1):
            key = (*first[:2], x)
            box = self._box(key)
            chunk = block[box.relative_to(origin).slices]
            empty = not chunk.any()
            found[key] = np.broadcast_to(np.zeros((), self.dtype), box.shape) if empty else chunk.copy()
        with self._lock:
            for key, chunk in found.items():
                if not self._changed_since(epoch, self._box(key)):
                    self._drop(key)
                    self._chunks[key] = chunk
                    self._bytes += _cost(chunk)
            self._shrink()
        return found

    def _drop(self, key: Shape) -> None:
        if key in self._chunks:
            self._bytes -= _cost(self._chunks.pop(key))

    def _shrink(self) -> None:
        while len(self._chunks) > 1 and (self._bytes > self._budget or len(self._chunks) > MAX_CHUNKS):
            _, oldest = self._chunks.popitem(last=False)
            self._bytes -= _cost(oldest)


def _cost(chunk: np.ndarray) -> int:
    return 0 if chunk.strides == (0, 0, 0) else chunk.nbytes


class Crop:
    """A box of a `LiveLevel`, read when it is looked at, (z, y, x).

    napari first crops a multiscale level to what is on screen, with all its slices, and then takes one slice
    of that; read at once, this would be the whole depth of the volume at every move of the view.
    """

    ndim = 3

    def __init__(self, level: LiveLevel, region: Region) -> None:
        self._level = level
        self._region = region
        self.shape = region.shape
        self.dtype = level.dtype

    @property
    def size(self) -> int:
        return self._region.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._level.read(self._region), dtype=dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        found = basic_index(index, self.shape)
        if found is None:
            return np.asarray(np.asarray(self)[index])
        region, steps = found
        return np.asarray(self._level.read(region.shifted(self._region.start))[steps])


def basic_index(index: Any, shape: Shape) -> tuple[Region, tuple[Any, ...]] | None:
    """Split a basic index into the region to read and the index to apply to it.

    Returns
    -------
    tuple or None
        None for what is not whole numbers, slices with positive steps and Ellipsis.

    Raises
    ------
    IndexError
        If a number is outside its axis.
    """
    items = index if isinstance(index, tuple) else (index,)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), None)
    if at is not None:
        items = (*items[:at], *[slice(None)] * (4 - len(items)), *items[at + 1 :])
    items = (*items, *[slice(None)] * (3 - len(items)))
    starts: list[int] = []
    stops: list[int] = []
    steps: list[Any] = []
    for item, size in zip(items, shape, strict=True):
        if isinstance(item, slice):
            start, stop, step = item.indices(size)
            if step < 1:
                return None
            starts.append(start)
            stops.append(max(start, stop))
            steps.append(slice(None) if step == 1 else slice(None, None, step))
        elif np.ndim(item) == 0 and not isinstance(item, (bool, np.bool_)):
            place = int(item) + (size if item < 0 else 0)
            if not 0 <= place < size:
                raise IndexError(f"index {item} is outside an axis of {size} voxels")
            starts.append(place)
            stops.append(place + 1)
            steps.append(0)
        else:
            return None
    return Region(as_shape(starts), as_shape(stops)), tuple(steps)


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
