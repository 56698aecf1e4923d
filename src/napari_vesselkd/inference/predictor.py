"""A checkpoint on a device."""

from __future__ import annotations

import math
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.inference.devices import Backend, choose_backend
from napari_vesselkd.inference.memory import is_out_of_memory, keep_freed_memory
from napari_vesselkd.models.streaming import StreamingStudent


class Engine(Protocol):
    """Computes the net on one device."""

    def logits(self, voxels: npt.NDArray[np.float32], core: Region) -> npt.NDArray[np.float32]:
        """Return the logits of `core` for a block of voxels (z, y, x) in [0, 1].

        Raises MemoryError where the block is too large for the device.
        """
        ...

    def labels(
        self, voxels: npt.NDArray[np.float32], core: Region, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """Return 1 where the logits are at least `threshold`, else 0; otherwise as `logits`."""
        ...


class Predictor:
    """A checkpoint's model, ready to predict blocks.

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
    total_stride : tuple of int
        Sides and origins of blocks must be multiples of it, (z, y, x).
    forwards : int
        Passes of the net so far.

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
        self.total_stride: Shape = self.student.total_stride
        self.forwards = 0
        self.engine = _engine(self.student, self.backend, threads)

    def logits(self, voxels: npt.NDArray[np.float32], core: Region | None = None) -> npt.NDArray[np.float32]:
        """Return the calibrated logits of `core`, a box in the block `voxels` (z, y, x); of all by default.

        Raises
        ------
        MemoryError
            If the block is too large for the memory of the device.
        """
        self.forwards += 1
        found = self.engine.logits(voxels, core or Region.whole(voxels.shape))
        return found if self.temperature == 1 else found / np.float32(self.temperature)

    def labels(
        self, voxels: npt.NDArray[np.float32], threshold: float, core: Region | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return 1 where the probability is at least `threshold`, else 0; otherwise as `logits`."""
        self.forwards += 1
        wanted = core or Region.whole(voxels.shape)
        return self.engine.labels(voxels, wanted, logit(threshold) * self.temperature)

    def probability(
        self, voxels: npt.NDArray[np.float32], core: Region | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the probability of vessel in [0, 1]; otherwise as `logits`."""
        return sigmoid(self.logits(voxels, core))


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return cast(npt.NDArray[np.float32], 0.5 * np.tanh(0.5 * logits) + 0.5)


def logit(probability: float) -> float:
    """Return log(p / (1 - p)); infinite at 0 and 1."""
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))


def _engine(student: StreamingStudent, backend: Backend, threads: int | None) -> Engine:
    if backend.engine == "openvino":
        from napari_vesselkd.inference.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(student, backend.precision, threads)
    return TorchEngine(student, backend, threads)


class TorchEngine:
    """The net in PyTorch, on CUDA, MPS or the CPU."""

    def __init__(self, student: StreamingStudent, backend: Backend, threads: int | None = None) -> None:
        if backend.device == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = torch.device(backend.device)
        self.bf16 = backend.precision == "bf16"
        self.student = student.to(self.device)

    def logits(self, voxels: npt.NDArray[np.float32], core: Region) -> npt.NDArray[np.float32]:
        """See `Engine.logits`."""
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.bf16):
                block = torch.from_numpy(voxels).to(self.device, non_blocking=True)
                found = self.student(block[None, None], core)[0, 0]
                return cast(npt.NDArray[np.float32], found.float().cpu().numpy())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error

    def labels(
        self, voxels: npt.NDArray[np.float32], core: Region, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """See `Engine.labels`."""
        return (self.logits(voxels, core) >= np.float32(threshold)).view(np.uint8)
