"""The proposals of a volume of any size, one block after another with what lies around it.

A gap belongs to the block in which its end lies. Blocks know a halo as wide as the longest gap, so that a gap
across a seam is found as inside a block; one that is found from both sides is offered once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import Source, checked_sources
from napari_vesselkd.proofreading.tools.gaps import LEAST_SCORE, gap_proposals
from napari_vesselkd.proofreading.tools.proposal import Proposal, ProposalsFound
from napari_vesselkd.reports import Progress, Report

BLOCK: Shape = (128, 256, 256)
MOST_UM = 60.0


def walk_gaps(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    image: Source | None = None,
    probability: Source | None = None,
    region: Region | None = None,
    block: Shape = BLOCK,
    most_um: float = MOST_UM,
    least_score: float = LEAST_SCORE,
) -> Iterator[Report]:
    """Look for gaps block by block; closing the generator stops it.

    Memory is that of one block with its halo, about 60 bytes per voxel.

    Parameters
    ----------
    most_um : float
        The longest gap; the halo is twice as wide.

    Yields
    ------
    ProposalsFound
        Of a block, where it has any; nothing twice.
    Progress
        After each block.

    Raises
    ------
    InvalidInputError
        If the shapes differ, or the block or the length cannot be used.
    """
    shape, size = checked_sources(vessel, image, probability), checked_voxel_size(voxel_size_um)
    if min(block) < 1:
        raise InvalidInputError("The block cannot be used", value=block, limit="at least 1 voxel a side")
    if not 0 < most_um < float("inf"):
        raise InvalidInputError("The longest gap cannot be used", value=most_um, limit="above 0 um")
    looked = (region or Region.whole(shape)).checked(shape)
    halo = [int(-(-2 * most_um // one)) for one in size]
    search = _Search(vessel, size, image, probability, most_um, least_score)
    return _walk(search, looked, block, halo)


@dataclass(frozen=True, eq=False)
class _Search:
    """What is looked through, and for what."""

    vessel: Source
    size: VoxelSize
    image: Source | None
    probability: Source | None
    most_um: float
    least_score: float

    def within(self, around: Region, core: Region) -> tuple[Proposal, ...]:
        return gap_proposals(
            self.vessel,
            self.size,
            image=self.image,
            probability=self.probability,
            region=around,
            core=core,
            most_um=self.most_um,
            least_score=self.least_score,
        )


def _walk(search: _Search, looked: Region, block: Shape, halo: list[int]) -> Iterator[Report]:
    began, blocks = time.monotonic(), list(looked.pieces(block))
    whole = Region.whole(search.vessel.shape)
    known: list[Proposal] = []
    for done, core in enumerate(blocks, start=1):
        around = core.expanded(halo).intersection(whole) or core
        found = search.within(around, core)
        fresh = tuple(one for one in found if not any(same_place(one, other) for other in known))
        known += fresh
        if fresh:
            yield ProposalsFound(fresh)
        yield Progress(done, len(blocks), "blocks", time.monotonic() - began)


def same_place(one: Proposal, other: Proposal) -> bool:
    """Return whether two proposals write the same value into more than half of the smaller one's voxels."""
    common = one.region.intersection(other.region)
    if common is None or one.value != other.value:
        return False
    masks = [each.mask[common.relative_to(each.region.start).slices] for each in (one, other)]
    return 2 * int((masks[0] & masks[1]).sum()) > min(one.count, other.count)
