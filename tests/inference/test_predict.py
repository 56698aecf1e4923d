"""Promises of segmenting block by block."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.errors import CorruptSourceError, OutputBusyError, OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import BlockDone, Preflight, SegmentConfig, SegmentFinished, segment
from napari_vesselkd.inference.onednn_engine import OneDnnEngine
from napari_vesselkd.inference.openvino_engine import OpenVinoEngine
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.models import folding
from napari_vesselkd.models.streaming import StreamingStudent
from napari_vesselkd.reports import Notice
from napari_vesselkd.volume import downsample, open_volume, write_multiscale
from segmenting import in_memory, labels_of, structured

SHAPE = (70, 130, 100)
LIMIT = 400_000
FASTEST = "onednn" if folding.is_at_hand() else "openvino"
ENGINES = [
    "torch",
    "openvino",
    pytest.param("onednn", marks=pytest.mark.skipif(not folding.is_at_hand(), reason="needs oneDNN on x86")),
]


@pytest.fixture(scope="module")
def array():
    return structured(SHAPE)


@pytest.fixture(scope="module")
def untiled(array, checkpoint, tmp_path_factory):
    """Return the labels of one pass over the whole volume."""
    path = tmp_path_factory.mktemp("untiled") / "labels.ome.zarr"
    reports = list(segment(in_memory(array), path, config(checkpoint, block=256)))
    assert reports[0].blocks == 1
    labels = labels_of(path)
    assert 0.1 < labels.mean() < 0.9
    return labels


def take(monkeypatch, engine):
    monkeypatch.setattr("napari_vesselkd.inference.devices.cpu_engine", lambda: engine)


def config(checkpoint, **options):
    return SegmentConfig(checkpoint=checkpoint, **{"precision": "fp32", "threads": 1, **options})


@pytest.mark.parametrize("block", [32, 64, 96])
def test_blocks_of_any_size_give_the_labels_of_one_pass(array, untiled, checkpoint, tmp_path, block):
    path = tmp_path / "labels.ome.zarr"
    reports = list(segment(in_memory(array), path, config(checkpoint, block=block)))
    assert sum(isinstance(report, BlockDone) for report in reports) == reports[0].blocks > 1
    assert np.count_nonzero(labels_of(path) != untiled) == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_engine_or_precision_shows_a_seam(array, checkpoint, tmp_path, monkeypatch, engine, precision):
    take(monkeypatch, engine)
    half_empty = array.copy()
    half_empty[:, :, 50:] = 0
    found = []
    for block in (256, 64):
        path = tmp_path / f"{block}.ome.zarr"
        first = next(
            run := segment(in_memory(half_empty), path, config(checkpoint, block=block, precision=precision))
        )
        assert (first.engine, first.precision) == (engine, precision)
        list(run)
        found.append(labels_of(path))
    assert found[0].any()
    np.testing.assert_array_equal(found[1], found[0])


@pytest.mark.parametrize("shape", [(1, 80, 90), (10, 120, 64), (20, 33, 31)])
def test_volumes_thinner_than_a_block_are_segmented(checkpoint, tmp_path, shape):
    volume = in_memory(structured(shape))
    for block in (256, 32):
        list(segment(volume, tmp_path / f"{block}.ome.zarr", config(checkpoint, block=block)))
    whole = labels_of(tmp_path / "256.ome.zarr")
    assert whole.shape == shape
    assert whole.any()
    np.testing.assert_array_equal(labels_of(tmp_path / "32.ome.zarr"), whole)


def test_a_region_gives_what_the_whole_gives_there_and_regions_add_up(array, untiled, checkpoint, tmp_path):
    path = tmp_path / "labels.ome.zarr"
    first, second = Region((3, 10, 5), (50, 77, 61)), Region((30, 60, 40), (70, 130, 100))
    expected = np.zeros_like(untiled)
    for region in (first, second):
        reports = list(segment(in_memory(array), path, config(checkpoint, block=32, region=str(region))))
        expected[region.slices] = untiled[region.slices]
        np.testing.assert_array_equal(labels_of(path), expected)
        assert reports[-1].vessel_voxels >= untiled[region.slices].sum()
    list(segment(in_memory(array), path, config(checkpoint, block=64)))
    np.testing.assert_array_equal(labels_of(path), untiled)


def test_a_block_that_is_reported_is_in_every_level(array, checkpoint, tmp_path):
    path = tmp_path / "labels.ome.zarr"
    wide = np.tile(array[:40, :64, :64], (1, 5, 1))
    for report in segment(in_memory(wide), path, config(checkpoint, block=64)):
        if isinstance(report, BlockDone):
            z, y, x = report.region.slices
            fine = LabelStore.open(path).levels[0][z, y, x]
            coarse = LabelStore.open(path).levels[1][
                z, y.start // 2 : y.stop // 2, x.start // 2 : x.stop // 2
            ]
            assert fine.any()
            np.testing.assert_array_equal(coarse, downsample(fine, (1, 2, 2), label=True))


def test_finished_vessels_are_counted(array, untiled, checkpoint, tmp_path):
    reports = list(segment(in_memory(array), tmp_path / "labels.ome.zarr", config(checkpoint, block=64)))
    done = reports[-1]
    assert isinstance(done, SegmentFinished)
    assert done.vessel_voxels == untiled.sum()
    assert done.vessel_fraction == pytest.approx(untiled.mean())
    assert sum(r.vessel_voxels for r in reports if isinstance(r, BlockDone)) == untiled.sum()


def test_what_is_looked_at_comes_first(array, checkpoint, tmp_path):
    focus = Region((0, 70, 70), (1, 90, 90))
    reports = segment(
        in_memory(array), tmp_path / "a.ome.zarr", config(checkpoint, block=32), focus=lambda: focus
    )
    first = next(report for report in reports if isinstance(report, BlockDone))
    assert first.region == Region((0, 64, 64), (32, 96, 96))
    reports.close()


def test_each_block_is_one_read_and_one_forward_pass(array, checkpoint, tmp_path, predictors, monkeypatch):
    volume, reads = in_memory(array), []
    read = type(volume).read

    def counted(self, region, level=0):
        reads.append(region)
        return read(self, region, level)

    monkeypatch.setattr(type(volume), "read", counted)
    before = list(segment(volume, tmp_path / "one.ome.zarr", config(checkpoint, block=256)))
    sampling = len(reads) - before[0].blocks - predictors[0].contexts
    reads.clear()
    list(segment(volume, tmp_path / "many.ome.zarr", config(checkpoint, block=64)))
    blocks = len(BlockGrid(SHAPE, (64, 64, 64), (0, 0, 0)))
    assert len(reads) - sampling == blocks + predictors[1].contexts
    assert predictors[1].contexts <= blocks
    assert [predictor.forwards for predictor in predictors] == [1, blocks]


def test_closing_stops_within_one_block_and_the_next_run_does_only_the_rest(
    array, untiled, checkpoint, tmp_path, predictors
):
    path, settings = tmp_path / "labels.ome.zarr", config(checkpoint, block=32)
    run = segment(in_memory(array), path, settings)
    total = next(run).blocks
    for _ in range(5):
        next(run)
    run.close()
    assert predictors[0].forwards <= 6
    rest = list(segment(in_memory(array), path, settings))
    assert predictors[1].forwards == total - predictors[0].forwards
    done = [report for report in rest if isinstance(report, BlockDone)]
    assert (done[0].resumed, done[-1].done, done[-1].total) == (predictors[0].forwards, total, total)
    np.testing.assert_array_equal(labels_of(path), untiled)


def test_a_finished_run_says_so_and_computes_nothing(array, checkpoint, tmp_path, predictors):
    path = tmp_path / "labels.ome.zarr"
    first = list(segment(in_memory(array), path, config(checkpoint)))[-1]
    again = list(segment(in_memory(array), path, config(checkpoint)))
    assert [type(report) for report in again] == [Preflight, Notice, SegmentFinished]
    assert "finished already" in again[1].text
    assert again[-1].resumed
    assert again[-1].vessel_voxels == first.vessel_voxels
    assert len(predictors) == 1


def test_other_settings_need_a_restart(array, checkpoint, tmp_path):
    path = tmp_path / "labels.ome.zarr"
    list(segment(in_memory(array), path, config(checkpoint)))
    with pytest.raises(OutputError, match=r"another threshold.*--restart"):
        list(segment(in_memory(array), path, config(checkpoint, threshold=0.999)))
    with pytest.raises(OutputError, match="another volume"):
        list(segment(in_memory(array[::-1]), path, config(checkpoint)))
    done = list(segment(in_memory(array), path, config(checkpoint, threshold=0.999, restart=True)))[-1]
    assert done.vessel_fraction < 0.1


def test_what_is_no_segmentation_is_never_replaced(array, checkpoint, tmp_path):
    path = tmp_path / "mine.ome.zarr"
    write_multiscale(path, array[:10, :10, :10], voxel_size_um=(1, 1, 1))
    (tmp_path / "mine.tif").write_bytes(b"precious")
    for output in (path, tmp_path / "mine.tif"):
        with pytest.raises(OutputError, match="was not written by a segmentation"):
            list(segment(in_memory(array), output, config(checkpoint, restart=True)))
    assert (tmp_path / "mine.tif").read_bytes() == b"precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.ome.zarr", "mine.tif"]


@pytest.mark.parametrize(
    ("engine", "name", "error"),
    [
        ("torch", "decode", torch.OutOfMemoryError("CUDA out of memory")),
        ("torch", "encode_context", RuntimeError("DefaultCPUAllocator: can't allocate memory")),
        ("openvino", "_infer", RuntimeError("std::bad_alloc")),
        ("openvino", "_infer", MemoryError()),
        ("onednn", "_decode", RuntimeError("DefaultCPUAllocator: can't allocate memory")),
        ("onednn", "_context", MemoryError()),
    ],
)
def test_running_out_of_memory_means_smaller_blocks_and_the_same_result(
    array, untiled, checkpoint, tmp_path, monkeypatch, engine, name, error
):
    calls = []
    take(monkeypatch, engine)
    kind = {"torch": StreamingStudent, "openvino": OpenVinoEngine, "onednn": OneDnnEngine}[engine]
    original = getattr(kind, name)

    def limited(self, *inputs):
        calls.append(max(int(np.prod(array.shape)) for array in inputs if hasattr(array, "shape")))
        if calls[-1] > LIMIT:
            raise error
        return original(self, *inputs)

    monkeypatch.setattr(kind, name, limited)
    path = tmp_path / "labels.ome.zarr"
    reports = list(segment(in_memory(array), path, config(checkpoint, block=256)))
    notices = [report.text for report in reports if isinstance(report, Notice)]
    assert len(notices) == 1
    assert "smaller blocks" in notices[0]
    assert calls[0] > LIMIT >= calls[-1]
    assert np.count_nonzero(labels_of(path) != untiled) <= (2 if engine != FASTEST else 0)


def test_a_constant_volume_is_said_to_be_one_and_takes_one_pass_per_kind_of_block(
    checkpoint, tmp_path, predictors
):
    volume = in_memory(np.full((32, 256, 256), 7, np.uint16))
    reports = list(segment(volume, tmp_path / "labels.ome.zarr", config(checkpoint, block=32)))
    assert any(isinstance(report, Notice) and "constant" in report.text for report in reports)
    assert reports[0].blocks == 64
    kinds_along_an_axis = 5  # two at each end see the border
    assert predictors[0].forwards == kinds_along_an_axis**2


def test_empty_blocks_give_what_the_net_gives(checkpoint, tmp_path):
    array = structured((32, 64, 320))
    array[:, :, 96:] = array.min()
    for block in (512, 32):
        list(segment(in_memory(array), tmp_path / f"{block}.ome.zarr", config(checkpoint, block=block)))
    np.testing.assert_array_equal(labels_of(tmp_path / "32.ome.zarr"), labels_of(tmp_path / "512.ome.zarr"))


def test_nan_and_infinite_voxels_are_said_and_taken_as_background(array, checkpoint, tmp_path):
    broken = array.astype(np.float32)
    clean = broken.copy()
    for place, value in ((np.s_[5:9, 5:9, 5:9], np.nan), (np.s_[30, 30, 30], np.inf)):
        broken[place], clean[place] = value, array.min()
    found = []
    for values in (broken, clean):
        path = tmp_path / f"{len(found)}.ome.zarr"
        reports = list(segment(in_memory(values), path, config(checkpoint, upper=99.0)))
        said = [report.text for report in reports if isinstance(report, Notice)]
        assert ("NaN" in " ".join(said)) == (values is broken)
        found.append(labels_of(path))
    assert np.mean(found[0] != found[1]) < 0.01


def test_the_probability_goes_beside_the_labels(array, untiled, checkpoint, tmp_path):
    path = tmp_path / "a.ome.zarr"
    done = list(segment(in_memory(array), path, config(checkpoint, block=64, probability=True)))[-1]
    assert done.probability == str(tmp_path / "a.probability.ome.zarr")
    probability = labels_of(done.probability) / 255
    agree = (probability >= done.threshold) == (labels_of(path) == 1)
    assert agree[np.abs(probability - done.threshold) > 0.01].all()
    assert np.mean(labels_of(path) != untiled) < 1e-4


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".nii.gz", ".nii"])
def test_files_hold_the_same_labels_and_nothing_else_is_left(
    array, untiled, checkpoint, tmp_path, ending, predictors
):
    path = tmp_path / f"out{ending}"
    for _ in range(2):
        done = list(segment(in_memory(array), path, config(checkpoint, block=64)))[-1]
    assert len(predictors) == 1
    assert done.resumed
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f"out{ending}", f"out{ending}.vesselkd"]
    with open_volume(path) as volume:
        assert volume.voxel_size_um == pytest.approx((2.0, 1.0, 1.0))
        np.testing.assert_array_equal(volume.read(Region.whole(SHAPE)), untiled)


def test_a_level_keeps_its_voxel_size_and_place(array, checkpoint, tmp_path):
    write_multiscale(tmp_path / "in.ome.zarr", np.tile(array, (1, 2, 3)), voxel_size_um=(2, 1, 1))
    with open_volume(tmp_path / "in.ome.zarr") as volume:
        list(segment(volume, tmp_path / "out.ome.zarr", config(checkpoint, level=1)))
        with open_volume(tmp_path / "out.ome.zarr") as labels:
            assert labels.shape == volume.levels[1].shape
            assert labels.voxel_size_um == volume.level_voxel_sizes_um[1]
            assert labels.origin_um == pytest.approx(volume.at_level(1).origin_um)


def test_a_damaged_chunk_ends_the_run_and_what_was_done_stays(array, checkpoint, tmp_path):
    source, path = tmp_path / "in.ome.zarr", tmp_path / "out.ome.zarr"
    wide = np.tile(array, (1, 1, 4))
    write_multiscale(source, wide, voxel_size_um=(2, 1, 1), chunk=(64, 64, 64))
    chunk = source / "0" / "c" / "0" / "0" / "6"
    good = chunk.read_bytes()
    settings = config(checkpoint, block=64)
    with open_volume(source) as volume:
        run = segment(volume, path, settings)
        first = [next(run) for _ in range(2)][-1]
        chunk.write_bytes(good[:30])
        with pytest.raises(CorruptSourceError, match=r"in.ome.zarr.*\(0, 0, 6\)"):
            list(run)
    assert labels_of(path)[first.region.slices].any()
    chunk.write_bytes(good)
    rest = [report for report in segment(source, path, settings) if isinstance(report, BlockDone)]
    assert rest[0].resumed >= 1
    list(segment(source, tmp_path / "whole.ome.zarr", settings))
    np.testing.assert_array_equal(labels_of(path), labels_of(tmp_path / "whole.ome.zarr"))


def test_a_full_disk_is_one_clear_error_and_the_run_resumes(
    array, untiled, checkpoint, tmp_path, monkeypatch
):
    path, write, count = tmp_path / "labels.ome.zarr", LabelStore.write, []

    def full(self, region, voxels):
        count.append(region)
        if len(count) == 3:
            from napari_vesselkd.volume import output_errors

            with output_errors(self.path):
                raise OSError(28, "No space left on device")
        write(self, region, voxels)

    monkeypatch.setattr(LabelStore, "write", full)
    with pytest.raises(OutputError, match=r"disk is full.*resumes"):
        list(segment(in_memory(array), path, config(checkpoint, block=64)))
    monkeypatch.undo()
    rest = list(segment(in_memory(array), path, config(checkpoint, block=64)))
    assert next(report for report in rest if isinstance(report, BlockDone)).resumed == 2
    np.testing.assert_array_equal(labels_of(path), untiled)


def test_too_small_a_disk_is_said_before_the_first_block(array, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="too little space"):
        list(segment(in_memory(array), tmp_path / "labels.ome.zarr", config(checkpoint)))
    assert list(tmp_path.iterdir()) == []


CHILD = """
    import sys
    from napari_vesselkd.inference import BlockDone, SegmentConfig, segment
    for report in segment(sys.argv[1], sys.argv[2],
                          SegmentConfig(checkpoint=sys.argv[3], precision="fp32", threads=1, block=32)):
        if isinstance(report, BlockDone):
            print(report.done, flush=True)
            if len(sys.argv) > 4:
                sys.stdin.readline()
"""


@pytest.fixture
def source(array, tmp_path):
    path = tmp_path / "in.ome.zarr"
    write_multiscale(path, array, voxel_size_um=(2, 1, 1))
    return path


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_kill_9_costs_at_most_one_block_and_changes_no_voxel(
    source, untiled, checkpoint, tmp_path, predictors
):
    path = tmp_path / "labels.ome.zarr"
    with start(source, path, checkpoint) as child:
        for line in child.stdout:
            if int(line) == 7:
                time.sleep(0.01)
                child.send_signal(signal.SIGKILL)
                break
        seen = [int(line) for line in child.stdout]
    last = max([7, *seen])
    reports = list(segment(source, path, config(checkpoint, block=32)))
    total = reports[0].blocks
    assert last < total
    assert predictors[0].forwards <= total - last + 1
    np.testing.assert_array_equal(labels_of(path), untiled)
    list(segment(source, tmp_path / "undisturbed.ome.zarr", config(checkpoint, block=32)))
    assert chunks_of(path) == chunks_of(tmp_path / "undisturbed.ome.zarr")


def chunks_of(path):
    """Return the bytes of every stored chunk."""
    files = [file for file in path.rglob("*") if file.is_file() and "c" in file.relative_to(path).parts]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_second_process_is_told_that_the_output_is_busy(source, array, checkpoint, tmp_path):
    path = tmp_path / "labels.ome.zarr"
    with start(source, path, checkpoint, "slowly") as child:
        child.stdout.readline()
        with pytest.raises(OutputBusyError, match="Another process"):
            list(segment(in_memory(array), path, config(checkpoint, block=32)))
        child.kill()


def test_a_record_names_what_the_labels_were_made_with(array, checkpoint, tmp_path):
    path = tmp_path / "labels.ome.zarr"
    list(segment(in_memory(array), path, config(checkpoint)))
    values = json.loads((path / ".vesselkd" / "run.json").read_text())
    assert values["state"] == "finished"
    assert values["fingerprint"]["precision"] == "fp32"
    assert values["window"]["high"] > values["window"]["low"]
    assert RunRecord.open(path).is_done(Region.whole(SHAPE))
