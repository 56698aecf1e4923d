"""The net in PyTorch's oneDNN with folded convolutions: fastest on x86 CPUs, any shape, nothing to compile.

See `napari_vesselkd.models.folding`. Features are (z, y, x, C).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_vesselkd.geometry import Shape
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.inference.memory import is_out_of_memory, keep_freed_memory
from napari_vesselkd.inference.uncertainty import every_second, every_second_of_cells, sample_of_cells
from napari_vesselkd.models.folding import FoldedConvolution, upsampled_onto
from napari_vesselkd.models.streaming import BlockPlan, StreamingStudent

Floats = npt.NDArray[np.float32]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class OneDnnEngine:
    """A streaming student on the CPU; see `Engine`.

    Parameters
    ----------
    student : StreamingStudent
    backend : Backend
        Its precision is "fp32" or "bf16".
    threads : int, optional
        CPU threads; PyTorch's setting by default.
    """

    def __init__(self, student: StreamingStudent, backend: Backend, threads: int | None = None) -> None:
        keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        self.strides = student.strides
        self.slope = student.slope
        self.dtype = DTYPES[backend.precision]
        self.stem = None if student.stem is None else self._one(student.stem, self.slope)
        self.encoder = [self._all(level) for level in student.encoder]
        self.down = [self._one(convolution) for convolution in student.down]
        self.decoder = [self._all(level) for level in student.decoder]
        self.head = self._one(student.head)

    def context(self, voxels: Floats) -> Floats:
        """See `Engine.context`."""
        return _as_array(_guarded(lambda: self._context(voxels).float())).transpose(3, 0, 1, 2)

    def logits(self, voxels: Floats, context: Floats, plan: BlockPlan) -> Floats:
        """See `Engine.logits`."""
        cells = _guarded(lambda: self._decode(voxels, context, plan).float())
        return self._in_place(_as_array(cells))

    def labels(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """See `Engine.labels`."""
        least = least_at(threshold, self.dtype)
        cells = _guarded(lambda: self._decode(voxels, context, plan) >= least)
        return self._in_place(_as_array(cells).view(np.uint8))

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """See `Engine.labels_and_sample`."""
        least, stem = least_at(threshold, self.dtype), self.strides.stem
        cells = _guarded(lambda: self._decode(voxels, context, plan))
        labels = self._in_place(_as_array(cells >= least).view(np.uint8))
        unfolded = cells.reshape(*cells.shape[:2], -1, *stem)
        part = every_second_of_cells(unfolded, first)
        if part is None:
            return labels, every_second(self._in_place(_as_array(cells.float())), first)
        return labels, sample_of_cells(_as_array(part.float()))

    def _one(self, convolution: nn.Module, slope: float | None = None) -> FoldedConvolution:
        return FoldedConvolution(cast(nn.Conv3d, convolution), slope, self.dtype)

    def _all(self, level: nn.Module) -> list[FoldedConvolution]:
        return [self._one(module, self.slope) for module in level.modules() if isinstance(module, nn.Conv3d)]

    def _stemmed(self, voxels: Floats) -> Tensor:
        x = torch.from_numpy(voxels)[..., None].to(self.dtype)
        return x if self.stem is None else self.stem(x)

    def _context(self, voxels: Floats) -> Tensor:
        x = self._stemmed(voxels)
        for level in range(self.strides.split):
            x = self.down[level](_through(self.encoder[level], x))
        return x

    def _decode(self, voxels: Floats, context: Floats, plan: BlockPlan) -> Tensor:
        """Return the logits of the core in folded cells; see `_in_place`."""
        split, depth = self.strides.split, len(self.strides.levels)
        skips, x = [], self._stemmed(voxels)
        for level in range(depth):
            if level == split:
                x = torch.from_numpy(context).permute(1, 2, 3, 0).to(self.dtype).contiguous()
            x = _through(self.encoder[level], x)
            skips.append(x[plan.levels[level].skip.slices])
            if level != split - 1:
                x = self.down[level](x)
        for level in reversed(range(depth)):
            crop = plan.levels[level]
            source = x[crop.source.slices].contiguous()
            x = upsampled_onto(source, self.strides.levels[level], crop.fine, skips.pop())
            x = _through(self.decoder[level], x)
        return self.head.folded(x[plan.head.slices].contiguous())

    def _in_place(self, cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Put the voxels of folded cells (z, y, x / f, f * voxels of a cell) to their places."""
        fold = cells.shape[3] // math.prod(self.strides.stem)
        return voxels_of_cells(cells, self.strides.stem, fold)


def voxels_of_cells(cells: npt.NDArray[Any], cell: Shape, fold: int = 1) -> npt.NDArray[Any]:
    """Put the voxels of cells (z, y, x, f * cz * cy * cx) to their places; returns a copy, (z, y, x).

    Voxels that are neighbours along x are moved as one item.
    """
    z, y, x, _ = cells.shape
    runs = cells.view(np.dtype((np.void, cells.itemsize * cell[2])))  # (z, y, x, f * cz * cy)
    runs = runs.reshape(z, y, x * fold, cell[0] * cell[1])
    result = np.empty((z, cell[0], y, cell[1], x * fold), runs.dtype)
    for n, (dz, dy) in enumerate(np.ndindex(*cell[:2])):
        result[:, dz, :, dy] = runs[..., n]
    return result.view(cells.dtype).reshape(z * cell[0], y * cell[1], x * fold * cell[2])


def least_at(threshold: float, dtype: torch.dtype) -> float:
    """Return the least number of `dtype` that is not below `threshold`."""
    near = torch.tensor(threshold, dtype=torch.float32).to(dtype)
    if float(near) < threshold:
        near = torch.nextafter(near, torch.tensor(math.inf, dtype=dtype))
    return float(near)


def _through(convolutions: list[FoldedConvolution], x: Tensor) -> Tensor:
    for convolution in convolutions:
        x = convolution(x)
    return x


def _as_array(values: Tensor) -> npt.NDArray[Any]:
    return values.numpy()


def _guarded(compute: Callable[[], Tensor]) -> Tensor:
    try:
        with torch.inference_mode():
            return compute()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(str(error)) from error
