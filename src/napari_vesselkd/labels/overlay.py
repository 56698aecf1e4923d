"""A label image of any size that can be painted on at the speed of a brush.

Notation: z, y, x axes; voxels are bytes. napari asks a Labels layer's data for its type by `data[0]` at every
stamp, which of a stored array decodes a whole plane; reads and writes here touch the chunks under the brush
only. Chunks are kept decoded, bounded in bytes; what is painted stays until `take` hands it to the one who
writes it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels.changes import changed_box

CHUNK = 64
BUDGET_BYTES = 256 * 2**20
Voxels = npt.NDArray[np.uint8]
Read = Callable[[Region], Voxels]


@dataclass(frozen=True, eq=False)
class Painted:
    """What was painted inside one chunk: a box of the volume, its voxels before and after, (z, y, x)."""

    box: Region
    before: Voxels
    after: Voxels


@dataclass(frozen=True)
class Row:
    """One index of the first axis, read when somebody looks at its voxels: what napari asks a type of."""

    overlay: Overlay
    index: int

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return self.overlay.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.overlay.shape[1:]

    @property
    def ndim(self) -> int:
        return self.overlay.ndim - 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = (slice(None),) * self.ndim
        return np.asarray(self.overlay[(self.index, *whole)], dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.overlay[(self.index, *(index if isinstance(index, tuple) else (index,)))]


class Overlay:
    """An array of bytes over a stored one, with a cache of chunks and what was painted; threads take turns.

    Parameters
    ----------
    read : callable
        Returns the stored voxels (z, y, x) of a region.
    shape : tuple of int
        (z, y, x).
    filled : iterable of Region, optional
        Outside these nothing is stored yet, and nothing is read.
    flat : bool
        Show the only slice of a volume of one slice as (y, x).
    budget : int
        Bytes of chunks to keep that are stored already; an empty one costs nothing.
    """

    def __init__(
        self,
        read: Read,
        shape: Shape,
        *,
        filled: Iterable[Region] | None = None,
        flat: bool = False,
        budget: int = BUDGET_BYTES,
    ) -> None:
        self._stored, self._volume, self._flat, self._budget = read, shape, flat, budget
        whole = Region.whole(shape)
        self._filled = {key for box in ([whole] if filled is None else filled) for key, _ in _touched(box)}
        self._chunks: OrderedDict[Shape, Voxels | None] = OrderedDict()
        self._before: dict[Shape, Voxels] = {}
        self._turn = threading.RLock()
        self.shape: tuple[int, ...] = shape[1:] if flat else shape
        self.ndim = len(self.shape)
        self.dtype: np.dtype[np.uint8] = np.dtype(np.uint8)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size

    @property
    def dirty(self) -> bool:
        """Whether something was painted since `take`."""
        return bool(self._before)

    @property
    def held(self) -> int:
        """Bytes of chunks held decoded."""
        with self._turn:
            return CHUNK**3 * (sum(one is not None for one in self._chunks.values()) + len(self._before))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Return a copy of the voxels at `index`; of a single number a `Row`, which reads later."""
        if np.ndim(index) == 0 and isinstance(index, (int, np.integer)):
            return Row(self, range(self.shape[0])[int(index)])
        box, inside = self._located(index)
        return self.read(box)[inside]

    def __setitem__(self, index: Any, values: Any) -> None:
        """Paint: `take` gives what changed."""
        box, inside = self._located(index)
        with self._turn:
            voxels = self.read(box)
            voxels[inside] = np.asarray(values).astype(np.uint8)
            for key, common in _touched(box):
                self._paint(key, common, voxels[common.relative_to(box.start).slices])

    def read(self, box: Region) -> Voxels:
        """Return a copy of the voxels of a box of the volume, (z, y, x)."""
        voxels = np.zeros(box.shape, np.uint8)
        with self._turn:
            for key, common in _touched(box):
                chunk = self._chunk(key)
                if chunk is not None:
                    inside = common.relative_to(self._box(key).start).slices
                    voxels[common.relative_to(box.start).slices] = chunk[inside]
        return voxels

    def take(self) -> list[Painted]:
        """Return what was painted since the last call, chunk by chunk; the caller writes it."""
        found = []
        with self._turn:
            for key, before in self._before.items():
                after = self._chunks[key]
                after = np.zeros_like(before) if after is None else after
                box = changed_box(before, after)
                if box is not None:
                    old, new = before[box.slices].copy(), after[box.slices].copy()
                    found.append(Painted(box.shifted(self._box(key).start), old, new))
            self._before.clear()
            self._shrink()
        return found

    def changed(self, region: Region) -> bool:
        """Read again what is held of a region: the store was written; return whether anything differs.

        What is painted and not taken yet stays.
        """
        differs = False
        with self._turn:
            touched = [key for key, _ in _touched(region)]
            self._filled.update(touched)
            for key in [key for key in touched if key in self._chunks and key not in self._before]:
                old, new = self._chunks[key], self._from_store(key)
                differs |= not _same(old, new)
                self._chunks[key] = new
        return differs

    def _paint(self, key: Shape, common: Region, values: Voxels) -> None:
        chunk = self._chunk(key)
        inside = common.relative_to(self._box(key).start).slices
        if chunk is None:
            if not values.any():
                return
            chunk = self._chunks[key] = np.zeros(self._box(key).shape, np.uint8)
        self._filled.add(key)
        if key not in self._before:
            self._before[key] = chunk.copy()
        chunk[inside] = values

    def _chunk(self, key: Shape) -> Voxels | None:
        """Return a chunk, None where it is empty."""
        if key in self._chunks:
            self._chunks.move_to_end(key)
            return self._chunks[key]
        chunk = self._chunks[key] = self._from_store(key)
        self._shrink()
        return chunk

    def _from_store(self, key: Shape) -> Voxels | None:
        if key not in self._filled:
            return None
        chunk = np.array(self._stored(self._box(key)), np.uint8)
        return chunk if chunk.any() else None

    def _shrink(self) -> None:
        """Let go of the longest unused chunks that are stored."""
        excess = sum(one is not None for one in self._chunks.values()) - self._budget // CHUNK**3
        for key in list(self._chunks) if excess > 0 else []:
            if excess > 0 and key not in self._before and self._chunks[key] is not None:
                del self._chunks[key]
                excess -= 1

    def _box(self, key: Shape) -> Region:
        start = as_shape([one * CHUNK for one in key])
        stop = [min(low + CHUNK, size) for low, size in zip(start, self._volume, strict=True)]
        return Region(start, as_shape(stop))

    def _located(self, index: Any) -> tuple[Region, tuple[Any, ...]]:
        """Return the box of the volume that an index of any kind touches, and the index inside it."""
        items = index if isinstance(index, tuple) else (index,)
        if Ellipsis in [one for one in items if not isinstance(one, np.ndarray)]:
            at = [one is Ellipsis for one in items].index(True)
            gap = self.ndim - len(items) + 1
            items = (*items[:at], *(slice(None),) * gap, *items[at + 1 :])
        items = (*items, *(slice(None),) * (self.ndim - len(items)))
        items = (0, *items) if self._flat else items
        found = [_bounds(one, size) for one, size in zip(items, self._volume, strict=True)]
        box = Region(as_shape([low for low, _, _ in found]), as_shape([high for _, high, _ in found]))
        return box, tuple(inside for _, _, inside in found)


def _same(one: Voxels | None, other: Voxels | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _touched(box: Region) -> Iterator[tuple[Shape, Region]]:
    """Yield the key of each chunk that a box touches, and their common box."""
    if not box.size:
        return
    for piece in box.aligned((CHUNK,) * 3).pieces((CHUNK,) * 3):
        common = piece.intersection(box)
        if common is not None:
            yield as_shape([low // CHUNK for low in piece.start]), common


def _bounds(item: Any, size: int) -> tuple[int, int, Any]:
    """Return the bounds of what an index picks of an axis, and the index inside them; IndexError outside."""
    if isinstance(item, slice):
        picked = range(size)[item]
        if not len(picked):
            return 0, 0, slice(0, 0)
        low, high = min(picked[0], picked[-1]), max(picked[0], picked[-1]) + 1
        if picked.step > 0:
            return low, high, slice(0, None, picked.step)
        return low, high, slice(None, None, picked.step)
    if np.ndim(item) == 0:
        at = range(size)[int(item)]
        return at, at + 1, 0
    places = np.asarray(item)
    if places.dtype == bool:
        places = np.flatnonzero(places)
    places = np.where(places < 0, places + size, places)
    if not places.size:
        return 0, 0, places.astype(int)
    low, high = int(places.min()), int(places.max()) + 1
    if low < 0 or high > size:
        raise IndexError(f"an index is outside an axis of {size} voxels")
    return low, high, places - low
