"""Which parts of an output are done, for which volume and settings: what a run needs to resume.

It lies in the folder ``.vesselkd`` of the output: ``run.json``, written aside and renamed, and ``done``, one
number per cell, which survives the process being killed at any moment. A cell is marked after its voxels are
written, so a mark is never too early.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region, Shape, as_shape

FOLDER = ".vesselkd"


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The record of one output.

    Attributes
    ----------
    folder : Path
        Where it lies.
    shape, cell : tuple of int
        Of the volume and of a cell, (z, y, x) voxels.
    done : ndarray of int32, (cells z, y, x)
        0 not done; n > 0 done, with n - 1 vessel voxels; n < 0 the part in the region that was asked for last
        is done, with -n - 1 vessel voxels.
    values : dict
        What `run.json` holds; `fingerprint` identifies volume and settings.
    """

    folder: Path
    shape: Shape
    cell: Shape
    done: np.memmap[Any, np.dtype[np.int32]]
    values: dict[str, Any]

    @classmethod
    def create(
        cls, output: Path, shape: Shape, cell: Shape, fingerprint: Mapping[str, Any], **values: Any
    ) -> Self:
        """Begin the record of `output`, an existing folder."""
        folder = output / FOLDER
        folder.mkdir()
        counts = _counts(shape, cell)
        np.zeros(counts, np.int32).tofile(folder / "done")
        content = {"shape": shape, "cell": cell, "fingerprint": dict(fingerprint), **values}
        record = cls(folder, shape, cell, _cells_file(folder / "done", counts, np.int32), content)
        record.save()
        return record

    @classmethod
    def open(cls, output: Path) -> Self | None:
        """Return the record of `output`; None where it has none or a broken one."""
        folder = output / FOLDER
        try:
            values = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            shape, cell = as_shape(values["shape"]), as_shape(values["cell"])
            counts = _counts(shape, cell)
            marks = _cells_file(_generation(folder, "done", values.get("generation", 0)), counts, np.int32)
            return None if marks is None else cls(folder, shape, cell, marks, values)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def fingerprint(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.values["fingerprint"])

    def save(self, **values: Any) -> None:
        """Add `values` to the record and write it."""
        self.values.update(values)
        aside = self.folder / "run.json.part"
        aside.write_text(json.dumps(self.values, indent=2) + "\n", encoding="utf-8")
        aside.replace(self.folder / "run.json")

    def check(self, fingerprint: Mapping[str, Any], output: Path, *, what: str = "a segmentation") -> None:
        """Raise OutputError if the record is of another volume or other settings than `fingerprint`."""
        other = [key for key, value in fingerprint.items() if self.fingerprint.get(key) != value]
        if other:
            raise OutputError(
                f"The output holds {what} with another {', '.join(other)}",
                value=output,
                limit=", ".join(f"{key} {self.fingerprint.get(key)}" for key in other),
                remedy="Give another output, or --restart to replace it",
            )

    def ask_for(self, region: Region) -> None:
        """Take note of the region to work on; parts of cells done for another region are forgotten."""
        if self.values.get("region") != str(region):
            self.done[self.done < 0] = 0
            self.save(region=str(region))

    def missing(self, target: Region) -> Region | None:
        """Return the smallest box around the part of `target` that is not done, or None."""
        cells = self.cells(target)
        return self._box_of(self.done[cells.slices] == 0, cells, target)

    def mark(
        self,
        target: Region,
        labels: npt.NDArray[np.uint8],
        uncertainty: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Mark `target`, whose voxels are written, as done.

        Parameters
        ----------
        target : Region
        labels : ndarray of uint8, (z, y, x)
            Of `target`, 0 and 1.
        uncertainty : ndarray of float32, (cells z, y, x), optional
            Of the cells that `target` touches, in bits.
        """
        cells = self.cells(target)
        box = Region(_times(cells.start, self.cell), _times(cells.stop, self.cell))
        counts = vessels_per_cell(labels, target.relative_to(box.start), cells.shape, self.cell) + 1
        visible = cast(Region, box.intersection(Region.whole(self.shape)))
        if visible != target:
            counts[~self._inside(cells, target)] *= -1
        self.done[cells.slices] = counts
        known = self.uncertainty
        if known is not None and uncertainty is not None:
            known[cells.slices] = uncertainty

    def recount(self, region: Region, read: Callable[[Region], npt.NDArray[np.uint8]]) -> None:
        """Count the vessels again in the cells that `region` touches and that are done.

        `read` gives the labels, (z, y, x) of 0 and 1, of a box.
        """
        cells = self.cells(region)
        box = Region(_times(cells.start, self.cell), _times(cells.stop, self.cell))
        visible = cast(Region, box.intersection(Region.whole(self.shape)))
        counts = vessels_per_cell(read(visible), visible.relative_to(box.start), cells.shape, self.cell) + 1
        self.done[cells.slices] = np.sign(self.done[cells.slices]) * counts

    def forget(self, region: Region) -> None:
        """Mark the cells that `region` touches as not done: their voxels are to be computed again."""
        cells = self.cells(region).slices
        self.done[cells] = 0
        for values, unknown in ((self.earlier, 0), (self.uncertainty, np.nan)):
            if values is not None:
                values[cells] = unknown

    def renew(self, cell: Shape, fingerprint: Mapping[str, Any]) -> Self:
        """Go on with other settings: nothing is done by them yet, the voxels stay until they are computed.

        What was measured for the settings before is forgotten; `shown` and `uncertainty` still tell of the
        labels there are. Returns the new record; `run.json` goes over to it in one step.
        """
        number = int(self.values.get("generation", 0)) + 1
        counts = _counts(self.shape, cell)
        whole = self.done > 0 if self.earlier is None else (self.done > 0) | (self.earlier > 0)
        whole = _on_other_cells(whole, self.shape, self.cell, cell)
        _write_cells(self._file("earlier", number), whole.astype(np.uint8))
        _write_cells(self._file("done", number), np.zeros(counts, np.int32))
        if self.uncertainty is not None:
            known = _on_other_cells(self.uncertainty, self.shape, self.cell, cell)
            _write_cells(self._file("uncertainty", number), known)
        old = [self._file(name) for name in ("earlier", "done", "uncertainty")]
        values = {key: value for key, value in self.values.items() if key not in ("window", "statistics")}
        values.update(cell=cell, fingerprint=dict(fingerprint), generation=number, state="running")
        marks = _cells_file(self._file("done", number), counts, np.int32)
        record = replace(self, cell=cell, done=marks, values=values)
        record.save()
        for file in old:
            with contextlib.suppress(OSError):  # someone is still looking at it
                file.unlink()
        return record

    def track_uncertainty(self) -> None:
        """Keep the uncertainty of cells from now on."""
        if self.uncertainty is None:
            _write_cells(self._file("uncertainty"), np.full(self.done.shape, np.nan, np.float32))

    @property
    def uncertainty(self) -> Any:
        """Mean entropy of the probability per cell, (cells z, y, x), in bits; NaN where unknown.

        None in a record that does not keep it.
        """
        return _cells_file(self._file("uncertainty"), self.done.shape, np.float32)

    @property
    def earlier(self) -> Any:
        """1 for cells, (cells z, y, x), whose labels are of earlier settings; None before any change."""
        return _cells_file(self._file("earlier"), self.done.shape, np.uint8)

    def shown(self, region: Region) -> npt.NDArray[np.bool_]:
        """Return where in `region`, (z, y, x), there are labels, of these settings or earlier ones."""
        cells = self.cells(region)
        done, earlier = self.done[cells.slices], self.earlier
        whole = done > 0 if earlier is None else (done > 0) | (earlier[cells.slices] > 0)
        voxels = self._spread(whole, cells, region)
        asked = self.values.get("region")
        if asked is None or not (done < 0).any():
            return voxels
        part = Region.parse(asked, self.shape).intersection(region)
        if part is not None:
            place = part.relative_to(region.start).slices
            voxels[place] |= self._spread(done < 0, cells, region)[place]
        return voxels

    def shown_box(self, region: Region) -> Region | None:
        """Return the smallest box, in `region`, around the cells with labels; None where there are none."""
        cells = self.cells(region)
        done, earlier = self.done[cells.slices], self.earlier
        there = done != 0 if earlier is None else (done != 0) | (earlier[cells.slices] > 0)
        box = self._box_of(there, cells, region)
        asked = self.values.get("region")
        if box is not None and asked is not None and (done < 0).any():
            return box.intersection(Region.parse(asked, self.shape))
        return box

    def vessel_voxels(self, region: Region) -> int:
        """Return how many voxels of the cells that `region` touches are vessel, as far as they are done."""
        marks = self.done[self.cells(region).slices].astype(np.int64)
        return int(np.maximum(np.abs(marks) - 1, 0).sum())

    def share_done(self, region: Region) -> float:
        """Return the share, 0..1, of the cells of `region` that are done."""
        return float(np.count_nonzero(self.done[self.cells(region).slices])) / self.cells(region).size

    def is_done(self, region: Region) -> bool:
        """Whether all of `region`, the one asked for, is done."""
        return self.missing(region) is None

    def _file(self, name: str, generation: int | None = None) -> Path:
        number = self.values.get("generation", 0) if generation is None else generation
        return _generation(self.folder, name, number)

    def cells(self, region: Region) -> Region:
        """Return the cells that `region` touches, as a box of their indices."""
        start = [low // side for low, side in zip(region.start, self.cell, strict=True)]
        stop = [-(-high // side) for high, side in zip(region.stop, self.cell, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def _box_of(self, chosen: npt.NDArray[np.bool_], cells: Region, region: Region) -> Region | None:
        """Return the smallest box, in `region`, around the chosen ones of its `cells`."""
        where = np.nonzero(chosen)
        if not len(where[0]):
            return None
        low = [int(axis.min()) + start for axis, start in zip(where, cells.start, strict=True)]
        high = [int(axis.max()) + 1 + start for axis, start in zip(where, cells.start, strict=True)]
        return Region(_times(low, self.cell), _times(high, self.cell)).intersection(region)

    def _spread(self, values: npt.NDArray[np.bool_], cells: Region, region: Region) -> npt.NDArray[np.bool_]:
        """Return the value of each voxel of `region` from those of its `cells`."""
        for axis, side in enumerate(self.cell):
            at = np.arange(region.start[axis], region.stop[axis]) // side - cells.start[axis]
            values = np.take(values, at, axis=axis)
        return values

    def _inside(self, cells: Region, target: Region) -> npt.NDArray[np.bool_]:
        """Return which of `cells`, (z, y, x), lie in `target` as far as they lie in the volume."""
        axes = []
        for axis in range(3):
            low = np.arange(cells.start[axis], cells.stop[axis]) * self.cell[axis]
            high = np.minimum(low + self.cell[axis], self.shape[axis])
            axes.append((low >= target.start[axis]) & (high <= target.stop[axis]))
        return axes[0][:, None, None] & axes[1][:, None] & axes[2]


def vessels_per_cell(
    labels: npt.NDArray[np.uint8], place: Region, cells: Shape, cell: Shape
) -> npt.NDArray[np.int32]:
    """Count the ones of `labels` (z, y, x), which lie at `place` in a box of `cells` cells, in each cell."""
    total: npt.NDArray[Any] = labels
    if place.start[0] == 0 and labels.shape[0] == cells[0] * cell[0] and cell[0] < 256:
        slabs = labels.reshape(cells[0], cell[0], *labels.shape[1:])
        total = slabs.sum(axis=1, dtype=np.uint8)  # four times as fast as reduceat
    for axis in range(3) if total is labels else (1, 2):
        edges = np.arange(cells[axis]) * cell[axis] - place.start[axis]
        kind = np.uint8 if axis == 0 and cell[0] < 256 else np.int32
        total = np.add.reduceat(total, np.maximum(edges, 0), axis=axis, dtype=kind)
    return cast(npt.NDArray[np.int32], total)


def _generation(folder: Path, name: str, number: int) -> Path:
    """Return the file of the numbers per cell; `renew` makes new ones and never touches those in use."""
    return folder / (f"{name}-{int(number)}" if number else name)


def _counts(shape: Shape, cell: Shape) -> Shape:
    return as_shape([-(-n // side) for n, side in zip(shape, cell, strict=True)])


def _on_other_cells(values: npt.NDArray[Any], shape: Shape, cell: Shape, other: Shape) -> npt.NDArray[Any]:
    """Return values of cells on cells of another shape: the smallest that each overlaps; NaN wins."""
    for axis in range(3):
        if cell[axis] == other[axis]:
            continue
        low = np.arange(-(-shape[axis] // other[axis])) * other[axis]
        first, last = low // cell[axis], (np.minimum(low + other[axis], shape[axis]) - 1) // cell[axis]
        found = values.take(first, axis)
        for step in range(1, int((last - first).max()) + 1):
            found = np.minimum(found, values.take(np.minimum(first + step, last), axis))
        values = found
    return values


def _write_cells(path: Path, values: npt.NDArray[Any]) -> None:
    aside = path.with_name(path.name + ".part")
    values.tofile(aside)
    aside.replace(path)


def _cells_file(path: Path, counts: tuple[int, ...], kind: npt.DTypeLike) -> Any:
    if not path.is_file():
        return None
    return np.memmap(path, kind, mode="r+" if os.access(path, os.W_OK) else "r", shape=counts)


def _times(values: Any, cell: Shape) -> Shape:
    return as_shape([value * side for value, side in zip(values, cell, strict=True)])
