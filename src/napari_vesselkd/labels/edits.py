"""The editable voxels of one block, and the journal of everything that was done to them.

Notation: z, y, x axes; voxels are 0 unlabelled, 1 background, 2 vessel; a box is a region in voxels of the
block. A change is a box with its old and new voxels, so every change has its inverse; a step is what one undo
takes back (the changes of one stroke). The journal of a block begins with the voxels that the block began
from. The sheet is the block of the whole volume that lies over everything: it begins with nothing, and may
also hold 3, erased.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.labels.changes import (
    BACKGROUND,
    ERASED,
    UNLABELLED,
    VALUES,
    VESSEL,
    Change,
    Voxels,
    around,
    changed_box,
    checked_voxels,
    packed,
)
from napari_vesselkd.labels.journal import Journal, encoded
from napari_vesselkd.labels.ledger import Ledger
from napari_vesselkd.labels.replaying import FORMAT, SHEET, Replay, flat_shape, follow_again, replay
from napari_vesselkd.labels.sparse import CHUNK, SparseVoxels
from napari_vesselkd.volume import output_errors

__all__ = [
    "BACKGROUND", "ERASED", "SHEET", "UNLABELLED", "VESSEL", "BlockEdit", "begin_again", "changed_box",
    "follow_again", "replay",
]  # fmt: skip


class BlockEdit:
    """The editable voxels of one block; every change is in its journal before the call returns.

    Threads take turns. A change is handed to the system, so that it survives the process being killed;
    `sync` waits until it survives the machine losing power too.

    Attributes
    ----------
    number : int
        Of the block; 0 is the sheet.
    region : Region
        In voxels of the volume; of a MIP annotation, its slab.
    axis : int or None
        Along which a MIP annotation is flat.
    notice : str or None
        What of the journal could not be read.
    """

    def __init__(self, path: Path, replay: Replay, ledger: Ledger | None = None) -> None:
        self.path = path
        self.number, self.region, self.notice = replay.number, replay.region, replay.notice
        self.axis = replay.axis
        self._state = replay
        self._stroke: int | None = None
        self._step = max([step.number for step in (*replay.done, *replay.undone)], default=0)
        self._ledger = ledger or Ledger(replay.last)
        self._retract: Callable[[], object] | None = None
        self._journal = Journal(path)

    @classmethod
    def begin(
        cls,
        path: Path,
        *,
        number: int,
        region: Region,
        start: Voxels | None,
        identity: Mapping[str, str],
        axis: int | None = None,
        ledger: Ledger | None = None,
    ) -> Self:
        """Begin the journal of a block with the voxels `start`, (z, y, x), made aside and then renamed.

        The sheet, number 0, has none. `identity` says what the block is of; `open` demands the same. With
        `axis` it is a MIP annotation, whose voxels are 1 along that axis.
        """
        first = {"kind": "begin", "number": number, "region": _bounds(region), "format": FORMAT, "axis": axis}
        shape = flat_shape(region, axis)
        voxels: Voxels | SparseVoxels = SparseVoxels(shape)
        if start is not None:
            voxels = checked_voxels(start, shape).copy()
            first["start"] = packed(voxels)
        aside = path.with_name(path.name + ".part")
        with output_errors(path):
            with aside.open("wb") as file:
                file.write(encoded({**first, **identity}))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        return cls(path, Replay(number, region, voxels, axis), ledger)

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, str], ledger: Ledger | None = None) -> Self:
        """Open a block as it was left; ProjectError as `replay`."""
        return cls(path, replay(path, identity), ledger)

    @property
    def shape(self) -> Shape:
        """Of the voxels, (z, y, x)."""
        return self._state.shape

    @property
    def voxels(self) -> Voxels:
        """The current voxels, (z, y, x), 0, 1 or 2; a view that cannot be written: copy it for a layer.

        Raises
        ------
        InvalidInputError
            For the sheet, which may be larger than the memory: `read` a box of it.
        """
        view = _dense(self._state.voxels).view()
        view.setflags(write=False)
        return view

    def read(self, box: Region) -> Voxels:
        """Return a copy of the current voxels of a box of the block, (z, y, x)."""
        box.checked(self.shape)
        with self._ledger.turn:
            return self._state.voxels[box.slices].copy()

    def painted(self) -> list[Region]:
        """Return the boxes, of at most 64 voxels along each side, of the sheet that hold something."""
        voxels = self._state.voxels
        with self._ledger.turn:
            return list(voxels.painted()) if isinstance(voxels, SparseVoxels) else []

    def changed_by(self, steps: Collection[int], box: Region) -> npt.NDArray[np.bool_]:
        """Return where steps that are not undone changed something in a box of the block, (z, y, x)."""
        found = np.zeros(box.shape, bool)
        with self._ledger.turn:
            for change in (one for step in self._state.done if step.number in steps for one in step.changes):
                common = box.intersection(change.box)
                if common is not None:
                    place = common.relative_to(change.box.start).slices
                    found[common.relative_to(box.start).slices] |= change.differs[place]
        return found

    def who(self) -> dict[str, int]:
        """Return the number of strokes of each user; "" are those of a journal that did not say."""
        return dict(self._state.people)

    @property
    def can_undo(self) -> bool:
        return bool(self._state.done)

    @property
    def can_redo(self) -> bool:
        return bool(self._state.undone)

    def next_step(self, *, again: bool) -> int | None:
        """Return the number of the step that `undo`, or with `again` `redo`, would move."""
        steps = self._state.undone if again else self._state.done
        return steps[-1].number if steps else None

    @property
    def closed(self) -> bool:
        return self._journal.closed

    def record(
        self, new: npt.NDArray[Any], *, stroke: int | None = None, tool: str = "brush"
    ) -> Region | None:
        """Journal the difference between `new` and the current voxels, which then are `new`.

        Parameters
        ----------
        new : ndarray of whole numbers, (z, y, x)
            0, 1 or 2.
        stroke : int, optional
            Changes with the same number, one after the other, are one step of undo.
        tool : str
            What did it, for the history.

        Returns
        -------
        Region or None
            The box that changed, in voxels of the block.

        Raises
        ------
        InvalidInputError
            If the shape is another one or a value is not 0, 1 or 2; nothing is recorded.
        OutputError
            If the disk is full; nothing is recorded, and the next call finds the difference again.
        """
        with self._ledger.turn:
            box = changed_box(_dense(self._state.voxels), new)
            return None if box is None else self.change(box, new[box.slices], stroke=stroke, tool=tool)

    def change(
        self,
        box: Region,
        new: npt.NDArray[Any],
        *,
        stroke: int | None = None,
        tool: str = "brush",
        stamp: Mapping[str, Any] | None = None,
    ) -> Region | None:
        """Journal new voxels of a box; as `record`.

        Parameters
        ----------
        box : Region
            In voxels of the block.
        new : ndarray of whole numbers, (z, y, x)
            Of the shape of the box; 0, 1 or 2.
        stroke, tool
            As in `record`.
        stamp : mapping, optional
            Of an operation that has parts in other journals too; `retract` takes it back.

        Raises
        ------
        RegionError
            If the box is not inside the block.
        InvalidInputError, OutputError
            As `record`.
        """
        known = ERASED + 1 if self.number == SHEET else VALUES
        part = checked_voxels(new, box.checked(self.shape).shape, values=known)
        with self._ledger.turn:
            changes = self._changes(box, part)
            if not changes:
                return None
            same = stroke is not None and stroke == self._stroke and self.can_undo
            same = same and stamp is None and self._ledger.latest(self.number)
            number = self._state.done[-1].number if same else self._step + 1
            values = changes[0].to_record() if len(changes) == 1 else _several(changes)
            self._append({"kind": "stroke", "step": number, "tool": tool, **values}, stamp)
            undone = list(self._state.undone)
            self._step, self._stroke = max(self._step, number), stroke
            self._state.add(number, changes)
            self._state.people[self._ledger.who] = self._state.people.get(self._ledger.who, 0) + 1
            self._retract = lambda: self._unpaint(undone)
            return around([change.box for change in changes])

    def undo(self, stamp: Mapping[str, Any] | None = None) -> Region | None:
        """Take the last step back; return the box that changed, None where there is nothing to undo.

        A project's `history` undoes in the order of all blocks.
        """
        with self._ledger.turn:
            if not self.can_undo:
                return None
            self._append({"kind": "undo", "step": self._state.done[-1].number}, stamp)
            self._retract = self._state.redo
            return self._state.undo()

    def redo(self, stamp: Mapping[str, Any] | None = None) -> Region | None:
        """Do the step that was undone last again; return the box that changed, or None."""
        with self._ledger.turn:
            if not self.can_redo:
                return None
            self._append({"kind": "redo", "step": self._state.undone[-1].number}, stamp)
            self._retract = self._state.undo
            return self._state.redo()

    def retract(self) -> None:
        """Take the last record out of the journal: another part of its operation could not be written."""
        with self._ledger.turn:
            if self._retract is not None:
                self._journal.retract()
                self._retract()
                self._retract = None

    def mark(self) -> int:
        """Note that the voxels are accepted as they are; return the number of this acceptance, from 1."""
        with self._ledger.turn:
            number = self._state.marks + 1
            self._journal.append({"kind": "accepted", "mark": number})
            self._state.marks, self._stroke, self._retract = number, None, None
            return number

    def sync(self) -> None:
        """Wait until everything recorded is on the disk."""
        self._journal.sync()

    def close(self) -> None:
        """Write everything to the disk and close the journal."""
        self._journal.close()

    def _append(self, record: dict[str, Any], stamp: Mapping[str, Any] | None) -> None:
        record = {**record, **(self._ledger.stamp() if stamp is None else stamp)}
        self._journal.append(record, sync=False)
        self._stroke = None
        self._ledger.told(self.number, record)

    def _changes(self, box: Region, new: Voxels) -> list[Change]:
        """Return what differs inside a box; of the sheet, chunk by chunk."""
        voxels, found = self._state.voxels, []
        pieces = [box]
        if isinstance(voxels, SparseVoxels):
            side = (CHUNK,) * 3
            pieces = [one for one in map(box.intersection, box.aligned(side).pieces(side)) if one]
        for piece in pieces:
            old, part = voxels[piece.slices], new[piece.relative_to(box.start).slices]
            inside = changed_box(old, part)
            if inside is not None:
                at = inside.shifted(piece.start)
                found.append(Change.between(at, old[inside.slices], part[inside.slices]))
        return found

    def _unpaint(self, undone: list[Any]) -> None:
        self._state.undo()
        self._state.undone[:] = undone


def begin_again(path: Path, *, number: int, region: Region, identity: Mapping[str, str]) -> None:
    """Give a journal that has lost its beginning a new one, where that needs no voxels: the sheet's.

    The damaged file is kept under another name. A journal that begins as it should is left as it is.
    """
    records = Journal.read(path)[0]
    if records and records[0].get("kind") == "begin":
        return
    first = {"kind": "begin", "number": number, "region": _bounds(region), "format": FORMAT, "axis": None}
    aside = path.with_name(path.name + ".part")
    with output_errors(path):
        aside.write_bytes(b"".join(encoded(one) for one in ({**first, **identity}, *records)))
        path.replace(path.with_name(path.name + ".broken"))
        aside.replace(path)


def _dense(voxels: Voxels | SparseVoxels) -> Voxels:
    if isinstance(voxels, SparseVoxels):
        raise InvalidInputError(
            "The sheet may be larger than the memory", remedy="Read and change a box of it"
        )
    return voxels


def _several(changes: list[Change]) -> dict[str, Any]:
    return {"changes": [change.to_record() for change in changes]}


def _bounds(region: Region) -> list[list[int]]:
    return [list(region.start), list(region.stop)]
