"""All journals folded into the history, kept beside them, so that opening a project need not read them all.

The journals are the truth. `history.folded` holds the operations they gave, and how far each journal was
read: bytes, their checksum, when it was written last. What the journals have gained since is folded on top.
Where one of them is not what was folded, or the file is missing or damaged, all journals are folded anew; so
it can be deleted at any time. It is only kept while all journals agree with each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import Journal
from napari_vesselkd.labels.journal import decoded, encoded
from napari_vesselkd.project.folder import Folder
from napari_vesselkd.project.operations import NO_PAST, STATE, Operations, Past
from napari_vesselkd.project.state import bounds
from napari_vesselkd.volume import output_errors

FORMAT = 1
KIND = "history"
WORTH_RECORDS, WORTH_BYTES = 2000, 1 << 24  # read beyond what is kept: then it is kept anew
MOVES = ("stroke", "undo", "redo")
Records = dict[int, list[dict[str, Any]]]


@dataclass(frozen=True)
class Seen:
    """How far a journal was read.

    Attributes
    ----------
    offset, crc32 : int
        Its bytes, and their checksum.
    changed : int
        When it was written last, ns.
    """

    offset: int = 0
    crc32: int = 0
    changed: int = 0


@dataclass
class Reading:
    """What reading the journals came to.

    Attributes
    ----------
    past : Past
        What was folded before.
    seen : dict of int to Seen
        How far each journal was read now.
    records : dict of int to list
        Of each journal, what it holds beyond `past`, without voxels.
    checked : int
        Bytes that were compared with their checksum.
    """

    past: Past = NO_PAST
    seen: dict[int, Seen] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    checked: int = 0

    @property
    def worth_keeping(self) -> bool:
        """Whether reading so much another time would be felt."""
        return sum(map(len, self.records.values())) > WORTH_RECORDS or self.checked > WORTH_BYTES


def read_history(folder: Folder, operations: Operations, sheet: int) -> Reading:
    """Fold all journals into `operations`; `sheet` is the last operation that the corrections hold of it."""
    reading = _on_top(folder, sheet) or _anew(folder)
    operations.fold(reading.records, reading.past)
    return reading


def keep_history(folder: Folder, operations: Operations, reading: Reading, sheet: int) -> None:
    """Write what `reading` has folded, made aside and then renamed.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    past = operations.past(sheet)
    body = b"".join(line + b"\n" for line in (*past.done, *past.undone))
    head = {
        "kind": KIND,
        "format": FORMAT,
        **folder.identity,
        "last": past.last,
        "sheet": sheet,
        "sheet_boxes": [(seq, [bounds(box) for box in boxes]) for seq, boxes in past.sheet_boxes],
        "places": [(number, bounds(region), axis) for number, (region, axis) in past.places.items()],
        "seen": [(number, one.offset, one.crc32, one.changed) for number, one in reading.seen.items()],
        "done": len(past.done),
        "crc32": zlib.crc32(body),
    }
    aside = folder.history.with_name(folder.history.name + ".part")
    with output_errors(folder.history):
        try:
            aside.write_bytes(encoded(head) + body)
            aside.replace(folder.history)
        finally:
            aside.unlink(missing_ok=True)


def _anew(folder: Folder) -> Reading:
    """Read all journals from their beginnings."""
    reading = Reading()
    _read_blocks(folder, folder.journals(), reading)
    reading.seen[STATE], reading.records[STATE] = _read_on(folder.journal, Seen())
    return reading


def _on_top(folder: Folder, sheet: int) -> Reading | None:
    """Read what the journals hold beyond what is kept; None where that does not fit them."""
    found = _read_kept(folder)
    if found is None or found[2] > sheet:
        return None
    past, seen, _ = found
    reading, journals = Reading(past), folder.journals()
    for number, before in seen.items():
        path = folder.journal if number == STATE else journals.pop(number, None)
        if path is None or not path.is_file() or not _intact(path, before, reading):
            return None
        reading.seen[number], records = _read_on(path, before)
        if records:
            reading.records[number] = records
    _read_blocks(folder, journals, reading)
    news = [one for records in reading.records.values() for one in records]
    return reading if STATE in seen and all(_comes_after(one, past.last) for one in news) else None


def _read_kept(folder: Folder) -> tuple[Past, dict[int, Seen], int] | None:
    """Return what was folded, how far the journals were read, and the sheet; None where it cannot be used."""
    try:
        first, _, body = folder.history.read_bytes().partition(b"\n")
    except OSError:
        return None
    head = decoded(first)
    known = {"kind": KIND, "format": FORMAT, **folder.identity}
    if head is None or any(head.get(key) != value for key, value in known.items()):
        return None
    if zlib.crc32(body) != head["crc32"]:
        return None
    lines = tuple(body.splitlines())
    past = Past(
        head["last"],
        {number: (_region(box), axis) for number, box, axis in head["places"]},
        tuple((seq, [_region(one) for one in boxes]) for seq, boxes in head["sheet_boxes"]),
        lines[: head["done"]],
        lines[head["done"] :],
    )
    return past, {number: Seen(*values) for number, *values in head["seen"]}, head["sheet"]


def _read_blocks(folder: Folder, journals: Mapping[int, Path], reading: Reading) -> None:
    """Read journals of blocks and of the sheet from their beginnings, but for those of something else."""
    for number, path in journals.items():
        seen, records = _read_on(path, Seen())
        first = records[0] if records else {}
        known = all(first.get(key) == value for key, value in folder.identity.items())
        if known and first.get("kind") == "begin" and first.get("number") == number:
            reading.seen[number], reading.records[number] = seen, records


def _read_on(path: Path, before: Seen) -> tuple[Seen, list[dict[str, Any]]]:
    """Return how far a journal goes, and its records beyond `before`, without their voxels."""
    if not path.is_file():
        return before, []
    stat = path.stat()
    if stat.st_size == before.offset:
        return Seen(before.offset, before.crc32, stat.st_mtime_ns), []
    records, offset, crc32 = Journal.read_on(path, before.offset, before.crc32)
    return Seen(offset, crc32, stat.st_mtime_ns), [_light(one) for one in records]


def _intact(path: Path, before: Seen, reading: Reading) -> bool:
    """Whether a journal still begins as it was read; its bytes are only looked at if it was written since."""
    stat = path.stat()
    if (stat.st_size, stat.st_mtime_ns) == (before.offset, before.changed):
        return True
    if stat.st_size < before.offset:
        return False
    reading.checked += before.offset
    return _checksum(path, before.offset) == before.crc32


def _checksum(path: Path, left: int) -> int:
    crc32 = 0
    with path.open("rb") as file:
        while left and (part := file.read(min(left, 1 << 20))):
            crc32, left = zlib.crc32(part, crc32), left - len(part)
    return crc32


def _comes_after(record: Mapping[str, Any], last: int) -> bool:
    """Whether a record may be folded on top of operations up to `last`; a beginning may always be."""
    seq = record.get("seq")
    moves = record.get("kind", record.get("does")) in MOVES
    return not moves if seq is None else isinstance(seq, int) and seq > last


def _light(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of a block's journal without its voxels."""
    light = {key: value for key, value in record.items() if key not in ("old", "new", "start")}
    if "changes" in light:
        light["changes"] = [{"box": one["box"]} for one in light["changes"]]
    return light


def _region(corners: Iterable[Iterable[int]]) -> Region:
    low, high = (tuple(one) for one in corners)
    return Region(low, high)  # type: ignore[arg-type]
