"""Which codes lie in which part of a map and how near: kept beside the map, so that it is read only once.

The map is cut into *tiles*, boxes of some 262 144 cells that no chunk is in two of. Of every tile and code in
it the index knows the number of cells and the smallest distance; and of every code the `BEST` nearest cells
of the whole map. A tile that is not complete is read again once more of the map is computed; what is in it
already never changes.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.cells import CellMap, reads
from napari_vesselkd.reports import Progress

FILE = "places.npz"
VERSION = 1
BEST = 64
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError)

Cells = npt.NDArray[np.int32]
Distances = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TileCodes:
    """What one tile holds: codes that occur, sorted, with their cells and smallest distance, (n,) each."""

    codes: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.int64]
    nearest: Distances
    complete: bool


class PlaceIndex:
    """The index of one map.

    Attributes
    ----------
    tiles : list of Region
        In cells.
    held : dict of int to TileCodes
        By number of the tile; those not read yet are missing.
    cells : ndarray of int32, (N, BEST, 3)
        The nearest cells (z, y, x) of each code, the nearest first.
    distances : ndarray of float32, (N, BEST)
        Theirs; infinite where there is no cell.
    revision : int, str or None
        Of the map, when everything was up to date last.
    """

    def __init__(self, code_map: CellMap) -> None:
        self.code_map = code_map
        self.tiles = reads(code_map, Region.whole(code_map.shape))
        self.held: dict[int, TileCodes] = {}
        self.cells: Cells = np.zeros((code_map.code_count, BEST, 3), np.int32)
        self.distances: Distances = np.full((code_map.code_count, BEST), np.inf, np.float32)
        self.revision: int | str | None = None
        self._now = code_map.revision  # it may take a while to find out

    @classmethod
    def of(cls, code_map: CellMap) -> PlaceIndex:
        """Return the index as far as it was kept; an empty one where there is none of this very map."""
        index = cls(code_map)
        path = code_map.path / FILE
        with suppress(*_BROKEN), path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            index._take(kept)
        return index

    @property
    def current(self) -> bool:
        """Whether nothing had been computed, when this was opened, since it was brought up to date."""
        return self.revision == self._now

    def waiting(self) -> list[int]:
        """Return the tiles that are to be read before it is up to date."""
        if self.current:
            return []
        return [
            number
            for number in range(len(self.tiles))
            if number not in self.held or not self.held[number].complete
        ]

    def updating(self) -> Iterator[Progress]:
        """Read what is missing, a `Progress` per tile; what was read is kept also where this is closed."""
        numbers = self.waiting()
        started = time.perf_counter()
        if self.current:
            return
        try:
            for done, number in enumerate(numbers, start=1):
                self._read(number)
                yield Progress(done, len(numbers), "parts of the map", time.perf_counter() - started)
            self.revision = self._now
        finally:
            self.save()

    def save(self) -> None:
        """Keep it beside the map; where the folder cannot be written, it is made again the next time."""
        path = self.code_map.path / FILE
        aside = path.with_name(f".{FILE}.{os.getpid()}.part")
        try:
            with aside.open("wb") as file:
                np.savez(file, allow_pickle=False, **self._arrays())
            aside.replace(path)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def totals(self) -> npt.NDArray[np.int64]:
        """Return how many cells each code has in the tiles that were read, (N,)."""
        total = np.zeros(self.code_map.code_count, np.int64)
        for one in self.held.values():
            total[one.codes] += one.counts
        return total

    def nearest(self, codes: npt.NDArray[np.uint16]) -> dict[int, float]:
        """Return, of the tiles that have some of `codes` (sorted), the smallest distance to one of them."""
        found = {}
        for number, one in self.held.items():
            at = np.isin(one.codes, codes, assume_unique=True)
            if at.any():
                found[number] = float(one.nearest[at].min())
        return found

    def _read(self, number: int) -> None:
        """Take in one tile."""
        tile = self.tiles[number]
        stored, distance = self.code_map.read(tile).ravel(), self._distance(tile).ravel()
        there = np.flatnonzero(stored)
        code, near = stored[there] - np.uint16(1), distance[there]
        order = np.argsort(_by_code_and_distance(code, near), kind="stable")
        in_order = code[order]
        first = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1])[: len(in_order)])
        codes, counts = in_order[first], np.diff(np.append(first, len(in_order)))
        complete = len(there) == tile.size and bool(np.isfinite(near).all())
        self.held[number] = TileCodes(codes, counts, near[order][first], complete)
        for one, begin, count in zip(codes.tolist(), first.tolist(), counts.tolist(), strict=True):
            chosen = order[begin : begin + min(count, BEST)]
            self._merge(one, tile, there[chosen], near[chosen])

    def _distance(self, tile: Region) -> Distances:
        distance = np.array(self.code_map.read_distance(tile), np.float32)
        distance[np.isnan(distance)] = np.inf  # the run is about to write it
        return np.abs(distance)  # -0 has other bits than 0

    def _merge(self, code: int, tile: Region, flat: npt.NDArray[np.int64], near: Distances) -> None:
        """Put the nearest cells of a tile among the nearest of all; a tile read before brings them again."""
        mine = self.distances[code]
        if near[0] >= mine[-1]:
            return
        offsets = np.stack(np.unravel_index(flat, tile.shape), axis=1) + np.asarray(tile.start)
        elsewhere = ~np.all((self.cells[code] >= tile.start) & (self.cells[code] < tile.stop), axis=1)
        elsewhere &= np.isfinite(mine)
        distances = np.concatenate([mine[elsewhere], near])
        cells = np.concatenate([self.cells[code][elsewhere], offsets.astype(np.int32)])
        order = np.lexsort((*cells.T[::-1], distances))[:BEST]
        self.distances[code], self.cells[code] = np.inf, 0
        self.distances[code, : len(order)] = distances[order]
        self.cells[code, : len(order)] = cells[order]

    def _arrays(self) -> dict[str, Any]:
        """Return the index as arrays of plain numbers and text."""
        numbers = sorted(self.held)
        held = [self.held[number] for number in numbers]
        empty = TileCodes(np.zeros(0, np.uint16), np.zeros(0, np.int64), np.zeros(0, np.float32), True)
        return {
            **self._stamp(),
            "revision": np.array("" if self.revision is None else str(self.revision)),
            "tiles": np.array(numbers, np.int64),
            "complete": np.array([one.complete for one in held], np.bool_),
            "lengths": np.array([len(one.codes) for one in held], np.int64),
            "codes": np.concatenate([one.codes for one in [*held, empty]]),
            "counts": np.concatenate([one.counts for one in [*held, empty]]),
            "nearest": np.concatenate([one.nearest for one in [*held, empty]]),
            "cells": self.cells,
            "distances": self.distances,
        }

    def _stamp(self) -> dict[str, Any]:
        """Return what an index must have been made with to be of use."""
        shapes = [*self.code_map.shape, self.code_map.code_count, len(self.tiles), BEST, VERSION]
        first = [self.tiles[0].stop, self.tiles[-1].start]
        return {
            "id": np.array(self.code_map.id),
            "shapes": np.array([*shapes, *first[0], *first[1]], np.int64),
        }

    def _take(self, kept: Any) -> None:
        """Take over what was kept if it is of this map; ValueError or KeyError where it makes no sense."""
        stamp = self._stamp()
        if any(not np.array_equal(kept[name], value) for name, value in stamp.items()):
            return
        cells, distances = kept["cells"], kept["distances"]
        if cells.shape != self.cells.shape or distances.shape != self.distances.shape:
            raise ValueError("of another shape")
        ends = np.cumsum(kept["lengths"])
        codes, counts, nearest = (np.split(kept[name], ends)[:-1] for name in ("codes", "counts", "nearest"))
        self.held = {
            int(number): TileCodes(*values)
            for number, *values in zip(
                kept["tiles"], codes, counts, nearest, kept["complete"].tolist(), strict=True
            )
        }
        self.cells, self.distances = cells, distances
        if str(kept["revision"]) == str(self._now):
            self.revision = self._now


def _by_code_and_distance(code: npt.NDArray[np.uint16], near: Distances) -> npt.NDArray[np.uint64]:
    """Return a number per cell that sorts by code, then distance: distances sort as their bits do."""
    bits = np.ascontiguousarray(near, np.float32).view(np.uint32)
    return (code.astype(np.uint64) << np.uint64(32)) | bits
