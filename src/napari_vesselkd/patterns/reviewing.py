"""What the codes of a block say about whether a person should look at it: artefacts, rare, far patterns.

`review_by_codes` makes of it an order of the list of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.cells import CellMap, cells_around
from napari_vesselkd.patterns.code_map import CODES_ENDING, CODES_FOLDER, CodeMap
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.patterns.usage import Usage, usage
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import Candidate, review_list

LOOKED_AT = 1000  # blocks, the most uncertain ones


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


def review_by_codes(project: Project, *, side: int = 128, count: int = 200) -> tuple[Candidate, ...]:
    """Return blocks worth a look: those with most artefact codes first, then those with most rare ones.

    Of the thousand most uncertain blocks; where the codes say nothing, that order stays. The map is the
    project's latest one.

    Parameters
    ----------
    project : Project
    side, count : int, optional
        As in `review_list`.

    Raises
    ------
    InvalidInputError
        If the project has no code map, or `side` or `count` cannot be used.
    """
    code_map = latest_map(project)
    with project.open_image() as image:
        code_map.check(image)
    notes = CodeNotes.load(project.registry.root, code_map.sha256)
    listed = review_list(project, side=side, count=max(count, LOOKED_AT))
    usage_of_map = counted(code_map.path, code_map.id, code_map.revision)
    scored = [(code_scores(code_map, usage_of_map, notes, one.region), one) for one in listed]
    scored.sort(key=lambda pair: (-round(pair[0].artefact, 6), -round(pair[0].rare, 6)))
    return tuple(replace(one, reason=reason_of(found)) for found, one in scored[:count])


@lru_cache(maxsize=4)
def counted(path: Path, _id: str, _revision: int) -> Usage:
    """Return the usage of a map; counted again only after cells were added, as lists are made often."""
    return usage(CodeMap.open(path))


def reason_of(found: CodeScores) -> str:
    """Return what the codes say in a few words; empty if nothing."""
    parts = [(found.artefact, "artefact"), (found.rare, "rare")]
    return ", ".join(f"{share:.0%} {word}" for share, word in parts if share > 0)


def latest_map(project: Project) -> CodeMap:
    """Return the code map of a project that was written last.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    found = sorted(
        (project.path / CODES_FOLDER).glob(f"*{CODES_ENDING}"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise InvalidInputError(
            "The project has no code map", value=project.path, remedy="Map codes: Look tab, page Codes"
        )
    return CodeMap.open(found[-1])
