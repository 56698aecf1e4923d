"""Code cells and the windows that their codes come from.

The teacher sees windows of the side P of the patches that it was trained with, each normalised by itself, and
gives m = P / stride codes along each axis. The first and last m // 4 of them see least of their surroundings
and are left out; the middles that are kept tile the volume from voxel 0::

    m = 2    window |cell|cell|                     no margin: windows side by side, as for Swin UNETR
                              |cell|cell|           and SegResNet with patches of 64

    m = 4    window |....|cell|cell|....|           half of each axis is kept
                              |....|cell|cell|....|

So each cell has one answer, whatever the blocks are and whatever region is asked for.

Notation: z, y, x axes; half-open boxes, in voxels of the level worked on or in code cells.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_vesselkd.checkpoints import CheckpointCard, CheckpointRegistry
from napari_vesselkd.errors import CheckpointError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.models import TeacherConfig
from napari_vesselkd.models.teacher import NETWORKS

MOST_CODES = 65_534


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
    """

    patch: int
    step: int
    codes: int

    @property
    def stride(self) -> Shape:
        """Voxels per cell, (z, y, x)."""
        return (self.step,) * 3

    @property
    def margin(self) -> int:
        """Cells of a window that are left out on each side."""
        return self.patch // self.step // 4

    @property
    def kept(self) -> int:
        """Cells along each axis that are kept of a window."""
        return self.patch // self.step - 2 * self.margin

    @property
    def unit(self) -> Shape:
        """Voxels (z, y, x) that the kept cells of a window cover; blocks are multiples of it."""
        return (self.kept * self.step,) * 3

    @property
    def halo(self) -> Shape:
        """Voxels (z, y, x) that a window has around them on each side."""
        return (self.margin * self.step,) * 3

    def cells(self, voxels: Region) -> Region:
        """Return the cells that a box of voxels touches."""
        start = [low // self.step for low in voxels.start]
        return Region(as_shape(start), as_shape([-(-high // self.step) for high in voxels.stop]))

    def voxels(self, cells: Region) -> Region:
        """Return the voxels of a box of cells; the last ones may lie beyond the volume."""
        start = as_shape([low * self.step for low in cells.start])
        return Region(start, as_shape([high * self.step for high in cells.stop]))

    def window_of(self, cell: Shape) -> tuple[Region, Shape]:
        """Return the voxels of the window that decides about `cell`, and the cell's place in it."""
        first = [i // self.kept * self.kept - self.margin for i in cell]
        start = as_shape([i * self.step for i in first])
        place = as_shape([i - low for i, low in zip(cell, first, strict=True)])
        return Region(start, as_shape([low + self.patch for low in start])), place


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
    return CodeGrid(config.patch, int(NETWORKS[config.network].stride), config.quantiser.codes)  # type: ignore[attr-defined]


def _teachers() -> list[str]:
    return [card.name for card in CheckpointRegistry().list() if card.architecture == "teacher"]
