"""A code map lies exactly over its image, knows what it is of, and says what is wrong with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from coding import write_teacher
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import (
    CheckpointError,
    CorruptSourceError,
    InvalidInputError,
    RegionError,
    SourceNotFoundError,
    UnsupportedSourceError,
)
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.codes import map_codes
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.nearest import NearestCodes, nearest_codes
from napari_vesselkd.volume import open_volume
from segmenting import in_memory, structured

SHAPE = (40, 100, 70)  # 2, 4 and 3 cells


@pytest.fixture(scope="module")
def volume():
    return in_memory(structured(SHAPE, seed=3))


@pytest.fixture(scope="module")
def made(volume, teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "brain.codes.ome.zarr"
    list(map_codes(volume, path, CodesConfig(teacher, threads=1, device="cpu")))
    return path


@pytest.fixture
def path(made, tmp_path):
    """Return a copy of the map that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / made.name))


@pytest.fixture
def code_map(path):
    return CodeMap.open(path)


def card(path):
    return CheckpointRegistry().get(path).card


def test_it_says_what_it_is_of(code_map, volume, teacher):
    assert (code_map.name, code_map.volume_name, code_map.checkpoint) == ("brain", "test", "t")
    assert (code_map.shape, code_map.stride, code_map.volume_shape) == ((2, 4, 3), (32, 32, 32), SHAPE)
    assert (code_map.voxel_size_um, code_map.cell_size_um) == ((2.0, 1.0, 1.0), (64.0, 32.0, 32.0))
    assert (code_map.code_count, code_map.level, code_map.signature) == (16, 0, volume.signature())
    assert code_map.sha256 == card(teacher).sha256
    assert code_map.window.upper_percentile == 95
    assert (code_map.computed(), code_map.codes.dtype, code_map.distance.dtype) == (1, np.uint16, np.float16)


@pytest.mark.parametrize("cell", [(0, 0, 0), (1, 3, 2), (0, 2, 1)])
def test_cells_and_voxels_are_placed_alike(code_map, cell):
    box = code_map.voxels_of(Region(cell, tuple(i + 1 for i in cell)))
    assert box.start == tuple(32 * i for i in cell)
    assert box.stop == tuple(min(32 * i + 32, side) for i, side in zip(cell, SHAPE, strict=True))
    corners = box.start, tuple(high - 1 for high in box.stop)
    assert [code_map.cell_of(corner) for corner in corners] == [cell, cell]
    assert code_map.cells_of(box) == Region(cell, tuple(i + 1 for i in cell))


def test_other_programs_see_it_exactly_over_the_image(path, code_map):
    with open_volume(path) as seen:
        assert seen.shape == code_map.shape
        assert seen.voxel_size_um == code_map.cell_size_um
        for axis, size in enumerate((2.0, 1.0, 1.0)):
            edge = seen.origin_um[axis] - seen.voxel_size_um[axis] / 2
            assert edge == pytest.approx(-size / 2)  # where the image's first voxel begins


@pytest.mark.parametrize("voxel", [(-1, 0, 0), (40, 0, 0), (0, 100, 0)])
def test_a_voxel_outside_has_no_cell(code_map, voxel):
    with pytest.raises(RegionError, match="outside the volume"):
        code_map.cell_of(voxel)


@pytest.mark.parametrize("box", [Region((0, 0, 0), (3, 1, 1)), Region((1, 1, 1), (1, 2, 2))])
def test_cells_outside_are_refused(code_map, box):
    for ask in (code_map.read, code_map.read_distance, code_map.voxels_of):
        with pytest.raises(RegionError, match="outside the volume or empty"):
            ask(box)


def test_another_image_is_refused(code_map):
    for other, why in (
        (structured(SHAPE, seed=4), "its voxels"),
        (structured((40, 100, 71), seed=3), r"no level of \(40, 100, 70\)"),
    ):
        with pytest.raises(InvalidInputError, match=f"of another image: .*{why}"):
            code_map.check(in_memory(other))


def test_another_checkpoint_is_refused(code_map, volume, teacher, tmp_path):
    code_map.check_checkpoint(card(teacher))
    other = write_teacher(tmp_path / "o.safetensors", seed=4)
    with pytest.raises(CheckpointError, match="made with another checkpoint"):
        code_map.check_checkpoint(card(other))
    with pytest.raises(CheckpointError, match="made with another checkpoint"):
        NearestCodes(volume, code_map, CheckpointRegistry().get(other))


def test_a_damaged_chunk_is_named(path, code_map):
    chunk = next(file for file in (path / "0" / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:9])
    with pytest.raises(CorruptSourceError, match=r"brain.codes.*--restart"):
        code_map.read(Region.whole(code_map.shape))
    assert np.isfinite(code_map.read_distance(Region.whole(code_map.shape))).all()


def test_what_is_no_code_map_is_refused(path, tmp_path):
    with pytest.raises(SourceNotFoundError, match="`vesselkd codes` makes one"):
        CodeMap.open(tmp_path / "none.codes.ome.zarr")
    LabelStore.create(tmp_path / "labels.ome.zarr", (9, 9, 9), (1, 1, 1))
    (tmp_path / "text.txt").write_text("no map")
    for other in ("labels.ome.zarr", "text.txt"):
        with pytest.raises(UnsupportedSourceError, match="no code map"):
            CodeMap.open(tmp_path / other)
    values = json.loads((path / "zarr.json").read_text())
    del values["attributes"]["vesselkd_codes"]["stride"]
    (path / "zarr.json").write_text(json.dumps(values))
    with pytest.raises(UnsupportedSourceError, match="no code map"):
        CodeMap.open(path)


def test_a_map_without_its_record_can_still_be_looked_at(path):
    (path / ".vesselkd" / "run.json").write_text("{")
    code_map = CodeMap.open(path)
    assert code_map.read(Region.whole(code_map.shape)).all()
    assert (code_map.revision, code_map.window, code_map.computed()) == (0, None, 0)


# --- runners-up ----------------------------------------------------------------------------------------


def test_the_nearest_code_of_each_cell_is_the_one_in_the_map(volume, code_map, teacher):
    ask = NearestCodes(volume, code_map, CheckpointRegistry().get(teacher), threads=1)
    box = Region.whole(code_map.shape)
    codes, distance = code_map.read(box), code_map.read_distance(box)
    for cell in np.ndindex(*code_map.shape):
        found = ask(cell, 16)
        assert found[0][0] == codes[cell] - 1
        assert found[0][1] == pytest.approx(distance[cell], rel=2e-3)
        assert sorted(code for code, _ in found) == list(range(16))
        assert [far for _, far in found] == sorted(far for _, far in found)
    assert ask.encoder.windows == codes.size


def test_one_question_gives_as_many_codes_as_asked_for(volume, code_map, teacher):
    checkpoint = CheckpointRegistry().get(teacher)
    assert len(nearest_codes(volume, code_map, checkpoint, (1, 0, 2))) == 5
    assert len(nearest_codes(volume, code_map, checkpoint, (1, 0, 2), 99)) == 16
    with pytest.raises(RegionError):
        nearest_codes(volume, code_map, checkpoint, (0, 4, 0))
    with pytest.raises(InvalidInputError, match="another image"):
        nearest_codes(in_memory(structured(SHAPE, seed=8)), code_map, checkpoint, (0, 0, 0))


def test_a_map_that_is_still_empty_has_no_answers(volume, path, code_map, teacher):
    record = code_map.record
    del record.values["window"]
    record.save()
    with pytest.raises(InvalidInputError, match="still empty"):
        nearest_codes(volume, code_map, CheckpointRegistry().get(teacher), (0, 0, 0))
