"""Where in the volume a code is: the places that are nearest to it, found with few reads of a large map."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.patterns.cells import CellMap, box_of, centre_of, check_codes
from napari_vesselkd.patterns.place_index import BEST, PlaceIndex
from napari_vesselkd.reports import Result


@dataclass(frozen=True)
class Place:
    """One cell with its code.

    Attributes
    ----------
    cell : (z, y, x)
    code : int
    distance : float
        Of what is there to its code, in units of the codebook's RMS.
    centre : (z, y, x)
        Of the cell, in voxels of the level that was mapped.
    """

    cell: Shape
    code: int
    distance: float
    centre: tuple[float, float, float]


@dataclass(frozen=True)
class Places(Result):
    """The places found so far, in order.

    Attributes
    ----------
    places : tuple of Place
    searched : float
        Share of what is to be searched that is, 0..1.
    final : bool
        Whether nothing better can be found in what is computed.
    """

    places: tuple[Place, ...]
    searched: float
    final: bool


def find_places(
    code_map: CellMap,
    codes: Sequence[int],
    count: int = 60,
    region: Region | None = None,
    near: Sequence[int] | None = None,
) -> Iterator[Places]:
    """Find the places of `codes`, those nearest to their code first.

    The first time on a map, or after more of it was computed, all that is new is read once, with places found
    so far on the way, and an index is kept beside the map. With it the answer for a whole map needs no read
    of the map for up to 64 places of a code; in a region, and for more, only parts that have nearer ones.

    Parameters
    ----------
    code_map : CellMap
    codes : sequence of int
        Code indices, 0..N-1.
    count : int, optional
        How many places at most.
    region : Region, optional
        In cells; the whole map if not given.
    near : (z, y, x), optional
        A cell: then the places are those closest to it in the volume (in um), the closest first.

    Raises
    ------
    InvalidInputError
        If a code is not in the codebook or `count` is not positive.
    RegionError
        If the region is empty or not inside the map.
    """
    chosen = np.asarray(check_codes(code_map, codes), np.uint16)
    box = box_of(code_map, region)
    if count < 1:
        raise InvalidInputError("The number of places is too small", value=count, limit=">= 1")
    return _finding(code_map, _Asked(chosen, count, box, None if near is None else as_shape(near)))


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is looked for."""

    codes: npt.NDArray[np.uint16]
    count: int
    box: Region
    near: Shape | None


def _finding(code_map: CellMap, asked: _Asked) -> Iterator[Places]:
    index = PlaceIndex.of(code_map)
    for progress in index.updating():
        if progress.done < progress.total:
            yield _from_index(index, asked).places(0.9 * progress.done / progress.total, final=False)
    found = _from_index(index, asked)
    waiting = _tiles_to_read(index, asked)
    total = max(1, len(waiting))
    while waiting:
        least, number = heapq.heappop(waiting)
        if found.bound() <= least:
            break
        found.add(index.tiles[number])
        yield found.places(1 - 0.1 * len(waiting) / total, final=False)
    yield found.places(1.0, final=True)


@dataclass(eq=False)
class _Found:
    """The best places so far."""

    code_map: CellMap
    asked: _Asked
    known: dict[Shape, tuple[float, Place]] = field(default_factory=dict)

    def put(self, cells: npt.NDArray[Any], codes: npt.NDArray[Any], distances: npt.NDArray[Any]) -> None:
        """Take in cells (n, 3), their codes and distances (n,); only as many as are asked for stay."""
        keys = distances if self.asked.near is None else _um(self.code_map, cells, self.asked.near)
        best = np.lexsort((*cells.T[::-1], keys))[: self.asked.count]
        for one in best.tolist():
            at = as_shape(cells[one])
            place = Place(at, int(codes[one]), float(distances[one]), centre_of(self.code_map, at))
            self.known[at] = (float(keys[one]), place)
        if len(self.known) > self.asked.count:
            self.known = {place.cell: (key, place) for key, place in self._sorted()}

    def add(self, tile: Region) -> None:
        """Read a part of the map and take in what it has of the codes."""
        part = tile.intersection(self.asked.box)
        if part is None:
            return
        stored = self.code_map.read(part)
        there = np.isin(stored, self.asked.codes + np.uint16(1))
        if there.any():
            distances = self.code_map.read_distance(part)[there]
            self.put(np.argwhere(there) + part.start, stored[there] - 1, distances)

    def bound(self) -> float:
        """Return what a place has to be better than; infinite while there are too few."""
        if len(self.known) < self.asked.count:
            return float("inf")
        return max(key for key, _ in self.known.values())

    def places(self, searched: float, *, final: bool) -> Places:
        return Places(tuple(place for _, place in self._sorted()), searched, final)

    def _sorted(self) -> list[tuple[float, Place]]:
        order = sorted(self.known.values(), key=lambda one: (one[0], one[1].cell))
        return order[: self.asked.count]


def _from_index(index: PlaceIndex, asked: _Asked) -> _Found:
    """Return the places that the index itself knows."""
    found = _Found(index.code_map, asked)
    low, high = asked.box.start, asked.box.stop
    for code in asked.codes.tolist():
        there = np.isfinite(index.distances[code])
        cells, distances = index.cells[code][there], index.distances[code][there]
        inside = np.all((cells >= low) & (cells < high), axis=1)
        found.put(cells[inside], np.full(int(inside.sum()), code), distances[inside])
    return found


def _tiles_to_read(index: PlaceIndex, asked: _Asked) -> list[tuple[float, int]]:
    """Return a heap of tiles that may hold better places, with the best that each can have."""
    hidden = asked.codes[index.totals()[asked.codes] > BEST]
    if not len(hidden):
        return []
    if asked.near is None and asked.box == Region.whole(index.code_map.shape) and asked.count <= BEST:
        return []
    heap = []
    for number, nearest in index.nearest(hidden).items():
        part = index.tiles[number].intersection(asked.box)
        if part is not None:
            least = nearest if asked.near is None else _gap_um(index.code_map, part, asked.near)
            heap.append((least, number))
    heapq.heapify(heap)
    return heap


def _um(code_map: CellMap, cells: npt.NDArray[Any], near: Shape) -> npt.NDArray[np.float64]:
    """Return how far cells (n, 3) are from one, in um between their centres."""
    side = np.multiply(code_map.stride, code_map.voxel_size_um)
    away: npt.NDArray[np.float64] = np.linalg.norm((cells - np.asarray(near)) * side, axis=1)
    return away


def _gap_um(code_map: CellMap, tile: Region, near: Shape) -> float:
    """Return the distance of a cell to the nearest cell of `tile`, in um between their centres."""
    gap = np.maximum(0, np.maximum(np.subtract(tile.start, near), np.subtract(near, tile.stop) + 1))
    return float(np.linalg.norm(gap * np.multiply(code_map.stride, code_map.voxel_size_um)))
