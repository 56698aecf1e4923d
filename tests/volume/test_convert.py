from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_vesselkd.errors import (
    CorruptSourceError,
    InvalidInputError,
    OutputBusyError,
    OutputError,
)
from napari_vesselkd.geometry import Region
from napari_vesselkd.reports import Notice, Progress
from napari_vesselkd.volume import (
    ConvertConfig,
    ConvertFinished,
    Volume,
    convert,
    downsample,
    level_shapes,
    open_volume,
    volume_from_arrays,
)

SIZE_UM = (4.0, 1.0, 1.0)
SMALL = ConvertConfig(chunk=(8, 16, 16), levels=3, memory_bytes=40_000)


@pytest.fixture
def volume() -> Volume:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60_000, (30, 70, 90)).astype(np.uint16)
    return volume_from_arrays([image], voxel_size_um=SIZE_UM, name="v", origin_um=(1, 2, 3))


def voxels(path: Path | str) -> list[np.ndarray]:
    with open_volume(path) as result:
        return [result.read(Region.whole(level.shape), i) for i, level in enumerate(result.levels)]  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("label", [False, True])
def test_levels_are_those_of_the_whole_volume(
    volume: Volume, tmp_path: Path, version: str, label: bool
) -> None:
    config = ConvertConfig(ome_version=version, chunk=(8, 16, 16), levels=3, memory_bytes=40_000, label=label)
    reports = list(convert(volume, tmp_path / "v.ome.zarr", config))
    expected = [volume.read(Region.whole(volume.shape))]
    for fine, coarse in itertools.pairwise(level_shapes(volume.shape, SIZE_UM, 3)[0]):
        factors = [1 if a == b else 2 for a, b in zip(fine, coarse, strict=True)]
        expected.append(downsample(expected[-1], factors, label))
    for got, want in zip(voxels(tmp_path / "v.ome.zarr"), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    with open_volume(tmp_path / "v.ome.zarr") as result:
        assert result.format == f"ome-zarr {version}"
        assert result.voxel_size_um == SIZE_UM
        assert result.origin_um == (1, 2, 3)
        assert result.chunks == (8, 16, 16)
    assert len(reports) > 10


def test_progress_counts_every_chunk_once(volume: Volume, tmp_path: Path) -> None:
    *progress, finished = convert(volume, tmp_path / "v.ome.zarr", SMALL)
    assert isinstance(finished, ConvertFinished)
    done = [report.done for report in progress if isinstance(report, Progress)]
    assert done == sorted(set(done))
    stored = [f for f in (tmp_path / "v.ome.zarr").rglob("*") if f.is_file() and f.name != "zarr.json"]
    assert done[-1] == finished.chunks == len(stored)


def test_only_the_output_remains(volume: Volume, tmp_path: Path) -> None:
    *_, _finished = convert(volume, tmp_path / "v.ome.zarr", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["v.ome.zarr"]
    assert {path.name for path in (tmp_path / "v.ome.zarr").iterdir()} == {"zarr.json", "0", "1", "2"}


@pytest.mark.parametrize("after", [1, 7, 20])
def test_a_cancelled_conversion_resumes_to_the_same_bytes(volume: Volume, tmp_path: Path, after: int) -> None:
    *_, _finished = convert(volume, tmp_path / "whole" / "v.ome.zarr", SMALL)
    output = tmp_path / "parts" / "v.ome.zarr"
    run = convert(volume, output, SMALL)
    steps = [report for report in itertools.islice(run, after) if isinstance(report, Progress)]
    run.close()
    assert not output.exists()
    assert [path.name for path in output.parent.iterdir()] == ["v.ome.zarr.part"]
    again = list(convert(volume, output, SMALL))
    assert isinstance(again[0], Progress)
    assert again[0].resumed == steps[-1].done
    assert content(output) == content(tmp_path / "whole" / "v.ome.zarr")


def test_a_resumed_conversion_keeps_its_pieces_whatever_the_memory_now(
    volume: Volume, tmp_path: Path
) -> None:
    run = convert(volume, tmp_path / "v.ome.zarr", SMALL)
    for _ in range(3):
        next(run)
    run.close()
    list(convert(volume, tmp_path / "v.ome.zarr", ConvertConfig(chunk=(8, 16, 16), levels=3)))
    np.testing.assert_array_equal(voxels(tmp_path / "v.ome.zarr")[0], volume.read(Region.whole(volume.shape)))


def test_a_finished_conversion_says_so_and_touches_nothing(volume: Volume, tmp_path: Path) -> None:
    output = tmp_path / "v.ome.zarr"
    list(convert(volume, output, SMALL))
    before = {f: f.stat().st_mtime_ns for f in output.rglob("*")}
    (report,) = convert(volume, output, SMALL)
    assert isinstance(report, ConvertFinished)
    assert report.already_done
    assert {f: f.stat().st_mtime_ns for f in output.rglob("*")} == before


def test_restart_replaces_a_finished_output(volume: Volume, tmp_path: Path) -> None:
    list(convert(volume, tmp_path / "v.ome.zarr", SMALL))
    *_, finished = convert(
        volume, tmp_path / "v.ome.zarr", ConvertConfig(chunk=(8, 16, 16), levels=2, restart=True)
    )
    assert isinstance(finished, ConvertFinished)
    assert not finished.already_done
    assert len(voxels(tmp_path / "v.ome.zarr")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["v.ome.zarr"]


def other(volume: Volume) -> Volume:
    image = volume.read(Region.whole(volume.shape))
    return volume_from_arrays([image + 1], voxel_size_um=SIZE_UM, name="other")


def test_an_output_of_another_source_is_not_touched(volume: Volume, tmp_path: Path) -> None:
    list(convert(volume, tmp_path / "v.ome.zarr", SMALL))
    before = content(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        list(convert(other(volume), tmp_path / "v.ome.zarr", SMALL))
    assert content(tmp_path) == before


def test_an_interrupted_output_of_another_source_is_an_error_until_restarted(
    volume: Volume, tmp_path: Path
) -> None:
    run = convert(volume, tmp_path / "v.ome.zarr", SMALL)
    next(run)
    run.close()
    with pytest.raises(OutputError, match=r"another source or with other settings.*--restart"):
        list(convert(other(volume), tmp_path / "v.ome.zarr", SMALL))
    restart = ConvertConfig(chunk=(8, 16, 16), levels=3, restart=True)
    list(convert(other(volume), tmp_path / "v.ome.zarr", restart))
    np.testing.assert_array_equal(
        voxels(tmp_path / "v.ome.zarr")[0], volume.read(Region.whole(volume.shape)) + 1
    )


def test_a_folder_that_is_no_zarr_is_never_replaced(volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "v.ome.zarr").mkdir()
    (tmp_path / "v.ome.zarr" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is no zarr"):
        list(convert(volume, tmp_path / "v.ome.zarr", ConvertConfig(restart=True)))
    assert (tmp_path / "v.ome.zarr" / "thesis.txt").read_text() == "years of work"


def test_the_source_is_refused_as_output(volume: Volume, tmp_path: Path) -> None:
    list(convert(volume, tmp_path / "v.ome.zarr", SMALL))
    with open_volume(tmp_path / "v.ome.zarr") as source, pytest.raises(OutputError, match="is the input"):
        list(convert(source, tmp_path / "v.ome.zarr", ConvertConfig(restart=True)))
    assert len(voxels(tmp_path / "v.ome.zarr")) == 3


@pytest.mark.parametrize("name", ["v.tif", "v", "v.nii.gz"])
def test_an_output_that_is_no_zarr_is_refused(volume: Volume, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="unknown ending"):
        list(convert(volume, tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "config",
    [
        ConvertConfig(ome_version="0.3"),
        ConvertConfig(chunk=(0, 8, 8)),
        ConvertConfig(levels=0),
    ],
)
def test_a_config_that_cannot_be_used_is_an_error(
    volume: Volume, tmp_path: Path, config: ConvertConfig
) -> None:
    with pytest.raises(InvalidInputError):
        list(convert(volume, tmp_path / "v.ome.zarr", config))
    assert list(tmp_path.iterdir()) == []


def test_a_second_conversion_to_the_same_output_is_refused(volume: Volume, tmp_path: Path) -> None:
    run = convert(volume, tmp_path / "v.ome.zarr", SMALL)
    next(run)
    with pytest.raises(OutputBusyError):
        list(convert(volume, tmp_path / "v.ome.zarr", SMALL))
    assert isinstance(list(run)[-1], ConvertFinished)


def test_a_full_disk_is_one_error_and_the_conversion_resumes(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zarr.storage import LocalStore

    output = tmp_path / "v.ome.zarr"
    written = itertools.count()
    put = LocalStore.set

    async def full(self: Any, key: str, value: Any) -> None:
        if "/c/" in key and next(written) > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await put(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(OutputError, match=r"The disk is full: .*run the same command again"):
            list(convert(volume, output, SMALL))
    assert not output.exists()
    reports = list(convert(volume, output, SMALL))
    assert isinstance(reports[0], Progress)
    assert reports[0].resumed > 0
    np.testing.assert_array_equal(voxels(output)[0], volume.read(Region.whole(volume.shape)))


def test_a_disk_that_may_become_full_is_noticed(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**12, 0, volume.nbytes // 2))
    assert isinstance(next(convert(volume, tmp_path / "a.ome.zarr", SMALL)), Notice)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**12, 0, volume.nbytes // 8))
    with pytest.raises(OutputError, match="too little space"):
        next(convert(volume, tmp_path / "b.ome.zarr", SMALL))


def test_a_corrupt_source_leaves_no_output(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "in.zarr", shape=(16, 16, 16), chunks=(8, 8, 8), dtype="u2")
    array[...] = np.arange(16**3).reshape(array.shape)
    (tmp_path / "in.zarr" / "c" / "1" / "0" / "1").write_bytes(b"rubbish")
    with open_volume(tmp_path / "in.zarr") as source, pytest.raises(CorruptSourceError, match=r"in\.zarr"):
        list(convert(source, tmp_path / "out.ome.zarr"))
    assert not (tmp_path / "out.ome.zarr").exists()


RUN = """
import sys
from napari_vesselkd.volume import ConvertConfig, convert, open_volume
config = ConvertConfig(chunk=(8, 16, 16), levels=3, memory_bytes=40_000)
with open_volume(sys.argv[1]) as volume:
    for report in convert(volume, sys.argv[2], config):
        print(report, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_conversion_resumes_to_the_same_bytes(volume: Volume, tmp_path: Path) -> None:
    source = tmp_path / "source.ome.zarr"
    list(convert(volume, source, SMALL))
    output = tmp_path / "killed" / "v.ome.zarr"
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(source), str(output)], stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        for _ in range(9):
            run.stdout.readline()
        run.kill()
    assert not output.exists()
    with open_volume(source) as opened:
        first = next(reports := convert(opened, output, SMALL))
        assert isinstance(first, Progress)
        assert first.resumed > 0
        list(reports)
        list(convert(opened, tmp_path / "whole" / "v.ome.zarr", SMALL))
    assert content(output) == content(tmp_path / "whole" / "v.ome.zarr")


def test_memory_does_not_grow_with_the_volume(tmp_path: Path) -> None:
    """The least of three peaks: how many chunks are on their way at once is chance, two are allowed for."""
    config = ConvertConfig(chunk=(32, 64, 64), memory_bytes=2 * 2**20)

    def peak(depth: int, run: int) -> int:
        with open_volume(tmp_path / f"in{depth}.zarr") as volume:
            tracemalloc.start()
            for _ in convert(volume, tmp_path / f"out{depth}-{run}.ome.zarr", config):
                pass
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return highest

    for depth in (64, 256):
        source = zarr.create_array(
            tmp_path / f"in{depth}.zarr", shape=(depth, 256, 256), chunks=(32, 64, 64), dtype="u2"
        )
        for z in range(0, depth, 32):
            source[z : z + 32] = np.arange(32 * 256 * 256, dtype=np.uint32).reshape(32, 256, 256) % 60_000
    peak(64, 0)  # imports and first-use caches are not the volume's
    small, large = (min(peak(depth, run) for run in (1, 2, 3)) for depth in (64, 256))
    added, chunk = 192 * 256 * 256 * 2, 32 * 64 * 64 * 2
    assert large - small <= 2 * chunk < added / 40
    assert large <= 4 * config.memory_bytes


def test_finished_reports_are_json(volume: Volume, tmp_path: Path) -> None:
    for report in convert(volume, tmp_path / "v.ome.zarr", SMALL):
        json.dumps(report.to_dict())


def notices(source: Volume, output: Path) -> list[str]:
    return [report.text for report in convert(source, output) if isinstance(report, Notice)]


def test_what_a_user_may_not_expect_is_said(volume: Volume, tmp_path: Path) -> None:
    assert notices(volume, tmp_path / "a.ome.zarr") == []
    channels = np.zeros((2, 3, 4, 5), np.uint8)
    two = volume_from_arrays([channels], voxel_size_um=None, channel=1, channel_names=("a", "b"))
    assert notices(two, tmp_path / "b.ome.zarr") == [
        "Only channel 1 (b) of 2 is converted.",
        "The source does not say its voxel size: 1,1,1 um is assumed. --voxel-size sets it.",
    ]
    (tmp_path / "a.ome.zarr" / "0" / "c" / "0" / "0" / "0").unlink()
    with open_volume(tmp_path / "a.ome.zarr") as damaged:
        assert notices(damaged, tmp_path / "c.ome.zarr") == [
            "1 chunks of the source are not stored; they are read as empty."
        ]


def test_booleans_are_stored_as_bytes(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((8, 9, 10)) > 0.5
    list(convert(volume_from_arrays([mask], voxel_size_um=(1, 1, 1)), tmp_path / "m.ome.zarr"))
    (result,) = voxels(tmp_path / "m.ome.zarr")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, mask)
