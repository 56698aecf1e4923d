"""The editable voxels of one block, and the journal of everything that was done to them.

Notation: z, y, x axes; voxels are 0 unlabelled, 1 background, 2 vessel; a box is a region in voxels of the
block. A change is a box with its old and new voxels, so every change has its inverse; a step is what one undo
takes back (the changes of one stroke). The journal begins with the voxels that the block began from.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, ProjectError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels.journal import Journal, encoded
from napari_vesselkd.volume import output_errors

VALUES = 3
WHOLE = ("b", "u", "i")  # numpy's kinds of whole numbers
UNLABELLED, BACKGROUND, VESSEL = range(VALUES)
Voxels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Change:
    """One change: the box, and its voxels before and after, packed as in the journal."""

    box: Region
    old: str
    new: str

    def apply(self, voxels: Voxels) -> None:
        voxels[self.box.slices] = unpacked(self.new, self.box.shape)

    def revert(self, voxels: Voxels) -> None:
        voxels[self.box.slices] = unpacked(self.old, self.box.shape)


@dataclass
class Step:
    """What one undo takes back."""

    number: int
    changes: list[Change]

    @property
    def box(self) -> Region:
        """The smallest box around all changes."""
        boxes = [change.box for change in self.changes]
        start = as_shape(np.min([box.start for box in boxes], axis=0))
        return Region(start, as_shape(np.max([box.stop for box in boxes], axis=0)))


@dataclass
class Replay:
    """A block as its journal gives it.

    Attributes
    ----------
    number : int
    region : Region
        In voxels of the volume.
    voxels : ndarray of uint8, (z, y, x)
        After the last change.
    done, undone : list of Step
        What can be undone, and redone; the next one last.
    marks : int
        Acceptances so far.
    marked : ndarray of uint8, (z, y, x), or None
        The voxels at the acceptance asked for.
    notice : str or None
        What was left out.
    """

    number: int
    region: Region
    voxels: Voxels
    done: list[Step] = field(default_factory=list)
    undone: list[Step] = field(default_factory=list)
    marks: int = 0
    marked: Voxels | None = None
    notice: str | None = None

    def follow(self, record: Mapping[str, Any]) -> None:
        """Do what a record of the journal says."""
        kind = record["kind"]
        if kind == "stroke":
            box = Region.parse(record["box"], self.voxels.shape)
            self.add(int(record["step"]), Change(box, record["old"], record["new"]))
        elif kind == "undo" and self.done and self.done[-1].number == record["step"]:
            self.undo()
        elif kind == "redo" and self.undone and self.undone[-1].number == record["step"]:
            self.redo()
        elif kind == "accepted":
            self.marks = int(record["mark"])

    def add(self, number: int, change: Change) -> None:
        """Apply a change that belongs to step `number`: the last one or a new one."""
        if self.done and self.done[-1].number == number:
            self.done[-1].changes.append(change)
        else:
            self.done.append(Step(number, [change]))
        self.undone.clear()
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


class BlockEdit:
    """The editable voxels of one block; every change is in its journal before the call returns.

    The calls `record`, `undo` and `redo` come from one thread at a time. They hand the change to the system,
    so that it survives the process being killed; `sync`, from any thread, waits until it survives the machine
    losing power too.

    Attributes
    ----------
    number : int
        Of the block.
    region : Region
        In voxels of the volume.
    notice : str or None
        What of the journal could not be read.
    """

    def __init__(self, path: Path, replay: Replay) -> None:
        self.path = path
        self.number, self.region, self.notice = replay.number, replay.region, replay.notice
        self._state = replay
        self._stroke: int | None = None
        self._step = max([step.number for step in (*replay.done, *replay.undone)], default=0)
        self._journal = Journal(path)

    @classmethod
    def begin(
        cls, path: Path, *, number: int, region: Region, start: Voxels, identity: Mapping[str, str]
    ) -> Self:
        """Begin the journal of a block with the voxels `start`, (z, y, x), made aside and then renamed.

        `identity` says what the block is of; `open` demands the same.
        """
        start = checked_voxels(start, region.shape)
        first = {"kind": "begin", "number": number, "region": _bounds(region), "start": packed(start)}
        aside = path.with_name(path.name + ".part")
        with output_errors(path):
            with aside.open("wb") as file:
                file.write(encoded({**first, **identity}))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        return cls(path, Replay(number, region, start.copy()))

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, str]) -> Self:
        """Open a block as it was left; ProjectError as `replay`."""
        return cls(path, replay(path, identity))

    @property
    def voxels(self) -> Voxels:
        """The current voxels, (z, y, x), 0, 1 or 2; a view that cannot be written: copy it for a layer."""
        view = self._state.voxels.view()
        view.setflags(write=False)
        return view

    @property
    def can_undo(self) -> bool:
        return bool(self._state.done)

    @property
    def can_redo(self) -> bool:
        return bool(self._state.undone)

    @property
    def closed(self) -> bool:
        return self._journal.closed

    def record(self, new: npt.NDArray[Any], *, stroke: int | None = None) -> Region | None:
        """Journal the difference between `new` and the current voxels, which then are `new`.

        Parameters
        ----------
        new : ndarray of whole numbers, (z, y, x)
            0, 1 or 2.
        stroke : int, optional
            Changes with the same number, one after the other, are one step of undo.

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
        box = changed_box(self._state.voxels, new)
        if box is None:
            return None
        part = checked_voxels(new[box.slices], box.shape)
        change = Change(box, packed(self._state.voxels[box.slices]), packed(part))
        same = stroke is not None and stroke == self._stroke and self.can_undo
        number = self._state.done[-1].number if same else self._step + 1
        entry = {"kind": "stroke", "step": number, "box": str(box), "old": change.old, "new": change.new}
        self._journal.append(entry, sync=False)
        self._step, self._stroke = max(self._step, number), stroke
        self._state.add(number, change)
        return box

    def undo(self) -> Region | None:
        """Take the last step back; return the box that changed, None where there is nothing to undo."""
        if not self.can_undo:
            return None
        self._journal.append({"kind": "undo", "step": self._state.done[-1].number}, sync=False)
        self._stroke = None
        return self._state.undo()

    def redo(self) -> Region | None:
        """Do the step that was undone last again; return the box that changed, or None."""
        if not self.can_redo:
            return None
        self._journal.append({"kind": "redo", "step": self._state.undone[-1].number}, sync=False)
        self._stroke = None
        return self._state.redo()

    def mark(self) -> int:
        """Note that the voxels are accepted as they are; return the number of this acceptance, from 1."""
        number = self._state.marks + 1
        self._journal.append({"kind": "accepted", "mark": number})
        self._state.marks, self._stroke = number, None
        return number

    def sync(self) -> None:
        """Wait until everything recorded is on the disk."""
        self._journal.sync()

    def close(self) -> None:
        """Write everything to the disk and close the journal."""
        self._journal.close()


def replay(
    path: Path, identity: Mapping[str, str], mark: int | None = None, *, only_begin: bool = False
) -> Replay:
    """Return a block as its journal gives it, with the voxels at acceptance `mark` if that is given.

    With `only_begin`, as it began.

    Raises
    ------
    ProjectError
        If the journal is missing, without its beginning, or of another project.
    """
    records, notice = Journal.read(path)
    state = _beginning(path, records, identity)
    state.notice = notice
    for record in () if only_begin else records[1:]:
        state.follow(record)
        if record["kind"] == "accepted" and record["mark"] == mark:
            state.marked = state.voxels.copy()
    return state


def follow_again(path: Path, identity: Mapping[str, str], start: Voxels) -> Voxels:
    """Return the voxels (z, y, x) after the strokes of a journal whose beginning is damaged, from `start`."""
    records, _ = Journal.read(path)
    state = Replay(0, Region.whole(start.shape), start.copy())
    if not any(record.get(key, value) != value for record in records for key, value in identity.items()):
        for record in records:
            if record["kind"] != "begin":
                state.follow(record)
    return state.voxels


def changed_box(old: Voxels, new: npt.NDArray[Any]) -> Region | None:
    """Return the smallest box in which two arrays (z, y, x) differ, or None.

    Raises
    ------
    InvalidInputError
        If their shapes differ.
    """
    if old.shape != new.shape:
        raise InvalidInputError(
            "The voxels are not those of this block", value=new.shape, limit=f"{old.shape}"
        )
    differs = old != new
    planes = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
    if not len(planes):
        return None
    slab = differs[planes[0] : planes[-1] + 1]
    found = [planes, *(np.flatnonzero(slab.any(axis=axes)) for axes in ((0, 2), (0, 1)))]
    return Region(as_shape([axis[0] for axis in found]), as_shape([axis[-1] + 1 for axis in found]))


def checked_voxels(voxels: npt.NDArray[Any], shape: Shape) -> Voxels:
    """Return labels of `shape` as bytes; InvalidInputError where there are others than 0, 1 and 2."""
    if voxels.shape != shape:
        raise InvalidInputError(
            "The voxels are not those of this block", value=voxels.shape, limit=f"{shape}"
        )
    known = voxels.dtype.kind in WHOLE and voxels.min() >= 0 and voxels.max() < VALUES
    if not known:
        odd = voxels.dtype if voxels.dtype.kind not in WHOLE else np.unique(voxels)[-5:].tolist()
        raise InvalidInputError(
            "The labels hold other values than those of a correction",
            value=odd,
            limit="0 unlabelled, 1 background, 2 vessel",
            remedy="Undo the last stroke and paint with 1 or 2",
        )
    return np.ascontiguousarray(voxels, dtype=np.uint8)


def packed(voxels: Voxels) -> str:
    """Return voxels as the journal holds them: zlib, then base64."""
    return base64.b64encode(zlib.compress(voxels.tobytes(), 1)).decode()


def unpacked(text: str, shape: Shape) -> Voxels:
    """Return the voxels (z, y, x) of what `packed` made."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(shape)


def _bounds(region: Region) -> list[list[int]]:
    return [list(region.start), list(region.stop)]


def _beginning(path: Path, records: list[dict[str, Any]], identity: Mapping[str, str]) -> Replay:
    remedy = "Copy the file back from a backup, or mark the region again as a new block"
    if not path.is_file():
        raise ProjectError("The journal of a block is missing", value=path, remedy=remedy)
    first = records[0] if records else {}
    if first.get("kind") != "begin":
        raise ProjectError("The journal of a block has lost its beginning", value=path, remedy=remedy)
    if any(first.get(key) != value for key, value in identity.items()):
        raise ProjectError("The journal of a block is of another project", value=path, remedy=remedy)
    region = Region(*(as_shape(corner) for corner in first["region"]))
    return Replay(int(first["number"]), region, unpacked(first["start"], region.shape).copy())
