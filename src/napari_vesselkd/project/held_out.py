"""Which accepted blocks are kept from training, so that the gate can judge on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from napari_vesselkd.geometry import Region
from napari_vesselkd.project.state import Entry

FIRST, LATER = 3, 4


def drawn(project: str, rank: int) -> bool:
    """Return whether the accepted block of that rank, from 1, is held out.

    Of the first three one of the second and third is, then one of each next four: at random, and always the
    same for one project (`project` is its id).
    """
    if rank <= FIRST:
        return rank == 2 + _number(project, 0, 2)
    group, place = divmod(rank - FIRST - 1, LATER)
    return place == _number(project, group + 1, LATER)


def side(project: str, region: Region, accepted: Iterable[Entry], free: int) -> tuple[bool, int]:
    """Return whether a block accepted for the first time is held out, and its rank: `free`, the next one.

    A block that overlaps accepted ones takes the side of those with which it shares the most voxels, and no
    rank (-1): the rule draws among blocks that are free to be on either side.
    """
    shared = {True: 0, False: 0}
    for entry in accepted:
        common = region.intersection(entry.block.region)
        shared[entry.block.held_out] += common.size if common is not None else 0
    if any(shared.values()):
        return shared[True] > shared[False], -1
    return drawn(project, free), free


def _number(project: str, group: int, count: int) -> int:
    digest = hashlib.sha256(f"{project} {group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % count
