"""What a person says about codes: a name, a colour, "this is an artefact". Kept for one checkpoint as JSON.

The file is named by the hash of the checkpoint's weights and lies in a folder of checkpoints, the user's or a
project's: those that come with the package cannot be written. Calls from several processes take turns.
"""

from __future__ import annotations

import colorsys
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from napari_vesselkd.errors import CorruptSourceError, InvalidInputError, OutputBusyError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.cells import CellMap, cells_around
from napari_vesselkd.volume import output_errors

VERSION = 1
KIND = "napari-vesselkd notes on codes"
LONGEST_NAME = 80
LONGEST_WAIT = 10.0  # s
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_HASH = re.compile(r"[0-9a-f]{16,64}")
_GOLDEN = 0.6180339887498949
_RINGS = ((0.62, 1.0), (0.85, 0.85), (0.45, 0.95))  # saturation and value, in turn


@dataclass(frozen=True)
class CodeNote:
    """What is said about one code.

    Attributes
    ----------
    name : str
        Empty if it has none.
    colour : str
        "#rrggbb"; empty for the stable one of its number.
    artefact : bool
    """

    name: str = ""
    colour: str = ""
    artefact: bool = False


NOTHING = CodeNote()


class CodeNotes:
    """The notes on the codes of one checkpoint.

    Parameters
    ----------
    path : Path
        The file; need not exist.
    sha256 : str
        Of the checkpoint's weights.
    notes : mapping of int to CodeNote

    Attributes
    ----------
    codes : mapping of int to CodeNote
        Those that something is said about.
    """

    def __init__(self, path: Path, sha256: str, notes: Mapping[int, CodeNote]) -> None:
        self.path, self.sha256 = path, sha256
        self._notes = dict(notes)

    @classmethod
    def load(cls, folder: str | Path, sha256: str) -> CodeNotes:
        """Read the notes on a checkpoint; there may be none yet.

        Parameters
        ----------
        folder : str or Path
            Of checkpoints: ``CheckpointRegistry.root``, of the user or of a project.
        sha256 : str
            Of the checkpoint's weights, as its card has it.

        Raises
        ------
        CorruptSourceError
            If the file is broken.
        InvalidInputError
            If `sha256` is no such hash.
        """
        if not _HASH.fullmatch(sha256):
            raise InvalidInputError("This is not the hash of a checkpoint", value=repr(sha256))
        path = Path(folder) / f"codes-{sha256[:16]}.json"
        return cls(path, sha256, _read(path, sha256))

    @property
    def codes(self) -> Mapping[int, CodeNote]:
        return MappingProxyType(self._notes)

    @property
    def artefacts(self) -> tuple[int, ...]:
        """Codes that were marked as artefact."""
        return tuple(sorted(code for code, note in self._notes.items() if note.artefact))

    def of(self, code: int) -> CodeNote:
        """Return what is said about a code."""
        return self._notes.get(int(code), NOTHING)

    def name(self, code: int) -> str:
        """Return the code's name, by default "code 17"."""
        return self.of(code).name or f"code {int(code)}"

    def colour(self, code: int) -> str:
        """Return the code's colour, "#rrggbb"; by default the one that goes with its number."""
        return self.of(code).colour or stable_colour(code)

    def artefact(self, code: int) -> bool:
        """Whether the code was marked as artefact."""
        return self.of(code).artefact

    def set(
        self, code: int, *, name: str | None = None, colour: str | None = None, artefact: bool | None = None
    ) -> CodeNote:
        """Say something about a code and save it; what is None stays, "" takes back a name or a colour.

        Raises
        ------
        InvalidInputError
            If the code, the name or the colour cannot be.
        OutputError
            If the file cannot be written.
        CorruptSourceError
            If the file is broken.
        """
        changes = {"name": name, "colour": colour, "artefact": artefact}
        given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
        with self._writing():
            self._notes = _read(self.path, self.sha256)  # another process may have said more
            note = _checked(int(code), replace(self.of(code), **given))
            if note == NOTHING:
                self._notes.pop(int(code), None)
            else:
                self._notes[int(code)] = note
            self._save()
        return note

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
            try:
                lock.acquire(timeout=LONGEST_WAIT)
            except Timeout as error:
                raise OutputBusyError(
                    "Another process is writing the notes", value=self.path, remedy="Try again"
                ) from error
            try:
                yield
            finally:
                lock.release()

    def _save(self) -> None:
        notes = {str(code): asdict(self._notes[code]) for code in sorted(self._notes)}
        values = {"kind": KIND, "version": VERSION, "sha256": self.sha256, "codes": notes}
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        aside.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        aside.replace(self.path)


def stable_colour(code: int) -> str:
    """Return the colour, "#rrggbb", that goes with a code's number: neighbours in number look different."""
    saturation, value = _RINGS[int(code) % len(_RINGS)]
    red, green, blue = colorsys.hsv_to_rgb(int(code) * _GOLDEN % 1.0, saturation, value)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def artefact_mask(code_map: CellMap, notes: CodeNotes, region: Region) -> npt.NDArray[np.uint8]:
    """Return 1 where a voxel of `region` lies in a cell whose code was marked as artefact, else 0.

    Parameters
    ----------
    code_map : CellMap
    notes : CodeNotes
        On the checkpoint that the map was made with.
    region : Region
        In voxels of the level that was mapped.

    Returns
    -------
    ndarray of uint8, (z, y, x)

    Raises
    ------
    RegionError
        If the region is empty or not inside the volume.
    InvalidInputError
        If the notes are on another checkpoint.
    """
    if notes.sha256 != code_map.sha256:
        raise InvalidInputError(
            "The notes are on another checkpoint than the one of the code map",
            value=notes.path.name,
            limit=f"those on {code_map.checkpoint}",
        )
    cells = cells_around(code_map, region)
    marked = np.isin(code_map.read(cells), np.asarray(notes.artefacts, np.int64) + 1).astype(np.uint8)
    for axis, side in enumerate(code_map.stride):
        at = np.arange(region.start[axis], region.stop[axis]) // side - cells.start[axis]
        marked = np.take(marked, at, axis=axis)
    return marked


def _read(path: Path, sha256: str) -> dict[int, CodeNote]:
    """Return the notes in a file; none where there is no file."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        if values["kind"] != KIND or values["sha256"] != sha256 or int(values["version"]) > VERSION:
            raise ValueError("of another checkpoint, or of a newer version")
        return {int(code): _checked(int(code), CodeNote(**note)) for code, note in values["codes"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptSourceError(
            "The notes on the codes cannot be read",
            value=f"{path} ({error})",
            remedy="Mend the file, or move it away to begin anew",
        ) from error


def _checked(code: int, note: CodeNote) -> CodeNote:
    if not 0 <= code < 2**16 - 1:
        raise InvalidInputError("There is no such code", value=code, limit=f"0..{2**16 - 2}")
    if not isinstance(note.name, str) or len(note.name) > LONGEST_NAME or not note.name.isprintable():
        raise InvalidInputError(
            "The name cannot be used", value=note.name, limit=f"one line of up to {LONGEST_NAME} letters"
        )
    if note.colour and not _COLOUR.fullmatch(note.colour):
        raise InvalidInputError("This is not a colour", value=note.colour, limit="#rrggbb")
    if not isinstance(note.artefact, bool):
        raise InvalidInputError("A code is an artefact or not", value=note.artefact, limit="true, false")
    return replace(note, name=note.name.strip())
