"""The blocks of a project: edited, accepted into the corrections, set aside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import (
    CorruptSourceError,
    OutputBusyError,
    OutputError,
    ProjectError,
    RegionError,
)
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import BlockEdit, LabelStore, RunRecord
from napari_vesselkd.labels.edits import BACKGROUND, VESSEL, follow_again
from napari_vesselkd.project import opening
from napari_vesselkd.project.corrections import composed, laid_over, show_in_labels, withdrawn
from napari_vesselkd.project.held import Held
from napari_vesselkd.project.held_out import side
from napari_vesselkd.project.state import BlockState, Entry, ReviewBlock
from napari_vesselkd.volume import claim_output

LARGEST_BLOCK = 512**3
Voxels = npt.NDArray[np.uint8]


class Review(Held):
    """The part of a project that is about labels and blocks; see `Project`."""

    def __init__(self, found: opening.Found) -> None:
        super().__init__(found)
        self._corrections = found.corrections
        self._edits: dict[int, BlockEdit] = {}
        self._label_store: LabelStore | None = None
        if not self.read_only:
            for number in sorted(self._state.unstored):
                region = self._entry(number).block.region
                self._store(number, self._composed(region, self._state.corrected))
            self.apply_pending()

    # -- labels -------------------------------------------------------------------------------------------

    @property
    def labels_path(self) -> Path:
        """Where the labels are, or will be."""
        return self._folder.labels

    @property
    def labels(self) -> LabelStore | None:
        """The labels, 0 and 1, with accepted corrections on top; None until something is segmented."""
        found = self._found_labels()
        return None if found is None else found[0]

    @property
    def labels_record(self) -> RunRecord | None:
        """Which parts of the labels are done, and how uncertain; None until something is segmented."""
        found = self._found_labels()
        return None if found is None else found[1]

    @property
    def corrections(self) -> LabelStore:
        """The accepted blocks: 0 unlabelled, 1 background, 2 vessel."""
        return self._corrections

    def corrected(self, region: Region) -> Voxels:
        """Return the accepted corrections of `region`, (z, y, x) uint8 0, 1 or 2.

        Raises
        ------
        RegionError
            If the region is not inside the volume.
        """
        voxels = np.zeros(region.checked(self._folder.image.shape).shape, np.uint8)
        if self.read_only:
            self.refresh()
        for entry in self._state.corrected:  # where there are none, nothing is read
            common = region.intersection(entry.block.region)
            if common is not None:
                voxels[common.relative_to(region.start).slices] = self._read(common)
        return voxels

    def over(self, region: Region, labels: Voxels) -> Voxels:
        """Return labels 0 and 1 of `region`, (z, y, x), with the accepted corrections on top."""
        corrections = self.corrected(region)
        return laid_over(labels, corrections) if corrections.any() else labels

    # -- blocks -------------------------------------------------------------------------------------------

    @property
    def blocks(self) -> tuple[ReviewBlock, ...]:
        """All blocks, by number."""
        return self._state.blocks

    def block(self, number: int) -> ReviewBlock:
        """Return the block of that number; ProjectError where there is none."""
        return self._entry(number).block

    @property
    def training_blocks(self) -> tuple[ReviewBlock, ...]:
        """The accepted blocks to learn from."""
        return tuple(one for one in self.blocks if one.state is BlockState.ACCEPTED and not one.held_out)

    @property
    def held_out_blocks(self) -> tuple[ReviewBlock, ...]:
        """The accepted blocks that are kept for the gate."""
        return tuple(one for one in self.blocks if one.state is BlockState.ACCEPTED and one.held_out)

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
            region = self._clipped(region)
            entry = next((one for one in self._state.entries.values() if one.block.region == region), None)
            if entry is None:
                number = 1 + max(self._state.entries, default=0)
                edit = self._begin(number, region)
                self._note(Entry(ReviewBlock(number, region)).to_event())
                return edit
            return self.edit_block(entry.block.number)

    def edit_block(self, number: int) -> BlockEdit:
        """Return a block as it was left, with its undo and redo; an accepted or skipped one is open again.

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
                edit = self._begin(number, entry.block.region)
                edit.notice = f"Block {number} is begun again from what was accepted and segmented. {error}"
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
            held_out, rank = entry.block.held_out, entry.rank
            if rank == 0:
                others = [one for one in self._state.corrected if one.block.number != number]
                free = 1 + max((one.rank for one in self._state.entries.values() if one.rank > 0), default=0)
                held_out, rank = side(self.id, entry.block.region, others, free)
            turn = 1 + max((one.turn for one in self._state.entries.values()), default=0)
            block = replace(
                entry.block,
                state=BlockState.ACCEPTED,
                held_out=held_out,
                background=background,
                vessel=vessel,
            )
            self._change(Entry(block, edit.mark(), turn, rank))
            return block

    def skip(self, number: int) -> ReviewBlock:
        """Set a block aside; an accepted one is withdrawn from the corrections.

        Where it lay over the labels, the prediction has to be computed again; the labels' record says so.
        """
        with self._writing():
            entry = self._entry(number)
            block = replace(entry.block, state=BlockState.SKIPPED)
            after = replace(entry, block=block, mark=0, turn=0)
            self._change(after) if entry.mark else self._note(after.to_event())
            return block

    def reopen(self, number: int) -> ReviewBlock:
        """Open an accepted or skipped block again; the corrections keep it until it is accepted again."""
        with self._writing():
            return self._set_state(self._entry(number), BlockState.OPEN)

    @property
    def pending(self) -> tuple[int, ...]:
        """Numbers of blocks whose corrections are not in the labels yet."""
        return tuple(sorted(self._state.unshown)) if self.labels_record is not None else ()

    def apply_pending(self) -> bool:
        """Show in the labels what could not be shown while a segmentation was writing them.

        Returns
        -------
        bool
            False where it is still writing.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        with self._turn:
            self.refresh()
            waiting = list(self._state.unshown)
            if not waiting:
                return True
            if self.labels_record is None:  # a segmentation that begins later lays them over by itself
                for number in waiting if not self.read_only else ():
                    self._note({"event": "shown", "number": number})
                return True
            try:
                with claim_output(self.labels_path):
                    for number in waiting:
                        self._show(number)
            except OutputBusyError:
                return False
            return True

    def close(self) -> None:
        """Close the journals and let others write; a second call does nothing."""
        with self._turn:
            for edit in self._edits.values():
                edit.close()
            self._edits.clear()
            super().close()

    def _entry(self, number: int) -> Entry:
        if number not in self._state.entries:
            known = ", ".join(str(one) for one in sorted(self._state.entries)) or "none yet"
            raise ProjectError("There is no such block", value=number, limit=known)
        return self._state.entries[number]

    def _clipped(self, region: Region) -> Region:
        shape = self._folder.image.shape
        clipped = region.intersection(Region.whole(shape))
        if clipped is None:
            raise RegionError(
                "The block is outside the volume",
                value=str(region),
                limit=str(Region.whole(shape)),
                remedy="Choose a region inside the volume",
            )
        if clipped.size > LARGEST_BLOCK:
            raise RegionError(
                "The block is too large to be edited at once",
                value="x".join(str(side) for side in clipped.shape),
                limit=f"{LARGEST_BLOCK} voxels",
                remedy="Choose a smaller region, for example 128 voxels along each side",
            )
        return clipped

    def _begin(self, number: int, region: Region) -> BlockEdit:
        """Begin the journal of a block; a broken one is kept under another name, and its strokes repeated."""
        path, identity = self._folder.edits_of(number), self._folder.identity
        self._folder.edits.mkdir(exist_ok=True)
        start = self._start(region)
        repeated = follow_again(path, identity, start)
        if path.exists():
            path.replace(path.with_name(path.name + ".broken"))
        edit = BlockEdit.begin(path, number=number, region=region, start=start, identity=identity)
        edit.record(repeated)
        self._edits[number] = edit
        return edit

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
        edit = self._edits.get(number)
        if edit is None or edit.closed:
            edit = BlockEdit.open(self._folder.edits_of(number), self._folder.identity)
            self._edits[number] = edit
        return edit

    def _set_state(self, entry: Entry, state: BlockState) -> ReviewBlock:
        block = replace(entry.block, state=state)
        self._note(replace(entry, block=block).to_event())
        return block

    def _change(self, after: Entry) -> None:
        """Note a change of what the corrections hold, then bring their store and the labels in step."""
        number, region = after.block.number, after.block.region
        entries = [one for one in self._state.corrected if one.block.number != number]
        entries += [after] if after.mark else []
        new = self._composed(region, entries)
        gone = withdrawn(region, self._read(region), new)
        event = after.to_event()
        if gone is not None:
            event["withdrawn"] = [list(gone.start), list(gone.stop)]
        self._note(event)
        self._store(number, new)
        self.apply_pending()

    def _composed(self, region: Region, entries: list[Entry]) -> Voxels:
        return composed(self._folder, region, entries, self._corrections)

    def _found_labels(self) -> tuple[LabelStore, RunRecord] | None:
        """Return labels and record; None where there are none, or broken ones, or of another image."""
        record = RunRecord.open(self.labels_path)
        if record is None or not opening.fits(record, self._folder.image):
            self._label_store = None
            return None
        if self._label_store is None:
            try:
                self._label_store = LabelStore.open(self.labels_path)
            except OutputError:
                return None
        return self._label_store, record

    def _read(self, region: Region) -> Voxels:
        """Return corrections from their store; a damaged chunk is written again from the journals."""
        try:
            return self._corrections.read(region)
        except CorruptSourceError:
            with self._turn:
                whole = Region.whole(self._folder.image.shape)
                box = region.aligned(self._corrections.chunk).intersection(whole) or region
                voxels = composed(self._folder, box, self._state.corrected)
                if not self.read_only:
                    self._corrections.write(box, voxels)
            return voxels[region.relative_to(box.start).slices]

    def _store(self, number: int, voxels: Voxels) -> None:
        self._corrections.write(self._entry(number).block.region, voxels)
        self._note({"event": "stored", "number": number})

    def _show(self, number: int) -> None:
        """Bring the labels in step with the corrections of a block; the caller has claimed them."""
        region = self._entry(number).block.region
        show_in_labels(self.labels_path, region, self.corrected(region), self._state.unshown[number])
        if not self.read_only:
            self._note({"event": "shown", "number": number})
