"""Opening a project folder: claimed by one writer, its files checked, what is odd about them said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from napari_vesselkd.checkpoints import CheckpointCard, CheckpointRegistry
from napari_vesselkd.errors import ProjectError, VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.labels.edits import SHEET, replay
from napari_vesselkd.project.corrections import open_corrections
from napari_vesselkd.project.folder import Folder, read_folder
from napari_vesselkd.project.image import ImageReference
from napari_vesselkd.project.state import BlockState, Entry, ReviewBlock, State


@dataclass(frozen=True, eq=False)
class Found:
    """What opening a project folder gives.

    Attributes
    ----------
    folder : Folder
    state : State
    journal_bytes : int
        Of the journal, when it was read.
    lock : FileLock or None
        None where the project is read-only.
    corrections : LabelStore
    adopted : tuple of Entry
        Blocks that have a journal but are not in the project's.
    notices : tuple of str
    """

    folder: Folder
    state: State
    journal_bytes: int
    lock: FileLock | None
    corrections: LabelStore
    adopted: tuple[Entry, ...]
    notices: tuple[str, ...]


def find_project(path: Path, *, write: bool) -> Found:
    """Open the project at `path`; ProjectError where that cannot be done."""
    folder = read_folder(path)
    lock, notices = _claim(folder.path) if write else (None, [])
    try:
        return _read(folder, lock, notices)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def fits(record: RunRecord, image: ImageReference) -> bool:
    """Whether labels with this record are of the image."""
    return record.shape == image.shape and record.fingerprint.get("volume") == image.signature


def _read(folder: Folder, lock: FileLock | None, notices: list[str]) -> Found:
    size = folder.journal.stat().st_size if folder.journal.is_file() else 0
    state, damage = folder.read_events()
    corrections, remade = open_corrections(folder, state.corrected, writable=lock is not None)
    adopted = _unknown_blocks(folder, state.entries)
    said = [damage, remade, _about_adopted(adopted), *_about_journals(folder, state)]
    said += [_about_labels(folder), *_about_checkpoints(folder.checkpoints, state.current)]
    if lock is not None and state.unstored:
        names = _names(state.unstored)
        said.append(f"The program ended while {names} was being accepted or withdrawn: that is finished now")
    notices = [*notices, *(one for one in said if one is not None)]
    return Found(folder, state, size, lock, corrections, adopted, tuple(notices))


def _claim(path: Path) -> tuple[FileLock | None, list[str]]:
    """Hold the project as its only writer, or say why not."""
    lock = FileLock(path / ".lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None, ["Another program has this project open: it is read-only here"]
    except (OSError, NotImplementedError):
        return None, [f"{path.name} cannot be written on this disk: it is read-only here"]
    return lock, []


def _unknown_blocks(folder: Folder, known: Mapping[int, Entry]) -> tuple[Entry, ...]:
    """Return the blocks whose event was lost, as their own journals give them."""
    found = []
    for number, path in folder.journals().items():
        if number == SHEET or number in known:
            continue
        try:
            begun = replay(path, folder.identity, only_begin=True)
        except ProjectError:
            continue
        inside = begun.region.intersection(Region.whole(folder.image.shape)) == begun.region
        if inside and begun.number == number:
            found.append(Entry(ReviewBlock(begun.number, begun.region, axis=begun.axis)))
    return tuple(found)


def _about_adopted(adopted: tuple[Entry, ...]) -> str | None:
    if not adopted:
        return None
    names = _names(one.block.number for one in adopted)
    return f"The project's journal did not know {names}; found by the strokes and open again"


def _about_journals(folder: Folder, state: State) -> list[str]:
    missing = [
        number
        for number, entry in state.entries.items()
        if entry.block.state is not BlockState.SKIPPED and not folder.edits_of(number).is_file()
    ]
    if not missing:
        return []
    return [f"The strokes of {_names(missing)} are missing: what was accepted is kept, the rest is lost"]


def _about_labels(folder: Folder) -> str | None:
    if not folder.labels.exists():
        return None
    record = RunRecord.open(folder.labels)
    try:
        LabelStore.open(folder.labels)
        if record is not None and fits(record, folder.image):
            return None
    except VesselKDError:
        pass
    return "The labels cannot be read or are of another image: segment again from the beginning (--restart)"


def _about_checkpoints(root: Path, current: str) -> list[str]:
    notices, registry = [], CheckpointRegistry(root)
    for weights in sorted(root.glob("*.safetensors")):
        try:
            CheckpointCard.read(weights)
        except VesselKDError as error:
            notices.append(f"The checkpoint {weights.stem} cannot be used. {error}")
    try:
        if current != "auto":
            registry.get(current)
    except VesselKDError as error:
        notices.append(f"The checkpoint in use cannot be used; promote another one. {error}")
    return notices


def _names(numbers: Iterable[int]) -> str:
    listed = [str(number) for number in sorted(numbers)]
    return f"block {listed[0]}" if len(listed) == 1 else f"blocks {', '.join(listed)}"
