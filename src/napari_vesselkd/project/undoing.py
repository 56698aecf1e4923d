"""One history for everything that is done in a project, and operations that reach across blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.labels.changes import changed_box, checked_voxels
from napari_vesselkd.labels.edits import ERASED, SHEET
from napari_vesselkd.labels.overlay import Painted
from napari_vesselkd.project import opening
from napari_vesselkd.project.exported import write_export
from napari_vesselkd.project.operations import STATE, Applied, Done, Operation, Operations
from napari_vesselkd.project.review import Review
from napari_vesselkd.project.sheet_pieces import painted_pieces
from napari_vesselkd.project.state import BlockState, Entry, ReviewBlock

Voxels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Written = tuple[BlockEdit, Region, Voxels]


class History:
    """What was done in a project, newest last, and the way back; see `Project.history`."""

    def __init__(self, operations: Operations, step: Callable[[bool], Applied | None]) -> None:
        self._operations, self._step = operations, step

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Newest last; those that were undone and can be done again come last."""
        return self._operations.operations

    @property
    def can_undo(self) -> bool:
        return self._operations.next_undo is not None

    @property
    def can_redo(self) -> bool:
        return self._operations.next_redo is not None

    @property
    def last(self) -> int:
        """The number that was given out last, to operations, undo and redo."""
        return self._operations.last

    def next(self, *, again: bool = False) -> Operation | None:
        """Return what `undo`, or with `again` `redo`, would change; None where there is nothing."""
        done = self._operations.next_redo if again else self._operations.next_undo
        return None if done is None else done.shown(undone=again)

    def undo(self) -> Applied | None:
        """Take the last operation back, whichever block it was in; None where there is none.

        An acceptance is taken back with its corrections and labels, and the block is open again: not for the
        GUI thread.

        Raises
        ------
        ProjectBusyError
            If the project is open read-only.
        OutputError
            If the disk is full; nothing is undone, or what is not written is when the project is opened next.
        """
        return self._step(False)

    def redo(self) -> Applied | None:
        """Do the operation that was undone last again; as `undo`."""
        return self._step(True)


class Undoing(Review):
    """The part of a project that is about operations, their undo and redo; see `Project`."""

    def __init__(self, found: opening.Found) -> None:
        super().__init__(found)
        self._pieces: tuple[object, tuple[ReviewBlock, ...]] | None = None
        if not self.read_only:
            for done in self._operations.torn():
                self._mend(done)
            for number in sorted(self._state.unstored):
                region = self._entry(number).block.region
                self._store(number, self._composed(region, self._state.corrected))
            self.flush()
            self.apply_pending()

    @property
    def history(self) -> History:
        """Everything done in all blocks, on the sheet and to MIP annotations, in one order."""
        return History(self._operations, self._step)

    @property
    def training_blocks(self) -> tuple[ReviewBlock, ...]:
        """The accepted blocks to learn from, and the pieces, number 0, of what was painted anywhere."""
        blocks = [one for one in self._accepted_blocks if one.axis is None and not one.held_out]
        return (*blocks, *self._painted_pieces())

    @property
    def held_out_blocks(self) -> tuple[ReviewBlock, ...]:
        """The accepted blocks that are kept for the gate."""
        return tuple(one for one in self._accepted_blocks if one.axis is None and one.held_out)

    @property
    def training_mips(self) -> tuple[ReviewBlock, ...]:
        """The accepted MIP annotations; `accepted_voxels` has their voxels."""
        return tuple(one for one in self._accepted_blocks if one.axis is not None)

    def apply(
        self, region: Region, values: Voxels, where: Mask, *, tool: str, number: int | None = None
    ) -> Applied:
        """Write voxels as one operation: inside an open block into it, elsewhere into the sheet.

        What is on the sheet is a correction after the next `flush`.

        Parameters
        ----------
        region : Region
            In voxels of the volume.
        values : ndarray of uint8, (z, y, x)
            Of the shape of `region`: 0 unlabelled, 1 background, 2 vessel; anything outside `where`.
        where : ndarray of bool, (z, y, x)
            Which of them are written.
        tool : str
            Its name, for the history.
        number : int, optional
            The open block.

        Returns
        -------
        Applied
            Without parts where nothing changed.

        Raises
        ------
        RegionError
            If the region is not inside the volume.
        InvalidInputError
            If values or where have another shape, or other values.
        ProjectError
            If the block is not open, or a MIP annotation.
        ProjectBusyError
            If the project is open read-only.
        OutputError
            If the disk is full; nothing is changed.
        """
        region.checked(self._folder.image.shape)
        if where.shape != region.shape:
            raise InvalidInputError("The mask has another shape", value=where.shape, limit=str(region.shape))
        written = np.where(where, values, np.zeros_like(values)) if values.shape == where.shape else values
        values = checked_voxels(written, region.shape)
        with self._writing():
            with self._operations.turn:
                parts = self._parts(region, values, where.astype(bool), number)
                stamp = self._operations.stamp()
                if len(parts) > 1:
                    stamp["among"] = [edit.number for edit, _, _ in parts]
                self._write(parts, tool, stamp)
            changed = tuple((edit.number, box.shifted(edit.region.start)) for edit, box, _ in parts)
            return Applied(stamp["seq"], tool, changed)

    def paint(self, painted: Iterable[Painted], *, stroke: int) -> None:
        """Keep on the sheet what was painted over the corrections; a correction after the next `flush`.

        Where 0 was painted nothing is corrected any more, in accepted blocks too.

        Parameters
        ----------
        painted : iterable of Painted
            From an `Overlay` over the corrections.
        stroke : int
            Its number; what has the same, one after the other, is one step of undo.

        Raises
        ------
        ProjectBusyError, OutputError
            If the project is open read-only, or the disk is full: call again, what is kept is kept once.
        """
        sheet = self.edit_anywhere()
        for one in painted:
            with self._operations.turn:
                changed, new = one.after != one.before, self._for_sheet(one.box, one.after)
                new = np.where(changed, new, sheet.read(one.box))
                sheet.change(one.box, new, stroke=stroke)

    def lay(self, region: Region, values: Voxels, where: Mask, tool: str, stroke: int) -> None:
        """Write values on the sheet at `where`, all (z, y, x) of `region`; strokes as in `paint`."""
        sheet = self.edit_anywhere()
        with self._operations.turn:
            sheet.change(region, np.where(where, values, sheet.read(region)), stroke=stroke, tool=tool)

    def export_journal(self, file: str | Path) -> Path:
        """Write the corrections, with everything that was done to make them, into one file.

        Another person's project of the same image takes it with `exchange.import_journal`.

        Raises
        ------
        ProjectError
            If nothing is corrected, or a journal is damaged.
        OutputError
            If the file cannot be written.
        """
        path = Path(file).expanduser()
        with self._turn:
            if not self.read_only:
                self.flush()
            write_export(self._folder, self._state, path)
        return path

    def filled(self) -> list[Region]:
        """Return boxes of the volume outside of which nothing is corrected."""
        blocks = [one.block.region for one in self._state.corrected]
        return [*blocks, *(box for box, _ in self._sheet_parts())]

    def _parts(self, region: Region, values: Voxels, where: Mask, number: int | None) -> list[Written]:
        """Return for each journal the box, in its voxels, and the new voxels of an operation."""
        found = []
        edits = [self.edit_anywhere()] if number is None else [self._open(number), self.edit_anywhere()]
        for edit in edits:
            common = region.intersection(edit.region)
            if common is None:
                continue
            place, box = common.relative_to(region.start).slices, common.relative_to(edit.region.start)
            old = edit.read(box)
            meant = self._for_sheet(common, values[place]) if edit.number == SHEET else values[place]
            new = np.where(where[place], meant, old)
            inside = changed_box(old, new)
            where[place] = False
            if inside is not None:
                found.append((edit, inside.shifted(box.start), new[inside.slices]))
        return found

    def _for_sheet(self, region: Region, values: Voxels) -> Voxels:
        """Return corrections (z, y, x) as the sheet says them: 0 over an accepted block is erased."""
        found = values.copy()
        for entry in self._state.corrected if (values == 0).any() else ():
            common = region.intersection(entry.block.region)
            if common is not None:
                part = found[common.relative_to(region.start).slices]
                part[part == 0] = ERASED
        return found

    def _open(self, number: int) -> BlockEdit:
        block = self.block(number)
        if block.state is not BlockState.OPEN or block.axis is not None:
            kind = "a MIP annotation" if block.axis is not None else block.state.value
            raise ProjectError(
                "The block is not open",
                value=f"block {number}: {kind}",
                limit="an open block",
                remedy="Open the block first",
            )
        return self._edit_of(number)

    def _write(self, parts: list[Written], tool: str, stamp: Mapping[str, Any]) -> None:
        """Write all parts of an operation, or none."""
        written: list[BlockEdit] = []
        try:
            for edit, box, new in parts:
                edit.change(box, new, tool=tool, stamp=stamp)
                written.append(edit)
        except OutputError:
            for edit in written:
                edit.retract()
            self._read_history()
            raise

    def _step(self, again: bool) -> Applied | None:
        """Undo or redo one operation."""
        with self._writing():
            with self._operations.turn:
                done = self._next(again)
                if done is None:
                    return None
                self._move(done, again, list(done.words), self._operations.stamp())
            changed: tuple[Region, ...] = ()
            decided = None if done.after is None else done.after.block.number
            if decided is not None:
                entry = self._entry(decided)
                changed = (entry.block.region,) if entry.block.number in self._state.unstored else ()
                self._bring_in_step(entry)
            parts = tuple((number, box) for number, box in done.parts if number in done.steps)
            return Applied(done.seq, done.tool, parts, (*changed, *self.flush()), decided)

    def _next(self, again: bool) -> Done | None:
        """Return what is undone, or done again, next; where a journal says otherwise, all are read anew."""
        operations = self._operations
        done = operations.next_redo if again else operations.next_undo
        steps = {} if done is None else done.steps
        if all(self._edit_of(number).next_step(again=again) == step for number, step in steps.items()):
            return done
        self._folder.history.unlink(missing_ok=True)
        self._read_history()
        return operations.next_redo if again else operations.next_undo

    def _move(self, done: Done, again: bool, journals: list[int], stamp: Mapping[str, Any]) -> None:
        """Undo or redo the parts of an operation that are in `journals`, all or none."""
        moved: list[BlockEdit] = []
        try:
            for number in sorted(one for one in journals if one != STATE):
                edit = self._edit_of(number)
                edit.redo(stamp) if again else edit.undo(stamp)
                moved.append(edit)
            if STATE in journals:
                entry = self._moved_entry(done, again)
                word = {"does": "redo" if again else "undo", "of": done.seq}
                self._note_decision({**entry.to_event(), **word, **stamp}, entry)
        except OutputError:
            for edit in moved:
                edit.retract()
            self._read_history()
            raise

    def _moved_entry(self, done: Done, again: bool) -> Entry:
        """Return a block as it is after its acceptance or skip is undone or done again.

        Which side it is on for the gate was drawn once and stays; flag, note and time are not undone.
        """
        if done.before is None or done.after is None:
            raise ProjectError("The history has lost what was decided", value=f"operation {done.seq}")
        target = done.after if again else done.before
        now = self._entry(target.block.number)
        state = target.block.state if again or done.tool == "skip" else BlockState.OPEN
        old = target.block
        held_out, rank = (now.block.held_out, now.rank) if now.rank else (old.held_out, target.rank)
        block = replace(
            now.block, state=state, background=old.background, vessel=old.vessel, held_out=held_out
        )
        return Entry(block, target.mark, target.turn, rank)

    def _mend(self, done: Done) -> None:
        """Finish or take back an operation that a crash stopped between its journals."""
        wanted = bool(done.wanted(self._operations.last))
        others = [number for number, (_, is_done) in done.words.items() if is_done != wanted]
        self._move(done, wanted, others, self._operations.stamp())

    @property
    def _accepted_blocks(self) -> list[ReviewBlock]:
        return [one for one in self.blocks if one.state is BlockState.ACCEPTED]

    def _painted_pieces(self) -> tuple[ReviewBlock, ...]:
        """Return the pieces of the sheet to learn from, worked out anew when sheet or blocks changed."""
        held_out = tuple(one.region for one in self.held_out_blocks)
        key = (self._state.sheet, held_out)
        if not self._state.sheet:
            return ()
        if self._pieces is None or self._pieces[0] != key:
            self._pieces = (key, painted_pieces(self._sheet_parts(), held_out))
        return self._pieces[1]


__all__ = ["SHEET", "History", "Undoing"]
