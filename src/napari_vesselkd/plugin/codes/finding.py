"""What is found in a code map: usage, places, their pictures, the code at a voxel. Runs in worker threads.

Notation: cells are (z, y, x) on the codebook's grid; voxels are those of the level that was mapped.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vesselkd.errors import RegionError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.plugin.codes.engine import OpenMap, checkpoint_of
from napari_vesselkd.plugin.codes.gallery import Place
from napari_vesselkd.reports import Progress, Report

if TYPE_CHECKING:
    from napari_vesselkd.patterns.codebook_map import CodebookMap
    from napari_vesselkd.patterns.nearest import NearestCodes
    from napari_vesselkd.patterns.usage import Usage

THUMBNAIL_CELLS = 2  # side of a thumbnail, in cells
RUNNER_UPS = 4


@dataclass(frozen=True)
class Found:
    """The code at a place and those that are nearly as near.

    Attributes
    ----------
    cell : (z, y, x)
    code : int or None
        None where nothing is computed yet.
    distance : float
        To the code, in units of the codebook's RMS.
    others : tuple of (code, distance)
        Runner-ups, the nearest first.
    """

    cell: Shape
    code: int | None
    distance: float = 0.0
    others: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class PlacesFound(Report):
    """The places found so far; `searched` is the share 0..1 of the map that was looked through."""

    places: tuple[Place, ...]
    searched: float


@dataclass(frozen=True, eq=False)
class Thumbnail(Report):
    """The picture (rows, columns) uint8 of a place."""

    place: Place
    picture: np.ndarray


def usage_of(shown: OpenMap, cells: Region | None, where: Any = None) -> "Iterator[Progress | Usage]":
    """Count the codes in `cells`, or everywhere; only where the labels `where` have a vessel, if given."""
    from napari_vesselkd.patterns.usage import counting

    yield from counting(shown.code_map, cells, where)


def plane_of(name: str, root: Path | None) -> "CodebookMap":
    """Return the codebook of a checkpoint as a plane."""
    from napari_vesselkd.patterns.codebook_map import codebook_map

    return codebook_map(_table(checkpoint_of(name, root).path))


def places_of(shown: OpenMap, codes: Sequence[int], count: int) -> Iterator[PlacesFound]:
    """Find places that have one of the codes, those nearest to their code first."""
    from napari_vesselkd.patterns.places import find_places

    for found in find_places(shown.code_map, codes, count=count):
        places = tuple(Place(place.code, as_shape(place.cell), place.distance) for place in found.places)
        yield PlacesFound(places, found.searched)


def thumbnails_of(shown: OpenMap, wanted: deque[Place]) -> Iterator[Thumbnail]:
    """Make the pictures of places, projections along z of what lies around them, until none is wanted.

    `wanted` may be changed meanwhile, by another thread.
    """
    from napari_vesselkd.patterns.thumbnails import LARGEST_SIDE, thumbnail

    side = min(LARGEST_SIDE, THUMBNAIL_CELLS * max(shown.code_map.stride))
    window = shown.code_map.window
    while True:
        try:
            place = wanted.popleft()
        except IndexError:
            return
        yield Thumbnail(place, thumbnail(shown.volume, shown.code_map, place.cell, side, window=window))


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder makes of a code.

    Attributes
    ----------
    head : {"image", "vessel"}
        Whether the teacher reconstructs, or segments since it was fine-tuned.
    change : float
        The largest that one cell changes: the pictures do not show how much it is.
    pictures : tuple of two ndarray (rows, columns) uint8
        Of a grid full of the code; of what one cell of it changes among the most used one. Projections along
        z, each from its smallest to its largest value.
    """

    head: str
    change: float
    pictures: tuple[np.ndarray, np.ndarray]


def decoded_of(name: str, root: Path | None, code: int, among: int) -> Decoded:
    """Return what the decoder of a checkpoint makes of a code; `among` is the most used one."""
    from napari_vesselkd.patterns.decoding import decoded_code, head_of

    checkpoint = checkpoint_of(name, root)
    teacher: Any = checkpoint.load()
    head = head_of(checkpoint.card)
    alone = decoded_code(teacher, code, head=head)
    change = np.abs(decoded_code(teacher, code, among, head=head) - decoded_code(teacher, among, head=head))
    return Decoded(head, float(change.max()), (_stretched(_flat(alone)), _stretched(_flat(change))))


def _flat(image: np.ndarray) -> np.ndarray:
    return np.asarray(image.max(axis=0) if image.ndim == 3 else image)


def _stretched(picture: np.ndarray) -> np.ndarray:
    low, high = float(picture.min()), float(picture.max())
    return np.rint(255 * (picture - low) / max(high - low, 1e-6)).astype(np.uint8)


class CodeReader:
    """Says which code lies at a place of one map; the teacher is loaded at the first call.

    Parameters
    ----------
    shown : OpenMap
    root : Path, optional
        The folder of a project's checkpoints.
    """

    def __init__(self, shown: OpenMap, root: Path | None) -> None:
        self._shown, self._root = shown, root
        self._nearest: NearestCodes | None = None
        self._turn = Lock()

    def at(self, voxel: Sequence[float]) -> Found:
        """Return the code at a voxel (z, y, x) of the image layer; RegionError outside the volume."""
        factors, shape = self._shown.factors, self._shown.shape
        cell = [math.floor((at + 0.5) / step) for at, step in zip(voxel, factors, strict=True)]
        if any(not 0 <= at < size for at, size in zip(cell, shape, strict=True)):
            raise RegionError("The place is outside the volume", remedy="Click inside it")
        return self.of_cell(as_shape(cell))

    def of_cell(self, cell: Shape) -> Found:
        """Return the code of a cell."""
        code_map = self._shown.code_map
        one = Region(cell, as_shape([at + 1 for at in cell]))
        stored = int(code_map.read(one).item())
        if stored == 0:
            return Found(cell, None)
        distance = float(code_map.read_distance(one).item())
        with self._turn:
            nearest = self._engine()(cell, RUNNER_UPS + 1)
        others = tuple((int(code), float(far)) for code, far in nearest if code != stored - 1)
        return Found(cell, stored - 1, distance, others[:RUNNER_UPS])

    def _engine(self) -> "NearestCodes":
        from napari_vesselkd.patterns.nearest import NearestCodes

        if self._nearest is None:
            shown = self._shown
            checkpoint = checkpoint_of(shown.teacher.name, self._root)
            self._nearest = NearestCodes(shown.volume, shown.code_map, checkpoint, threads=1)
        return self._nearest


def _table(path: Path) -> np.ndarray:
    """Return all codes (N, W) float32 of the teacher at `path`."""
    import torch

    from napari_vesselkd.checkpoints import load_checkpoint

    with torch.inference_mode():
        teacher: Any = load_checkpoint(path)[0]
        return np.asarray(teacher.quantiser.table().float().numpy())
