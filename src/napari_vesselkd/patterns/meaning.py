"""What a code means: what the image and the vessels are like where it was chosen.

The map is gone through in blocks of cells, with a margin of labels around each, in an order drawn at random:
what is known after some of them is already an estimate for all.
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.patterns.cells import (
    CellMap,
    Codes,
    Floats,
    Labelled,
    box_of,
    check_shape,
    per_cell,
    voxels_of,
)
from napari_vesselkd.patterns.centrelines import centrelines, pieces
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.reports import Progress, Result
from napari_vesselkd.volume import Volume, output_errors

Counts = npt.NDArray[np.int64]

BLOCK_VOXELS = 2**22
HALO = 32  # voxels of the finest axis: the largest radius that is measured right
SUMS = ("depth", "distance", "distances", "voxels", "intensity", "vessel", "radius", "radii", "arc", "chord")
SHORTEST = 0.25  # of the shortest side of a cell: pieces of vessel from which tortuosity is taken


@dataclass(frozen=True, eq=False)
class CodeTable(Result):
    """What each code means; every column is (N,), NaN where nothing can be said.

    Attributes
    ----------
    cells : ndarray of int64
        Cells with the code, of those looked at.
    share : of the cells looked at, 0..1.
    vessel_fraction : of the voxels under the code that are vessel, 0..1.
    intensity : mean of the raw voxels under the code.
    depth_um : mean of the depth (z) of the cells' centres, from the first slice on.
    radius_um : mean along the centrelines under the code.
    tortuosity : length of the pieces of vessel under the code along the way over that straight on; from 1.
    centreline_um : total length of these pieces.
    distance : mean distance to the code, in units of the codebook's RMS.
    seen : float
        Share of the region that was looked at, 0..1.
    """

    cells: Counts
    share: Floats
    vessel_fraction: Floats
    intensity: Floats
    depth_um: Floats
    radius_um: Floats
    tortuosity: Floats
    centreline_um: Floats
    distance: Floats
    seen: float

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(one.name for one in fields(self) if one.name != "seen")

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as lists, None where nothing can be said."""
        values = {name: [_plain(value) for value in getattr(self, name)] for name in self.columns}
        return {"report": "CodeTable", "seen": self.seen, **values}

    def to_csv(self, path: str | Path, notes: CodeNotes | None = None) -> Path:
        """Write a row per code, with name, colour and "artefact" where notes are given; return the path.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        path = Path(path)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        said = ("name", "colour", "artefact") if notes is not None else ()
        writer.writerow(["code", *said, *self.columns])
        for code in range(len(self.cells)):
            values = [_plain(getattr(self, name)[code]) for name in self.columns]
            row = ["" if value is None else value for value in values]
            writer.writerow([code, *(() if notes is None else _said(notes, code)), *row])
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(text.getvalue(), encoding="utf-8")
            aside.replace(path)
        return path


def describe_codes(
    code_map: CellMap,
    volume: Volume,
    labels: Labelled | None = None,
    region: Region | None = None,
    *,
    most_blocks: int | None = None,
) -> Iterator[Progress | CodeTable]:
    """Describe each code: a `Progress` per block, a table after 1, 2, 4, 8 ... blocks and at the end.

    Parameters
    ----------
    code_map : CellMap
    volume : Volume
        At the level that was mapped.
    labels : Volume or LabelStore, optional
        Of that level, vessel above 0. Without it nothing is said about vessels.
    region : Region, optional
        In cells; everything if not given.
    most_blocks : int, optional
        Look at no more blocks than that, spread at random; at all of them if not given.

    Raises
    ------
    InvalidInputError
        If an image has another shape than the level that was mapped.
    RegionError
        If the region is empty or not inside the map.
    """
    check_shape(code_map, volume, "volume")
    if labels is not None:
        check_shape(code_map, labels, "label image")
    return _describing(code_map, volume, labels, box_of(code_map, region), most_blocks)


def _describing(
    code_map: CellMap, volume: Volume, labels: Labelled | None, box: Region, most: int | None
) -> Iterator[Progress | CodeTable]:
    blocks = list(box.pieces(_block_shape(code_map.stride)))
    order = np.random.default_rng(0).permutation(len(blocks))[:most]
    sums = _Sums(code_map, with_labels=labels is not None)
    started, looked_at = time.perf_counter(), 0
    for done, number in enumerate(order.tolist(), start=1):
        block = blocks[number]
        stored = code_map.read(block)
        if stored.any():
            sums.add_image(block, stored, volume)
            if labels is not None:
                sums.add_vessels(block, stored, labels)
        looked_at += block.size
        yield Progress(done, len(order), "blocks", time.perf_counter() - started)
        if done == len(order) or done & (done - 1) == 0:
            yield sums.table(looked_at / box.size)


class _Sums:
    """Sums per code, from which the means follow."""

    def __init__(self, code_map: CellMap, *, with_labels: bool) -> None:
        self.code_map, self.with_labels = code_map, with_labels
        count = code_map.code_count
        self.cells = np.zeros(count, np.int64)
        self.sums: dict[str, Floats] = {name: np.zeros(count) for name in SUMS}

    def add_image(self, block: Region, stored: Codes, volume: Volume) -> None:
        """Take in what the map and the image say about a block of cells."""
        there, box = stored > 0, voxels_of(self.code_map, block)
        code = stored[there].astype(np.int64) - 1
        self.cells += np.bincount(code, minlength=len(self.cells))
        raw = volume.read(box)
        values = np.where(np.isfinite(raw), raw, 0) if raw.dtype.kind == "f" else raw
        self._add("intensity", code, per_cell(values, self.code_map.stride, np.add, np.float64)[there])
        self._add("voxels", code, np.broadcast_to(_sizes(box, self.code_map.stride), stored.shape)[there])
        depth = np.broadcast_to(self._depths(block)[:, None, None], stored.shape)
        self._add("depth", code, depth[there])
        distance = self.code_map.read_distance(block)[there].astype(np.float64)
        known = np.isfinite(distance)
        self._add("distance", code[known], distance[known])
        self._add("distances", code[known], np.ones(int(known.sum())))

    def add_vessels(self, block: Region, stored: Codes, labels: Labelled) -> None:
        """Take in what the labels of a block, and around it, say about vessels."""
        there, box = stored > 0, voxels_of(self.code_map, block)
        outer = box.expanded(_halo(self.code_map)).intersection(Region.whole(labels.shape)) or box
        mask = labels.read(outer) > 0
        core = mask[box.relative_to(outer.start).slices]
        if not core.any():
            return
        code = stored[there].astype(np.int64) - 1
        self._add("vessel", code, per_cell(core, self.code_map.stride, np.add, np.float64)[there])
        found = centrelines(mask, self.code_map.voxel_size_um)
        absolute = found.positions + np.asarray(outer.start)
        inside = np.all((absolute >= box.start) & (absolute < box.stop), axis=1)
        absolute, radius = absolute[inside], found.radius_um[inside]
        cell = np.ravel_multi_index(
            tuple((absolute // self.code_map.stride - np.asarray(block.start)).T), stored.shape
        )
        self._add_lines(stored.ravel(), absolute, cell, radius)

    def table(self, seen: float) -> CodeTable:
        """Return what the sums say."""
        sums, cells = self.sums, self.cells.astype(np.float64)
        vessel = _over(sums["vessel"], sums["voxels"]) if self.with_labels else np.full(len(cells), np.nan)
        return CodeTable(
            self.cells.copy(),
            cells / max(1.0, cells.sum()),
            vessel,
            _over(sums["intensity"], sums["voxels"]),
            _over(sums["depth"], cells),
            _over(sums["radius"], sums["radii"]),
            _over(sums["arc"], sums["chord"]),
            sums["arc"].copy() if self.with_labels else np.full(len(cells), np.nan),
            _over(sums["distance"], sums["distances"]),
            seen,
        )

    def _add_lines(self, stored: Codes, positions: Counts, cell: Counts, radius: Floats) -> None:
        """Take in centreline voxels (M, 3) of the volume, the cell of the block (M,) that each lies in."""
        known = (stored[cell] > 0) & np.isfinite(radius)
        self._add("radius", stored[cell[known]].astype(np.int64) - 1, radius[known])
        self._add("radii", stored[cell[known]].astype(np.int64) - 1, np.ones(int(known.sum())))
        size = self.code_map.voxel_size_um
        shortest = SHORTEST * min(n * side for n, side in zip(self.code_map.stride, size, strict=True))
        found = pieces(positions, cell, size, shortest)
        known = stored[found.cell] > 0
        code = stored[found.cell[known]].astype(np.int64) - 1
        self._add("arc", code, found.arc_um[known])
        self._add("chord", code, found.chord_um[known])

    def _add(self, name: str, code: Counts, values: npt.NDArray[Any]) -> None:
        self.sums[name] += np.bincount(code, values, len(self.cells))

    def _depths(self, block: Region) -> Floats:
        """Return the depth of the centre of each layer of cells, in um."""
        low = np.arange(block.start[0], block.stop[0]) * self.code_map.stride[0]
        high = np.minimum(low + self.code_map.stride[0], self.code_map.volume_shape[0])
        depth: Floats = (low + high - 1) / 2 * self.code_map.voxel_size_um[0]
        return depth


def _block_shape(stride: Shape) -> Shape:
    """Return the cells (z, y, x) of a near-cubic block of about `BLOCK_VOXELS` voxels."""
    side = BLOCK_VOXELS ** (1 / 3)
    return as_shape([max(1, round(side / step)) for step in stride])


def _halo(code_map: CellMap) -> Shape:
    finest = min(code_map.voxel_size_um)
    return as_shape([max(2, math.ceil(HALO * finest / size)) for size in code_map.voxel_size_um])


def _sizes(box: Region, stride: Shape) -> Floats:
    """Return the voxels of each cell of a box that begins with a whole cell, (z, y, x)."""
    z, y, x = (
        np.diff(np.append(np.arange(0, n, side), n)).astype(np.float64)
        for n, side in zip(box.shape, stride, strict=True)
    )
    sizes: Floats = z[:, None, None] * y[:, None] * x
    return sizes


def _over(total: Floats, count: Floats) -> Floats:
    """Return the mean; NaN where there is nothing."""
    mean: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _plain(value: Any) -> float | int | None:
    """Return a number of a column for JSON and CSV."""
    plain: float | int = value.item()
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _said(notes: CodeNotes, code: int) -> tuple[str, str, str]:
    return notes.name(code), notes.colour(code), "yes" if notes.artefact(code) else ""
