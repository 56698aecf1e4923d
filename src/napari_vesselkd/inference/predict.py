"""The one loop: a volume goes in, blocks of labels come out, in the order in which they are looked at.

One thread reads and scales the next block while this one is computed; another writes the one before. Between
two yields at most one block is computed, so closing the generator stops within one block; what is computed is
written, and the next run goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn

from napari_vesselkd.blocks import Block, blocks_in_order
from napari_vesselkd.blocks.order import Focus
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference.blockwork import Job
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.outputs import (
    Output,
    Over,
    earlier_record,
    open_output,
    remove_output,
    same_settings,
)
from napari_vesselkd.inference.planning import Plan, describe, make_plan
from napari_vesselkd.inference.predictor import BlockPredictor, Predictor
from napari_vesselkd.inference.preparation import fix_statistics, notices, window_of, work_of
from napari_vesselkd.inference.reports import BlockDone, SegmentFinished
from napari_vesselkd.inference.windows import WindowPredictor
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.volume import Volume, check_disk_space, claim_output, open_volume

PATIENCE = 5.0  # s; a viewer that shows a correction holds a project's labels for less
Ahead = tuple[Job, Future[npt.NDArray[np.float32] | None]]


class Written(NamedTuple):
    """A block on its way to the disk."""

    future: Future[None]
    region: Region
    vessels: int


def segment(
    volume: Volume | str | Path,
    output: str | Path,
    config: SegmentConfig | None = None,
    *,
    focus: Focus = None,
) -> Iterator[Report]:
    """Segment a volume block by block.

    Parameters
    ----------
    volume : Volume, str or Path
        To segment; a path is opened and closed here.
    output : str or Path
        .ome.zarr (labels with pyramid, valid after every block), .tif or .nii.gz (written at the end).
        What an earlier run with the same settings wrote there is continued.
    config : SegmentConfig, optional
    focus : Region or callable, optional
        What is looked at, in voxels of the level worked on; nearest blocks come first. A callable is asked
        before every block.

    Yields
    ------
    Report
        `Preflight`; `Notice` where the user should know something; `BlockDone` per block; `SegmentFinished`.

    Raises
    ------
    VesselKDError
        One of the kinds in `errors`, with what is wrong and the way out. What was written stays, and the same
        call resumes.
    """
    return segment_over(volume, output, config or SegmentConfig(), None, focus)


def segment_over(
    volume: Volume | str | Path, output: str | Path, config: SegmentConfig, over: Over | None, focus: Focus
) -> Iterator[Report]:
    """Do as `segment`; where there is `over`, write what it makes of each block, see `open_output`."""
    with ExitStack() as stack:
        if not isinstance(volume, Volume):
            volume = stack.enter_context(open_volume(volume))
        path = stack.enter_context(claim_output(output, source=volume.path, wait=PATIENCE if over else 0))
        record = earlier_record(path, config)
        plan = make_plan(volume, config, record)
        if over is not None and record is not None and not same_settings(record, plan, plan.fingerprint()):
            record = None  # all of it will be computed again
        report = describe(plan, record)
        yield report
        check_disk_space(path, report.disk_bytes)
        yield from _run(plan, path, over, focus)


def _run(plan: Plan, path: Path, over: Over | None, focus: Focus) -> Iterator[Report]:
    began = time.perf_counter()
    model, fingerprint = plan.checkpoint.load(), plan.fingerprint()
    if plan.config.restart:
        remove_output(path)
    target = open_output(path, plan, fingerprint, over)
    target.record.ask_for(plan.region)
    finished = target.record.is_done(plan.region)
    if finished and target.record.values.get("state") == "finished":
        yield Notice(f"{path} is finished already; --restart would begin again")
    else:
        target.record.save(state="running")
        if not finished:
            yield from _blocks(plan, model, target, focus, began)
        target.finish()
    yield _finished(plan, target, began, resumed=finished)


def _blocks(plan: Plan, model: nn.Module, target: Output, focus: Focus, began: float) -> Iterator[Report]:
    window = window_of(plan, target)
    yield from notices(plan, window)
    fix_statistics(plan, model, window, target)
    predictor = _predictor(plan, model)
    work = work_of(plan, predictor, window, uncertainty=target.over is not None)
    total, memory = len(plan.grid), work.largest
    done = resumed = _finished_blocks(plan, target)
    waiting = work.jobs(_missing(plan, target, focus))
    with ThreadPoolExecutor(1, "vesselkd-read") as reader, ThreadPoolExecutor(1, "vesselkd-write") as writer:

        def prefetch() -> Ahead | None:
            job = next(waiting, None)
            return None if job is None else (job, reader.submit(work.read_ahead, job))

        def finished(written: Written) -> BlockDone:
            written.future.result()
            seconds = time.perf_counter() - began
            return BlockDone(done, total, "blocks", seconds, resumed, written.region, written.vessels)

        ahead, behind = prefetch(), None
        while ahead is not None:
            job, read = ahead
            voxels = read.result()
            ahead = prefetch()
            if job.block is None:
                work.make_context(job, voxels)
                continue
            found = work.predict(job, voxels)
            if work.largest < memory:
                memory = work.largest
                yield Notice("Memory ran out; going on with smaller blocks, the result stays the same")
            if behind is not None:
                behind.future.result()  # a full disk ends the run before more is written
            place = job.block.target
            future = writer.submit(target.write, place, found)
            before, behind = behind, Written(future, place, int(np.count_nonzero(found.labels)))
            if before is not None:
                done += 1
                yield finished(before)
            if done == resumed or ahead is None:  # the first one is wanted at once
                done += 1
                yield finished(behind)
                behind = None


def _predictor(plan: Plan, model: nn.Module) -> BlockPredictor:
    card = plan.checkpoint.card
    kind = WindowPredictor if card.architecture == "teacher" else Predictor
    return kind(model, card.calibration["temperature"], plan.backend, plan.config.threads)


def _finished_blocks(plan: Plan, target: Output) -> int:
    if target.record.share_done(plan.region) == 0:  # a new output: no need to go through 10^5 blocks
        return 0
    return sum(target.record.missing(block.target) is None for block in plan.grid)


def _missing(plan: Plan, target: Output, focus: Focus) -> Iterator[Block]:
    """Yield what is left to do of each block, in order."""
    for block in blocks_in_order(plan.grid, focus):
        left = target.record.missing(block.target)
        if left is not None:
            yield plan.grid.part(block, left)


def _finished(plan: Plan, target: Output, began: float, *, resumed: bool) -> SegmentFinished:
    vessels = target.record.vessel_voxels(plan.region)
    probability = target.probability_path
    return SegmentFinished(
        output=str(target.path),
        probability=None if probability is None else str(probability),
        region=plan.region,
        vessel_voxels=vessels,
        vessel_fraction=vessels / plan.region.size,
        seconds=time.perf_counter() - began,
        resumed=resumed,
        checkpoint=plan.checkpoint.card.name,
        precision=plan.backend.precision,
        device=plan.backend.device,
        threshold=plan.threshold,
    )
