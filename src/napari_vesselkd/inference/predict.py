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

import numpy as np
import numpy.typing as npt
from torch import nn

from napari_vesselkd.blocks import Block, blocks_in_order
from napari_vesselkd.blocks.order import Focus
from napari_vesselkd.inference.blockwork import BlockWork
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.outputs import Output, open_output, record_of, remove_output, store_path
from napari_vesselkd.inference.planning import Plan, describe, make_plan
from napari_vesselkd.inference.predictor import Predictor
from napari_vesselkd.inference.reports import BlockDone, SegmentFinished
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.volume import (
    IntensityWindow,
    Volume,
    check_disk_space,
    claim_output,
    measure_intensity_window,
    open_volume,
)

Ahead = tuple[Block, Future[npt.NDArray[np.float32] | None]]


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
    config = config or SegmentConfig()
    with ExitStack() as stack:
        if not isinstance(volume, Volume):
            volume = stack.enter_context(open_volume(volume))
        path = stack.enter_context(claim_output(output, source=volume.path))
        record = None if config.restart else record_of(store_path(path))
        plan = make_plan(volume, config, record)
        report = describe(plan, record)
        yield report
        check_disk_space(path, report.disk_bytes)
        yield from _run(plan, path, focus)


def _run(plan: Plan, path: Path, focus: Focus) -> Iterator[Report]:
    began = time.perf_counter()
    model, fingerprint = plan.checkpoint.load(), plan.fingerprint()
    if plan.config.restart:
        remove_output(path)
    target = open_output(path, plan, fingerprint)
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
    window = _window(plan, target)
    yield from _notices(plan, window)
    card = plan.checkpoint.card
    predictor = Predictor(model, card.calibration["temperature"], plan.backend, plan.config.threads)
    grid, record = plan.grid, target.record
    work = BlockWork(
        plan.volume, window, card.padding, grid, predictor, plan.threshold, plan.config.probability
    )
    waiting = blocks_in_order(grid, focus, skip=lambda block: record.missing(block.target) is None)
    total, memory = len(grid), work.largest
    done = resumed = total - sum(record.missing(block.target) is not None for block in grid)
    with ThreadPoolExecutor(1, "vesselkd-read") as reader, ThreadPoolExecutor(1, "vesselkd-write") as writer:

        def prefetch() -> Ahead | None:
            block = next(waiting, None)
            if block is None:
                return None
            left = grid.part(block, record.missing(block.target) or block.target)
            return left, reader.submit(work.read, left)

        ahead = prefetch()
        while ahead is not None:
            block, read = ahead
            voxels = read.result()
            ahead = prefetch()
            found = work.predict(block, voxels)
            if work.largest < memory:
                memory = work.largest
                yield Notice("Memory ran out; going on with smaller blocks, the result stays the same")
            future = writer.submit(target.write, block.target, found.labels, found.probability)
            future.result()
            done += 1
            yield BlockDone(
                done,
                total,
                "blocks",
                time.perf_counter() - began,
                resumed,
                region=block.target,
                vessel_voxels=int(found.labels.sum()),
            )


def _window(plan: Plan, target: Output) -> IntensityWindow:
    """Return the intensity window of the output's first run, measured then and kept in the record."""
    kept = target.record.values.get("window")
    if kept is not None:
        return IntensityWindow(**kept)
    lower = float(plan.checkpoint.card.intensity["lower"])
    window = measure_intensity_window(plan.volume, lower=lower, upper=plan.upper)
    target.record.save(window=window.__dict__)
    return window


def _notices(plan: Plan, window: IntensityWindow) -> Iterator[Notice]:
    name = plan.volume.name
    if window.constant:
        yield Notice(f"{name} is constant ({window.low:g} wherever it was sampled): no vessels to expect")
    if window.non_finite > 0:
        yield Notice(
            f"{name} holds NaN or infinite voxels ({100 * window.non_finite:.2g} % of a sample); taken as 0"
        )
    missing = plan.volume.missing_chunks()
    if missing:
        yield Notice(f"{name} has {missing} chunks that are not stored; they read as the fill value")


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
