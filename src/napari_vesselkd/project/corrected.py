"""The corrections of a project and the labels under them, kept in step with accepted blocks and sheet.

Notation: z, y, x axes; corrections are uint8 0 unlabelled, 1 background, 2 vessel; labels are 0 and 1. The
sheet is what was painted anywhere with no block open; it lies over the accepted blocks, erases them where it
holds 3, and accepting a block clears it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import CorruptSourceError, InvalidInputError, OutputBusyError, OutputError
from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.labels import BlockEdit, LabelStore, RunRecord
from napari_vesselkd.labels.edits import SHEET, begin_again, changed_box
from napari_vesselkd.labels.sparse import CHUNK
from napari_vesselkd.project import opening
from napari_vesselkd.project.beneath import Beneath
from napari_vesselkd.project.corrections import (
    Remembered,
    composed,
    laid_over,
    sheet_of,
    show_in_labels,
    with_sheet,
    withdrawn,
)
from napari_vesselkd.project.folded import keep_history, read_history
from napari_vesselkd.project.held import Held
from napari_vesselkd.project.operations import STATE, Operations
from napari_vesselkd.project.state import Entry, bounds
from napari_vesselkd.volume import claim_output

Voxels = npt.NDArray[np.uint8]
CELL = (CHUNK, CHUNK, CHUNK)
LONGEST_NAME = 60


class Corrected(Held):
    """The part of a project that is about labels, corrections and the sheet; see `Project`."""

    def __init__(self, found: opening.Found) -> None:
        super().__init__(found)
        self._corrections = found.corrections
        self._edits: dict[int, BlockEdit] = {}
        self._label_store: LabelStore | None = None
        self._remembered: Remembered = {}
        self._operations = Operations()
        self._operations.who = self.reviewer
        self._doubtful = True
        self._read_history()
        for number in sorted(self._operations.odd):
            name = {STATE: "The project's journal", SHEET: "The journal of what was painted anywhere"}
            said = name.get(number, f"The journal of block {number}")
            self.notices += (f"{said} has a record that makes no sense: it is not in the history",)

    def _read_history(self) -> None:
        """Fold all journals again; what took long is kept for the next time, while they agree."""
        operations, sheet = self._operations, self._state.sheet
        reading = read_history(self._folder, operations, sheet)
        settled = not operations.odd and not operations.torn()
        if reading.worth_keeping and settled and not self.read_only:
            with suppress(OutputError):  # the next opening takes long again, no more
                keep_history(self._folder, operations, reading, sheet)

    @property
    def reviewer(self) -> str:
        """The name under which strokes are kept: the one that was set here, else that of the account."""
        return self._state.who

    def set_reviewer(self, name: str) -> None:
        """Keep strokes under another name from now on; an empty one is that of the account.

        Raises
        ------
        InvalidInputError
            If it is longer than 60 characters.
        ProjectBusyError, OutputError
            If the project is open read-only, or the disk is full.
        """
        name = " ".join(name.split())
        if len(name) > LONGEST_NAME:
            raise InvalidInputError(
                "The name is too long", value=len(name), limit=f"{LONGEST_NAME} characters"
            )
        with self._writing():
            self._note({"event": "reviewer", "name": name})
            self._operations.who = self.reviewer

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
        """The accepted blocks, the sheet on top: 0 unlabelled, 1 background, 2 vessel."""
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
        if self._state.sheet:
            return self._read(region)
        for entry in self._state.corrected:  # where there are none, nothing is read
            common = region.intersection(entry.block.region)
            if common is not None:
                voxels[common.relative_to(region.start).slices] = self._read(common)
        return voxels

    def over(self, region: Region, labels: Voxels) -> Voxels:
        """Return labels 0 and 1 of `region`, (z, y, x), with the accepted corrections on top."""
        corrections = self.corrected(region)
        return laid_over(labels, corrections) if corrections.any() else labels

    def over_prediction(self, region: Region, prediction: Voxels) -> Voxels:
        """As `over`, for the segmentation that writes it: what the corrections cover is kept beneath them.

        The caller has claimed the labels.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        corrections, record = self.corrected(region), self.labels_record
        if record is None:
            return laid_over(prediction, corrections)
        if corrections.any() or self._state.corrected or self._state.sheet:
            complete = record.earlier is None and not record.share_done(Region.whole(record.shape))
            Beneath(record, complete=complete).cover(region, prediction, corrections)
        return laid_over(prediction, corrections)

    @property
    def pending(self) -> tuple[int, ...]:
        """Numbers of blocks whose corrections are not in the labels yet; 0 is the sheet."""
        return tuple(sorted(self._waiting)) if self.labels_record is not None else ()

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
            waiting = self._waiting
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

    @property
    def _waiting(self) -> list[int]:
        return [*self._state.unshown, *([SHEET] if self._state.sheet_unshown else [])]

    # -- the sheet ----------------------------------------------------------------------------------------

    def edit_anywhere(self) -> BlockEdit:
        """Return the sheet: what is painted anywhere in the volume, with no block open.

        Its voxels are 0 until something is painted; memory and disk hold what is painted only. Call `flush`
        after changes: then they are corrections.

        Raises
        ------
        ProjectBusyError
            If the project is open read-only.
        """
        with self._writing():
            edit = self._edits.get(SHEET)
            if edit is None or edit.closed:
                path, whole = self._folder.edits_of(SHEET), Region.whole(self._folder.image.shape)
                if path.is_file():
                    begin_again(path, number=SHEET, region=whole, identity=self._folder.identity)
                    edit = BlockEdit.open(path, self._folder.identity, self._operations)
                else:
                    self._folder.edits.mkdir(exist_ok=True)
                    self._operations.begun(SHEET, whole, None)
                    edit = BlockEdit.begin(
                        path,
                        number=SHEET,
                        region=whole,
                        start=None,
                        identity=self._folder.identity,
                        ledger=self._operations,
                    )
                self._edits[SHEET] = edit
            return edit

    def flush(self) -> tuple[Region, ...]:
        """Bring corrections and labels in step with the sheet; not for the GUI thread.

        Returns
        -------
        tuple of Region
            What changed, in voxels of the volume.

        Raises
        ------
        OutputError
            If the disk is full; the next call goes on.
        """
        with self._writing():
            operations = self._operations
            with operations.turn:
                waiting = [one for one in operations.sheet_boxes if one[0] > self._state.sheet]
            if not waiting:
                return ()
            if self._doubtful:  # a flush was stopped amid writing: what it wrote may lack its coarser levels
                for box, _ in self._state.sheet_unshown:
                    self._corrections.write(box, self._composed(box, self._state.corrected))
            self._doubtful = True
            changes = self._sheet_changes(box for _, boxes in waiting for box in boxes)
            told = [
                {"box": bounds(box), "withdrawn": None if gone is None else bounds(gone)}
                for box, _, gone in changes
            ]
            if told:
                self._note({"event": "sheet", "seq": self._state.sheet, "boxes": told})
            for box, new, _ in changes:
                self._corrections.write(box, new)
            self._note({"event": "sheet", "seq": max(seq for seq, _ in waiting), "boxes": []})
            self._doubtful = False
            with operations.turn:
                operations.sheet_boxes = [one for one in operations.sheet_boxes if one[0] > self._state.sheet]
            self.apply_pending()
            return tuple(box for box, _, _ in changes)

    def _sheet_changes(self, boxes: Iterable[Region]) -> list[tuple[Region, Voxels, Region | None]]:
        """Return boxes in which the store of corrections must change, new voxels, what is withdrawn."""
        whole, found = Region.whole(self._folder.image.shape), []
        cells = {as_shape(one.start) for box in boxes for one in box.aligned(CELL).pieces(CELL)}
        for start in sorted(cells):
            cell = Region(start, as_shape([low + CHUNK for low in start])).intersection(whole)
            if cell is None:
                continue
            old, new = self._read(cell), self._composed(cell, self._state.corrected)
            box = changed_box(old, new)
            if box is not None:
                place = box.shifted(cell.start)
                gone = withdrawn(place, old[box.slices], new[box.slices])
                found.append((place, new[box.slices], gone))
        return found

    def _sheet_parts(self) -> Iterator[tuple[Region, Voxels]]:
        """Yield the boxes of the sheet that hold something, with their voxels."""
        if self.read_only:
            yield from sheet_of(self._folder)
        elif self._folder.edits_of(SHEET).is_file():
            edit = self.edit_anywhere()
            for box in edit.painted():
                yield box, edit.read(box)

    def _sheet_read(self, region: Region) -> Voxels | None:
        """Return the sheet in a region, (z, y, x); None where nothing was ever painted."""
        if not self._folder.edits_of(SHEET).is_file():
            return None
        return self.edit_anywhere().read(region)

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
                voxels = self._composed(box, self._state.corrected)
                if not self.read_only:
                    self._corrections.write(box, voxels)
            return voxels[region.relative_to(box.start).slices]

    def _composed(self, region: Region, entries: list[Entry], *, sheet: bool = True) -> Voxels:
        """Return corrections as the journals give them, with or without the sheet on top."""
        voxels = composed(self._folder, region, entries, self._corrections, self._remembered)
        over = self._sheet_read(region) if sheet and not self.read_only else None
        return voxels if over is None else with_sheet(voxels, over)

    def _store(self, number: int, voxels: Voxels) -> None:
        self._corrections.write(self._state.entries[number].block.region, voxels)
        self._note({"event": "stored", "number": number})

    def _show(self, number: int) -> None:
        """Bring the labels in step with the corrections of a block; the caller has claimed them."""
        first = not any(one.block.number not in self._state.unshown for one in self._state.corrected)
        if number == SHEET:
            for box, gone in self._state.sheet_unshown:
                withdrawn_box = () if gone is None else (gone,)
                show_in_labels(self.labels_path, box, self.corrected(box), withdrawn_box, first=first)
            if not self.read_only:
                self._note({"event": "shown", "number": SHEET})
            return
        region = self._state.entries[number].block.region
        taken_back = self._state.unshown[number]
        show_in_labels(self.labels_path, region, self.corrected(region), taken_back, first=first)
        if not self.read_only:
            self._note({"event": "shown", "number": number})
