"""What every tool answers: a change of voxels that is not made yet, why, and how sure the tool is.

Notation: z, y, x axes; values are those of corrections: 1 background, 2 vessel. Nothing here changes a label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.labels.edits import BACKGROUND, VESSEL
from napari_vesselkd.proofreading.tools.boxes import I64, Mask, Source, read_part
from napari_vesselkd.reports import Report

__all__ = ["BACKGROUND", "VESSEL", "Proposal", "ProposalsFound"]

Points = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A change that a tool offers.

    Attributes
    ----------
    tool : str
        Which tool it is from: "connect", "gap", "delete component", ...
    region : Region
        The box of the change, in voxels of what the tool was given.
    mask : ndarray of bool, (z, y, x)
        The voxels of the region to be written.
    value : int
        What to write there: 1 background, 2 vessel.
    reason : str
        Why, in a sentence without a final stop, for the screen.
    score : float
        How sure the tool is, 0 to 1; of "gap" the estimated probability that the ends belong together.
    points : tuple of (z, y, x)
        Places to show, in voxels: the path of a connection, the end of a spur, the point of a cut.
    """

    tool: str
    region: Region
    mask: Mask
    value: int
    reason: str
    score: float
    points: Points = ()

    def __post_init__(self) -> None:
        if self.mask.shape != self.region.shape:
            raise InvalidInputError(
                "The mask is not of the region", value=self.mask.shape, limit=f"{self.region.shape}"
            )

    @property
    def count(self) -> int:
        """Number of voxels to be written; 0 where there is nothing to change."""
        return int(np.count_nonzero(self.mask))

    @property
    def voxels(self) -> tuple[I64, I64, I64]:
        """The voxels to be written as the index (z, y, x) of the array that the tool was given."""
        z, y, x = (places + low for places, low in zip(np.nonzero(self.mask), self.region.start, strict=True))
        return z, y, x

    def volume_um3(self, voxel_size_um: VoxelSize) -> float:
        """Return the volume of the change in cubic um."""
        return self.count * float(np.prod(voxel_size_um))

    def shifted(self, offset: Shape) -> Self:
        """Return the same change in coordinates moved by `offset` voxels: from a block's to the volume's."""
        moved: Points = tuple((z + offset[0], y + offset[1], x + offset[2]) for z, y, x in self.points)
        return replace(self, region=self.region.shifted(offset), points=moved)

    def clipped(self, region: Region) -> Self | None:
        """Return the part of the change inside `region`, None where there is none."""
        common = self.region.intersection(region)
        if common is None:
            return None
        part = self.mask[common.relative_to(self.region.start).slices]
        return replace(self, region=common, mask=part) if part.any() else None

    def tightened(self) -> Self:
        """Return the same change in the smallest box around it; as it is where there is no voxel."""
        if not self.mask.any():
            return self
        spans = [np.flatnonzero(self.mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        box = Region(as_shape([span[0] for span in spans]), as_shape([span[-1] + 1 for span in spans]))
        return replace(self, region=box.shifted(self.region.start), mask=self.mask[box.slices].copy())

    def applied(self, labels: Source) -> npt.NDArray[Any]:
        """Return what `region` of `labels` (z, y, x) would hold after the change; `labels` is left alone."""
        part = read_part(labels, self.region).copy()
        part[self.mask] = self.value
        return part


@dataclass(frozen=True, eq=False)
class ProposalsFound(Report):
    """Proposals of a part of a volume, the best first; more may follow."""

    proposals: tuple[Proposal, ...]


def proposal(
    tool: str, box: Region, mask: Mask, value: int, *, reason: str, score: float, points: Points = ()
) -> Proposal:
    """Return a proposal in the smallest box around `mask`, which is of `box`; the score is put in 0..1."""
    sure = float(np.clip(score, 0.0, 1.0))
    return Proposal(tool, box, mask, value, reason, sure, points).tightened()


def as_points(places: npt.ArrayLike, origin: Shape = (0, 0, 0)) -> Points:
    """Return places (N, 3) in voxels of a box at `origin` as points."""
    moved = np.asarray(places, np.float64).reshape(-1, 3) + np.asarray(origin)
    return tuple((float(z), float(y), float(x)) for z, y, x in moved)
