"""What was painted anywhere, as pieces to learn from that have nothing of a held-out block in them.

Notation: z, y, x axes; regions are in voxels of the volume; voxels are 0 unlabelled, 1 background, 2 vessel,
of the sheet also 3, erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels.changes import BACKGROUND, ERASED, VESSEL, around, changed_box
from napari_vesselkd.labels.edits import SHEET
from napari_vesselkd.project.state import BlockState, ReviewBlock

PIECE = 128
SMALL = (16, 16, 16)
Voxels = npt.NDArray[np.uint8]


def painted_pieces(
    parts: Iterable[tuple[Region, Voxels]], held_out: Sequence[Region]
) -> tuple[ReviewBlock, ...]:
    """Return blocks, number 0, of at most 128 voxels along each side around what is painted.

    Parameters
    ----------
    parts : iterable of (Region, ndarray of uint8 (z, y, x))
        The boxes of the sheet that hold something; none is in two cells of 128 voxels.
    held_out : sequence of Region
        Blocks that nothing may be learned from.
    """
    cells: dict[Shape, list[ReviewBlock]] = {}
    for region, voxels in parts:
        for piece in _free(region, voxels, held_out):
            cells.setdefault(as_shape([low // PIECE for low in region.start]), []).append(piece)
    found: list[ReviewBlock] = []
    for pieces in cells.values():
        whole = around([one.region for one in pieces])
        found += pieces if _meets(whole, held_out) else [_joined(whole, pieces)]
    return tuple(found)


def _free(region: Region, voxels: Voxels, held_out: Sequence[Region]) -> list[ReviewBlock]:
    """Return the tight boxes of what is painted outside held-out blocks."""
    voxels = np.where(voxels == ERASED, 0, voxels).astype(np.uint8)
    tight = _tight(region, voxels)
    if tight is None:
        return []
    if not _meets(tight.region, held_out):
        return [tight]
    small = [_tight(one, voxels[one.relative_to(region.start).slices]) for one in region.pieces(SMALL)]
    return [one for one in small if one is not None and not _meets(one.region, held_out)]


def _tight(region: Region, voxels: Voxels) -> ReviewBlock | None:
    box = changed_box(np.zeros_like(voxels), voxels)
    if box is None:
        return None
    background, vessel = (int(np.count_nonzero(voxels == one)) for one in (BACKGROUND, VESSEL))
    place = box.shifted(region.start)
    return ReviewBlock(SHEET, place, BlockState.ACCEPTED, False, background, vessel)


def _joined(region: Region, pieces: list[ReviewBlock]) -> ReviewBlock:
    background, vessel = sum(one.background for one in pieces), sum(one.vessel for one in pieces)
    return ReviewBlock(SHEET, region, BlockState.ACCEPTED, False, background, vessel)


def _meets(region: Region, others: Sequence[Region]) -> bool:
    return any(region.intersection(one) is not None for one in others)
