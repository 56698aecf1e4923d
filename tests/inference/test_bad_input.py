"""Every bad argument is one clear error, and leaves nothing behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vesselkd.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    DeviceError,
    InvalidInputError,
    OutputError,
    RegionError,
    SourceNotFoundError,
)
from napari_vesselkd.inference import SegmentConfig, preflight, segment
from napari_vesselkd.volume import write_multiscale
from segmenting import in_memory, structured


@pytest.fixture(scope="module")
def volume():
    return in_memory(structured((40, 50, 60)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": 1.5}, InvalidInputError, r"not a probability: 1.5 \(allowed: 0..1\)"),
        ({"threshold": -0.1}, InvalidInputError, "not a probability"),
        ({"threshold": float("nan")}, InvalidInputError, "not a probability"),
        ({"level": 3}, InvalidInputError, "no such level: 3"),
        ({"level": -1}, InvalidInputError, "no such level: -1"),
        ({"region": "0:10,0:10,0:61"}, RegionError, r"outside the volume .* x: 0:61"),
        ({"region": "0:10,20:10,0:10"}, RegionError, "reversed along y"),
        ({"region": "0:10,a:10,0:10"}, RegionError, "not a whole number"),
        ({"region": "0:10,0:10"}, RegionError, "not three ranges"),
        ({"region": "5:5,0:10,0:10"}, RegionError, "empty along z"),
        ({"checkpoint": "no-such"}, CheckpointNotFoundError, "no checkpoint of this name"),
        ({"device": "cuda:99"}, DeviceError, "no such CUDA device: cuda:99"),
        ({"device": "tpu"}, DeviceError, "no such device: tpu"),
        ({"precision": "fp64"}, InvalidInputError, "no such precision"),
        ({"precision": "int8"}, DeviceError, "int8"),
        ({"block": 0}, InvalidInputError, "block is too small"),
        ({"halo": -1}, InvalidInputError, "halo is too small"),
        ({"upper": 101}, InvalidInputError, "percentile is out of range"),
    ],
)
def test_an_argument_out_of_range(volume, checkpoint, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        list(
            segment(volume, tmp_path / "out.ome.zarr", SegmentConfig(**{"checkpoint": checkpoint, **options}))
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(volume, checkpoint, tmp_path):
    with pytest.raises(DeviceError, match=r"cuda .*has none that PyTorch can use.*--device auto or cpu"):
        preflight(volume, tmp_path / "out.ome.zarr", SegmentConfig(checkpoint=checkpoint, device="cuda"))


def test_a_checkpoint_of_another_model(volume, checkpoint, tmp_path):
    source = tmp_path / "other.safetensors"
    shutil.copy(checkpoint, source)
    card = source.with_suffix(".json")
    text = shutil.copy(checkpoint.replace(".safetensors", ".json"), card)
    text = card.read_text().replace('"student"', '"transformer"')
    card.write_text(text)
    with pytest.raises(CheckpointError, match="transformer"):
        list(segment(volume, tmp_path / "out.tif", SegmentConfig(checkpoint=str(source))))


def test_a_truncated_checkpoint_leaves_no_labels(volume, checkpoint, tmp_path):
    source = tmp_path / "cut.safetensors"
    source.write_bytes(Path(checkpoint).read_bytes()[:1000])
    shutil.copy(checkpoint.replace(".safetensors", ".json"), source.with_suffix(".json"))
    with pytest.raises(CheckpointError, match="truncated"):
        list(segment(volume, tmp_path / "out.ome.zarr", SegmentConfig(checkpoint=str(source))))
    assert not (tmp_path / "out.ome.zarr").exists()


def test_a_missing_source(checkpoint, tmp_path):
    with pytest.raises(SourceNotFoundError):
        list(segment(tmp_path / "no.tif", tmp_path / "out.ome.zarr", SegmentConfig(checkpoint=checkpoint)))


def test_an_output_of_unknown_ending_or_equal_to_the_input(checkpoint, tmp_path):
    source = tmp_path / "in.ome.zarr"
    write_multiscale(source, structured((8, 9, 10)), voxel_size_um=(1, 1, 1))
    settings = SegmentConfig(checkpoint=checkpoint)
    for output, message in ((tmp_path / "out.png", "unknown ending"), (source, "is the input")):
        with pytest.raises(OutputError, match=message):
            list(segment(source, output, settings))
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.ome.zarr"]


def test_a_read_only_output(volume, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match="read-only"):
        list(segment(volume, tmp_path / "out.ome.zarr", SegmentConfig(checkpoint=checkpoint)))


def test_a_threshold_of_zero_takes_everything_and_of_one_nothing(volume, checkpoint, tmp_path):
    for threshold, fraction in ((0.0, 1.0), (1.0, 0.0)):
        settings = SegmentConfig(checkpoint=checkpoint, threshold=threshold)
        assert list(segment(volume, tmp_path / f"{threshold}.tif", settings))[-1].vessel_fraction == fraction


def test_the_preflight_tells_what_will_be_done_and_writes_nothing(volume, checkpoint, tmp_path):
    report = preflight(volume, tmp_path / "out.ome.zarr", SegmentConfig(checkpoint=checkpoint, block=32))
    assert report.voxels == 40 * 50 * 60
    assert report.blocks == 2 * 2 * 2
    assert report.block == (32, 32, 32)
    assert report.seconds > 0
    assert min(report.ram_bytes, report.disk_bytes) > 0
    assert "0.1 Mvoxel in 8 blocks" in report.text
    assert list(tmp_path.iterdir()) == []


def test_the_block_follows_the_memory_at_hand(checkpoint, tmp_path, monkeypatch):
    large = in_memory(np.broadcast_to(np.uint8(3), (2000, 2000, 2000)))
    sizes = []
    for memory in (2e8, 2e9, 2e10):
        monkeypatch.setattr("napari_vesselkd.inference.planning.memory_at_hand", lambda _, m=memory: int(m))
        sizes.append(preflight(large, tmp_path / "o.ome.zarr", SegmentConfig(checkpoint=checkpoint)).block[0])
    assert sizes[0] < sizes[1] <= sizes[2]
