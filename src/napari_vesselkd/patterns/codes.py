"""Mapping codes: a volume goes in, the codes of its cells come out block by block, what is looked at first.

One thread reads and scales the next block while this one is encoded. Between two yields at most one block is
encoded, so closing the generator stops within one block; what is written stays, and the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_vesselkd.blocks import Block, blocks_in_order, read_block
from napari_vesselkd.blocks.order import Focus
from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.errors import CheckpointNotFoundError, DeviceError
from napari_vesselkd.inference.blockwork import scaled
from napari_vesselkd.inference.preparation import kept_window, volume_notices
from napari_vesselkd.patterns.code_map import CODES_ENDING, CODES_FOLDER
from napari_vesselkd.patterns.code_output import CodeOutput, earlier_record, open_output
from napari_vesselkd.patterns.code_planning import CodesPlan, describe, make_plan
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.encoder import CodeEncoder
from napari_vesselkd.patterns.reports import CodesDone, CodesFinished, CodesPreflight
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.volume import IntensityWindow, Volume, check_disk_space, claim_output, open_volume
from napari_vesselkd.volume.output import ZARR_ENDINGS

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Work:
    """What the blocks of one run need."""

    plan: CodesPlan
    encoder: CodeEncoder
    target: CodeOutput
    window: IntensityWindow


def map_codes(
    volume: Volume | str | Path, output: str | Path, config: CodesConfig, *, focus: Focus = None
) -> Iterator[Report]:
    """Map the codes of a volume block by block.

    Parameters
    ----------
    volume : Volume, str or Path
        A path is opened and closed here.
    output : str or Path
        NAME.codes.ome.zarr, a `CodeMap` that is valid after every block. What an earlier run with the same
        image and checkpoint wrote there is continued.
    config : CodesConfig
    focus : Region or callable, optional
        What is looked at, in voxels of the level worked on; nearest blocks come first. A callable is asked
        before every block.

    Yields
    ------
    Report
        `CodesPreflight`; `Notice` where the user should know something; `CodesDone` per block;
        `CodesFinished`.

    Raises
    ------
    VesselKDError
        One of the kinds in `errors`, with what is wrong and the way out. What was written stays, and the same
        call resumes.
    """
    with ExitStack() as stack:
        if not isinstance(volume, Volume):
            volume = stack.enter_context(open_volume(volume))
        path = stack.enter_context(claim_output(output, source=volume.path, endings=ZARR_ENDINGS))
        yield from _mapped(make_plan(volume, config), path, focus)


def preflight_codes(
    volume: Volume | str | Path, config: CodesConfig, output: str | Path | None = None
) -> CodesPreflight:
    """Return what `map_codes` would do and need, without running it.

    Parameters
    ----------
    volume : Volume, str or Path
    config : CodesConfig
    output : str or Path, optional
        An earlier run found there is taken into account.

    Raises
    ------
    VesselKDError
        As `map_codes` does before its first block.
    """
    with ExitStack() as stack:
        if not isinstance(volume, Volume):
            volume = stack.enter_context(open_volume(volume))
        record = None if output is None else earlier_record(Path(output), restart=config.restart)
        return describe(make_plan(volume, config), record)


def project_codes_path(project: Project, checkpoint: str) -> Path:
    """Return where a project keeps the code map of a checkpoint, by its name or path."""
    return project.path / CODES_FOLDER / f"{Path(checkpoint).name.removesuffix('.safetensors')}{CODES_ENDING}"


def map_project_codes(
    project: Project, config: CodesConfig, *, volume: Volume | None = None, focus: Focus = None
) -> Iterator[Report]:
    """Map the codes of a project's image into the project; it may be open read-only.

    Parameters
    ----------
    project : Project
    config : CodesConfig
        Names are looked up in the project first; the level is the project's.
    volume : Volume, optional
        The project's image where it is open already; checked.
    focus : Region or callable, optional
        As in `map_codes`.

    Yields
    ------
    Report
        As `map_codes`.

    Raises
    ------
    VesselKDError
        As `map_codes`, and ProjectError for another image.
    """
    checkpoint, config = _of_project(project, config)
    path = project_codes_path(project, checkpoint.card.name if checkpoint else config.checkpoint)
    with ExitStack() as stack:
        image = stack.enter_context(project.image_or(volume))
        path = stack.enter_context(claim_output(path, source=image.path, endings=ZARR_ENDINGS))
        yield from _mapped(make_plan(image, config, checkpoint, project.image.level), path, focus)


def preflight_project_codes(
    project: Project, config: CodesConfig, *, volume: Volume | None = None
) -> CodesPreflight:
    """Return what `map_project_codes` would do and need; VesselKDError as it does before its first block."""
    checkpoint, config = _of_project(project, config)
    path = project_codes_path(project, checkpoint.card.name if checkpoint else config.checkpoint)
    with project.image_or(volume) as image:
        plan = make_plan(image, config, checkpoint, project.image.level)
        return describe(plan, earlier_record(path, restart=config.restart))


def _mapped(plan: CodesPlan, path: Path, focus: Focus) -> Iterator[Report]:
    earlier = earlier_record(path, restart=plan.config.restart)
    report = describe(plan, earlier)
    yield report
    check_disk_space(path, report.disk_bytes)
    began = time.perf_counter()
    model = plan.checkpoint.load() if earlier is None else None  # a broken one leaves no empty map behind
    target = open_output(path, plan)
    target.record.ask_for(plan.asked)
    resumed = target.record.is_done(plan.asked)
    if resumed:
        yield Notice(f"The codes there are computed already: {path}; --restart would begin again")
    else:
        target.record.save(state="running")
        window = kept_window(target.record, plan.volume, *plan.percentiles)
        yield from volume_notices(plan.volume, window, "one code throughout")
        encoder = CodeEncoder(model or plan.checkpoint.load(), plan.codes, plan.backend, plan.config.threads)
        yield from _blocks(Work(plan, encoder, target, window), focus, began)
        target.record.save(state="finished")
    seconds = time.perf_counter() - began
    card, device = plan.checkpoint.card, plan.backend.device
    yield CodesFinished(str(path), plan.grid.asked, plan.asked, seconds, resumed, card.name, device)


def _blocks(work: Work, focus: Focus, began: float) -> Iterator[Report]:
    plan, target = work.plan, work.target
    finished = _finished_blocks(plan, target)
    waiting = _missing(plan, target, finished, focus)
    total, done = len(plan.grid), int(np.count_nonzero(finished))
    resumed = done
    with ThreadPoolExecutor(1, "vesselkd-read") as reader:

        def prefetch() -> tuple[Block, Future[Floats]] | None:
            block = next(waiting, None)
            return None if block is None else (block, reader.submit(_read, work, block))

        ahead = prefetch()
        while ahead is not None:
            block, read = ahead
            voxels = read.result()
            ahead = prefetch()
            cells = plan.codes.cells(block.target)
            target.write(cells, work.encoder.block(voxels))
            done += 1
            seconds = time.perf_counter() - began
            yield CodesDone(done, total, "blocks", seconds, resumed, block.target, cells)


def _read(work: Work, block: Block) -> Floats:
    """Return the voxels of the windows of a block's cells, (z, y, x) in [0, 1]."""
    plan = work.plan
    box = plan.codes.windows(plan.codes.cells(block.target))
    try:
        raw = read_block(plan.volume, box, plan.checkpoint.card.padding)
        return scaled(raw, work.window, np.empty(raw.shape, np.float32))
    except MemoryError as error:
        raise DeviceError(
            "The memory is too small for the block",
            value=f"{box.shape} voxels",
            remedy="Take a smaller --block",
        ) from error


def _missing(
    plan: CodesPlan, target: CodeOutput, finished: npt.NDArray[np.bool_], focus: Focus
) -> Iterator[Block]:
    """Yield what is left to do of each block, in order; `finished` are those with nothing left."""
    first = plan.grid.indices_range.start

    def known(block: Block) -> bool:
        z, y, x = (i - low for i, low in zip(block.index, first, strict=True))
        return bool(finished[z, y, x])

    for block in blocks_in_order(plan.grid, focus, skip=known):
        left = target.record.missing(plan.codes.cells(block.target))
        if left is not None:
            place = plan.codes.voxels(left).intersection(block.target)
            yield block if place is None else plan.grid.part(block, place)


def _finished_blocks(plan: CodesPlan, target: CodeOutput) -> npt.NDArray[np.bool_]:
    """Return which blocks of the grid, (z, y, x), are done; all at once, as there may be 10^6."""
    marked = target.record.cells(plan.asked)
    done: npt.NDArray[np.bool_] = target.record.done[marked.slices] != 0
    for axis, (low, high) in enumerate(
        zip(plan.grid.indices_range.start, plan.grid.indices_range.stop, strict=True)
    ):
        per_block = plan.grid.core[axis] // plan.codes.unit[axis]
        edges = np.maximum(np.arange(low, high) * per_block - marked.start[axis], 0)
        done = np.logical_and.reduceat(done, edges, axis=axis)
    return done


def _of_project(project: Project, config: CodesConfig) -> tuple[Checkpoint | None, CodesConfig]:
    """Return the project's checkpoint of that name, if it has one, and the settings at its level."""
    project.check_level(config.level)
    try:
        found: Checkpoint | None = project.registry.get(config.checkpoint)
    except CheckpointNotFoundError:
        found = None  # it may be one of the user's own
    return found, replace(config, level=0)
