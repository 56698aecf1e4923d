"""How good a block is while it is corrected: pieces, length, open ends, Betti numbers, estimated Dice.

Notation: p probability of vessel, m mask; the estimated Dice is that of the expected counts,
``2 sum(p m) / (sum(p) + sum(m))``, which is right as far as p is calibrated.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from napari_vesselkd.geometry import Region, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.measure.betti import BettiNumbers, betti_numbers
from napari_vesselkd.measure.overlap import ratio
from napari_vesselkd.proofreading.tools.boxes import (
    Source,
    checked_box,
    checked_sources,
    read_values,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.ends import open_ends
from napari_vesselkd.proofreading.tools.proposal import VESSEL, Proposal
from napari_vesselkd.proofreading.tools.skeleton import skeleton_graph


@dataclass(frozen=True)
class Quality:
    """What is known about the vessels of a region.

    Attributes
    ----------
    voxels : int
    volume_um3 : float
    length_um : float
        Of the centrelines.
    open_ends : int
        Ends inside the region; vessels that leave it do not end.
    betti : BettiNumbers
        Pieces, loops, cavities.
    estimated_dice : float
        0..1; NaN without a probability, or where there is no vessel and none is expected.
    """

    voxels: int
    volume_um3: float
    length_um: float
    open_ends: int
    betti: BettiNumbers
    estimated_dice: float

    @property
    def components(self) -> int:
        return self.betti.pieces

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; None for what is not known."""
        values = asdict(self)
        if math.isnan(self.estimated_dice):
            values["estimated_dice"] = None
        return values


def quality(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    probability: Source | None = None,
    region: Region | None = None,
    change: Proposal | None = None,
) -> Quality:
    """Return the quality of `region`, at most 2**25 voxels.

    Parameters
    ----------
    vessel : source, (z, y, x)
        Not 0 where there is vessel.
    probability : source (z, y, x), 0..1, optional
        Calibrated, for the estimated Dice.
    change : Proposal, optional
        As if it were applied: the quality after it.
    """
    shape, size = checked_sources(vessel, probability), checked_voxel_size(voxel_size_um)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    mask = read_vessel(vessel, looked).copy()
    part = None if change is None else change.clipped(looked)
    if part is not None:
        mask[part.region.relative_to(looked.start).slices][part.mask] = part.value == VESSEL
    graph = skeleton_graph(mask, size)
    ends = open_ends(graph, as_shape(mask.shape)) if len(graph) else []
    voxels = int(np.count_nonzero(mask))
    dice = math.nan
    if probability is not None:
        chance = read_values(probability, looked)
        both = float(chance[mask].sum(dtype=np.float64))
        dice = ratio(2 * both, float(chance.sum(dtype=np.float64)) + voxels)
    volume = voxels * float(np.prod(size))
    return Quality(voxels, volume, graph.length_um, len(ends), betti_numbers(mask), dice)


def agreement(first: Source, second: Source, region: Region | None = None) -> float:
    """Return the Dice (0..1) of two reviewers' vessels in `region`; NaN where neither has any."""
    shape = checked_sources(first, second)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    one, other = read_vessel(first, looked), read_vessel(second, looked)
    both = int(np.count_nonzero(one & other))
    return ratio(2 * both, int(np.count_nonzero(one)) + int(np.count_nonzero(other)))
