"""The temperature of the student that made a project's labels, fitted on the held-out corrections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.learning.second_look import SecondLook
from napari_vesselkd.project import Project, ReviewBlock
from napari_vesselkd.proofreading.calibration import Reliability, measure_reliability
from napari_vesselkd.reports import Notice, Progress, Report, Result

MOST_VOXELS = 200_000  # of a block; every n-th labelled voxel
VESSEL = 2


@dataclass(frozen=True)
class Calibrated(Result):
    """The temperature is fitted."""

    reliability: Reliability


def calibrate_on_held_out(project: Project, look: SecondLook) -> Iterator[Report]:
    """Compare what the student says about the held-out blocks with what a person said.

    Yields
    ------
    Report
        `Progress` per block; `Calibrated` at the end, or a `Notice` where too little is held out.
    """
    blocks, began = project.held_out_blocks, monotonic()
    logits, truth = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    for done, block in enumerate(blocks, start=1):
        one = _voxels(project, look, block)
        logits.append(one[0])
        truth.append(one[1])
        yield Progress(done, len(blocks), "held-out blocks", monotonic() - began)
    try:
        found = measure_reliability(
            np.concatenate(logits), np.concatenate(truth), blocks=len(blocks), checkpoint=look.card.sha256
        )
    except InvalidInputError as error:
        yield Notice(str(error))
        return
    yield Calibrated(found)


def is_current(project: Project, record: RunRecord, known: Reliability | None) -> bool:
    """Whether a curve is still that of the labels' checkpoint and of the held-out blocks."""
    held = len(project.held_out_blocks)
    if known is None:
        return held == 0
    return known.checkpoint == record.fingerprint.get("checkpoint") and known.blocks == held


def _voxels(
    project: Project, look: SecondLook, block: ReviewBlock
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return logits and truth of the labelled voxels of a block, those that were learned from left out."""
    label = project.corrected(block.region)
    for other in project.training_blocks:
        common = other.region.intersection(block.region)
        if common is not None:
            label[common.relative_to(block.region.start).slices] = 0
    at = np.flatnonzero(label)
    at = at[:: max(1, -(-len(at) // MOST_VOXELS))]
    return look.logits(block.region).ravel()[at], label.ravel()[at] == VESSEL
