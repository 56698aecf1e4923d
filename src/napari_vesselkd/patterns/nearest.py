"""Which codes a place is near to: one pass of the encoder over the window of its cell."""

from __future__ import annotations

import numpy as np

from napari_vesselkd.blocks import read_block
from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.encoder import CodeEncoder, backend_of
from napari_vesselkd.patterns.grid import grid_of
from napari_vesselkd.volume import Volume


class NearestCodes:
    """Answers for one code map, its volume and its checkpoint, which are checked and loaded once.

    Parameters
    ----------
    volume : Volume
        The image, at any of its levels.
    code_map : CodeMap
    checkpoint : Checkpoint
    device : str
        As in `CodesConfig`.
    threads : int, optional
        CPU threads; PyTorch's setting by default.

    Raises
    ------
    InvalidInputError, CheckpointError
        If the map is of another image or checkpoint.
    DeviceError
        If this machine has no such device.
    """

    def __init__(
        self,
        volume: Volume,
        code_map: CodeMap,
        checkpoint: Checkpoint,
        *,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        code_map.check_checkpoint(checkpoint.card)
        self.volume = code_map.volume_at(volume)
        self.code_map, self.padding = code_map, checkpoint.card.padding
        self.grid = grid_of(checkpoint.card)
        self.encoder = CodeEncoder(checkpoint.load(), self.grid, backend_of(device), threads)

    def __call__(self, cell: Shape, count: int = 5) -> list[tuple[int, float]]:
        """Return the `count` nearest codes of a cell and their distances, nearest first.

        The first one is the code in the map; distances as in `Quantiser.distances`.

        Raises
        ------
        RegionError
            If the cell is outside the map.
        InvalidInputError
            If nothing of the map has been computed yet, so that its intensity window is not known.
        """
        cell = as_shape(cell)
        box = Region(cell, as_shape([i + 1 for i in cell])).checked(self.code_map.shape)
        window = self.code_map.window
        if window is None:
            raise InvalidInputError(
                "The code map is still empty", value=self.code_map.path, remedy="Map some codes first"
            )
        voxels = window.apply(read_block(self.volume, self.grid.windows(box), self.padding))
        distances = self.encoder.distances(voxels)
        order = np.argsort(distances, kind="stable")[:count]
        return [(int(code), float(distances[code])) for code in order]


def nearest_codes(
    volume: Volume, code_map: CodeMap, checkpoint: Checkpoint, cell: Shape, count: int = 5
) -> list[tuple[int, float]]:
    """Return the `count` nearest codes of one cell and their distances, nearest first; see `NearestCodes`."""
    return NearestCodes(volume, code_map, checkpoint)(cell, count)
