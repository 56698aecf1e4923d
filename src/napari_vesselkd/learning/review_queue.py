"""Keeping the review queue of a project up to date: every block is looked at once per state of the labels.

Blocks are looked at in the order of the queue so far, so that what is likely to come first is known first. A
look costs one read of image and labels and, where the student that made the labels is at hand, four passes;
memory is that of one block. What was found is saved every few seconds and when the generator is closed, and
is not computed again until labels, corrections, code map or teacher's labels of the block change.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic
from typing import Any

import numpy as np

from napari_vesselkd.checkpoints import CheckpointCard
from napari_vesselkd.errors import CorruptSourceError, InvalidInputError, OutputError, VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.learning.calibrating import Calibrated, calibrate_on_held_out, is_current
from napari_vesselkd.learning.second_look import SecondLook, card_of
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.patterns.reviewing import code_scores, counted, latest_map
from napari_vesselkd.patterns.usage import Usage
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.proofreading import Candidate
from napari_vesselkd.proofreading.calibration import Reliability
from napari_vesselkd.proofreading.queue_findings import Findings, QueueFile
from napari_vesselkd.proofreading.queue_lines import line_difference
from napari_vesselkd.proofreading.queue_order import look_of
from napari_vesselkd.proofreading.queue_ranked import LOOKED_AT, blocks_to_look_at
from napari_vesselkd.proofreading.queue_topology import topology
from napari_vesselkd.reports import Notice, Progress, Report, Result
from napari_vesselkd.volume import IntensityWindow, Volume, measure_intensity_window

TEACHER = "teacher.ome.zarr"  # labels of the project's image by a teacher, made by `vesselkd segment`
SAVE_SECONDS = 3.0
SCALING_STEP = 0.25  # of the logits; less of a change asks for no other look at every block


@dataclass(frozen=True)
class BlockLookedAt(Progress):
    """One more block was looked at."""

    found: Findings | None = None


@dataclass(frozen=True)
class QueueReady(Result):
    """The queue is up to date.

    Attributes
    ----------
    blocks : int
        That are in it.
    looked_at : int
        Of them, those that were looked at in this run.
    reliability : Reliability or None
    """

    blocks: int
    looked_at: int
    reliability: Reliability | None


def update_queue(
    project: Project, *, side: int = 128, most: int = LOOKED_AT, volume: Volume | None = None
) -> Iterator[Report]:
    """Look at the blocks of a project that changed since they were looked at last.

    Parameters
    ----------
    project : Project
        One that is read-only gets its queue in memory of the reports alone.
    side : int, optional
        Of a block, in voxels.
    most : int, optional
        Blocks to look at.
    volume : Volume, optional
        The image where it is open already.

    Yields
    ------
    Report
        `Notice`, `Progress` of the held-out blocks, `BlockLookedAt`, at the end `QueueReady`. Closing the
        generator stops after the block at hand; what was found is kept.

    Raises
    ------
    InvalidInputError
        If `side` or `most` cannot be used.
    OutputError
        If the disk is full.
    """
    kept = QueueFile.load(project.path, project.id, side)
    listed = blocks_to_look_at(project, side=side, count=most)
    record, labels = project.labels_record, project.labels
    if record is None or labels is None:
        yield QueueReady(0, 0, kept.reliability)
        return
    with project.image_or(volume) as image:
        scene = _Scene.of(project, image, record, labels)
        kept = yield from _calibrated(project, scene, kept)
        scene = replace(scene, reliability=kept.reliability)
        yield from _look(scene, kept, listed)


def _calibrated(project: Project, scene: _Scene, kept: QueueFile) -> Generator[Report, None, QueueFile]:
    """Bring the reliability curve up to date; return the file with it."""
    if is_current(project, scene.record, kept.reliability):
        return kept
    kept = replace(kept, reliability=None)
    if scene.look is None:
        return kept
    for report in calibrate_on_held_out(project, scene.look):
        yield report
        if isinstance(report, Calibrated):
            kept = replace(kept, reliability=report.reliability)
    return kept


def _look(scene: _Scene, kept: QueueFile, listed: list[Candidate]) -> Iterator[Report]:
    began = saved = monotonic()
    known = {one.region: one for one in kept.findings}
    states = {one.region: scene.state(one.region) for one in listed}
    waiting = [one for one in listed if _outdated(known.get(one.region), states[one.region])]
    kept = replace(kept, findings=tuple(known[region] for region in states if region in known))
    resumed = len(listed) - len(waiting)
    try:
        for done, one in enumerate(waiting, start=resumed + 1):
            try:
                found = scene.findings(one, states[one.region])
            except CorruptSourceError as error:
                yield Notice(f"The block at {one.region} cannot be looked at: {error}")
                continue
            kept = kept.with_findings([found])
            if monotonic() - saved > SAVE_SECONDS:
                scene.save(kept)
                saved = monotonic()
            yield BlockLookedAt(done, len(listed), "blocks", monotonic() - began, resumed, found)
    finally:
        scene.save(kept)
    yield QueueReady(len(listed), len(waiting), kept.reliability)


def _outdated(found: Findings | None, state: str) -> bool:
    return found is None or found.state != state


@dataclass(frozen=True, eq=False)
class _Scene:
    """What blocks are looked at with; None for what there is not."""

    project: Project
    image: Volume
    record: RunRecord
    labels: LabelStore
    window: IntensityWindow
    student: CheckpointCard | None
    teacher: LabelStore | None
    teacher_record: RunRecord | None
    codes: tuple[CodeMap, Usage, CodeNotes | None] | None
    reliability: Reliability | None = None

    @classmethod
    def of(cls, project: Project, image: Volume, record: RunRecord, labels: LabelStore) -> _Scene:
        kept = record.values.get("window")
        window = IntensityWindow(**kept) if kept else measure_intensity_window(image, upper=99.0)
        student, codes = card_of(project, record), _codes_of(project, image)
        return cls(project, image, record, labels, window, student, *_teacher_of(project), codes)

    @cached_property
    def look(self) -> SecondLook | None:
        """The student, loaded when it is needed first: mostly nothing has changed."""
        return None if self.student is None else SecondLook.of(self.project, self.image)

    def state(self, region: Region) -> str:
        """Return what changes whenever the block should be looked at again."""
        parts: list[Any] = [self.record.fingerprint, self.student is not None]
        accepted = [one for one in self.project.blocks if one.state is BlockState.ACCEPTED]
        here = [one for one in accepted if one.region.intersection(region) is not None]
        parts += [(one.number, one.background, one.vessel) for one in here]
        if self.reliability is not None:
            parts.append(round(math.log(self.reliability.temperature) / SCALING_STEP))
            parts.append(round(self.reliability.shift / SCALING_STEP))
        if self.codes is not None:
            code_map, _, notes = self.codes
            parts += [code_map.id, code_map.revision, sorted(notes.artefacts) if notes else []]
        digest = hashlib.sha1(json.dumps(parts, sort_keys=True, default=str).encode(), usedforsecurity=False)
        for record in (self.record, self.teacher_record):
            if record is not None:
                digest.update(np.ascontiguousarray(record.done[record.cells(region).slices]).tobytes())
        return digest.hexdigest()

    def findings(self, candidate: Candidate, state: str) -> Findings:
        """Look at a block."""
        region = candidate.region
        mask = self.labels.read(region) > 0
        image = self.window.apply(self.image.read(region))
        doubt = flips = None
        if self.look is not None:
            doubt, flips = self.look.doubt_and_flips(region, self.reliability)
        shape = topology(self.labels, self.image.voxel_size_um, region, image=self.image)
        found = Findings(
            region,
            state,
            uncertainty=candidate.uncertainty,
            doubt=doubt,
            flips=flips,
            teacher=self._teacher(region, mask),
            topology=shape,
            look=look_of(image, mask),
        )
        if self.codes is None:
            return found
        scores = code_scores(*self.codes, region)
        if scores.computed == 0:
            return found
        return replace(found, artefact=scores.artefact, rare=scores.rare)

    def save(self, kept: QueueFile) -> None:
        """Keep what was found, where the project may be written."""
        if not self.project.read_only:
            kept.save(self.project.path)

    def _teacher(self, region: Region, mask: Any) -> float | None:
        if self.teacher is None or self.teacher_record is None:
            return None
        if not self.teacher_record.shown(region).all():
            return None
        return float(np.count_nonzero(line_difference(mask, self.teacher.read(region) > 0)))


def _teacher_of(project: Project) -> tuple[LabelStore | None, RunRecord | None]:
    """Return a teacher's labels of the project's image, where there are any."""
    path = project.path / TEACHER
    record = RunRecord.open(path)
    if record is None or record.shape != project.image.shape:
        return None, None
    if record.fingerprint.get("volume") != project.image.signature:
        return None, None
    with suppress(OutputError):
        return LabelStore.open(path), record
    return None, None


def _codes_of(project: Project, image: Volume) -> tuple[CodeMap, Usage, CodeNotes | None] | None:
    """Return the project's latest code map with its usage and notes; None where there is none that fits."""
    try:
        code_map = latest_map(project)
        code_map.check(image)
    except (InvalidInputError, VesselKDError):
        return None
    notes = CodeNotes.load(project.registry.root, code_map.sha256)
    return code_map, counted(code_map.path, code_map.id, code_map.revision), notes
