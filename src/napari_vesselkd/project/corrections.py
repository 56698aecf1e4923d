"""The accepted blocks as one label image, and laid over the prediction.

Notation: z, y, x axes; corrections are uint8 0 unlabelled, 1 background, 2 vessel; labels are 0 and 1. Where
accepted blocks overlap, the one accepted last lies on top; where a block is unlabelled it says nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import OutputError, ProjectError
from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.labels.edits import (
    BACKGROUND,
    ERASED,
    SHEET,
    UNLABELLED,
    VESSEL,
    changed_box,
    replay,
)
from napari_vesselkd.labels.replaying import flat_shape
from napari_vesselkd.labels.sparse import SparseVoxels
from napari_vesselkd.project.beneath import Beneath
from napari_vesselkd.project.folder import Folder
from napari_vesselkd.project.state import Entry

Voxels = npt.NDArray[np.uint8]
Remembered = dict[tuple[int, int], Voxels]
REMEMBERED = 8  # blocks


def composed(
    folder: Folder,
    region: Region,
    entries: Iterable[Entry],
    store: LabelStore | None = None,
    remembered: Remembered | None = None,
) -> Voxels:
    """Return the corrections in `region`, (z, y, x), as the journals of the blocks give them.

    Parameters
    ----------
    folder : Folder
    region : Region
    entries : iterable of Entry
        What the corrections hold, the lowest first.
    store : LabelStore, optional
        Asked for a block whose journal is lost.
    remembered : dict, optional
        Keeps the last blocks that were read from their journals.

    Raises
    ------
    ProjectError
        If a journal is lost and there is no `store`.
    """
    voxels = np.zeros(region.shape, np.uint8)
    for entry in entries:
        common = region.intersection(entry.block.region)
        if common is None:
            continue
        key, kept = (entry.block.number, entry.mark), {} if remembered is None else remembered
        if key not in kept:
            kept[key] = accepted(folder, entry, store)
            while len(kept) > REMEMBERED:
                del kept[next(iter(kept))]
        part = kept[key][common.relative_to(entry.block.region.start).slices]
        np.copyto(voxels[common.relative_to(region.start).slices], part, where=part > 0)
    return voxels


def laid_over(labels: Voxels, corrections: Voxels) -> Voxels:
    """Return labels 0 and 1 with the corrections, of the same shape, on top."""
    labels = labels.copy()
    labels[corrections == BACKGROUND] = 0
    labels[corrections == VESSEL] = 1
    return labels


def with_sheet(voxels: Voxels, sheet: Voxels) -> Voxels:
    """Return corrections (z, y, x) with the sheet, of the same shape, on top: also what was erased there."""
    return np.where(sheet == ERASED, UNLABELLED, np.where(sheet > 0, sheet, voxels)).astype(np.uint8)


def withdrawn(region: Region, before: Voxels, after: Voxels) -> Region | None:
    """Return the box of the volume in which corrections are taken back without others in their place."""
    gone = (before > 0) & (after == 0)
    box = changed_box(np.zeros(gone.shape, np.uint8), gone.view(np.uint8))
    return None if box is None else box.shifted(region.start)


def show_in_labels(
    path: Path, region: Region, corrections: Voxels, taken_back: Iterable[Region], *, first: bool
) -> None:
    """Write corrections into the labels at `path`, which the caller has claimed, and keep their record true.

    Where a correction was taken back the labels are the prediction again, as far as it is known.

    Parameters
    ----------
    path : Path
        Of the labels.
    region : Region
        Of the corrections.
    corrections : ndarray of uint8, (z, y, x)
    taken_back : iterable of Region
        Where a correction lay over the prediction.
    first : bool
        Whether no other correction is in these labels yet.
    """
    store, record = LabelStore.open(path), RunRecord.open(path)
    labels = store.read(region)
    if record is None:
        store.write(region, laid_over(labels, corrections))
        return
    beneath = Beneath(record, complete=first)
    prediction = beneath.prediction(region, labels)
    written = laid_over(prediction, corrections)
    beneath.cover(region, prediction, corrections, keep=True)  # whatever a crash leaves undone, it is known
    store.write(region, written)
    beneath.cover(region, prediction, corrections)
    for box in () if beneath.complete else taken_back:
        record.forget(box)
    record.recount(region, store.read)


def open_corrections(
    folder: Folder, entries: list[Entry], *, writable: bool
) -> tuple[LabelStore, str | None]:
    """Open the store of corrections; a missing or broken one is made again from the journals of the blocks.

    Returns
    -------
    tuple
        The store, and what to tell the user.

    Raises
    ------
    ProjectError
        If it is broken and cannot be made again.
    """
    try:
        store = LabelStore.open(folder.corrections)
        if store.shape == folder.image.shape:
            return store, None
    except OutputError:
        pass
    broken = ProjectError(
        "The project's corrections are missing or broken",
        value=folder.corrections,
        remedy="Open the project for writing: they are made again from the journals"
        if not writable
        else "Copy the folder back from a backup of the project",
    )
    if not writable:
        raise broken
    try:
        _make_again(folder, entries)
    except ProjectError as error:
        raise broken from error
    return LabelStore.open(folder.corrections), (
        "The corrections were missing or broken; they were made again from the journals of the blocks"
    )


def _make_again(folder: Folder, entries: list[Entry]) -> None:
    """Fill a new store aside from blocks and sheet, keep the broken one under another name, and rename."""
    aside = folder.corrections.with_name("corrections.ome.zarr.part")
    shutil.rmtree(aside, ignore_errors=True)
    store = folder.new_corrections(aside)
    for entry in entries:
        region = entry.block.region
        store.write(region, composed(folder, region, entries))
    for box, voxels in sheet_of(folder):
        store.write(box, with_sheet(store.read(box), voxels))
    if folder.corrections.exists():
        kept = folder.corrections.with_name("corrections.ome.zarr.broken")
        shutil.rmtree(kept, ignore_errors=True)
        folder.corrections.rename(kept)
    aside.rename(folder.corrections)


def sheet_of(folder: Folder) -> Iterator[tuple[Region, Voxels]]:
    """Yield the boxes of the sheet that hold something and their voxels, (z, y, x), from its journal."""
    path = folder.edits_of(SHEET)
    found = replay(path, folder.identity).voxels if path.is_file() else None
    if isinstance(found, SparseVoxels):
        for box in found.painted():
            yield box, found[box.slices]


def accepted(folder: Folder, entry: Entry, store: LabelStore | None = None) -> Voxels:
    """Return the voxels of a block at its acceptance, (z, y, x); from `store` where its journal is lost.

    Raises
    ------
    ProjectError
        If its journal is lost and there is no `store`.
    """
    path = folder.edits_of(entry.block.number)
    try:
        found = replay(path, folder.identity, entry.mark)
        if found.marked is not None and as_shape(found.marked.shape) == flat_shape(
            entry.block.region, entry.block.axis
        ):
            return found.marked
        raise ProjectError("The journal of a block has lost its acceptance", value=path)
    except ProjectError:
        if store is None:
            raise
        return store.read(entry.block.region)
