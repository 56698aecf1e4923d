"""The context that has been computed, by place: each is computed once, and forgotten when memory is short."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference.memory import memory_at_hand
from napari_vesselkd.models.streaming import Strides

CUBE_VOXELS = 64  # side of a cube, at least
MOST_BYTES = 1 << 30
MEMORY_SHARE = 0.1
Floats = npt.NDArray[np.float32]
Index = tuple[int, int, int]


class ContextStore:
    """Context of a volume in cubes, the least recently used forgotten first.

    Parameters
    ----------
    extended : tuple of int
        Shape of the context of the whole extended volume, (z, y, x) cells of context.
    cube : tuple of int
        Shape of a cube, (z, y, x) cells of context.
    limit : int
        Bytes to keep.
    """

    def __init__(self, extended: Shape, cube: Shape, limit: int) -> None:
        self.whole = Region.whole(extended)
        self.cube = cube
        self.limit = limit
        self.bytes = 0
        self._cubes: OrderedDict[Index, Floats] = OrderedDict()
        self._promised: set[Index] = set()

    def claim(self, window: Region, largest: Shape, *, again: bool = False) -> list[Region]:
        """Return boxes that cover what is missing of `window` and was not claimed before (or is, `again`).

        They are made of whole cubes and no larger than `largest` (cells of context) where that is a cube at
        least; whoever claims them adds them.
        """
        cubes = self._touched(window)
        missing = np.zeros(cubes.shape, bool)
        for index in np.ndindex(cubes.shape):
            place = _plus(index, cubes.start)
            missing[index] = place not in self._cubes and (again or place not in self._promised)
        most = as_shape([max(1, side // c) for side, c in zip(largest, self.cube, strict=True)])
        boxes = [box.shifted(cubes.start) for box in boxes_of(missing, most)]
        for box in boxes:
            self._promised.update(_plus(index, box.start) for index in np.ndindex(box.shape))
        return [self._cells(box) for box in boxes]

    def add(self, place: Region, context: Floats) -> None:
        """Keep the context (C, z, y, x) of `place`, a box of whole cubes."""
        for index in np.ndindex(self._touched(place).shape):
            cube = _plus(index, self._touched(place).start)
            box = self._cells(Region(cube, _plus(cube, (1, 1, 1)))).relative_to(place.start)
            self._promised.discard(cube)
            if cube not in self._cubes:
                self._cubes[cube] = context[(slice(None), *box.slices)].copy()
                self.bytes += self._cubes[cube].nbytes

    def window(self, window: Region) -> Floats | None:
        """Return the context (C, z, y, x) of `window`, or None where some of it is missing."""
        cubes = self._touched(window)
        places = [_plus(index, cubes.start) for index in np.ndindex(cubes.shape)]
        if any(place not in self._cubes for place in places):
            return None
        result = np.empty((len(self._cubes[places[0]]), *window.shape), np.float32)
        for place in places:
            self._cubes.move_to_end(place)
            cells = self._cells(Region(place, _plus(place, (1, 1, 1))))
            common = cells.intersection(window)
            if common is not None:
                part = self._cubes[place][(slice(None), *common.relative_to(cells.start).slices)]
                result[(slice(None), *common.relative_to(window.start).slices)] = part
        self._forget(keep=len(places))
        return result

    def unclaim(self, place: Region) -> None:
        """Say that a claimed box will not be added."""
        cubes = self._touched(place)
        self._promised.difference_update(_plus(index, cubes.start) for index in np.ndindex(cubes.shape))

    def _forget(self, keep: int) -> None:
        while self.bytes > self.limit and len(self._cubes) > keep:
            self.bytes -= self._cubes.popitem(last=False)[1].nbytes

    def _touched(self, window: Region) -> Region:
        """Return the cubes that `window` touches, as a box of cube indices."""
        start = [low // side for low, side in zip(window.start, self.cube, strict=True)]
        stop = [-(-high // side) for high, side in zip(window.stop, self.cube, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def _cells(self, cubes: Region) -> Region:
        """Return the cells of context of a box of cubes, inside the volume."""
        start = [low * side for low, side in zip(cubes.start, self.cube, strict=True)]
        stop = [
            min(high * side, end)
            for high, side, end in zip(cubes.stop, self.cube, self.whole.stop, strict=True)
        ]
        return Region(as_shape(start), as_shape(stop))


def context_store(extended: Shape, strides: Strides) -> ContextStore:
    """Return an empty store for a volume of `extended` voxels, with a share of the memory at hand."""
    cells = as_shape([side // c for side, c in zip(extended, strides.context, strict=True)])
    cube = as_shape(
        [-(-CUBE_VOXELS // step) * step // c for step, c in zip(strides.total, strides.context, strict=True)]
    )
    limit = min(MOST_BYTES, int(memory_at_hand("cpu") * MEMORY_SHARE))
    return ContextStore(cells, cube, limit)


def boxes_of(mask: npt.NDArray[np.bool_], largest: Shape) -> Iterator[Region]:
    """Cover the true elements of `mask` (z, y, x) with disjoint boxes of at most `largest`, greedily."""
    left = mask.copy()
    for index in np.ndindex(mask.shape):
        if not left[index]:
            continue
        stop = [i + 1 for i in index]
        for axis in (2, 1, 0):
            while stop[axis] < min(mask.shape[axis], index[axis] + largest[axis]):
                grown = [slice(low, high) for low, high in zip(index, stop, strict=True)]
                grown[axis] = slice(stop[axis], stop[axis] + 1)
                if not left[tuple(grown)].all():
                    break
                stop[axis] += 1
        box = Region(as_shape(index), as_shape(stop))
        left[box.slices] = False
        yield box


def _plus(index: tuple[int, ...], origin: Shape) -> Index:
    z, y, x = (i + low for i, low in zip(index, origin, strict=True))
    return z, y, x
