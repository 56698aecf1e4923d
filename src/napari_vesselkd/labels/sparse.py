"""Voxels of a region of any size that are 0 until something is painted: memory for what is painted only.

Notation: z, y, x axes; a chunk is a box of CHUNK voxels along each side, counted from the first voxel.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape

CHUNK = 64
AT_HAND = 64  # chunks kept unpacked: 16 MiB
Voxels = npt.NDArray[np.uint8]


class SparseVoxels:
    """An array (z, y, x) of bytes in chunks; those not used lately are packed, empty ones forgotten.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._at_hand: OrderedDict[Shape, Voxels] = OrderedDict()
        self._packed: dict[Shape, bytes] = {}

    def __getitem__(self, slices: tuple[slice, slice, slice]) -> Voxels:
        """Return a copy of a box, (z, y, x); the slices have bounds inside the shape, and no step."""
        box = _box(slices)
        voxels = np.zeros(box.shape, np.uint8)
        for index, common in _touched(box):
            chunk = self._chunk(index)
            if chunk is not None:
                voxels[common.relative_to(box.start).slices] = chunk[_inside(common, index)]
        return voxels

    def __setitem__(self, slices: tuple[slice, slice, slice], values: Any) -> None:
        """Write a box."""
        box = _box(slices)
        whole = np.broadcast_to(np.asarray(values, np.uint8), box.shape)
        for index, common in _touched(box):
            part = whole[common.relative_to(box.start).slices]
            chunk = self._chunk(index)
            if chunk is None:
                if not part.any():
                    continue
                chunk = self._keep(index, np.zeros((CHUNK,) * 3, np.uint8))
            chunk[_inside(common, index)] = part

    def painted(self) -> Iterator[Region]:
        """Yield the box of each chunk that holds something, z, y, x order."""
        whole = Region.whole(self.shape)
        for index in sorted({*self._at_hand, *self._packed}):
            box = _box_of(index).intersection(whole)
            if box is not None and self[box.slices].any():
                yield box

    @property
    def nbytes(self) -> int:
        """Memory in bytes that the voxels take now."""
        return CHUNK**3 * len(self._at_hand) + sum(len(one) for one in self._packed.values())

    def _chunk(self, index: Shape) -> Voxels | None:
        chunk = self._at_hand.get(index)
        if chunk is not None:
            self._at_hand.move_to_end(index)
            return chunk
        data = self._packed.pop(index, None)
        if data is None:
            return None
        found = np.frombuffer(bytearray(zlib.decompress(data)), np.uint8).reshape((CHUNK,) * 3)
        return self._keep(index, found)

    def _keep(self, index: Shape, chunk: Voxels) -> Voxels:
        self._at_hand[index] = chunk
        while len(self._at_hand) > AT_HAND:
            old, voxels = self._at_hand.popitem(last=False)
            if voxels.any():
                self._packed[old] = zlib.compress(voxels.tobytes(), 1)
        return chunk


def _box(slices: tuple[slice, slice, slice]) -> Region:
    return Region(as_shape([one.start for one in slices]), as_shape([one.stop for one in slices]))


def _touched(box: Region) -> Iterator[tuple[Shape, Region]]:
    """Yield the index of each chunk that a box touches, and their common box."""
    for piece in box.aligned((CHUNK,) * 3).pieces((CHUNK,) * 3):
        common = piece.intersection(box)
        if common is not None:
            yield as_shape([low // CHUNK for low in piece.start]), common


def _box_of(index: Shape) -> Region:
    start = as_shape([CHUNK * one for one in index])
    return Region(start, as_shape([low + CHUNK for low in start]))


def _inside(common: Region, index: Shape) -> tuple[slice, slice, slice]:
    return common.relative_to([CHUNK * one for one in index]).slices
