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
        self._known: OrderedDict[float, Answer] = OrderedDict()

    def block(self, voxels: Floats) -> Answer:
        """Return the codes of a block's core.

        Parameters
        ----------
        voxels : ndarray of float32, (z, y, x)
            In [0, 1]: the core, a multiple of the grid's unit, with its halo.

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
        unit, patch, kept = self.grid.unit[0], self.grid.patch, self.grid.kept
        counts = [(side - patch) // unit + 1 for side in voxels.shape]
        shape = [count * kept for count in counts]
        codes, distance = np.empty(shape, np.uint16), np.empty(shape, np.float16)
        for index in np.ndindex(*counts):
            z, y, x = (slice(i * unit, i * unit + patch) for i in index)
            place = tuple(slice(i * kept, (i + 1) * kept) for i in index)
            codes[place], distance[place] = self._window(voxels[z, y, x])
        return codes, distance

    def distances(self, window: Floats, place: tuple[int, int, int]) -> Floats:
        """Return the distance (N,) of what a window (P, P, P) has at a cell of it to each code."""
        tokens, _ = self._tokens(window)
        side = self.grid.patch // self.grid.step
        row = int(np.ravel_multi_index(place, (side,) * 3))
        with torch.inference_mode():
            return cast(Floats, self.model.quantiser.distances(tokens[row : row + 1])[0].cpu().numpy())

    def _window(self, voxels: Floats) -> Answer:
        """Return the codes that are kept of one window; the same for all windows of one value."""
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

    def _computed(self, voxels: Floats) -> Answer:
        tokens, indices = self._tokens(voxels)
        with torch.inference_mode():
            distance = self.model.quantiser.distances(tokens).gather(1, indices[:, None])[:, 0]
        side, low = self.grid.patch // self.grid.step, self.grid.margin
        middle = (slice(low, low + self.grid.kept),) * 3
        codes = (indices.cpu().numpy() + 1).astype(np.uint16).reshape((side,) * 3)[middle]
        return codes, distance.cpu().numpy().astype(np.float16).reshape((side,) * 3)[middle]

    def _tokens(self, voxels: Floats) -> tuple[Tensor, Tensor]:
        """Return u (T, W) of one window and the codes (T,) that the quantiser takes for it.

        Always one window at a time, so that none depends on its neighbours.
        """
        self.windows += 1
        image = torch.from_numpy(np.ascontiguousarray(voxels))[None, None].to(self.device)
        try:
            with torch.inference_mode():
                u = self.model.embed(image).float()
                indices = self.model.quantiser(u).indices
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceError(
                "The memory is too small even for one window",
                value=f"{tuple(voxels.shape)} voxels on {self.backend.device}",
                remedy="Close other programs, or take --device cpu",
            ) from error
        return u[0].flatten(1).T, indices.flatten()
