"""Promises of the journal."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.errors import OutputError
from napari_vesselkd.labels import Journal
from napari_vesselkd.labels import journal as module

RECORDS = [{"kind": "stroke", "number": number, "box": "0:4,0:8,0:8"} for number in range(5)]


@pytest.fixture
def path(tmp_path):
    with Journal(tmp_path / "a.jsonl") as journal:
        for record in RECORDS:
            journal.append(record)
    return tmp_path / "a.jsonl"


def test_every_line_is_json_that_a_person_can_read(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["record"] for line in lines] == RECORDS
    assert all(len(line["crc32"]) == 8 for line in lines)


def test_what_was_appended_is_read_and_a_missing_file_is_empty(path):
    assert Journal.read(path) == (RECORDS, None)
    assert Journal.read(path.with_name("missing.jsonl")) == ([], None)


def test_a_journal_cut_off_anywhere_keeps_every_whole_record_and_says_so(path):
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content)):
        path.write_bytes(content[:length])
        records, notice = Journal.read(path)
        assert records == RECORDS[: sum(end <= length for end in ends)]
        assert (notice is None) == (length in (0, *ends))
        if notice is not None:
            assert "last record was cut off" in notice


def test_writing_goes_on_behind_the_last_whole_record(path):
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    with Journal(path) as journal:
        journal.append({"kind": "new"})
    assert Journal.read(path) == ([*RECORDS[:-1], {"kind": "new"}], None)


@given(place=st.integers(0, 4), at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(deadline=None, max_examples=80)
def test_a_flipped_byte_loses_that_record_alone_and_names_the_line(tmp_path_factory, place, at, byte):
    path = tmp_path_factory.mktemp("flipped") / "a.jsonl"
    with Journal(path) as journal:
        for record in RECORDS:
            journal.append(record, sync=False)
    lines = path.read_bytes().splitlines(keepends=True)
    line = bytearray(lines[place])
    where = int(at * (len(line) - 1))
    if line[where] == byte:
        byte = (byte + 1) % 256
    line[where] = byte
    path.write_bytes(b"".join([*lines[:place], bytes(line), *lines[place + 1 :]]))
    records, notice = Journal.read(path)
    assert records == [one for i, one in enumerate(RECORDS) if i != place]
    assert notice is not None
    assert "a.jsonl" in notice


def test_a_damaged_last_line_does_not_swallow_the_next_one(path):
    content = path.read_bytes()
    path.write_bytes(content[:-20] + b"\0" * 20)
    with Journal(path) as journal:
        journal.append({"kind": "new"})
    assert Journal.read(path)[0] == [*RECORDS[:-1], {"kind": "new"}]


@pytest.mark.parametrize("taken", [0, 1, 30])
def test_a_disk_that_fills_up_loses_nothing_before(path, monkeypatch, taken):
    before = path.read_bytes()
    journal = Journal(path)

    def full(file, data):
        if len(data) > 30 and taken:
            return write(file, data[:taken])
        raise OSError(errno.ENOSPC, "No space left on device")

    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(module.os, "write", full)
        with pytest.raises(OutputError, match=r"disk is full.*everything before it is.*Free some space"):
            journal.append({"kind": "too much", "text": "x" * 100})
    assert path.read_bytes() == before
    journal.append({"kind": "again"})
    journal.close()
    assert Journal.read(path) == ([*RECORDS, {"kind": "again"}], None)


def test_a_disk_that_refuses_when_it_is_asked_to_keep_loses_nothing_before(path, monkeypatch):
    before = path.read_bytes()
    journal = Journal(path)

    def refuse(file):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", refuse)
        with pytest.raises(OutputError, match="cannot be written"):
            journal.append({"kind": "lost"})
        with pytest.raises(OutputError, match="cannot be written"):
            journal.sync()
    assert path.read_bytes() == before
    journal.close()


def test_a_real_limit_on_the_file_size_ends_at_a_whole_record(tmp_path):
    """The system takes a part of a line and refuses the rest, as a full disk does."""
    path = tmp_path / "a.jsonl"
    code = """
        import resource, sys
        from pathlib import Path
        from napari_vesselkd.errors import OutputError
        from napari_vesselkd.labels import Journal

        journal = Journal(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        for number in range(1000):
            try:
                journal.append({"number": number, "text": "x" * 50}, sync=False)
            except OutputError as error:
                print(number, error)
                break
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=True
    )
    failed = int(done.stdout.split()[0])
    assert "The disk is full" in done.stdout
    assert path.stat().st_size <= 4096
    records, notice = Journal.read(path)
    assert ([one["number"] for one in records], notice) == (list(range(failed)), None)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_closed_journal_says_so(path):
    journal = Journal(path)
    journal.close()
    journal.close()
    journal.sync()
    with pytest.raises(OutputError, match="closed"):
        journal.append({"kind": "late"})


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="folder of the journal is gone"):
        Journal(tmp_path / "missing" / "a.jsonl")
