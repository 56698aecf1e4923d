"""The blocks of a project: edited, accepted into the corrections, set aside."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, OutputError, ProjectError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.labels.edits import BACKGROUND, SHEET, VESSEL, follow_again
from napari_vesselkd.labels.replaying import flat_shape
from napari_vesselkd.project.corrected import Corrected
from napari_vesselkd.project.corrections import accepted, with_sheet, withdrawn
from napari_vesselkd.project.held_out import side
from napari_vesselkd.project.operations import STATE, decision
from napari_vesselkd.project.state import BlockState, Entry, ReviewBlock, bounds

LARGEST_BLOCK = 512**3
Voxels = npt.NDArray[np.uint8]


class Review(Corrected):
    """The part of a project that is about blocks; see `Project`."""

    @property
    def blocks(self) -> tuple[ReviewBlock, ...]:
        """All blocks, by number."""
        return self._state.blocks

    def block(self, number: int) -> ReviewBlock:
        """Return the block of that number; ProjectError where there is none."""
        return self._entry(number).block

    def accepted_voxels(self, number: int) -> Voxels:
        """Return the voxels of a block, or MIP annotation, as they were accepted last, (z, y, x) uint8.

        Raises
        ------
        ProjectError
            If there is no such block, it is not accepted, or its journal is lost.
        """
        entry = self._entry(number)
        if not entry.mark:
            raise ProjectError(
                "The block is not accepted", value=f"block {number}", remedy="Accept it in the Correct tab"
            )
        return accepted(self._folder, entry)

    def edit(self, region: Region) -> BlockEdit:
        """Begin a block, or go on with the one of the same region.

        A new one begins from the accepted corrections, else from the labels where there are any
        (background 1, vessel 2), else unlabelled.

        Parameters
        ----------
        region : Region
            In voxels of the volume; clipped at its border.

        Raises
        ------
        RegionError
            If it is outside the volume or too large to be edited at once.
        ProjectBusyError
            If the project is open read-only.
        OutputError
            If the disk is full; nothing is begun.
        """
        with self._writing():
            return self._edit(self._clipped(region), None)

    def edit_mip(self, region: Region, axis: int) -> BlockEdit:
        """Begin an annotation of the maximum projection of a slab, or go on with the one of the same slab.

        Its voxels have the shape of the slab with 1 along `axis`: 0 is not said, 1 background, 2 vessel. It
        is accepted and skipped like a block, and enters neither corrections nor labels.

        Parameters
        ----------
        region : Region
            The slab, in voxels of the volume; clipped at its border.
        axis : int
            Along which it is projected: 0, 1 or 2 for z, y, x.

        Raises
        ------
        InvalidInputError
            If there is no such axis.
        RegionError, ProjectBusyError, OutputError
            As `edit`.
        """
        if axis not in (0, 1, 2):
            raise InvalidInputError("There is no such axis", value=axis, limit="0, 1 or 2 for z, y, x")
        with self._writing():
            return self._edit(self._clipped(region, axis), axis)

    def _edit(self, region: Region, axis: int | None) -> BlockEdit:
        blocks = [one.block for one in self._state.entries.values()]
        known = next((one for one in blocks if (one.region, one.axis) == (region, axis)), None)
        if known is not None:
            return self.edit_block(known.number)
        number = 1 + max(self._state.entries, default=0)
        edit = self._begin(ReviewBlock(number, region, axis=axis))
        self._note(Entry(ReviewBlock(number, region, axis=axis)).to_event())
        return edit

    def edit_block(self, number: int) -> BlockEdit:
        """Return a block as it was left, with its undo and redo; an accepted or skipped one is open again.

        What was painted and erased over it with no block open, since it was left, is one more stroke of it.

        Where its journal has lost its beginning, the block is begun again and its strokes are repeated; the
        edit's `notice` says so.

        Raises
        ------
        ProjectError
            If there is no such block.
        ProjectBusyError
            If the project is open read-only.
        """
        with self._writing():
            entry = self._entry(number)
            try:
                edit = self._edit_of(number)
            except ProjectError as error:
                edit = self._begin(entry.block)
                edit.notice = f"Block {number} is begun again from what was accepted and segmented. {error}"
            self._take_sheet(edit, entry)
            if entry.block.state is not BlockState.OPEN:
                self._set_state(entry, BlockState.OPEN)
            return edit

    def accept(self, number: int) -> ReviewBlock:
        """Take the voxels of a block as they are into the corrections, and show them in the labels.

        While a segmentation is writing the labels they are shown when it is done.

        Raises
        ------
        ProjectError
            If there is no such block, or nothing in it is labelled.
        ProjectBusyError
            If the project is open read-only.
        OutputError
            If the disk is full. What is not written is written when the project is opened next.
        """
        with self._writing():
            entry = self._entry(number)
            edit = self._edit_of(number)
            background, vessel = (int(np.count_nonzero(edit.voxels == one)) for one in (BACKGROUND, VESSEL))
            if not background + vessel:
                raise ProjectError(
                    "Nothing in this block is labelled",
                    value=f"block {number}",
                    limit="at least one voxel of background or vessel",
                    remedy="Paint with 1 (background) or 2 (vessel), or skip the block",
                )
            held_out, rank = self._side(entry)
            turn = 1 + max((one.turn for one in self._state.entries.values()), default=0)
            block = replace(
                entry.block,
                state=BlockState.ACCEPTED,
                held_out=held_out,
                background=background,
                vessel=vessel,
            )
            self._decide("accept", entry, Entry(block, edit.mark(), turn, rank))
            return block

    def skip(self, number: int) -> ReviewBlock:
        """Set a block aside; an accepted one is withdrawn from the corrections.

        Where it lay over the labels, the prediction has to be computed again; the labels' record says so.
        """
        with self._writing():
            entry = self._entry(number)
            block = replace(entry.block, state=BlockState.SKIPPED)
            after = replace(entry, block=block, mark=0, turn=0)
            self._decide("skip", entry, after)
            return block

    def reopen(self, number: int) -> ReviewBlock:
        """Open an accepted or skipped block again; the corrections keep it until it is accepted again."""
        with self._writing():
            return self._set_state(self._entry(number), BlockState.OPEN)

    def flag(self, number: int, on: bool = True) -> ReviewBlock:
        """Flag a block, or take its flag away."""
        return self._remark(number, flagged=bool(on))

    def annotate(self, number: int, text: str) -> ReviewBlock:
        """Keep a note about a block."""
        return self._remark(number, note=str(text))

    def add_seconds(self, number: int, seconds: float) -> ReviewBlock:
        """Add time that somebody spent on a block."""
        with self._writing():
            return self._remark(number, seconds=self.block(number).seconds + max(0.0, float(seconds)))

    def _remark(self, number: int, **values: Any) -> ReviewBlock:
        with self._writing():
            entry = self._entry(number)
            block = replace(entry.block, **values)
            self._note(replace(entry, block=block).to_event())
            return block

    def close(self) -> None:
        """Close the journals and let others write; a second call does nothing."""
        with self._turn:
            if not self.read_only:
                with suppress(OutputError):  # what is not flushed is when the project is opened next
                    self.flush()
            for edit in self._edits.values():
                edit.close()
            self._edits.clear()
            super().close()

    def _entry(self, number: int) -> Entry:
        if number not in self._state.entries:
            known = ", ".join(str(one) for one in sorted(self._state.entries)) or "none yet"
            raise ProjectError("There is no such block", value=number, limit=known)
        return self._state.entries[number]

    def _clipped(self, region: Region, axis: int | None = None) -> Region:
        shape = self._folder.image.shape
        clipped = region.intersection(Region.whole(shape))
        if clipped is None:
            raise RegionError(
                "The block is outside the volume",
                value=str(region),
                limit=str(Region.whole(shape)),
                remedy="Choose a region inside the volume",
            )
        if math.prod(flat_shape(clipped, axis)) > LARGEST_BLOCK:
            raise RegionError(
                "The block is too large to be edited at once",
                value="x".join(str(side) for side in clipped.shape),
                limit=f"{LARGEST_BLOCK} voxels",
                remedy="Choose a smaller region, for example 128 voxels along each side",
            )
        return clipped

    def _begin(self, block: ReviewBlock) -> BlockEdit:
        """Begin the journal of a block; a broken one is kept under another name, and its strokes repeated."""
        number, path, identity = block.number, self._folder.edits_of(block.number), self._folder.identity
        self._folder.edits.mkdir(exist_ok=True)
        flat = block.axis is not None
        start = (
            np.zeros(flat_shape(block.region, block.axis), np.uint8) if flat else self._start(block.region)
        )
        repeated = follow_again(path, identity, start)
        broken = path.exists()
        if broken:
            path.replace(path.with_name(path.name + ".broken"))
        self._operations.begun(number, block.region, block.axis)
        edit = BlockEdit.begin(
            path,
            number=number,
            region=block.region,
            start=start,
            identity=identity,
            axis=block.axis,
            ledger=self._operations,
        )
        if broken:
            self._read_history()
            edit.record(repeated, tool="repeated")
        self._edits[number] = edit
        return edit

    def _take_sheet(self, edit: BlockEdit, entry: Entry) -> None:
        """Let a block that is opened again have what was painted and erased over it since."""
        sheet = self._sheet_read(edit.region) if edit.axis is None else None
        if sheet is None or not sheet.any():
            return
        touched = edit.can_undo or edit.can_redo
        if touched and entry.block.state is not BlockState.ACCEPTED:  # else nothing on the sheet is older
            newer = self._operations.sheet_steps_since(edit.number)
            sheet[~self.edit_anywhere().changed_by(newer, edit.region)] = 0
        edit.record(with_sheet(edit.voxels, sheet), tool="painted anywhere")

    def _start(self, region: Region) -> Voxels:
        """Return the voxels that a block begins from."""
        start = np.zeros(region.shape, np.uint8)
        found = self._found_labels()
        if found is not None:
            labels, record = found
            where = record.shown(region)
            if where.any():
                start[where] = labels.read(region)[where] + 1
        corrections = self.corrected(region)
        np.copyto(start, corrections, where=corrections > 0)
        return start

    def _edit_of(self, number: int) -> BlockEdit:
        if number == SHEET:
            return self.edit_anywhere()
        edit = self._edits.get(number)
        if edit is None or edit.closed:
            edit = BlockEdit.open(self._folder.edits_of(number), self._folder.identity, self._operations)
            self._edits[number] = edit
        return edit

    def _set_state(self, entry: Entry, state: BlockState) -> ReviewBlock:
        block = replace(entry.block, state=state)
        self._note(replace(entry, block=block).to_event())
        return block

    def _side(self, entry: Entry) -> tuple[bool, int]:
        """Return whether a block that is accepted is held out, and its rank; settled once."""
        block, everything = entry.block, self._state.entries.values()
        if entry.rank != 0 or block.axis is not None:
            return block.held_out, entry.rank
        others = [one for one in self._state.corrected if one.block.number != block.number]
        free = 1 + max((one.rank for one in everything if one.rank > 0), default=0)
        return side(self.id, block.region, others, free)

    def _decide(self, does: str, before: Entry, after: Entry) -> None:
        """Accept or skip a block: one operation, with what it clears of the sheet."""
        block = after.block
        with self._operations.turn:
            sheet = self._sheet_read(block.region) if does == "accept" and block.axis is None else None
            stamp = self._operations.stamp()
            if sheet is not None and sheet.any():
                stamp["among"] = [STATE, SHEET]
                edit = self.edit_anywhere()
                edit.change(block.region, np.zeros_like(sheet), tool=does, stamp=stamp)
            event = {**decision(does, before, after), **stamp}
            try:
                self._note_decision(event, after)
            except OutputError:
                if "among" in stamp:
                    edit.retract()
                    self._read_history()
                raise
        self._bring_in_step(after)

    def _note_decision(self, event: dict[str, Any], after: Entry) -> None:
        """Journal what changes the corrections, with the box where they are withdrawn."""
        region, block = after.block.region, after.block
        before = self._state.entries[block.number]
        if block.axis is None and (before.mark, before.turn) != (after.mark, after.turn):
            gone = withdrawn(region, self._read(region), self._composed(region, self._entries_with(after)))
            if gone is not None:
                event["withdrawn"] = bounds(gone)
        self._note(event)
        self._operations.told(STATE, event)

    def _bring_in_step(self, after: Entry) -> None:
        """Write what a decision changed into the corrections and the labels."""
        number = after.block.number
        if number in self._state.unstored:
            self._store(number, self._composed(after.block.region, self._state.corrected))
        self.flush()
        self.apply_pending()

    def _entries_with(self, after: Entry) -> list[Entry]:
        entries = [one for one in self._state.corrected if one.block.number != after.block.number]
        return sorted([*entries, *([after] if after.mark else [])], key=lambda one: one.turn)
