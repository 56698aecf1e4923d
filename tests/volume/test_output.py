from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from napari_vesselkd.errors import OutputBusyError, OutputError
from napari_vesselkd.volume import check_disk_space, claim_output, output_errors

HOLD = """
import sys
from napari_vesselkd.volume import claim_output
with claim_output(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_claim_leaves_nothing_behind(tmp_path: Path) -> None:
    with claim_output(tmp_path / "labels.ome.zarr") as output:
        assert output == tmp_path / "labels.ome.zarr"
    assert list(tmp_path.iterdir()) == []


def test_it_makes_the_folder_of_the_output(tmp_path: Path) -> None:
    with claim_output(tmp_path / "a" / "b" / "labels.tif") as output:
        assert output.parent.is_dir()


def test_a_second_claim_in_this_process_is_refused(tmp_path: Path) -> None:
    with claim_output(tmp_path / "a.zarr"), pytest.raises(OutputBusyError), claim_output(tmp_path / "a.zarr"):
        pass
    with claim_output(tmp_path / "a.zarr"):
        pass


def test_two_processes_cannot_hold_one_output(tmp_path: Path) -> None:
    output = tmp_path / "a.zarr"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OutputBusyError, match=r"Another process is writing this output: .*a\.zarr"):
            claim_output(output).__enter__()
        other.kill()
    with claim_output(output):
        pass


@pytest.mark.parametrize("name", ["labels.png", "labels", "labels.zarr.txt", "zarr"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(OutputError, match=r"unknown ending: .* \(allowed: \.ome\.zarr"),
        claim_output(tmp_path / name),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_input_is_refused_as_output(tmp_path: Path) -> None:
    source = tmp_path / "v.zarr"
    source.mkdir()
    (tmp_path / "link.zarr").symlink_to(source)
    for output in (source, tmp_path / "." / "v.zarr", tmp_path / "link.zarr", source / "labels.zarr"):
        with pytest.raises(OutputError, match="is the input or lies inside it"):
            claim_output(output, source=source).__enter__()


def test_a_folder_that_holds_the_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="contains the input"):
        claim_output(tmp_path / "a.zarr", source=tmp_path / "a.zarr" / "v.tif").__enter__()


def test_an_output_beside_slices_in_a_folder_is_fine(tmp_path: Path) -> None:
    with claim_output(tmp_path / "labels.zarr", source=tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # root may write anywhere: let the system say what it says to others
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    else:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="permission denied or read-only"):
            claim_output(tmp_path / "a.zarr").__enter__()
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be created there"):
        claim_output(tmp_path / "file" / "a.zarr").__enter__()


def test_too_little_disk_space_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**12, 0, 2 * 10**9))
    check_disk_space(tmp_path / "not" / "there.zarr", 10**9)
    with pytest.raises(OutputError, match=r"2\.0 GB free \(allowed: 5\.0 GB needed\)"):
        check_disk_space(tmp_path / "not" / "there.zarr", 5 * 10**9)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EACCES, "permission denied or read-only"),
        (errno.EROFS, "permission denied or read-only"),
        (errno.EISDIR, "cannot be created there"),
    ],
)
def test_write_errors_say_what_to_do(code: int, message: str) -> None:
    with pytest.raises(OutputError, match=message), output_errors("a.zarr"):
        raise OSError(code, os.strerror(code))


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ConnectionResetError), output_errors("a.zarr"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
