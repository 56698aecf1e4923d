"""What happens to one block: context made, voxels read and scaled, predicted; in parts with little memory.

Work comes as jobs, so that the voxels of the next one are read while this one is computed: the context that a
block still needs, box by box, then the block itself.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.blocks import Block, BlockGrid, read_block
from napari_vesselkd.errors import DeviceError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference.context import ContextStore
from napari_vesselkd.inference.predictor import BlockPredictor, Planned, Predictor, logit, sigmoid
from napari_vesselkd.inference.uncertainty import entropy, entropy_sample, first_even, sample_box
from napari_vesselkd.volume import IntensityWindow, Volume

REMEMBERED = 64
SLAB_VOXELS = 1 << 16
LEAST_CONTEXT_SIDE = 128
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
NO_CONTEXT: Floats = np.empty((0, 0, 0, 0), np.float32)


@dataclass(frozen=True)
class Job:
    """A part of the work: `voxels` of the volume are read for it.

    Either a block with its plan, or a box of `context` to compute.
    """

    voxels: Region
    block: Block | None = None
    plan: Planned | None = None
    context: Region | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of a block's target, (z, y, x) of 0 and 1; probability in 0..255 and entropy where wanted.

    `entropy` is a sample, see `uncertainty`.
    """

    labels: Bytes
    probability: Bytes | None
    entropy: Floats | None = None


@dataclass(eq=False)
class BlockWork:
    """Reads and predicts blocks of one run.

    Attributes
    ----------
    volume : Volume
    window : IntensityWindow
    padding : str
        How the volume is continued, see `read_block`.
    grid : BlockGrid
    predictor : BlockPredictor
    contexts : ContextStore or None
        Of a student's `Predictor`; None for one that needs none.
    threshold : float
        Probability from which a voxel is vessel.
    probability : bool
        Whether it is wanted.
    uncertainty : bool
        Whether the entropy is wanted.
    largest : float
        Voxels that memory is known or hoped to allow at once; shrinks when memory runs out.
    """

    volume: Volume
    window: IntensityWindow
    padding: str
    grid: BlockGrid
    predictor: BlockPredictor
    contexts: ContextStore | None
    threshold: float
    probability: bool
    uncertainty: bool = False
    largest: float = math.inf
    known: OrderedDict[tuple[Any, ...], Any] = field(default_factory=OrderedDict)
    buffers: list[Floats] = field(default_factory=lambda: [np.empty(0, np.float32)] * 2)

    def jobs(self, blocks: Iterable[Block]) -> Iterator[Job]:
        """Yield what is to do for `blocks`: the context each still needs, then the block.

        The first block is wanted soon and gets no more context than it needs; for later ones it is rounded up
        to whole cores, as thin boxes consist of halo for the most part.
        """
        for number, block in enumerate(blocks):
            job = self._job(block)
            window = cast(Planned, job.plan).context
            if window is not None:
                yield from self._context_jobs(self._rounded(window) if number > 0 else window)
            yield job

    def read(self, job: Job) -> Floats | None:
        """Return the job's voxels (z, y, x) scaled to [0, 1], or None where memory does not allow it."""
        try:
            raw = read_block(self.volume, job.voxels, self.padding)
            return scaled(raw, self.window, np.empty(raw.shape, np.float32))
        except MemoryError:
            return None

    def read_ahead(self, job: Job) -> Floats | None:
        """Do the same into one of two buffers in turn: the result of the call before the last is gone.

        Fresh memory would be faulted in page by page each time, which takes longer than the scaling.
        """
        try:
            if self.buffers[0].size < job.voxels.size:
                self.buffers[0] = np.empty(job.voxels.size, np.float32)
            self.buffers.reverse()
            raw = read_block(self.volume, job.voxels, self.padding)
            return scaled(raw, self.window, self.buffers[1][: raw.size].reshape(raw.shape))
        except MemoryError:
            return None

    def make_context(self, job: Job, voxels: Floats | None) -> None:
        """Compute a box of context from what `read` returned, and keep it.

        Raises
        ------
        DeviceError
            If even the smallest box does not fit in memory.
        """
        place, contexts = cast(Region, job.context), cast(ContextStore, self.contexts)
        try:
            if voxels is None or voxels.size > self.largest:
                raise MemoryError
            contexts.add(place, self._context(job, voxels))
        except MemoryError:
            self.largest = min(self.largest, job.voxels.size - 1)
            contexts.unclaim(place)
            smaller = as_shape([max(1, side // 2) for side in place.shape])
            if all(side <= cube for side, cube in zip(place.shape, contexts.cube, strict=True)):
                raise self._too_small(job) from None
            for part in self._context_jobs(place, largest=smaller):
                self.make_context(part, self.read(part))

    def predict(self, job: Job, voxels: Floats | None) -> Prediction:
        """Predict the target of the job's block from what `read` returned.

        Raises
        ------
        DeviceError
            If even the smallest block does not fit in memory.
        """
        if voxels is not None and voxels.size <= self.largest:
            try:
                return self._whole(job, voxels)
            except MemoryError:
                self.largest = min(self.largest, job.voxels.size - 1)
        return self._in_parts(job, voxels)

    @property
    def _student(self) -> Predictor:
        return cast(Predictor, self.predictor)  # what context is made with

    def _rounded(self, window: Region) -> Region:
        """Return a window of context rounded up to whole cores, inside what the region asked for needs."""
        cell = self._student.strides.context
        core = as_shape([side // c for side, c in zip(self.grid.core, cell, strict=True)])
        return cast(Region, window.aligned(core).intersection(self._context_wanted()))

    def _context_wanted(self) -> Region:
        """Return the context that the region asked for needs, in cells of context."""
        asked = self.grid.asked.aligned(self.grid.multiple).expanded(self.grid.halo)
        outer = cast(Region, asked.intersection(self.grid.extended))
        cell = self._student.strides.context
        start = [low // c for low, c in zip(outer.start, cell, strict=True)]
        stop = [high // c for high, c in zip(outer.stop, cell, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def _job(self, block: Block) -> Job:
        plan = self.predictor.plan(self.grid.extended.shape, block.core, self.grid.halo)
        return Job(plan.voxels, block=block, plan=plan)

    def _context_jobs(
        self, window: Region, largest: Shape | None = None, *, again: bool = False
    ) -> Iterator[Job]:
        strides = self._student.strides
        cell, halo = strides.context, strides.context_halo
        sides = largest or as_shape(
            [max(side, LEAST_CONTEXT_SIDE) // c for side, c in zip(self.grid.core, cell, strict=True)]
        )
        for box in cast(ContextStore, self.contexts).claim(window, sides, again=again):
            start = as_shape([low * c for low, c in zip(box.start, cell, strict=True)])
            stop = as_shape([high * c for high, c in zip(box.stop, cell, strict=True)])
            voxels = Region(start, stop).expanded(halo).intersection(self.grid.extended)
            yield Job(cast(Region, voxels), context=box)

    def _context(self, job: Job, voxels: Floats) -> Floats:
        cell = self._student.strides.context
        origin = [low // c for low, c in zip(job.voxels.start, cell, strict=True)]
        inside = (slice(None), *cast(Region, job.context).relative_to(origin).slices)
        value = constant_value(voxels)
        if value is None:
            return self._student.context(voxels)[inside]
        key = (value, voxels.shape, str(inside))
        return cast(Floats, self._remembered(key, lambda: self._student.context(voxels)[inside]))

    def _whole(self, job: Job, voxels: Floats) -> Prediction:
        plan = cast(Planned, job.plan)
        context = NO_CONTEXT if plan.context is None else self._context_of(plan.context)
        value = constant_value(voxels)
        if value is None:
            return self._forward(job, voxels, context)
        digest = hashlib.blake2b(context.data).digest()
        block = cast(Block, job.block)
        even = first_even(block.target)
        key = (value, voxels.shape, digest, context.shape, plan.form, block.target_in_core, even)
        found = self._remembered(key, lambda: _compact(self._forward(job, voxels, context)))
        return cast(Prediction, found)

    def _context_of(self, window: Region) -> Floats:
        contexts = cast(ContextStore, self.contexts)
        while (context := contexts.window(window)) is None:
            for part in self._context_jobs(window, again=True):
                self.make_context(part, self.read(part))
        return context

    def _forward(self, job: Job, voxels: Floats, context: Floats) -> Prediction:
        plan = cast(Planned, job.plan)
        block = cast(Block, job.block)
        inside = block.target_in_core.slices
        if self.probability:
            logits = self.predictor.logits(voxels, context, plan)[inside]
            labels = (logits >= np.float32(logit(self.threshold))).view(np.uint8)
            bits = entropy_sample(logits, block.target) if self.uncertainty else None
            return Prediction(labels, np.rint(sigmoid(logits) * 255).astype(np.uint8), bits)
        if not self.uncertainty:
            return Prediction(self.predictor.labels(voxels, context, plan, self.threshold)[inside], None)
        labels, sample = self.predictor.labels_and_sample(
            voxels, context, plan, self.threshold, first_even(block.core)
        )
        part = sample_box(block.target).relative_to(sample_box(block.core).start).slices
        return Prediction(labels[inside], None, entropy(sample[part]))

    def _in_parts(self, job: Job, voxels: Floats | None) -> Prediction:
        block = cast(Block, job.block)
        parts = self.grid.halves(block)
        if not parts:
            raise self._too_small(job)
        labels = np.empty(block.target.shape, np.uint8)
        probability = np.empty(block.target.shape, np.uint8) if self.probability else None
        sample = sample_box(block.target)
        bits = np.empty(sample.shape, np.float32) if self.uncertainty else None
        for part in parts:
            smaller = self._job(part)
            found = self.predict(smaller, self._part_of(job, smaller, voxels))
            place = part.target.relative_to(block.target.start).slices
            labels[place] = found.labels
            if probability is not None:
                probability[place] = cast(Bytes, found.probability)
            if bits is not None:
                place = sample_box(part.target).relative_to(sample.start).slices
                bits[place] = cast(Floats, found.entropy)
        return Prediction(labels, probability, bits)

    def _part_of(self, job: Job, part: Job, voxels: Floats | None) -> Floats | None:
        if voxels is None:
            return self.read(part)
        return np.ascontiguousarray(voxels[part.voxels.relative_to(job.voxels.start).slices])

    def _remembered(self, key: tuple[Any, ...], compute: Any) -> Any:
        if key not in self.known:
            self.known[key] = compute()
            if len(self.known) > REMEMBERED:
                self.known.popitem(last=False)
        return self.known[key]

    def _too_small(self, job: Job) -> DeviceError:
        return DeviceError(
            "The memory is too small even for the smallest block",
            value=f"{job.voxels.shape} voxels on {self.predictor.backend.device}",
            remedy="Close other programs, or take --device cpu",
        )


def scaled(raw: npt.NDArray[Any], window: IntensityWindow, result: Floats) -> Floats:
    """Apply the intensity window slab by slab, so that its intermediate arrays stay in the cache."""
    step = max(1, SLAB_VOXELS // max(1, math.prod(raw.shape[1:])))
    for low in range(0, raw.shape[0], step):
        result[low : low + step] = window.apply(raw[low : low + step])
    return result


def constant_value(voxels: Floats) -> float | None:
    """Return the value that all voxels have, or None."""
    value = voxels[0, 0, 0]
    same = bool((voxels[::7, ::7, ::7] == value).all()) and bool((voxels == value).all())
    return float(value) if same else None


def _compact(found: Prediction) -> Prediction:
    """Return the same with uniform arrays as views of one voxel."""
    probability = None if found.probability is None else _uniform(found.probability)
    return Prediction(_uniform(found.labels), probability, found.entropy)


def _uniform(values: Bytes) -> Bytes:
    first = values[0, 0, 0]
    return np.broadcast_to(first, values.shape) if bool((values == first).all()) else values
