"""A teacher's encoder on a device: windows in, codes out."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_vesselkd.errors import CheckpointError, DeviceError
from napari_vesselkd.inference.devices import Backend, choose_backend
from napari_vesselkd.inference.memory import is_out_of_memory, keep_freed_memory
from napari_vesselkd.models import Teacher
from napari_vesselkd.patterns.grid import CodeGrid

REMEMBERED = 64
Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]
Answer = tuple[Codes, npt.NDArray[np.float16]]


def backend_of(device: str) -> Backend:
    """Return where encoders run: with PyTorch, in float32, so that near ties are decided everywhere alike.

    Raises
    ------
    DeviceError
        If this machine has no such device.
    """
    return Backend(choose_backend(device, "fp32").device, "fp32", "torch")


class CodeEncoder:
    """A teacher, ready to say which codes lie where.

    Parameters
    ----------
    model : Module
        A teacher in three dimensions, as a checkpoint loads it.
    grid : CodeGrid
    backend : Backend, optional
        See `backend_of`.
    threads : int, optional
        CPU threads; PyTorch's setting by default.

    Attributes
    ----------
    windows : int
        Passes so far.

    Raises
    ------
    CheckpointError
        If `model` is no such teacher.
    """

    def __init__(
        self, model: nn.Module, grid: CodeGrid, backend: Backend | None = None, threads: int | None = None
    ) -> None:
        if not isinstance(model, Teacher) or model.config.spatial_dims != 3:
            raise CheckpointError("Only a teacher in three dimensions has codes for a volume")
        self.backend = backend or backend_of("auto")
        if self.backend.device == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        self.grid, self.windows = grid, 0
        self.device = torch.device(self.backend.device)
        self.model = model.eval().to(self.device)
        self._known: OrderedDict[float, tuple[int, float]] = OrderedDict()

    def block(self, voxels: Floats) -> Answer:
        """Return the codes of a box of cells.

        Parameters
        ----------
        voxels : ndarray of float32, (z, y, x)
            In [0, 1]: the windows of the cells, see `CodeGrid.windows`.

        Returns
        -------
        codes : ndarray of uint16, (cells z, y, x)
            Code + 1.
        distance : ndarray of float16, (cells z, y, x)
            To that code, see `Quantiser.distances`.

        Raises
        ------
        DeviceError
            If the memory is too small for a window.
        """
        step, patch = self.grid.step, self.grid.patch
        shape = [(side - patch) // step + 1 for side in voxels.shape]
        codes, distance = np.empty(shape, np.uint16), np.empty(shape, np.float16)
        for index in np.ndindex(*shape):
            z, y, x = (slice(i * step, i * step + patch) for i in index)
            codes[index], distance[index] = self._window(voxels[z, y, x])
        return codes, distance

    def distances(self, window: Floats) -> Floats:
        """Return the distance (N,) of the cell of a window (P, P, P) to each code."""
        token, _ = self._token(window)
        with torch.inference_mode():
            return cast(Floats, self.model.quantiser.distances(token)[0].cpu().numpy())

    def _window(self, voxels: Floats) -> tuple[int, float]:
        """Return code + 1 and distance of the cell of a window; the same for all windows of one value."""
        value = float(voxels[0, 0, 0])
        constant = bool((voxels[::7, ::7, ::7] == value).all()) and bool((voxels == value).all())
        if constant and value in self._known:
            return self._known[value]
        found = self._computed(voxels)
        if constant:
            self._known[value] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _computed(self, voxels: Floats) -> tuple[int, float]:
        token, code = self._token(voxels)
        with torch.inference_mode():
            return code + 1, float(self.model.quantiser.distances(token)[0, code])

    def _token(self, voxels: Floats) -> tuple[Tensor, int]:
        """Return u (1, W) of the cell of one window, and the code that the quantiser takes for it.

        Always one window at a time, so that none depends on its neighbours.
        """
        self.windows += 1
        image = torch.from_numpy(np.ascontiguousarray(voxels))[None, None].to(self.device)
        place = (slice(self.grid.place, self.grid.place + 1),) * 3
        try:
            with torch.inference_mode():
                u = self.model.embed(image).float()[(slice(None), slice(None), *place)]
                code = int(self.model.quantiser(u).indices)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceError(
                "The memory is too small even for one window",
                value=f"{tuple(voxels.shape)} voxels on {self.backend.device}",
                remedy="Close other programs, or take --device cpu",
            ) from error
        return u.flatten(1), code
