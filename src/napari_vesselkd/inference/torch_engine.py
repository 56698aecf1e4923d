"""The net in PyTorch: on CUDA, MPS, or a CPU without OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_vesselkd.geometry import Shape
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.inference.memory import is_out_of_memory, keep_freed_memory
from napari_vesselkd.inference.uncertainty import every_second
from napari_vesselkd.models.streaming import BlockPlan, StreamingStudent

Floats = npt.NDArray[np.float32]


class TorchEngine:
    """A streaming student on one device; see `Engine`.

    Parameters
    ----------
    student : StreamingStudent
    backend : Backend
    threads : int, optional
        CPU threads; PyTorch's setting by default.
    """

    def __init__(self, student: StreamingStudent, backend: Backend, threads: int | None = None) -> None:
        if backend.device == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = torch.device(backend.device)
        self.bf16 = backend.precision == "bf16"
        self.student = student.to(self.device)

    def context(self, voxels: Floats) -> Floats:
        """See `Engine.context`."""
        return self._run(lambda: self.student.encode_context(self._on_device(voxels[None])))

    def logits(self, voxels: Floats, context: Floats, plan: BlockPlan) -> Floats:
        """See `Engine.logits`."""
        found = self._run(
            lambda: self.student.decode(self._on_device(voxels[None]), self._on_device(context), plan)
        )
        return cast(Floats, found[0])

    def labels(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """See `Engine.labels`."""
        return (self.logits(voxels, context, plan) >= np.float32(threshold)).view(np.uint8)

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """See `Engine.labels_and_sample`."""
        logits = self.logits(voxels, context, plan)
        return (logits >= np.float32(threshold)).view(np.uint8), every_second(logits, first)

    def _on_device(self, array: Floats) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)[None]

    def _run(self, compute: Callable[[], Tensor]) -> Floats:
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.bf16):
                return cast(Floats, compute()[0].float().cpu().numpy())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error
