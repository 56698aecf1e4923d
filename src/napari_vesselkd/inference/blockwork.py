"""What happens to one block: read, scaled, predicted; in parts with little memory, at once if constant."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.blocks import Block, BlockGrid, read_block
from napari_vesselkd.errors import DeviceError
from napari_vesselkd.inference.predictor import Predictor, logit, sigmoid
from napari_vesselkd.volume import IntensityWindow, Volume

REMEMBERED = 8
SLAB_VOXELS = 1 << 18
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of a block's target, (z, y, x) of 0 and 1, and its probability in 0..255 where wanted."""

    labels: Bytes
    probability: Bytes | None


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
    predictor : Predictor
    threshold : float
        Probability from which a voxel is vessel.
    probability : bool
        Whether it is wanted.
    largest : float
        Voxels of the largest outer box that memory is known or hoped to allow; shrinks when memory runs out.
    """

    volume: Volume
    window: IntensityWindow
    padding: str
    grid: BlockGrid
    predictor: Predictor
    threshold: float
    probability: bool
    largest: float = math.inf
    known: OrderedDict[tuple[Any, ...], Prediction] = field(default_factory=OrderedDict)

    def read(self, block: Block) -> npt.NDArray[np.float32] | None:
        """Return the block's outer box (z, y, x) scaled to [0, 1], or None where memory does not allow it."""
        try:
            return scaled(read_block(self.volume, block.outer, self.padding), self.window)
        except MemoryError:
            return None

    def predict(self, block: Block, voxels: npt.NDArray[np.float32] | None) -> Prediction:
        """Predict the target of `block` from what `read` returned.

        Raises
        ------
        DeviceError
            If even the smallest block does not fit in memory.
        """
        if voxels is not None and block.outer.size <= self.largest:
            try:
                return self._whole(block, voxels)
            except MemoryError:
                self.largest = min(self.largest, block.outer.size - 1)
        return self._in_parts(block, voxels)

    def _whole(self, block: Block, voxels: npt.NDArray[np.float32]) -> Prediction:
        value = constant_value(voxels)
        if value is None:
            return self._forward(block, voxels)
        key = (value, block.outer.shape, block.core_in_outer, block.target_in_core)
        if key not in self.known:
            self.known[key] = _compact(self._forward(block, voxels))
            if len(self.known) > REMEMBERED:
                self.known.popitem(last=False)
        return self.known[key]

    def _forward(self, block: Block, voxels: npt.NDArray[np.float32]) -> Prediction:
        core, inside = block.core_in_outer, block.target_in_core.slices
        if not self.probability:
            return Prediction(self.predictor.labels(voxels, self.threshold, core)[inside], None)
        logits = self.predictor.logits(voxels, core)[inside]
        labels = (logits >= np.float32(logit(self.threshold))).view(np.uint8)
        return Prediction(labels, np.rint(sigmoid(logits) * 255).astype(np.uint8))

    def _in_parts(self, block: Block, voxels: npt.NDArray[np.float32] | None) -> Prediction:
        parts = self.grid.halves(block)
        if not parts:
            raise DeviceError(
                "The memory is too small even for the smallest block",
                value=f"{block.outer.shape} voxels on {self.predictor.backend.device}",
                remedy="Close other programs, or take --device cpu",
            )
        labels = np.empty(block.target.shape, np.uint8)
        probability = np.empty(block.target.shape, np.uint8) if self.probability else None
        for part in parts:
            piece = self._part_of(block, part, voxels)
            found = self.predict(part, piece)
            place = part.target.relative_to(block.target.start).slices
            labels[place] = found.labels
            if probability is not None:
                probability[place] = cast(Bytes, found.probability)
        return Prediction(labels, probability)

    def _part_of(
        self, block: Block, part: Block, voxels: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32] | None:
        if voxels is None:
            return self.read(part)
        return np.ascontiguousarray(voxels[part.outer.relative_to(block.outer.start).slices])


def scaled(raw: npt.NDArray[Any], window: IntensityWindow) -> npt.NDArray[np.float32]:
    """Apply the intensity window slab by slab, so that its intermediate arrays stay in the cache."""
    result = np.empty(raw.shape, np.float32)
    step = max(1, SLAB_VOXELS // max(1, math.prod(raw.shape[1:])))
    for low in range(0, raw.shape[0], step):
        result[low : low + step] = window.apply(raw[low : low + step])
    return result


def _compact(found: Prediction) -> Prediction:
    """Return the same with uniform arrays as views of one voxel."""
    probability = None if found.probability is None else _uniform(found.probability)
    return Prediction(_uniform(found.labels), probability)


def _uniform(values: Bytes) -> Bytes:
    first = values[0, 0, 0]
    return np.broadcast_to(first, values.shape) if bool((values == first).all()) else values


def constant_value(voxels: npt.NDArray[np.float32]) -> float | None:
    """Return the value that all voxels have, or None."""
    value = voxels[0, 0, 0]
    same = bool((voxels[::7, ::7, ::7] == value).all()) and bool((voxels == value).all())
    return float(value) if same else None
