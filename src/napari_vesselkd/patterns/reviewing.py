"""What the codes of a block say about whether a person should look at it: artefacts, rare, far patterns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.cells import CellMap, cells_around
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.patterns.usage import Usage


@dataclass(frozen=True)
class CodeScores:
    """A block, as its codes see it; the shares are of the cells that are computed, 0..1.

    Attributes
    ----------
    computed : float
        Share of the block's cells that are computed; the rest is 0 where none is.
    artefact : float
        Share with a code that a person marked as artefact.
    rare : float
        Share with a code that is rare in the whole map, or that the map had not met when it was counted.
    distance : float
        Mean distance of the cells to their codes, in units of the codebook's RMS: how little the codebook
        knows of what is there.
    """

    computed: float
    artefact: float
    rare: float
    distance: float


def code_scores(code_map: CellMap, usage: Usage, notes: CodeNotes | None, block: Region) -> CodeScores:
    """Return what the codes of a block say.

    Parameters
    ----------
    code_map : CellMap
    usage : Usage
        Of the whole map: says which codes are rare.
    notes : CodeNotes or None
        Those on the map's checkpoint: say which are artefacts.
    block : Region
        In voxels of the level that was mapped; the cells that it touches are looked at.

    Raises
    ------
    RegionError
        If the block is empty or not inside the volume.
    """
    cells = cells_around(code_map, block)
    stored = code_map.read(cells)
    there = stored > 0
    if not there.any():
        return CodeScores(0.0, 0.0, 0.0, 0.0)
    codes = stored[there].astype(np.int64) - 1
    marked = np.zeros(len(usage.counts), np.bool_)
    marked[[code for code in (notes.artefacts if notes is not None else ()) if code < len(marked)]] = True
    seldom = np.zeros(len(marked), np.bool_)
    seldom[[*usage.rare, *usage.dead]] = True
    distance = code_map.read_distance(cells)[there].astype(np.float64)
    known = distance[np.isfinite(distance)]
    return CodeScores(
        float(there.mean()),
        float(marked[codes].mean()),
        float(seldom[codes].mean()),
        float(known.mean()) if len(known) else 0.0,
    )
