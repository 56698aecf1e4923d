"""The corrections of a project with everything that was done to make them, in one file for another person.

A file of lines as a journal has them: a head that says of which image it is, then for each accepted block,
and for the sheet, what it is and the records of its journal, then an end with their count. Notation: z, y, x
axes; corrections are 0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import ProjectError, SourceNotFoundError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels.edits import SHEET
from napari_vesselkd.labels.journal import Journal, encoded
from napari_vesselkd.labels.ledger import time_now
from napari_vesselkd.labels.replaying import replay_records
from napari_vesselkd.labels.sparse import SparseVoxels
from napari_vesselkd.project.corrections import with_sheet
from napari_vesselkd.project.folder import Folder
from napari_vesselkd.project.state import Entry, ReviewBlock, State
from napari_vesselkd.volume import output_errors

FORMAT = 1
KIND = "napari-vesselkd corrections"
Voxels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Exported:
    """Corrections that somebody has exported.

    Attributes
    ----------
    path : Path
    signature : str
        Of the image.
    who, at : str
        Who exported it, and when (ISO 8601, UTC).
    people : dict of str to int
        Strokes of each user.
    blocks : tuple of ReviewBlock
        Accepted ones, the lowest first.
    left_out : int
        Blocks that were not accepted, and MIP annotations.
    """

    path: Path
    signature: str
    who: str
    at: str
    people: dict[str, int]
    blocks: tuple[ReviewBlock, ...]
    left_out: int
    _voxels: dict[int, bytes]
    _sheet: SparseVoxels | None

    def accepted_voxels(self, number: int) -> Voxels:
        """Return the voxels of a block as it was accepted, (z, y, x)."""
        shape = next(one.region.shape for one in self.blocks if one.number == number)
        return np.frombuffer(zlib.decompress(self._voxels[number]), np.uint8).reshape(shape)

    def corrected(self, region: Region) -> Voxels:
        """Return the corrections in `region`, (z, y, x), what was painted anywhere on top."""
        voxels = np.zeros(region.shape, np.uint8)
        for block in self.blocks:
            common = region.intersection(block.region)
            if common is not None:
                part = self.accepted_voxels(block.number)[common.relative_to(block.region.start).slices]
                np.copyto(voxels[common.relative_to(region.start).slices], part, where=part > 0)
        return voxels if self._sheet is None else with_sheet(voxels, self._sheet[region.slices])

    def regions(self) -> list[Region]:
        """Return boxes outside of which nothing is corrected."""
        painted = [] if self._sheet is None else list(self._sheet.painted())
        return [*(one.region for one in self.blocks), *painted]


def write_export(folder: Folder, state: State, file: Path) -> int:
    """Write the accepted blocks and the sheet, with their journals, into `file`; return the lines.

    Made aside and then renamed.

    Raises
    ------
    ProjectError
        If a journal is damaged or lost, or nothing is corrected.
    OutputError
        If the file cannot be written.
    """
    left_out = len(state.entries) - len(state.corrected)
    head = {
        "kind": KIND,
        "format": FORMAT,
        **folder.identity,
        "name": folder.image.name,
        "made_with": f"napari-vesselkd {version('napari-vesselkd')}",
        "who": state.who,
        "at": time_now(),
        "left_out": left_out,
    }
    aside, count = file.with_name(f"{file.name}.part"), 0
    with output_errors(file), aside.open("wb") as stream:
        stream.write(encoded(head))
        for line in _lines(folder, state):
            stream.write(encoded(line))
            count += 1
        stream.write(encoded({"kind": "end", "lines": count}))
        stream.flush()
        os.fsync(stream.fileno())
    if not count:
        aside.unlink()
        raise ProjectError(
            "Nothing is corrected in this project: there is nothing to export",
            value=folder.path,
            remedy="Accept a block, or paint anywhere",
        )
    with output_errors(file):
        aside.replace(file)
    return count


def read_export(file: str | Path) -> Exported:
    """Read what `write_export` wrote.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    ProjectError
        If it is no export, cut off, damaged or edited by hand, or of a newer version.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise SourceNotFoundError("There is no such file", value=path)
    records, notice = Journal.read(path)
    head = records[0] if records else {}
    if head.get("kind") != KIND:
        raise ProjectError(
            "This is no export of corrections",
            value=path,
            remedy="Make one with: vesselkd journal export PROJECT FILE",
        )
    if int(head.get("format", 0)) > FORMAT:
        raise ProjectError(
            "The corrections were exported by a newer version of napari-vesselkd",
            value=f"{path} (format {head['format']}, {head.get('made_with')})",
            limit=f"format {FORMAT}",
            remedy="Update napari-vesselkd",
        )
    end = records[-1]
    if notice is not None or end.get("kind") != "end" or end.get("lines") != len(records) - 2:
        raise ProjectError(
            "The exported corrections are cut off, damaged or edited by hand",
            value=notice or path,
            remedy="Export them again, or copy the file again",
        )
    try:
        return _understood(path, head, records[1:-1])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, ProjectError):
            raise
        raise ProjectError(
            "The exported corrections make no sense", value=f"{path} ({error!r})", remedy="Export them again"
        ) from error


def _lines(folder: Folder, state: State) -> Iterator[dict[str, Any]]:
    for entry in state.corrected:
        yield {"kind": "block", "number": entry.block.number, "entry": entry.to_event()}
        yield from _records(folder, entry.block.number)
    if folder.edits_of(SHEET).is_file():
        yield {"kind": "sheet", "number": SHEET}
        yield from _records(folder, SHEET)


def _records(folder: Folder, number: int) -> Iterator[dict[str, Any]]:
    path = folder.edits_of(number)
    records, notice = Journal.read(path)
    if notice is not None or not records:
        raise ProjectError(
            "A journal is damaged: what it says cannot be handed on",
            value=notice or path,
            remedy="Open the project and accept the block again",
        )
    for record in records:
        yield {"kind": "record", "number": number, "record": record}


def _understood(path: Path, head: dict[str, Any], lines: list[dict[str, Any]]) -> Exported:
    identity = {"project": str(head["project"]), "image": str(head["image"])}
    records: dict[int, list[dict[str, Any]]] = {}
    entries: list[Entry] = []
    for line in lines:
        if line["kind"] == "record":
            records[line["number"]].append(line["record"])
        elif line["kind"] in ("block", "sheet"):
            records[line["number"]] = []
            entries += [Entry.from_event(line["entry"])] if line["kind"] == "block" else []
    people: dict[str, int] = {}
    voxels: dict[int, bytes] = {}
    sheet: SparseVoxels | None = None
    for number, journal in records.items():
        mark = next((one.mark for one in entries if one.block.number == number), None)
        found = replay_records(path, journal, identity, mark)
        for who, count in found.people.items():
            people[who] = people.get(who, 0) + count
        if isinstance(found.voxels, SparseVoxels):
            sheet = found.voxels
        elif found.marked is not None:
            voxels[number] = zlib.compress(found.marked.tobytes(), 1)
    blocks = tuple(one.block for one in entries)
    if any(one.number not in voxels for one in blocks):
        raise ProjectError("A block in the exported corrections has lost its acceptance", value=path)
    left_out = int(head.get("left_out", 0))
    return Exported(
        path, identity["image"], str(head["who"]), str(head["at"]), people, blocks, left_out, voxels, sheet
    )
