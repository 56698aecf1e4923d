"""Any volume to a multiscale OME-Zarr, streaming: bounded memory, progress, cancel, resume.

The levels are written into ``OUTPUT.part``, piece by piece in a fixed order; each finished piece adds a line
to a file beside them. Closing the generator or killing the process loses at most the piece at work; the same
call goes on after the last line. The finished folder is renamed to OUTPUT.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.reports import Notice, Progress, Report
from napari_vesselkd.volume.ome_zarr import (
    check_replaceable,
    create_multiscale,
    default_chunk,
    move_into_place,
    open_levels,
)
from napari_vesselkd.volume.output import ZARR_ENDINGS, check_disk_space, claim_output, output_errors
from napari_vesselkd.volume.pyramid import level_shapes, write_coarser
from napari_vesselkd.volume.volume import Volume

STATE = "vesselkd-convert.json"
DONE = "vesselkd-convert-done.txt"
LEAST_COMPRESSED = 0.25


@dataclass(frozen=True)
class ConvertConfig:
    """How to convert.

    Attributes
    ----------
    ome_version : str
        "0.5" (zarr v3) or "0.4" (zarr v2).
    chunk : (z, y, x) or None
        Storage chunk; None chooses 64 or 128 voxels along each axis, more in y and x where z is thin.
    levels : int or None
        Number of levels; None goes on until the coarsest is at most 256 voxels along each axis.
    label : bool
        Labels: the coarser levels take the largest value instead of the mean.
    memory_bytes : int
        About what one piece may take.
    restart : bool
        Throw an interrupted or finished output away and begin again.
    """

    ome_version: str = "0.5"
    chunk: Shape | None = None
    levels: int | None = None
    label: bool = False
    memory_bytes: int = 512 * 2**20
    restart: bool = False


@dataclass(frozen=True)
class ConvertFinished(Report):
    """The output is complete.

    Attributes
    ----------
    output : str
        Path of the OME-Zarr.
    shape : (z, y, x)
        Of the finest level.
    levels : int
        Number of levels.
    chunks : int
        Number of chunks of all levels.
    seconds : float
        Time of this run.
    already_done : bool
        True where an earlier run had finished it and nothing was done.
    """

    output: str
    shape: Shape
    levels: int
    chunks: int
    seconds: float
    already_done: bool = False


@dataclass(frozen=True)
class _Plan:
    """What is written: the shape of each level, its chunk and the pieces it is cut into."""

    shapes: tuple[Shape, ...]
    chunk: Shape
    piece: Shape

    def pieces(self) -> Iterator[tuple[int, Region]]:
        for level, shape in enumerate(self.shapes):
            for region in Region.whole(shape).pieces(self.coarse_piece if level else self.piece):
                yield level, region

    @property
    def coarse_piece(self) -> Shape:
        """What is written of a coarser level at once: about half of `piece`, because twice that is read."""
        return as_shape([max(c, p // 2 // c * c) for p, c in zip(self.piece, self.chunk, strict=True)])

    def chunks(self, region: Region) -> int:
        return math.prod(-(-n // c) for n, c in zip(region.shape, self.chunk, strict=True))

    @property
    def total(self) -> int:
        return sum(self.chunks(Region.whole(shape)) for shape in self.shapes)


def convert(volume: Volume, output: str | Path, config: ConvertConfig | None = None) -> Iterator[Report]:
    """Write `volume` as a multiscale OME-Zarr.

    Parameters
    ----------
    volume : Volume
        It stays open.
    output : str or Path
        Ends in .zarr; may exist only as the finished result of the same conversion, or with ``restart``.
    config : ConvertConfig, optional

    Yields
    ------
    Report
        `Notice` where something is odd, `Progress` in chunks, and at the end `ConvertFinished`.

    Raises
    ------
    InvalidInputError
        If the config has a value that cannot be used.
    OutputError
        If the output cannot be written, is the input, exists already as something else, was begun from
        another source or config, or the disk is full.
    OutputBusyError
        If another process is writing it.
    CorruptSourceError
        If the source cannot be read; what is done stays in the ``.part`` folder.
    """
    config = config or ConvertConfig()
    plan = _plan(volume, config)
    begun = time.perf_counter()
    with claim_output(output, source=volume.path, endings=ZARR_ENDINGS) as path:
        fingerprint = _fingerprint(volume, plan, config)
        finished = ConvertFinished(str(path), volume.shape, len(plan.shapes), plan.total, 0.0)
        if path.exists() and not config.restart and _finished_as(path) == fingerprint:
            yield replace(finished, already_done=True)
            return
        check_replaceable(path, overwrite=config.restart)
        aside = path.with_name(path.name + ".part")
        yield from _disk_space(path, volume, fresh=config.restart or not aside.exists())
        yield from _notices(volume)
        arrays, plan = _begin(aside, volume, plan, config, fingerprint)
        yield from _write(aside, arrays, volume, plan, label=config.label, begun=begun)
        with output_errors(path):
            (aside / STATE).unlink()
            (aside / DONE).unlink(missing_ok=True)
            move_into_place(aside, path)
        yield replace(finished, seconds=time.perf_counter() - begun)


def _write(
    aside: Path, arrays: list[Any], volume: Volume, plan: _Plan, *, label: bool, begun: float
) -> Iterator[Report]:
    """Write the pieces that are not done yet, the levels from fine to coarse."""
    finished = _pieces_done(aside)
    done = resumed = 0
    for number, (level, region) in enumerate(plan.pieces()):
        done += plan.chunks(region)
        if number < finished:
            resumed = done
            continue
        if level == 0:
            block = volume.read(region)
            with output_errors(aside):
                arrays[0][region.slices] = block
            del block
        else:
            with output_errors(aside):
                write_coarser(arrays[level - 1], arrays[level], region, label)
        with output_errors(aside), (aside / DONE).open("a") as file:
            file.write(f"{number}\n")
        yield Progress(done, plan.total, "chunks", time.perf_counter() - begun, resumed)


def _begin(
    aside: Path, volume: Volume, plan: _Plan, config: ConvertConfig, fingerprint: str
) -> tuple[list[Any], _Plan]:
    """Return the arrays to write into: those of an interrupted run of the same conversion, or new ones."""
    state = None if config.restart else _state(aside)
    if state is not None:
        if state["fingerprint"] != fingerprint:
            raise OutputError(
                "An interrupted conversion of another source or with other settings is in the way",
                value=aside,
                remedy="Run that one again to finish it, or give --restart to throw it away",
            )
        return open_levels(aside, write_empty=True), replace(plan, piece=as_shape(state["piece"]))
    with output_errors(aside):
        if aside.exists():
            shutil.rmtree(aside)
        arrays = create_multiscale(
            aside,
            volume.shape,
            _stored_dtype(volume),
            voxel_size_um=volume.voxel_size_um,
            chunk=plan.chunk,
            name=volume.name,
            ome_version=config.ome_version,
            levels=len(plan.shapes),
            label=config.label,
            origin_um=volume.origin_um,
            voxel_size_known=volume.voxel_size_known,
            attributes={"vesselkd": {"convert": fingerprint}},
        )
        (aside / STATE).write_text(json.dumps({"fingerprint": fingerprint, "piece": plan.piece}))
    return arrays, plan


def _stored_dtype(volume: Volume) -> np.dtype[Any]:
    return np.dtype(np.uint8) if volume.dtype.kind == "b" else volume.dtype


def _state(aside: Path) -> dict[str, Any] | None:
    """Return what an interrupted run left, None where it did not get as far as the first piece."""
    try:
        state: dict[str, Any] = json.loads((aside / STATE).read_text())
    except (OSError, ValueError):
        return None
    return state if {"fingerprint", "piece"} <= set(state) else None


def _pieces_done(aside: Path) -> int:
    file = aside / DONE
    return file.read_text().count("\n") if file.exists() else 0


def _finished_as(path: Path) -> str | None:
    """Return the fingerprint of the conversion that made `path`, None where it is something else."""
    import zarr

    try:
        made: Any = zarr.open_group(path, mode="r").attrs.get("vesselkd")
    except Exception:  # whatever it is, it is not our finished output
        return None
    return made.get("convert") if isinstance(made, dict) else None


def _fingerprint(volume: Volume, plan: _Plan, config: ConvertConfig) -> str:
    parts = (volume.signature(), volume.origin_um, plan.chunk, plan.shapes, config.ome_version, config.label)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _disk_space(path: Path, volume: Volume, fresh: bool) -> Iterator[Report]:
    """Refuse what cannot fit even well compressed; say so where it may not fit."""
    if not fresh:
        return
    check_disk_space(path, int(volume.nbytes * LEAST_COMPRESSED))
    try:
        check_disk_space(path, volume.nbytes * 8 // 7)
    except OutputError as error:
        yield Notice(f"The disk may become full: {error.value}, {error.limit} without compression.")


def _notices(volume: Volume) -> Iterator[Notice]:
    """Say what a user may not expect of the result."""
    if len(volume.channel_names) > 1:
        name = volume.channel_names[volume.channel]
        yield Notice(f"Only channel {volume.channel} ({name}) of {len(volume.channel_names)} is converted.")
    if not volume.voxel_size_known:
        sizes = ",".join(f"{size:g}" for size in volume.voxel_size_um)
        yield Notice(f"The source does not say its voxel size: {sizes} um is assumed. --voxel-size sets it.")
    missing = volume.missing_chunks()
    if missing:
        yield Notice(f"{missing} chunks of the source are not stored; they are read as empty.")


def _plan(volume: Volume, config: ConvertConfig) -> _Plan:
    if config.chunk is not None and (len(config.chunk) != 3 or min(config.chunk) < 1):
        raise InvalidInputError("The chunk cannot be used", value=config.chunk, limit="three numbers from 1")
    if config.levels is not None and config.levels < 1:
        raise InvalidInputError("There must be a level", value=config.levels, limit="at least 1")
    if config.ome_version not in ("0.4", "0.5"):
        raise InvalidInputError(
            "This OME-Zarr version is not written", value=config.ome_version, limit="0.5 or 0.4"
        )
    wanted = default_chunk(volume.shape) if config.chunk is None else as_shape(config.chunk)
    chunk = as_shape([min(c, n) for c, n in zip(wanted, volume.shape, strict=True)])
    shapes, _ = level_shapes(volume.shape, volume.voxel_size_um, config.levels)
    return _Plan(tuple(shapes), chunk, _piece(volume, chunk, config.memory_bytes))


def _piece(volume: Volume, chunk: Shape, memory: int) -> Shape:
    """Return a multiple of `chunk`, grown to the source's chunk, then along x and y, as far as memory allows.

    Whole rows of planes suit sources stored by slices; z stays at one chunk, so that progress is steady.
    """
    piece = list(chunk)
    bound = memory // volume.dtype.itemsize
    source = volume.chunks
    goals = [(axis, source[axis]) for axis in (2, 1, 0)] + [(axis, volume.shape[axis]) for axis in (2, 1)]
    for axis, goal in goals:
        others = math.prod(piece) // piece[axis]
        most = max(1, bound // (others * chunk[axis])) * chunk[axis]
        wanted = -(-min(goal, volume.shape[axis]) // chunk[axis]) * chunk[axis]
        piece[axis] = max(piece[axis], min(wanted, most))
    return as_shape(piece)
