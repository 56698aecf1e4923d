"""A block as its journal gives it.

Notation: z, y, x axes; voxels are 0 unlabelled, 1 background, 2 vessel. The journal of a block begins with
the voxels that it began from, that of a MIP annotation says along which axis it is flat, that of the sheet
begins with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import ProjectError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels.changes import Change, Step, Voxels, changes_of, unpacked
from napari_vesselkd.labels.journal import Journal
from napari_vesselkd.labels.sparse import SparseVoxels

FORMAT = 1
LOST = "Copy the file back from a backup, or mark the region again as a new block"
SHEET = 0  # its number; blocks count from 1


@dataclass
class Replay:
    """A block as its journal gives it.

    Attributes
    ----------
    number : int
    region : Region
        In voxels of the volume.
    voxels : ndarray of uint8, (z, y, x), or SparseVoxels
        After the last change.
    axis : int or None
        Along which a MIP annotation is flat.
    done, undone : list of Step
        What can be undone, and redone; the next one last.
    marks : int
        Acceptances so far.
    marked : ndarray of uint8, (z, y, x), or None
        The voxels at the acceptance asked for.
    last : int
        The largest number of an operation.
    people : dict of str to int
        Strokes of each user.
    notice : str or None
        What was left out.
    """

    number: int
    region: Region
    voxels: Voxels | SparseVoxels
    axis: int | None = None
    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)
    marks: int = 0
    marked: Voxels | None = None
    last: int = 0
    people: dict[str, int] = field(default_factory=dict)
    notice: str | None = None

    @property
    def shape(self) -> Shape:
        """Of the voxels."""
        return as_shape(self.voxels.shape)

    def follow(self, record: Mapping[str, Any]) -> None:
        """Do what a record of the journal says."""
        kind = record["kind"]
        self.last = max(self.last, int(record.get("seq", 0)))
        if kind == "stroke":
            self.add(int(record["step"]), changes_of(record, self.shape))
            who = str(record.get("who", ""))
            self.people[who] = self.people.get(who, 0) + 1
        elif kind == "undo" and self.done and self.done[-1].number == record["step"]:
            self.undo()
        elif kind == "redo" and self.undone and self.undone[-1].number == record["step"]:
            self.redo()
        elif kind == "accepted":
            self.marks = int(record["mark"])

    def add(self, number: int, changes: list[Change]) -> None:
        """Apply changes that belong to step `number`: the last one or a new one."""
        if self.done and self.done[-1].number == number:
            self.done[-1].changes.extend(changes)
        else:
            self.done.append(Step(number, list(changes)))
        self.undone.clear()
        for change in changes:
            change.apply(self.voxels)

    def undo(self) -> Region:
        step = self.done.pop()
        self.undone.append(step)
        for change in reversed(step.changes):
            change.revert(self.voxels)
        return step.box

    def redo(self) -> Region:
        step = self.undone.pop()
        self.done.append(step)
        for change in step.changes:
            change.apply(self.voxels)
        return step.box


def replay(
    path: Path, identity: Mapping[str, str], mark: int | None = None, *, only_begin: bool = False
) -> Replay:
    """Return a block as its journal gives it, with the voxels at acceptance `mark` if that is given.

    With `only_begin`, as it began.

    Raises
    ------
    ProjectError
        If the journal is missing, without its beginning, of another project or of a newer version, or if a
        record makes no sense: somebody edited it by hand.
    """
    records, notice = Journal.read(path)
    if not path.is_file():
        raise ProjectError("The journal of a block is missing", value=path, remedy=LOST)
    state = replay_records(path, records, identity, mark, only_begin=only_begin)
    state.notice = notice
    return state


def replay_records(
    path: Path,
    records: list[dict[str, Any]],
    identity: Mapping[str, str],
    mark: int | None = None,
    *,
    only_begin: bool = False,
) -> Replay:
    """As `replay`, of records that were read from `path`, a journal or an export of several."""
    state = _beginning(path, records, identity)
    for number, record in enumerate([] if only_begin else records[1:], start=2):
        try:
            state.follow(record)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise ProjectError(
                "The journal of a block makes no sense: was it edited by hand?",
                value=f"{path}, record {number} ({error!r})",
                remedy="Copy the file back from a backup, or delete this line: everything else stays",
            ) from error
        if record["kind"] == "accepted" and record["mark"] == mark:
            state.marked = np.array(state.voxels)
    return state


def follow_again(path: Path, identity: Mapping[str, str], start: Voxels) -> Voxels:
    """Return the voxels (z, y, x) after the strokes of a journal whose beginning is damaged, from `start`."""
    records, _ = Journal.read(path)
    state = Replay(0, Region.whole(start.shape), start.copy())
    if not any(record.get(key, value) != value for record in records for key, value in identity.items()):
        for record in records:
            if record["kind"] != "begin":
                state.follow(record)
    return np.asarray(state.voxels)


def flat_shape(region: Region, axis: int | None) -> Shape:
    """Return the shape of the voxels of a block, or of a MIP annotation along `axis`."""
    return as_shape([1 if one == axis else size for one, size in enumerate(region.shape)])


def _beginning(path: Path, records: list[dict[str, Any]], identity: Mapping[str, str]) -> Replay:
    first = records[0] if records else {}
    if first.get("kind") != "begin":
        raise ProjectError("The journal of a block has lost its beginning", value=path, remedy=LOST)
    if any(first.get(key) != value for key, value in identity.items()):
        raise ProjectError("The journal of a block is of another project", value=path, remedy=LOST)
    if first.get("format", FORMAT) > FORMAT:
        raise ProjectError(
            "The journal of a block was written by a newer version of napari-vesselkd",
            value=f"{path} (format {first['format']})",
            limit=f"format {FORMAT}",
            remedy="Update napari-vesselkd",
        )
    region, axis = Region(*(as_shape(corner) for corner in first["region"])), first.get("axis")
    number, shape = int(first["number"]), flat_shape(region, axis)
    if number == SHEET:
        return Replay(number, region, SparseVoxels(shape))
    return Replay(number, region, unpacked(first["start"], shape).copy(), axis)
