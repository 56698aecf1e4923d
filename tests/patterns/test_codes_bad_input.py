"""What cannot be mapped is refused in one message, before anything is written; damage keeps what was done."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from coding import TINY, card_of
from napari_vesselkd.checkpoints import save_checkpoint
from napari_vesselkd.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptSourceError,
    DeviceError,
    InvalidInputError,
    OutputError,
    RegionError,
    SourceNotFoundError,
)
from napari_vesselkd.models import Student, StudentConfig, Teacher
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import TeacherConfig
from napari_vesselkd.patterns import codes as module
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.code_output import CodeOutput
from napari_vesselkd.patterns.codes import map_codes, preflight_codes
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.encoder import CodeEncoder
from napari_vesselkd.patterns.grid import grid_of
from napari_vesselkd.patterns.reports import CodesDone
from napari_vesselkd.volume import write_multiscale
from segmenting import in_memory, structured

SHAPE = (30, 140, 70)


@pytest.fixture(scope="module")
def array():
    return structured(SHAPE, seed=3)


def config(checkpoint, **options):
    return CodesConfig(**{"checkpoint": checkpoint, "threads": 1, "device": "cpu", **options})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block": 0}, InvalidInputError, "block is too small"),
        ({"block": (64, -1, 64)}, InvalidInputError, "block is too small"),
        ({"threads": 0}, InvalidInputError, "threads are too few"),
        ({"upper": 101.0}, InvalidInputError, "percentile is out of range"),
        ({"level": 1}, InvalidInputError, "no such level"),
        ({"region": "0:10,0:10"}, RegionError, "not three ranges"),
        ({"region": "5:2,:,:"}, RegionError, "reversed"),
        ({"region": "0:31,:,:"}, RegionError, "outside the volume"),
        ({"device": "cuda:99"}, DeviceError, "cuda"),
        ({"checkpoint": "nobody"}, CheckpointNotFoundError, "no checkpoint of this name"),
        ({"checkpoint": "student-coarse-z"}, CheckpointError, "no codebook.*a student.*teacher-small"),
    ],
)
def test_a_setting_that_cannot_be_used(array, teacher, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        list(
            map_codes(
                in_memory(array), tmp_path / "a.codes.ome.zarr", config(**{"checkpoint": teacher, **options})
            )
        )
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_for_images_is_refused(array, tmp_path):
    flat = TeacherConfig(2, "segresnet", 12, QuantiserConfig(codes=16, width=8), 64)
    path = tmp_path / "flat.safetensors"
    save_checkpoint(path, Teacher(flat), card_of(flat))
    with pytest.raises(CheckpointError, match="2D images"):
        preflight_codes(in_memory(array), config(str(path)))


def test_more_codes_than_a_map_can_number_are_refused():
    many = TeacherConfig(3, "segresnet", 12, QuantiserConfig(kind="fsq", levels=(9,) * 6), 64)
    with pytest.raises(CheckpointError, match=r"too many codes.*65534"):
        grid_of(card_of(many))


def test_an_encoder_needs_a_teacher(teacher):
    with pytest.raises(CheckpointError, match="Only a teacher"):
        CodeEncoder(Student(StudentConfig(widths=(4, 8), strides=(2, 2))), grid_of(card_of(TINY)))


def test_a_truncated_checkpoint_leaves_no_map(array, teacher, tmp_path):
    path = tmp_path / "cut.safetensors"
    whole = Path(teacher)
    path.write_bytes(whole.read_bytes()[:5000])
    path.with_suffix(".json").write_bytes(whole.with_suffix(".json").read_bytes())
    with pytest.raises(CheckpointError, match="truncated"):
        list(map_codes(in_memory(array), tmp_path / "a.codes.ome.zarr", config(str(path))))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cut.json", "cut.safetensors"]


def test_a_missing_source(teacher, tmp_path):
    with pytest.raises(SourceNotFoundError):
        list(map_codes(tmp_path / "none.tif", tmp_path / "a.codes.ome.zarr", config(teacher)))


def test_an_output_of_unknown_ending_or_equal_to_the_input(array, teacher, tmp_path):
    with pytest.raises(OutputError, match="unknown ending"):
        list(map_codes(in_memory(array), tmp_path / "a.codes.tif", config(teacher)))
    write_multiscale(tmp_path / "in.ome.zarr", array, voxel_size_um=(2, 1, 1))
    with pytest.raises(OutputError, match="is the input"):
        list(map_codes(tmp_path / "in.ome.zarr", tmp_path / "in.ome.zarr", config(teacher)))


def test_too_small_a_disk_is_said_before_the_first_block(array, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="too little space"):
        list(map_codes(in_memory(array), tmp_path / "a.codes.ome.zarr", config(teacher)))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_one_clear_error_and_the_run_resumes(array, teacher, tmp_path, monkeypatch):
    path, settings, count = tmp_path / "a.codes.ome.zarr", config(teacher, block=64), []
    write = CodeOutput.write

    class Full:
        """An array on a disk without space."""

        def __setitem__(self, index, value):
            raise OSError(28, "No space left on device")

    def full(self, cells, found):
        count.append(cells)
        if len(count) == 3:
            self = CodeOutput(self.path, self.levels, Full(), self.record)
        write(self, cells, found)

    monkeypatch.setattr(CodeOutput, "write", full)
    with pytest.raises(OutputError, match=r"disk is full.*resumes"):
        list(map_codes(in_memory(array), path, settings))
    monkeypatch.undo()
    rest = [one for one in map_codes(in_memory(array), path, settings) if isinstance(one, CodesDone)]
    assert rest[0].resumed == 2
    assert CodeMap.open(path).codes[...].all()


def test_a_damaged_chunk_ends_the_run_and_what_was_done_stays(array, teacher, tmp_path):
    source, path = tmp_path / "in.ome.zarr", tmp_path / "a.codes.ome.zarr"
    write_multiscale(source, array, voxel_size_um=(2, 1, 1), chunk=(30, 64, 70))
    run = map_codes(source, path, config(teacher, block=64))
    while not isinstance(next(run), CodesDone):
        pass
    chunk = next((source / "0" / "c" / "0").glob("2/0"))
    good = chunk.read_bytes()
    chunk.write_bytes(good[:30])
    with pytest.raises(CorruptSourceError, match=r"in.ome.zarr.*\(0, 2, 0\)"):
        list(run)
    assert CodeMap.open(path).revision > 0
    chunk.write_bytes(good)
    rest = [one for one in map_codes(source, path, config(teacher, block=64)) if isinstance(one, CodesDone)]
    assert rest[0].resumed >= 1
    assert CodeMap.open(path).codes[...].all()


def test_too_little_memory_for_a_window_or_a_block_says_what_helps(array, teacher, tmp_path, monkeypatch):
    def none(*args, **options):
        raise MemoryError

    monkeypatch.setattr(module, "read_block", none)
    with pytest.raises(DeviceError, match="smaller --block"):
        list(map_codes(in_memory(array), tmp_path / "a.codes.ome.zarr", config(teacher)))
    monkeypatch.undo()

    def full(self, x):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Teacher, "embed", full)
    with pytest.raises(DeviceError, match="even for one window"):
        list(map_codes(in_memory(array), tmp_path / "a.codes.ome.zarr", config(teacher)))


def test_a_map_that_has_lost_a_part_is_refused_until_it_is_made_again(array, teacher, tmp_path):
    path = tmp_path / "a.codes.ome.zarr"
    list(map_codes(in_memory(array), path, config(teacher)))
    shutil.rmtree(path / "distance")
    with pytest.raises(OutputError, match=r"damaged.*--restart"):
        list(map_codes(in_memory(array), path, config(teacher)))
    list(map_codes(in_memory(array), path, config(teacher, restart=True)))
    assert np.isfinite(CodeMap.open(path).distance[...]).all()
