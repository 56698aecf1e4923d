"""Where codes are written: made aside with its record, filled block by block, valid after every block."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.patterns.code_map import DISTANCE, KEY, REMAKE
from napari_vesselkd.patterns.code_planning import CodesPlan
from napari_vesselkd.patterns.encoder import Answer
from napari_vesselkd.volume import create_multiscale, open_levels, output_errors
from napari_vesselkd.volume.pyramid import factors_between

CHUNK = (32, 32, 32)


@dataclass(frozen=True, eq=False)
class CodeOutput:
    """A code map that is written to.

    Attributes
    ----------
    path : Path
    levels : tuple of zarr.Array
    distance : zarr.Array
    record : RunRecord
        In cells of the map.
    """

    path: Path
    levels: tuple[Any, ...]
    distance: Any
    record: RunRecord

    def write(self, cells: Region, found: Answer) -> None:
        """Write the codes of a box of cells, then mark it as done."""
        codes, distance = found
        with output_errors(self.path):
            self.distance[cells.slices] = distance
            self.levels[0][cells.slices] = codes
            place = cells
            for fine, coarse in zip(self.levels, self.levels[1:], strict=False):
                place, codes = _every_second(place, codes, factors_between(fine.shape, coarse.shape))
                if 0 in codes.shape:
                    break
                coarse[place.slices] = codes
            self.record.mark(cells, np.zeros(cells.shape, np.uint8))


def _every_second(place: Region, codes: Any, factors: Shape) -> tuple[Region, Any]:
    """Return the cells of the next level that are among `codes`, which lie at `place`, and where they lie."""
    first = [-(-low // f) for low, f in zip(place.start, factors, strict=True)]
    index = tuple(slice(i * f - low, None, f) for i, f, low in zip(first, factors, place.start, strict=True))
    part = codes[index]
    start = as_shape(first)
    return Region(start, as_shape([i + n for i, n in zip(start, part.shape, strict=True)])), part


def earlier_record(path: Path, *, restart: bool) -> RunRecord | None:
    """Return the record of the run that the output is to continue, or None."""
    return None if restart else RunRecord.open(path)


def open_output(path: Path, plan: CodesPlan) -> CodeOutput:
    """Open the output of an earlier run of the same image, checkpoint and window, or create it.

    Raises
    ------
    OutputError
        If it holds something else, or cannot be written.
    """
    if plan.config.restart:
        _remove(path)
    record = RunRecord.open(path)
    if record is None:
        _check_vacant(path)
        with output_errors(path):
            if path.exists():
                shutil.rmtree(path)
            _create(path, plan)
        record = RunRecord.open(path)
    if record is None:
        raise OutputError("The output cannot be created", value=path)
    record.check(plan.fingerprint(), path, what="a code map")
    try:
        import zarr

        levels = open_levels(path)
        return CodeOutput(path, tuple(levels), zarr.open_group(path, mode="r+")[DISTANCE], record)
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise OutputError("The code map is damaged", value=f"{path} ({error})", remedy=REMAKE) from error


def _create(path: Path, plan: CodesPlan) -> None:
    """Make an empty map and its record aside, so that no map is ever seen without its record."""
    aside = path.with_name(path.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _new_map(aside, plan)
        side = plan.codes.unit[0] // plan.codes.step
        RunRecord.create(aside, plan.cells.shape, (side, side, side), plan.fingerprint())
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _new_map(path: Path, plan: CodesPlan) -> None:
    import zarr

    volume, step = plan.volume, plan.codes.step
    size = [side * step for side in volume.voxel_size_um]
    origin = [
        first + (cell - voxel) / 2
        for first, cell, voxel in zip(volume.origin_um, size, volume.voxel_size_um, strict=True)
    ]
    about = {
        "version": 1,
        "id": uuid.uuid4().hex,
        "stride": list(plan.codes.stride),
        "volume_shape": list(volume.shape),
        "voxel_size_um": list(volume.voxel_size_um),
        "voxel_size_known": volume.voxel_size_known,
        "level": plan.level,
        "volume_name": volume.name,
        "signature": plan.signature,
        "checkpoint": plan.checkpoint.card.name,
        "sha256": plan.checkpoint.card.sha256,
        "code_count": plan.codes.codes,
        "windows": {"patch": plan.codes.patch, "lead": plan.codes.lead},
    }
    create_multiscale(
        path,
        plan.cells.shape,
        np.uint16,
        voxel_size_um=size,
        chunk=CHUNK,
        name=f"{volume.name} codes",
        label=True,
        origin_um=origin,
        voxel_size_known=volume.voxel_size_known,
        attributes={KEY: about},
    )
    group = zarr.open_group(path, mode="r+")
    chunks = tuple(min(a, b) for a, b in zip(CHUNK, plan.cells.shape, strict=True))
    group.create_array(
        DISTANCE,
        shape=plan.cells.shape,
        chunks=chunks,
        dtype=np.float16,
        fill_value=float("nan"),
        dimension_names=["z", "y", "x"],
    )


def _remove(path: Path) -> None:
    """Remove a map that an earlier run wrote; OutputError if it exists and is none."""
    if RunRecord.open(path) is None:
        _check_vacant(path)
        return
    _check_is_map(path)
    with output_errors(path):
        shutil.rmtree(path)


def _check_vacant(path: Path) -> None:
    if path.exists() and any(path.iterdir() if path.is_dir() else [path]):
        raise _something_else(path)


def _check_is_map(path: Path) -> None:
    import zarr

    try:
        known = KEY in zarr.open_group(path, mode="r").attrs
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise _something_else(path)


def _something_else(path: Path) -> OutputError:
    return OutputError(
        "The output exists and is no code map",
        value=path,
        remedy="Give another output, or remove it yourself",
    )
