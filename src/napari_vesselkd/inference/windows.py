"""A teacher on a volume: overlapping windows on one grid, the same ones for every block.

Windows have the side P of the patches that the teacher was trained with and begin at every multiple of P / 2,
from -P / 2 on; beyond its borders the volume is continued by reflection. So every voxel lies in two windows
along each axis, whatever the blocks are, and its logit is their mean, weighted by a Gaussian around each
window's centre (standard deviation P / 8). Windows that touch two blocks are computed for both.

::

    windows   |-------|-------|            of P voxels
                  |-------|-------|
    voxels        0 . . . . . . . .        cells of P / 2: cell c is covered by windows c - 1 and c
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_vesselkd.errors import CheckpointError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.inference.memory import is_out_of_memory, keep_freed_memory
from napari_vesselkd.inference.predictor import logit
from napari_vesselkd.inference.uncertainty import every_second
from napari_vesselkd.models import Teacher

DEVIATION = 1 / 8  # of the side of a window
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WindowPlan:
    """What a block's core is computed from: `voxels`, half a window more than the core on each side."""

    voxels: Region
    context: Region | None = None

    @property
    def form(self) -> tuple[object, ...]:
        """See `Planned.form`; the shape of the voxels says it all."""
        return ()


class WindowPredictor:
    """A teacher, ready to predict blocks whose cores are multiples of half a window.

    Parameters
    ----------
    model : Module
        A teacher in three dimensions, as a checkpoint loads it.
    temperature : float
        Divides the logits (the checkpoint's calibration).
    backend : Backend
    threads : int, optional
        CPU threads; PyTorch's setting by default.

    Attributes
    ----------
    forwards : int
        Blocks predicted so far.

    Raises
    ------
    CheckpointError
        If `model` is no such teacher.
    """

    def __init__(
        self, model: nn.Module, temperature: float, backend: Backend, threads: int | None = None
    ) -> None:
        if not isinstance(model, Teacher) or model.config.spatial_dims != 3:
            raise CheckpointError("Only a teacher in three dimensions works in windows")
        if backend.device == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        self.backend, self.temperature, self.forwards = backend, temperature, 0
        self.side = model.config.patch
        self.device = torch.device(backend.device)
        self.model = model.eval().to(self.device)
        self.weight = torch.from_numpy(weights(self.side)).to(self.device)

    def plan(self, extended: Shape, core: Region, halo: Sequence[int]) -> WindowPlan:
        """Return what the core of a block is computed from; `halo` is half a window."""
        return WindowPlan(core.expanded(as_shape(halo)))

    def logits(self, voxels: Floats, context: Floats, plan: WindowPlan) -> Floats:
        """Return the calibrated logits (z, y, x) of a core; MemoryError where a window is too large."""
        self.forwards += 1
        try:
            with torch.inference_mode():
                return self._blended(voxels) / np.float32(self.temperature)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(str(error)) from error

    def labels(
        self, voxels: Floats, context: Floats, plan: WindowPlan, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """Return 1 where the probability is at least `threshold`, else 0; otherwise as `logits`."""
        return (self.logits(voxels, context, plan) >= np.float32(logit(threshold))).view(np.uint8)

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: WindowPlan, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """Return labels, and the calibrated logits of every second voxel (z, y, x) from the `first` on."""
        logits = self.logits(voxels, context, plan)
        return (logits >= np.float32(logit(threshold))).view(np.uint8), every_second(logits, first)

    def _blended(self, voxels: Floats) -> Floats:
        """Return the logits of all but the outermost half windows, summed in the order of the grid."""
        half = self.side // 2
        total = torch.zeros(voxels.shape, device=self.device)
        counts = [side // half - 1 for side in voxels.shape]
        for index in np.ndindex(*counts):
            z, y, x = (slice(i * half, i * half + self.side) for i in index)
            total[z, y, x] += self.weight * self._window(voxels[z, y, x])
        inside = total[half:-half, half:-half, half:-half]
        return cast(Floats, inside.cpu().numpy())

    def _window(self, voxels: Floats) -> Tensor:
        """Return the logits of one window; always one at a time, so that none depends on its neighbours."""
        image = torch.from_numpy(np.ascontiguousarray(voxels))[None, None].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, self.backend.precision == "bf16"):
            return cast(Tensor, self.model(image))[0, 0].float()


def weights(side: int) -> Floats:
    """Return the weight (side, side, side) of a window's voxels; those of windows on the grid sum to 1."""
    distance = np.arange(side) - (side - 1) / 2
    bell = np.exp(-0.5 * (distance / (DEVIATION * side)) ** 2)
    line = bell / (bell + np.roll(bell, side // 2))
    return cast(Floats, (line[:, None, None] * line[:, None] * line).astype(np.float32))
