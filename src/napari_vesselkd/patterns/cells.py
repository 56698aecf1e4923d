"""What the rest of the package needs of a code map, and the two grids it lives on.

Notation: a *cell* is a box of `stride` voxels (z, y, x) that one code stands for; cell i covers the voxels
``[i * stride, (i + 1) * stride)`` of the level that was mapped, the last one of an axis perhaps fewer.
Regions of cells and regions of voxels are both half-open boxes (z, y, x). Stored codes are 0 where nothing is
computed yet, else the code's index + 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.volume import Volume

Codes = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]
Labelled = Volume | LabelStore

READ_CELLS = 2**18  # of one read of the map: some 2 MB with everything that is counted from it
READ_VOXELS = 2**24  # of one read of labels or image


class CellMap(Protocol):
    """A code map as `code_map.CodeMap` opens it; tests have a smaller one."""

    @property
    def path(self) -> Path:
        """The store's folder."""

    @property
    def id(self) -> str:
        """Drawn when the store was made: another map at the same place has another one."""

    @property
    def revision(self) -> int | str:
        """Changes whenever further cells were written."""

    @property
    def codes(self) -> Any:
        """The array of stored codes, (z, y, x) uint16; its `chunks` say what one read decodes."""

    @property
    def shape(self) -> Shape:
        """Cells (z, y, x)."""

    @property
    def stride(self) -> Shape:
        """Voxels per cell (z, y, x)."""

    @property
    def volume_shape(self) -> Shape:
        """Voxels (z, y, x) of the level that was mapped."""

    @property
    def voxel_size_um(self) -> VoxelSize:
        """(z, y, x) in um, of that level."""

    @property
    def code_count(self) -> int:
        """Codes of the codebook, N."""

    @property
    def checkpoint(self) -> str:
        """Name of the teacher."""

    @property
    def sha256(self) -> str:
        """Hash of the teacher's weights."""

    @property
    def signature(self) -> str:
        """Of the volume."""

    def read(self, cells: Region) -> Codes:
        """Return the stored codes of `cells`, (z, y, x) uint16."""

    def read_distance(self, cells: Region) -> npt.NDArray[Any]:
        """Return the distance of `cells` (z, y, x) to their codes, floats in units of the codebook's RMS."""


def box_of(code_map: CellMap, region: Region | None) -> Region:
    """Return `region`, in cells, or all of the map; RegionError where it is empty or not inside."""
    return Region.whole(code_map.shape) if region is None else region.checked(code_map.shape)


def reads(code_map: CellMap, box: Region, cells: int | None = None) -> list[Region]:
    """Return the reads of about `cells` cells that `box` is made of; no chunk of the map is in two."""
    return list(box.reads(as_shape(code_map.codes.chunks), READ_CELLS if cells is None else cells))


def voxels_of(code_map: CellMap, cells: Region) -> Region:
    """Return the voxels that `cells` cover, as far as the volume has them."""
    start = [low * side for low, side in zip(cells.start, code_map.stride, strict=True)]
    stop = [
        min(high * side, n)
        for high, side, n in zip(cells.stop, code_map.stride, code_map.volume_shape, strict=True)
    ]
    return Region(as_shape(start), as_shape(stop))


def cells_around(code_map: CellMap, voxels: Region) -> Region:
    """Return the cells that a region of voxels touches; RegionError where it is not inside the volume."""
    inside = voxels.checked(code_map.volume_shape)
    start = [low // side for low, side in zip(inside.start, code_map.stride, strict=True)]
    stop = [-(-high // side) for high, side in zip(inside.stop, code_map.stride, strict=True)]
    return Region(as_shape(start), as_shape(stop))


def cell_of(code_map: CellMap, voxel: Sequence[float]) -> Shape:
    """Return the cell that a voxel (z, y, x) lies in.

    Raises
    ------
    RegionError
        If it is not inside the volume.
    """
    place = [math.floor(position) for position in voxel]
    if any(not 0 <= at < n for at, n in zip(place, code_map.volume_shape, strict=True)):
        raise RegionError(
            "The place is outside the volume", value=tuple(place), limit=f"inside {code_map.volume_shape}"
        )
    return as_shape([at // side for at, side in zip(place, code_map.stride, strict=True)])


def centre_of(code_map: CellMap, cell: Sequence[int]) -> tuple[float, float, float]:
    """Return the centre of a cell, as far as the volume has it, in voxels (z, y, x) of the level."""
    first = as_shape(cell)
    box = voxels_of(code_map, Region(first, as_shape([low + 1 for low in first])))
    z, y, x = ((low + high - 1) / 2 for low, high in zip(box.start, box.stop, strict=True))
    return z, y, x


def parts(code_map: CellMap, cells: Region, voxels_per_cell: int) -> Iterator[Region]:
    """Cut `cells` into near-cubic boxes of at most about `READ_VOXELS` voxels, one cell at least."""
    side = max(1, round((READ_VOXELS / max(1, voxels_per_cell)) ** (1 / 3)))
    yield from cells.pieces((side, side, side))


def check_shape(code_map: CellMap, image: Labelled, what: str) -> None:
    """Raise InvalidInputError if `image` has another shape than the level that was mapped."""
    if image.shape != code_map.volume_shape:
        raise InvalidInputError(
            f"The {what} has another shape than the volume of the code map",
            value=image.shape,
            limit=str(code_map.volume_shape),
            remedy=f"Give the {what} at the level that was mapped",
        )


def check_codes(code_map: CellMap, codes: Sequence[int]) -> tuple[int, ...]:
    """Return `codes` without repetitions, sorted; InvalidInputError if there are none or one is unknown."""
    chosen = sorted({int(code) for code in codes})
    wrong = [code for code in chosen if not 0 <= code < code_map.code_count]
    if wrong or not chosen:
        raise InvalidInputError(
            "The codebook has no such code" if wrong else "No code is chosen",
            value=wrong[0] if wrong else None,
            limit=f"0..{code_map.code_count - 1}",
        )
    return tuple(chosen)


def per_cell(voxels: npt.NDArray[Any], stride: Sequence[int], ufunc: np.ufunc, dtype: Any) -> Any:
    """Return `ufunc` (np.add, np.maximum) over the voxels of each cell.

    Parameters
    ----------
    voxels : ndarray (z, y, x)
        Its first voxel is the first of a cell; the last cells may be partial.
    stride : (z, y, x)
    ufunc : np.ufunc
    dtype : numpy type of the result

    Returns
    -------
    ndarray (z, y, x) of cells
    """
    for axis, side in enumerate(stride):
        edges = np.arange(0, voxels.shape[axis], side)
        voxels = ufunc.reduceat(voxels, edges, axis=axis, dtype=dtype)
    return voxels


class VesselCells:
    """Which cells hold a vessel voxel (any label above 0), read from the coarsest level that knows it.

    A coarser level of a `LabelStore` keeps the largest of its voxels, so that it answers exactly as long as
    its voxels do not cross the border of a cell.

    Parameters
    ----------
    labels : Volume or LabelStore
        Of the level that was mapped.
    code_map : CellMap

    Raises
    ------
    InvalidInputError
        If its shape is another one.
    """

    def __init__(self, labels: Labelled, code_map: CellMap) -> None:
        check_shape(code_map, labels, "label image")
        self.labels, self.code_map = labels, code_map
        self.level, self.factors = _coarsest(labels, code_map.stride)
        self.side = as_shape([s // f for s, f in zip(code_map.stride, self.factors, strict=True)])

    @property
    def voxels_per_cell(self) -> int:
        """What is read for one cell."""
        return math.prod(self.side)

    def __call__(self, cells: Region) -> npt.NDArray[np.bool_]:
        """Return for each of `cells`, (z, y, x), whether there is a vessel voxel in it."""
        fine = voxels_of(self.code_map, cells)
        start = [low // f for low, f in zip(fine.start, self.factors, strict=True)]
        stop = [-(-high // f) for high, f in zip(fine.stop, self.factors, strict=True)]
        found = self.labels.read(Region(as_shape(start), as_shape(stop)), self.level) > 0
        return cast(npt.NDArray[np.bool_], per_cell(found, self.side, np.logical_or, np.bool_))


def _coarsest(labels: Labelled, stride: Shape) -> tuple[int, Shape]:
    """Return the coarsest level that knows vessels exactly per cell, and its voxels' size in fine ones."""
    best, factors = 0, (1, 1, 1)
    if not isinstance(labels, LabelStore) or not labels.label:
        return best, factors
    for level, array in enumerate(labels.levels[1:], start=1):
        ratio = as_shape([_power(n, m) for n, m in zip(labels.shape, array.shape, strict=True)])
        if any(side % f for side, f in zip(stride, ratio, strict=True)):
            break
        best, factors = level, ratio
    return best, factors


def _power(fine: int, coarse: int) -> int:
    """Return how many times, a power of two, an axis of `fine` voxels was halved to have `coarse` ones."""
    factor = 1
    while -(-fine // factor) > coarse:
        factor *= 2
    return factor
