"""Code cells and the windows that their codes come from.

The teacher sees windows of the side P of the patches that it was trained with, each normalised by itself, and
gives P / stride codes along each axis. Which code a place gets depends a lot on where in the window it lies,
as at the borders the net sees mostly padding: a teacher trained on phantoms used 8 codes (perplexity, on real
volumes) for the first corner of its windows, 57 for their middle. So each cell gets a window of its own, in
which it always lies at the same place, that nearest to the middle, and the window is put so that the centre
of what the code sees is the middle of the cell::

    SegResNet, P = 64     window |          |=== code ===|     |      code 1 of 2 looks at voxel 44, nearer to
                          cell              |============|            the middle than voxel 12 of code 0

    Swin UNETR, P = 64    window |============|=== code ===|          of two equally good places, one is taken
                          cell                |============|

So each cell has one answer, whatever the blocks are and whatever region is asked for, and a volume that is
moved by a cell has the same codes, moved by a cell.

Notation: z, y, x axes; half-open boxes, in voxels of the level worked on or in code cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_vesselkd.checkpoints import CheckpointCard, CheckpointRegistry
from napari_vesselkd.errors import CheckpointError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.models import TeacherConfig
from napari_vesselkd.models.networks import NETWORKS

MOST_CODES = 65_534
LEAST_UNIT = 64


@dataclass(frozen=True)
class CodeGrid:
    """Where codes lie; see the module.

    Attributes
    ----------
    patch : int
        Side of a window, voxels.
    step : int
        Voxels per cell along each axis.
    codes : int
        Of the codebook, N.
    centre : float
        Where in a cell of a window its code looks, see `Network`.
    """

    patch: int
    step: int
    codes: int
    centre: float = 0.5

    @property
    def stride(self) -> Shape:
        """Voxels per cell, (z, y, x)."""
        return (self.step,) * 3

    @property
    def place(self) -> int:
        """Which of a window's codes is taken, along each axis: the last of those nearest to its middle."""
        middle = self.patch / 2
        places = range(self.patch // self.step)
        return max(places, key=lambda i: (-abs((i + self.centre) * self.step - middle), i))

    @property
    def lead(self) -> int:
        """Voxels by which a window begins before its cell."""
        return round((self.place + self.centre) * self.step - self.step / 2)

    @property
    def unit(self) -> Shape:
        """Voxels (z, y, x) that blocks are multiples of: whole cells, at least 64."""
        return (-(-LEAST_UNIT // self.step) * self.step,) * 3

    def cells(self, voxels: Region) -> Region:
        """Return the cells that a box of voxels touches."""
        start = [low // self.step for low in voxels.start]
        return Region(as_shape(start), as_shape([-(-high // self.step) for high in voxels.stop]))

    def voxels(self, cells: Region) -> Region:
        """Return the voxels of a box of cells; the last ones may lie beyond the volume."""
        start = as_shape([low * self.step for low in cells.start])
        return Region(start, as_shape([high * self.step for high in cells.stop]))

    def windows(self, cells: Region) -> Region:
        """Return the voxels of the windows of a box of cells; they may lie beyond the volume."""
        start = as_shape([low * self.step - self.lead for low in cells.start])
        ends = [(high - 1) * self.step - self.lead + self.patch for high in cells.stop]
        return Region(start, as_shape(ends))


def grid_of(card: CheckpointCard) -> CodeGrid:
    """Return the grid of a teacher's codes from its card, without loading it.

    Raises
    ------
    CheckpointError
        If the checkpoint has no codebook, one with too many codes, or is for 2D images.
    """
    if card.architecture != "teacher":
        raise CheckpointError(
            "The checkpoint has no codebook",
            value=f"{card.name}, a {card.architecture}",
            limit=", ".join(_teachers()) or "a teacher",
            remedy="Choose a teacher",
        )
    config = TeacherConfig.from_dict(card.config)
    if config.spatial_dims != 3:
        raise CheckpointError(
            "The checkpoint is for 2D images",
            value=card.name,
            limit="a teacher in three dimensions",
            remedy="Choose another checkpoint",
        )
    if config.quantiser.codes > MOST_CODES:
        raise CheckpointError(
            "The codebook has too many codes for a map",
            value=f"{card.name}: {config.quantiser.codes}",
            limit=f"at most {MOST_CODES}",
            remedy="Choose another checkpoint",
        )
    network: Any = NETWORKS[config.network]
    return CodeGrid(config.patch, int(network.stride), config.quantiser.codes, float(network.centre))


def _teachers() -> list[str]:
    return [card.name for card in CheckpointRegistry().list() if card.architecture == "teacher"]
