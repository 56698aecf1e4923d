"""An append-only file of small records that survives being cut off anywhere.

One record is one line, ``{"crc32":"9f3a01bc","record":{...}}``; the checksum is of the bytes of the record as
they stand. A line that was torn by a crash or damaged later is recognised, left out and said; what is written
next begins on a line of its own (docs/adr/0006).
"""

from __future__ import annotations

import errno
import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from napari_vesselkd.errors import OutputError
from napari_vesselkd.volume import output_errors

_HEAD, _MIDDLE, _TAIL = b'{"crc32":"', b'","record":', b"}"
_BODY = len(_HEAD) + 8 + len(_MIDDLE)
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_STEP = 1 << 16


class Journal:
    """A journal open for appending, by one writer at a time; threads of it take turns.

    Parameters
    ----------
    path : Path
        Made if missing. What a crash left behind the last whole line is cut off.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._turn = threading.Lock()
        with output_errors(self.path):
            if not self.path.parent.is_dir():
                raise OutputError("The folder of the journal is gone", value=self.path.parent)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._end = self._before = _end_of_last_line(self._file)
            os.ftruncate(self._file, self._end)

    @classmethod
    def read(cls, path: str | Path) -> tuple[list[dict[str, Any]], str | None]:
        """Return the whole records of a journal, and what to tell the user about those left out.

        A missing file has no records. Nothing is written, so a journal that someone else is appending to can
        be read; a last line without its end is then only not there yet.
        """
        path = Path(path)
        records, damaged, torn = [], [], False
        try:
            for number, line in _lines(path):
                record = decoded(line[:-1]) if line.endswith(b"\n") else None
                torn = record is None
                if record is None:
                    damaged.append(number)
                else:
                    records.append(record)
        except FileNotFoundError:
            return [], None
        return records, _notice(path, damaged, torn)

    @classmethod
    def read_on(cls, path: Path, offset: int = 0, crc32: int = 0) -> tuple[list[dict[str, Any]], int, int]:
        """Return the whole records from a byte on, where a line begins, and how far the whole lines go.

        Parameters
        ----------
        path : Path
        offset, crc32 : int
            Bytes that were read before, and their checksum.

        Returns
        -------
        tuple
            The records; the offset behind the last whole line; the checksum of all bytes before it.
        """
        records = []
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                offset, crc32 = offset + len(line), zlib.crc32(line, crc32)
                record = decoded(line[:-1])
                if record is not None:
                    records.append(record)
        return records, offset, crc32

    def append(self, record: Mapping[str, Any], *, sync: bool = True) -> None:
        """Add one record; with `sync` it is on the disk when the call returns.

        Raises
        ------
        OutputError
            If the disk is full or gone. The file then ends where it did before.
        """
        line = encoded(record)
        with self._turn:
            if self._file < 0:
                raise OutputError("The journal is closed", value=self.path, remedy="Open the block again")
            try:
                _write(self._file, line)
                if sync:
                    os.fsync(self._file)
            except OSError as error:
                self._cut_back()
                raise _failed(self.path, error) from error
            self._before, self._end = self._end, self._end + len(line)

    def retract(self) -> None:
        """Take the record appended last away again; a second call does nothing.

        Raises
        ------
        OutputError
            If the disk is gone.
        """
        with self._turn:
            if self._file >= 0:
                try:
                    os.ftruncate(self._file, self._before)
                except OSError as error:
                    raise _failed(self.path, error) from error
                self._end = self._before

    def sync(self) -> None:
        """Wait until all that was appended is on the disk. May be called from another thread.

        Raises
        ------
        OutputError
            If the disk is full or gone.
        """
        with self._turn:  # a handle of its own: nobody who appends has to wait for the disk
            file = os.dup(self._file) if self._file >= 0 else None
        if file is None:
            return
        try:
            os.fsync(file)
        except OSError as error:
            raise _failed(self.path, error) from error
        finally:
            os.close(file)

    def close(self) -> None:
        """Write everything to the disk and close the file; a second call does nothing."""
        with self._turn:
            if self._file >= 0:
                file, self._file = self._file, -1
                try:
                    os.fsync(file)
                except OSError as error:
                    raise _failed(self.path, error) from error
                finally:
                    os.close(file)

    @property
    def closed(self) -> bool:
        return self._file < 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._file, self._end)
        except OSError:  # the torn line stays: the next writer cuts it off, and readers leave it out
            return


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return the line of a record."""
    return _line(json.dumps(record, separators=(",", ":"), allow_nan=False).encode()) + b"\n"


def decoded(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, None where the line is torn or damaged."""
    body = line[_BODY : -len(_TAIL)]
    if line != _line(body):
        return None
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _line(body: bytes) -> bytes:
    return b"".join((_HEAD, b"%08x" % zlib.crc32(body), _MIDDLE, body, _TAIL))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from enumerate(file, start=1)


def _notice(path: Path, damaged: list[int], torn: bool) -> str | None:
    """Return the sentence about left-out lines; `torn`: the last line is one of them."""
    parts = []
    if torn:
        damaged = damaged[:-1]
        parts.append("its last record was cut off and is left out")
    if damaged:
        lines = ", ".join(str(number) for number in damaged[:5]) + (", ..." if len(damaged) > 5 else "")
        one = len(damaged) == 1
        parts.append(f"{'line' if one else 'lines'} {lines} {'is' if one else 'are'} damaged and left out")
    return f"{path.name}: {'; '.join(parts)}; everything else is there" if parts else None


def _end_of_last_line(file: int) -> int:
    """Return the position behind the last newline, 0 where there is none."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - _STEP)
        os.lseek(file, start, os.SEEK_SET)
        at = os.read(file, end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _write(file: int, line: bytes) -> None:
    """Write all of `line`; a disk that fills up takes a part and refuses the rest."""
    left = memoryview(line)
    while left:
        left = left[os.write(file, left) :]


def _failed(path: Path, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(
            "The disk is full: this change is not saved, everything before it is",
            value=path,
            remedy="Free some space, then repeat the change",
        )
    return OutputError(
        "The journal cannot be written: this change is not saved, everything before it is",
        value=f"{path} ({error.strerror})",
        remedy="Check the disk, then repeat the change",
    )
