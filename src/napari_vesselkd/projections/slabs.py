"""Projections of slabs that move: what was read or computed for the slab before is not read again.

A slab is cut along the chunks of its level. Of a chunk that it covers from front to back the projection is
kept, of the chunks at its two ends the voxels: when the slab moves, only chunks that it did not touch before
are read. Both caches are bounded in bytes, so memory does not depend on the volume.

Notation: regions are (z, y, x) voxels of a level; a projection is (rows, columns), the two axes that stay in
their order; a depth is a voxel index along the projected axis.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape
from napari_vesselkd.projections.chunk_cache import ByteCache
from napari_vesselkd.projections.levels import level_factor, region_at
from napari_vesselkd.projections.partials import HOWS, How, Partial, empty, merge, reduced
from napari_vesselkd.projections.project import Axis, pixel_size_um
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import Volume

CACHE_BYTES = 256 * 2**20
PARTIAL_SHARE = 4  # one part in so many of the cache is for projections of whole chunks
LARGEST_SHARE = 8  # chunks above one part in so many of the cache are read and kept only where they show
READ_VOXELS = 2**22


@dataclass(frozen=True, eq=False)
class SlabProjection(Report):
    """A projected slab that knows where each pixel came from.

    Attributes
    ----------
    image : ndarray (rows, columns)
        Raw values in the volume's type; float64 for a mean.
    depth : ndarray (rows, columns) int32, or None
        Voxel of `level` along `axis` that made the pixel, the first of equals; none for a mean.
    axis : {"z", "y", "x"}
    how : {"max", "min", "mean"}
    level : int
    region : Region
        What was projected, in voxels of `level`.
    factors : (z, y, x)
        Voxels of level 0 along one voxel of `level`.
    full : Region
        What was asked for, in voxels of level 0.
    voxel_size_um : (z, y, x) in um
        Of `level`.
    """

    image: npt.NDArray[Any]
    depth: npt.NDArray[np.int32] | None
    axis: Axis
    how: How
    level: int
    region: Region
    factors: tuple[float, float, float]
    full: Region
    voxel_size_um: VoxelSize

    @property
    def pixel_size_um(self) -> tuple[float, float]:
        """Size (row, column) of a pixel, in um."""
        return pixel_size_um(self.axis, self.voxel_size_um)

    def voxel(self, row: int, column: int) -> Shape:
        """Return the voxel (z, y, x) of `level` that made a pixel; of a mean the middle one of the slab.

        Raises
        ------
        InvalidInputError
            If there is no such pixel.
        """
        rows, columns = self.image.shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise InvalidInputError(
                "The pixel is outside the projection",
                value=f"{row}, {column}",
                limit=f"0..{rows - 1}, 0..{columns - 1}",
            )
        at = AXES.index(self.axis)
        depth = (self.region.start[at] + self.region.stop[at]) // 2
        if self.depth is not None:
            depth = int(self.depth[row, column])
        place = [row, column]
        place.insert(at, 0)
        found = [low + step for low, step in zip(self.region.start, place, strict=True)]
        found[at] = depth
        return as_shape(found)


class SlabProjector:
    """Projects slabs of one volume; keep it while slabs move, and `chunks_read` stays low.

    Parameters
    ----------
    volume : Volume
    cache_bytes : int, optional
        Bound on what is kept between calls.

    Attributes
    ----------
    chunks_read : int
        Chunks read since it was made, all levels together.
    """

    def __init__(self, volume: Volume, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.volume = volume
        self.chunks_read = 0
        self._largest = cache_bytes // LARGEST_SHARE
        self._partials: ByteCache[Partial] = ByteCache(cache_bytes // PARTIAL_SHARE)
        self._raw: ByteCache[npt.NDArray[Any]] = ByteCache(cache_bytes - cache_bytes // PARTIAL_SHARE)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """(z, y, x) of every level, finest first."""
        return tuple(as_shape(level.shape) for level in self.volume.levels)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self._partials.nbytes + self._raw.nbytes

    def forget(self) -> None:
        """Drop what is kept: the voxels have changed."""
        self._partials.forget()
        self._raw.forget()

    def projecting(
        self, region: Region, axis: Axis = "z", *, levels: Sequence[int] = (0,), how: How = "max"
    ) -> Iterator[Progress | SlabProjection]:
        """Project a slab at each of `levels`, one after the other; closing the generator cancels.

        Parameters
        ----------
        region : Region
            The slab, in voxels of level 0.
        axis : {"z", "y", "x"}
            The axis to project along.
        levels : sequence of int
            Coarse ones first show something early.
        how : {"max", "min", "mean"}
            NaN voxels are ignored by "max" and "min".

        Yields
        ------
        Progress
            After each read.
        SlabProjection
            One for each level.

        Raises
        ------
        RegionError
            If the slab is empty or not inside the volume.
        InvalidInputError
            If the axis, a level or `how` does not exist.
        """
        _check(axis, how)
        region.checked(self.volume.shape)
        for level in levels:
            self.volume.at_level(level)
            box = region_at(region, self.volume.shape, self.shapes[level])
            yield from self._level(_Look(box, region, axis, AXES.index(axis), level, how))

    def project(
        self, region: Region, axis: Axis = "z", *, level: int = 0, how: How = "max"
    ) -> SlabProjection:
        """Do what `projecting` does for one level, at once."""
        *_, last = self.projecting(region, axis, levels=(level,), how=how)
        assert isinstance(last, SlabProjection)  # noqa: S101  what it ends with
        return last

    def voxel_at(self, shown: SlabProjection, row: int, column: int) -> Shape:
        """Return the voxel (z, y, x) of level 0 that made a pixel.

        Of a projection of a coarser level it is the extreme one of the voxels of level 0 that lie in that
        level's voxel; those are read (a few chunks at most, none that are kept).
        """
        voxel = shown.voxel(row, column)
        if shown.level == 0:
            return voxel
        start = [int(index * factor) for index, factor in zip(voxel, shown.factors, strict=True)]
        stop = [round((index + 1) * factor) for index, factor in zip(voxel, shown.factors, strict=True)]
        box = Region(as_shape(start), as_shape(stop)).intersection(shown.full)
        if box is None or shown.how == "mean":
            centre = [
                min(size - 1, int((index + 0.5) * factor))
                for index, factor, size in zip(voxel, shown.factors, self.volume.shape, strict=True)
            ]
            return as_shape(centre)
        block = self.volume.read(box)
        self.chunks_read += _chunks(box, self.volume.chunks)
        block = np.nan_to_num(block) if block.dtype.kind == "f" else block
        flat = int(block.argmax() if shown.how == "max" else block.argmin())
        inside = np.unravel_index(flat, block.shape)
        return as_shape([low + int(step) for low, step in zip(box.start, inside, strict=True)])

    def _level(self, look: _Look) -> Iterator[Progress | SlabProjection]:
        volume, box = self.volume, look.box
        result = empty(look.plane, volume.dtype, look.how)
        pieces = self._pieces(look)
        reads = list(_runs([piece for piece in pieces if not self._kept(piece, look)]))
        started, done = time.perf_counter(), 0
        waiting = {run[0].start: run for run in reads}
        fresh: dict[Shape, npt.NDArray[Any]] = {}
        for piece in pieces:
            if piece.start in waiting:
                fresh.update(self._read(waiting.pop(piece.start), look))
                done += 1
                yield Progress(done, len(reads), "reads", time.perf_counter() - started)
            self._merge(result, piece, fresh.pop(piece.start, None), look)
        values = result.values / box.shape[look.at] if look.how == "mean" else result.values
        z, y, x = (level_factor(w, s) for w, s in zip(volume.shape, self.shapes[look.level], strict=True))
        size = volume.level_voxel_sizes_um[look.level]
        yield SlabProjection(
            values, result.depth, look.axis, look.how, look.level, box, (z, y, x), look.full, size
        )

    def _pieces(self, look: _Look) -> list[Region]:
        """Return the chunks that the slab touches, front to back; huge ones cut to what is shown of them."""
        chunk = self.volume.level_chunks[look.level]
        bounds = Region.whole(self.shapes[look.level])
        found = [piece.intersection(bounds) for piece in look.box.aligned(chunk).pieces(chunk)]
        pieces = [self._cut(piece, look) for piece in found if piece is not None]
        along = [axis for axis in range(3) if axis != look.at]
        along.sort(key=lambda axis: len({piece.start[axis] for piece in pieces}))
        few, many = along
        return sorted(pieces, key=lambda piece: (piece.start[look.at], piece.start[few], piece.start[many]))

    def _cut(self, piece: Region, look: _Look) -> Region:
        if piece.size * self.volume.dtype.itemsize <= self._largest:
            return piece
        start, stop = list(look.box.start), list(look.box.stop)
        start[look.at], stop[look.at] = piece.start[look.at], piece.stop[look.at]
        return piece.intersection(Region(as_shape(start), as_shape(stop))) or piece

    def _kept(self, piece: Region, look: _Look) -> bool:
        whole = look.covers(piece) and look.key(piece) in self._partials
        return whole or (look.level, piece) in self._raw

    def _read(self, run: list[Region], look: _Look) -> dict[Shape, npt.NDArray[Any]]:
        """Read neighbouring chunks in one go, and keep them each on its own."""
        whole = Region(run[0].start, run[-1].stop)
        block = self.volume.read(whole, look.level)
        self.chunks_read += len(run)
        found: dict[Shape, npt.NDArray[Any]] = {}
        for piece in run:
            part = block[piece.relative_to(whole.start).slices]
            part = part if len(run) == 1 else part.copy()
            self._raw.put((look.level, piece), part, part.nbytes, cold=look.is_inside(piece))
            found[piece.start] = part
        return found

    def _merge(self, result: Partial, piece: Region, raw: npt.NDArray[Any] | None, look: _Look) -> None:
        """Project the part of `piece` that lies in the slab onto its place in `result`."""
        inside = piece.intersection(look.box)
        assert inside is not None  # noqa: S101  pieces touch the box
        part = self._partials.get(look.key(piece)) if look.covers(piece) else None
        if part is None:
            block = self._raw.get((look.level, piece)) if raw is None else raw
            if block is None:  # it had to go meanwhile
                block = self._read([piece], look)[piece.start]
            part = self._partial(block, piece, inside, look)
        if look.covers(piece):
            part = part[look.places(inside, piece.start)]
        merge(result[look.places(inside, look.box.start)], part, inside.start[look.at], look.how)

    def _partial(self, block: npt.NDArray[Any], piece: Region, inside: Region, look: _Look) -> Partial:
        """Project what is `inside` the slab; the projection of a chunk from front to back is kept."""
        if not look.covers(piece):
            return reduced(block[inside.relative_to(piece.start).slices], look.at, look.how)
        part = reduced(block, look.at, look.how)
        self._partials.put(look.key(piece), part, part.nbytes)
        return part


@dataclass(frozen=True)
class _Look:
    """One projection of one level: `box` in its voxels, `full` in those of level 0, `at` the axis' index."""

    box: Region
    full: Region
    axis: Axis
    at: int
    level: int
    how: How

    @property
    def plane(self) -> tuple[int, int]:
        row, column = (size for axis, size in enumerate(self.box.shape) if axis != self.at)
        return row, column

    def key(self, piece: Region) -> tuple[Any, ...]:
        return self.level, self.how, self.at, piece

    def covers(self, piece: Region) -> bool:
        """Return whether the slab reaches through `piece` from front to back."""
        at = self.at
        return self.box.start[at] <= piece.start[at] and piece.stop[at] <= self.box.stop[at]

    def is_inside(self, piece: Region) -> bool:
        """Return whether `piece` is neither the slab's first nor its last along the axis."""
        return self.box.start[self.at] < piece.start[self.at] and piece.stop[self.at] < self.box.stop[self.at]

    def places(self, region: Region, origin: Shape) -> tuple[slice, slice]:
        """Return the (rows, columns) of `region` in a picture whose first voxel is `origin`."""
        parts = region.relative_to(origin).slices
        row, column = (part for axis, part in enumerate(parts) if axis != self.at)
        return row, column


def _check(axis: str, how: str) -> None:
    if axis not in AXES:
        raise InvalidInputError("No such axis", value=repr(axis), limit="z, y or x")
    if how not in HOWS:
        raise InvalidInputError("No such projection", value=repr(how), limit=", ".join(HOWS))


def _runs(pieces: list[Region]) -> Iterator[list[Region]]:
    """Join pieces (sorted) that are neighbours in one row of chunks, up to `READ_VOXELS`."""
    run: list[Region] = []
    for piece in pieces:
        if run and (not _follows(run[-1], piece) or len(run) * run[0].size + piece.size > READ_VOXELS):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def _follows(first: Region, second: Region) -> bool:
    """Return whether two boxes share a face and all of it."""
    apart = [axis for axis in range(3) if first.start[axis] != second.start[axis]]
    if len(apart) != 1 or first.stop[apart[0]] != second.start[apart[0]]:
        return False
    return all(first.stop[axis] == second.stop[axis] for axis in range(3) if axis not in apart)


def _chunks(box: Region, chunk: Sequence[int]) -> int:
    aligned = box.aligned(chunk).shape
    counts = [n // c for n, c in zip(aligned, chunk, strict=True)]
    return counts[0] * counts[1] * counts[2]
