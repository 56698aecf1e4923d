"""Two people's corrections of one image become one: exported, compared, merged, conflicts listed.

What the other one has corrected and nobody here is taken; where both say the same nothing is done; where they
differ a decision is asked for, and without it nothing is changed at all. All of it is one operation on the
sheet: one undo takes it back. Notation: z, y, x axes; corrections are 0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, ProjectError
from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.labels.changes import around, changed_box
from napari_vesselkd.labels.edits import SHEET, VESSEL
from napari_vesselkd.project.exported import Exported, read_export
from napari_vesselkd.project.project import Project
from napari_vesselkd.reports import Progress, Report

CELL = (128, 128, 128)
TOOL = "import"
Take = Literal["mine", "theirs"]
Voxels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Conflict:
    """Voxels that two people have corrected differently.

    Attributes
    ----------
    number : int
        The block of this project that they are in; 0 where they were painted anywhere.
    box : Region
        Around them, in voxels of the volume.
    voxels : int
    mine_vessel : int
        How many of them are vessel here, and background there; the others are the opposite.
    """

    number: int
    box: Region
    voxels: int
    mine_vessel: int


@dataclass(frozen=True)
class Merged(Report):
    """What importing has come to.

    Attributes
    ----------
    taken : int
        Voxels that are corrected here now as they were there.
    agreed : int
        Voxels that both had corrected alike.
    conflicts : tuple of Conflict
    take : str or None
        Whose corrections won.
    people : dict of str to int
        Strokes of each user in what was imported.
    """

    taken: int
    agreed: int
    conflicts: tuple[Conflict, ...]
    take: str | None
    people: dict[str, int]


def compare(project: Project, theirs: Exported) -> Iterator[Report]:
    """Say what importing would do, and change nothing.

    Yields
    ------
    Report
        `Progress` by cells, at the end a `Merged` with `take` None.

    Raises
    ------
    ProjectError
        If the corrections are of another image.
    """
    yield from _merge(project, theirs, None, write=False)


def import_journal(project: Project, file: str | Path, *, take: Take | None = None) -> Iterator[Report]:
    """Merge the corrections in `file` into those of the project; closing the generator stops it.

    Parameters
    ----------
    project : Project
    file : str or Path
        What `Project.export_journal` wrote.
    take : "mine" or "theirs", optional
        Whose corrections win where they differ.

    Yields
    ------
    Report
        `Progress` by cells, at the end a `Merged`. Where there are conflicts and no decision, nothing was
        changed and its `taken` is 0.

    Raises
    ------
    SourceNotFoundError, ProjectError
        As `read_export`, and if the corrections are of another image.
    ProjectBusyError
        If the project is open read-only.
    OutputError
        If the disk is full; what was written by then is one operation.
    """
    if take not in (None, "mine", "theirs"):
        raise InvalidInputError("There is no such decision", value=take, limit="mine or theirs")
    project.require_writable()
    theirs = read_export(file)
    found: Report | None = None
    for found in compare(project, theirs):
        if isinstance(found, Progress):
            yield found
    assert isinstance(found, Merged)  # noqa: S101  (a comparison ends with it)
    if found.conflicts and take is None:
        yield found
        return
    yield from _merge(project, theirs, take, write=True)


def _merge(project: Project, theirs: Exported, take: Take | None, *, write: bool) -> Iterator[Report]:
    if theirs.signature != project.image.signature:
        raise ProjectError(
            "These corrections are of another image",
            value=theirs.path,
            limit=f"corrections of {project.image.name}",
            remedy="Open the project of that image",
        )
    cells, began = _cells(project, theirs), monotonic()
    taken, agreed, conflicts = 0, 0, []
    stroke = -1 - project.history.last
    for done, cell in enumerate(cells, start=1):
        mine, other = project.corrected(cell), theirs.corrected(cell)
        agreed += int(np.count_nonzero((mine == other) & (other > 0)))
        differs = (mine > 0) & (other > 0) & (mine != other)
        conflicts += _conflicts(project, cell, mine, differs)
        where = (other > 0) & (mine == 0) | (differs if take == "theirs" else np.zeros_like(differs))
        box = changed_box(np.zeros(cell.shape, np.uint8), where.view(np.uint8))
        if write and box is not None:
            project.lay(box.shifted(cell.start), other[box.slices], where[box.slices], TOOL, stroke)
        taken += int(np.count_nonzero(where))
        yield Progress(done, len(cells), "cells", monotonic() - began)
    if write:
        project.flush()
    people = theirs.people
    yield Merged(taken if write else 0, agreed, _joined(conflicts), take, people)


def _cells(project: Project, theirs: Exported) -> list[Region]:
    whole = Region.whole(project.image.shape)
    found = {
        piece.start: common
        for region in theirs.regions()
        for piece in region.aligned(CELL).pieces(CELL)
        if (common := piece.intersection(whole)) is not None
    }
    return [found[start] for start in sorted(found)]


def _conflicts(
    project: Project, cell: Region, mine: Voxels, differs: npt.NDArray[np.bool_]
) -> list[Conflict]:
    """Return the conflicts of a cell, by the block of this project that they are in."""
    found, left = [], differs.copy()
    blocks = [one for one in project.blocks if one.axis is None and one.vessel + one.background]
    for block in [*reversed(blocks), None]:
        common = cell if block is None else cell.intersection(block.region)
        if common is None:
            continue
        place = common.relative_to(cell.start)
        part = left[place.slices]
        box = changed_box(np.zeros(part.shape, np.uint8), part.view(np.uint8))
        if box is not None:
            vessel = int(np.count_nonzero(part & (mine[place.slices] == VESSEL)))
            number = SHEET if block is None else block.number
            count = int(np.count_nonzero(part))
            found.append(Conflict(number, box.shifted(common.start), count, vessel))
            left[place.slices] = False
    return found


def _joined(conflicts: list[Conflict]) -> tuple[Conflict, ...]:
    """Return one conflict for each block; those painted anywhere stay by cell."""
    found: dict[tuple[int, object], Conflict] = {}
    for one in conflicts:
        key = (one.number, one.box if one.number == SHEET else None)
        old = found.get(key)
        if old is None:
            found[key] = one
        else:
            box, vessel = around([old.box, one.box]), old.mine_vessel + one.mine_vessel
            found[key] = Conflict(one.number, box, old.voxels + one.voxels, vessel)
    return tuple(sorted(found.values(), key=lambda one: (one.number, as_shape(one.box.start))))
