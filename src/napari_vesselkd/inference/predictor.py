"""A checkpoint on a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from torch import nn

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.inference.devices import Backend, choose_backend
from napari_vesselkd.models.streaming import BlockPlan, StreamingStudent, plan_block

Floats = npt.NDArray[np.float32]


class Engine(Protocol):
    """Computes the two passes of a streaming student on one device.

    Each raises MemoryError where its input is too large for the device.
    """

    def context(self, voxels: Floats) -> Floats:
        """Return the context (C, z, y, x) of voxels (z, y, x) in [0, 1]."""
        ...

    def logits(self, voxels: Floats, context: Floats, plan: BlockPlan) -> Floats:
        """Return the logits (z, y, x) of the core of `plan` from the voxels and the context that it names."""
        ...

    def labels(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """Return 1 where the logits are at least `threshold`, else 0; otherwise as `logits`."""
        ...

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Return the labels, and the logits of every second voxel (z, y, x) from the `first` on."""
        ...


class Planned(Protocol):
    """What a block's core is computed from."""

    @property
    def voxels(self) -> Region:
        """Voxels to read; they may lie beyond the volume, which is continued there."""
        ...

    @property
    def context(self) -> Region | None:
        """Cells of context, where there is any."""
        ...

    @property
    def form(self) -> tuple[object, ...]:
        """What the result depends on beside the values of voxels and context."""
        ...


class BlockPredictor(Protocol):
    """A model that predicts blocks: a student's `Predictor` or a teacher's `WindowPredictor`."""

    backend: Backend
    forwards: int

    def plan(self, extended: Shape, core: Region, halo: Sequence[int]) -> Planned:
        """Return what the core of a block in an extended volume is computed from."""
        ...

    def logits(self, voxels: Floats, context: Floats, plan: Any) -> Floats:
        """Return the calibrated logits (z, y, x) of a core; MemoryError where the block is too large."""
        ...

    def labels(self, voxels: Floats, context: Floats, plan: Any, threshold: float) -> npt.NDArray[np.uint8]:
        """Return 1 where the probability is at least `threshold`, else 0; otherwise as `logits`."""
        ...

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: Any, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Return labels, and the calibrated logits of every second voxel (z, y, x) from the `first` on."""
        ...


class Predictor:
    """A student, ready to predict blocks.

    Parameters
    ----------
    model : Module
        A frozen student, as a checkpoint loads it.
    temperature : float
        Divides the logits (the checkpoint's calibration).
    backend : Backend, optional
        The fastest at hand by default.
    threads : int, optional
        CPU threads; all by default.

    Attributes
    ----------
    strides : Strides
        Of the net.
    forwards, contexts : int
        Passes over blocks, and passes that made context, so far.

    Raises
    ------
    CheckpointError
        If the model cannot run in blocks.
    """

    def __init__(
        self,
        model: nn.Module,
        temperature: float = 1.0,
        backend: Backend | None = None,
        threads: int | None = None,
    ) -> None:
        self.backend = backend or choose_backend()
        self.temperature = temperature
        self.student = StreamingStudent(model)
        self.strides = self.student.strides
        self.forwards = self.contexts = 0
        self.engine = _engine(self.student, self.backend, threads)

    @property
    def total_stride(self) -> Shape:
        """Sides and origins of blocks must be multiples of it, (z, y, x)."""
        return self.strides.total

    def plan(self, extended: Shape, core: Region, halo: Sequence[int]) -> BlockPlan:
        """Return what the core of a block in an extended volume is computed from, see `plan_block`."""
        return plan_block(extended, core, halo, self.strides)

    def context(self, voxels: Floats) -> Floats:
        """Return the context (C, z, y, x) of voxels (z, y, x); MemoryError where they are too many."""
        self.contexts += 1
        return self.engine.context(voxels)

    def logits(self, voxels: Floats, context: Floats, plan: BlockPlan) -> Floats:
        """Return the calibrated logits (z, y, x) of a core; MemoryError where the block is too large."""
        self.forwards += 1
        found = self.engine.logits(voxels, context, plan)
        return found if self.temperature == 1 else found / np.float32(self.temperature)

    def labels(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """Return 1 where the probability is at least `threshold`, else 0; otherwise as `logits`."""
        self.forwards += 1
        return self.engine.labels(voxels, context, plan, logit(threshold) * self.temperature)

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Return labels, and the calibrated logits of every second voxel (z, y, x) from the `first` on."""
        self.forwards += 1
        least = logit(threshold) * self.temperature
        labels, sample = self.engine.labels_and_sample(voxels, context, plan, least, first)
        return labels, sample / np.float32(self.temperature)

    def probability(self, volume: Floats) -> Floats:
        """Return the probability of vessel in [0, 1] of a whole small volume (z, y, x) in [0, 1].

        Its sides are multiples of `total_stride`.
        """
        plan = self.student.plan(volume.shape)
        return sigmoid(self.logits(volume, self.context(volume), plan))


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return cast(Floats, 0.5 * np.tanh(0.5 * logits) + 0.5)


def logit(probability: float) -> float:
    """Return log(p / (1 - p)); infinite at 0 and 1."""
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))


def _engine(student: StreamingStudent, backend: Backend, threads: int | None) -> Engine:
    kind: Any
    if backend.engine == "onednn":
        from napari_vesselkd.inference.onednn_engine import OneDnnEngine as kind
    elif backend.engine == "openvino":
        from napari_vesselkd.inference.openvino_engine import OpenVinoEngine as kind
    else:
        from napari_vesselkd.inference.torch_engine import TorchEngine as kind
    return cast(Engine, kind(student, backend, threads))
