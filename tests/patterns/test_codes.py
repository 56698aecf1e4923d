"""The codes of a volume are those of the encoder on its grid, whatever the blocks; runs can be stopped."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from coding import TINY, brute_force, card_of, scaled_image, write_teacher
from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.checkpoints import CheckpointRegistry, load_checkpoint, save_checkpoint
from napari_vesselkd.errors import OutputBusyError, OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.patterns import codes as module
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.codes import map_codes, preflight_codes
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.encoder import CodeEncoder
from napari_vesselkd.patterns.grid import grid_of
from napari_vesselkd.patterns.reports import CodesDone, CodesFinished
from napari_vesselkd.reports import Notice
from napari_vesselkd.volume import Volume, create_multiscale, volume_from_arrays, write_multiscale
from segmenting import in_memory, structured

SHAPE = (40, 150, 70)  # 2, 5 and 3 cells
CELLS, BLOCKS = 30, 6  # of 64 voxels


@pytest.fixture(scope="module")
def array():
    return structured(SHAPE, seed=3)


@pytest.fixture
def encoders(monkeypatch):
    """Collect the encoders that runs make, to count their passes."""
    made = []

    class Counted(CodeEncoder):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(module, "CodeEncoder", Counted)
    return made


@pytest.fixture
def quick(monkeypatch):
    """Put a cheap function of the window where the encoder's pass is."""

    def computed(self, voxels):
        self.windows += 1
        low = self.grid.lead
        mean = voxels[tuple(slice(low, low + self.grid.step) for _ in range(3))].mean()
        return int(mean * 60000) + 1, float(mean)

    monkeypatch.setattr(CodeEncoder, "_computed", computed)


@pytest.fixture
def expected(quick, array, teacher, tmp_path):
    """Return codes and distances as one block gives them, those of the cheap function."""
    return whole(mapped(in_memory(array), tmp_path / "whole.codes.ome.zarr", config(teacher, block=512)))


def config(checkpoint, **options):
    return CodesConfig(**{"checkpoint": checkpoint, "threads": 1, "device": "cpu", **options})


def mapped(volume, path, settings):
    """Run to the end and return the map."""
    assert isinstance(list(map_codes(volume, path, settings))[-1], CodesFinished)
    return CodeMap.open(path)


def same(found, expected):
    """Whether two maps have the same codes and, bit by bit, the same distances."""
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def whole(code_map):
    box = Region.whole(code_map.shape)
    return code_map.read(box), code_map.read_distance(box)


# --- what is computed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["segresnet", "unetr", "swin_unetr"])
def test_each_cell_has_the_nearest_code_of_the_encoder_on_the_grid(array, tmp_path, network):
    settings = TeacherConfig(3, network, 12, QuantiserConfig(codes=16, width=8), 64)
    checkpoint = write_teacher(tmp_path / "t.safetensors", settings)
    part = array[10:30, 60:130, 20:60]  # 1, 3 and 2 cells; with UNETR 2, 5 and 3
    found, distance = whole(mapped(in_memory(part), tmp_path / "a.codes.ome.zarr", config(checkpoint)))
    truth = brute_force(in_memory(part), checkpoint)
    np.testing.assert_array_equal(found, truth)
    assert len(np.unique(truth)) > 2
    assert np.isfinite(distance).all()


def test_codes_of_scalars_are_those_that_the_quantiser_rounds_to(array, tmp_path):
    quantiser = QuantiserConfig(kind="fsq", width=8, levels=(3, 3, 3))
    settings, path = replace(TINY, quantiser=quantiser), tmp_path / "t.safetensors"
    torch.manual_seed(0)
    model = Teacher(settings).eval()
    model.quantiser.down.weight.data *= 30
    save_checkpoint(path, model, card_of(settings))
    found, distance = whole(mapped(in_memory(array), tmp_path / "a.codes.ome.zarr", config(str(path))))
    np.testing.assert_array_equal(found, brute_force(in_memory(array), str(path)))
    assert len(np.unique(found)) > 1
    assert distance.max() <= np.sqrt(3) / 2 + 1e-3  # half a step along each of three scalars


@pytest.mark.parametrize("block", [1, 128, (64, 192, 64), None])
def test_blocks_of_any_size_give_the_same_map(array, expected, teacher, tmp_path, block):
    code_map = mapped(in_memory(array), tmp_path / "a.codes.ome.zarr", config(teacher, block=block))
    assert same(whole(code_map), expected)


def test_a_real_encoder_shows_no_blocks(array, teacher, tmp_path):
    volume = in_memory(array[:30, :, :30])
    found = [
        whole(mapped(volume, tmp_path / f"{block}.codes.ome.zarr", config(teacher, block=block)))
        for block in (64, 512)
    ]
    assert same(*found)


def test_the_distance_is_that_to_the_code_in_lengths_of_a_typical_code(teacher, tmp_path):
    volume = in_memory(structured((96, 96, 96), seed=3))
    settings = config(teacher, region="32:64,32:64,32:64")
    found, distance = whole(mapped(volume, tmp_path / "a.codes.ome.zarr", settings))
    model, _ = load_checkpoint(teacher)
    table = model.quantiser.table().double()
    window = scaled_image(volume)[4:68, 4:68, 4:68].copy()
    with torch.inference_mode():
        u = model.embed(torch.from_numpy(window)[None, None])[0].double()
    code = table[int(found[1, 1, 1]) - 1]
    length = table.square().sum(1).mean().sqrt()
    assert distance[1, 1, 1] == pytest.approx(float((u[:, 1, 1, 1] - code).norm() / length), rel=2e-3)


def test_a_volume_moved_by_a_cell_has_the_same_codes_moved_by_a_cell(teacher, tmp_path):
    array = structured((20, 160, 20), seed=3)
    array[:, 70:90] //= 2
    still, moved = (
        whole(mapped(in_memory(np.roll(array, by, 1)), tmp_path / f"{by}.codes.ome.zarr", config(teacher)))
        for by in (0, 32)
    )
    for one, other in zip(still, moved, strict=True):  # of cells whose windows lie in the volume
        np.testing.assert_array_equal(one[:, 1:3], other[:, 2:4])
    assert still[1][0, 1, 0] != still[1][0, 2, 0]


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 20, 20), (1, 70, 33), (33, 64, 65)])
def test_volumes_smaller_than_a_cell_or_a_window_are_mapped(teacher, tmp_path, shape):
    z, y, x = shape
    volume = in_memory(structured((33, 70, 70), seed=2)[:z, :y, :x])
    code_map = mapped(volume, tmp_path / "a.codes.ome.zarr", config(teacher))
    assert code_map.shape == tuple(-(-side // 32) for side in shape)
    np.testing.assert_array_equal(whole(code_map)[0], brute_force(volume, teacher))


def test_a_region_gives_what_the_whole_gives_there_and_regions_add_up(array, expected, teacher, tmp_path):
    path, volume = tmp_path / "a.codes.ome.zarr", in_memory(array)
    done = list(map_codes(volume, path, config(teacher, region=":,70:75,:")))[-1]
    assert done.region == Region((0, 64, 0), (40, 128, 70))  # whole units of 64 voxels
    assert done.cells == Region((0, 2, 0), (2, 4, 3))
    code_map = CodeMap.open(path)
    found, distance = whole(code_map)
    np.testing.assert_array_equal(found[:, 2:4], expected[0][:, 2:4])
    assert not found[:, :2].any()
    assert not found[:, 4].any()
    np.testing.assert_array_equal(np.isnan(distance), found == 0)
    assert code_map.computed() == pytest.approx(1 / 3)
    assert code_map.computed(Region((0, 2, 0), (2, 4, 3))) == 1
    rest = list(map_codes(volume, path, config(teacher)))
    assert next(one for one in rest if isinstance(one, CodesDone)).resumed == 2
    assert same(whole(code_map), expected)


@pytest.mark.parametrize("block", [64, 128, (64, 192, 64), 512])
def test_blocks_that_are_done_are_counted_whatever_their_size(
    quick, array, teacher, tmp_path, block, encoders
):
    path, volume = tmp_path / "a.codes.ome.zarr", in_memory(array)
    list(map_codes(volume, path, config(teacher, region=":,64:,0:64")))
    asked = Region((0, 64, 0), SHAPE)
    reports = list(map_codes(volume, path, config(teacher, region=asked, block=block)))
    found = [report for report in reports if isinstance(report, CodesDone)]
    grid = BlockGrid(SHAPE, reports[0].block, (0, 0, 0), (64, 64, 64), asked)
    finished = sum(box.target.stop[2] <= 64 for box in grid)
    assert [report.done for report in found] == list(range(finished + 1, len(grid) + 1))
    assert found[0].resumed == finished
    assert encoders[1].windows == 2 * 3 * 1  # none twice, also where a block is half done


def test_a_level_is_mapped_with_its_own_voxel_size(array, teacher, tmp_path):
    array = array[:, :70, :40]
    fine = np.repeat(np.repeat(array, 2, 1), 2, 2)
    sizes = ((2.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    volume = volume_from_arrays([fine, array], voxel_size_um=sizes[0], name="two")
    code_map = mapped(volume, tmp_path / "a.codes.ome.zarr", config(teacher, level=1))
    assert (code_map.level, code_map.volume_shape, code_map.voxel_size_um) == (1, (40, 70, 40), sizes[1])
    np.testing.assert_array_equal(whole(code_map)[0], brute_force(volume.at_level(1), teacher))
    code_map.check(volume)
    code_map.check(volume.at_level(1))


def test_coarser_levels_take_every_second_cell(quick, teacher, tmp_path):
    volume = in_memory(structured((40, 70, 300 * 32), seed=1))
    code_map = mapped(volume, tmp_path / "a.codes.ome.zarr", config(teacher, block=(64, 64, 192)))
    fine, coarse = (np.asarray(level[...]) for level in code_map.levels)
    assert fine.shape == (2, 3, 300)
    assert coarse.shape == (2, 2, 150)  # z is coarse enough already
    np.testing.assert_array_equal(coarse, fine[:, ::2, ::2])
    assert fine.all()


def test_a_constant_volume_is_said_to_be_one_and_takes_one_pass(encoders, teacher, tmp_path):
    volume = in_memory(np.full((128, 128, 128), 7, np.uint16))
    reports = list(map_codes(volume, tmp_path / "a.codes.ome.zarr", config(teacher)))
    assert any("constant" in report.text for report in reports if isinstance(report, Notice))
    assert encoders[0].windows == 1
    assert len(np.unique(CodeMap.open(tmp_path / "a.codes.ome.zarr").codes[...])) == 1


def test_nan_voxels_are_said(array, teacher, tmp_path):
    holes = array[:30, :30, :30].astype(np.float32)
    holes[3:9] = np.nan
    reports = list(map_codes(in_memory(holes), tmp_path / "a.codes.ome.zarr", config(teacher)))
    assert any("NaN" in report.text for report in reports if isinstance(report, Notice))
    assert CodeMap.open(tmp_path / "a.codes.ome.zarr").codes[...].all()


# --- cost ----------------------------------------------------------------------------------------------


def test_the_preflight_tells_what_will_be_done_and_writes_nothing(quick, array, encoders, teacher, tmp_path):
    said = preflight_codes(in_memory(array), config(teacher, block=64), tmp_path / "a.codes.ome.zarr")
    assert list(tmp_path.iterdir()) == []
    reports = list(map_codes(in_memory(array), tmp_path / "a.codes.ome.zarr", config(teacher, block=64)))
    assert reports[0] == said
    assert said.cells == encoders[0].windows == CELLS
    assert said.blocks == sum(isinstance(report, CodesDone) for report in reports) == BLOCKS
    assert (said.stride, said.codes) == ((32, 32, 32), 16)
    after = preflight_codes(in_memory(array), config(teacher, block=64), tmp_path / "a.codes.ome.zarr")
    assert after.seconds == 0 < said.seconds


@pytest.mark.parametrize("network", ["segresnet", "unetr"])
def test_what_is_held_at_once_does_not_grow_with_the_volume(quick, monkeypatch, tmp_path, network):
    settings = TeacherConfig(3, network, 12, QuantiserConfig(codes=16, width=8), 64)
    checkpoint, read, sizes = write_teacher(tmp_path / "t.safetensors", settings), Volume.read, []

    def counted(self, region, level=0):
        sizes.append(region.size)
        return read(self, region, level)

    monkeypatch.setattr(Volume, "read", counted)
    largest = {}
    for count in (3, 6):
        array = np.zeros((128 * count, 256, 256), np.uint8)
        array[0, 0, ::2] = 1
        blocks = 0
        for report in map_codes(
            in_memory(array), tmp_path / f"{count}.codes.ome.zarr", config(checkpoint, block=128)
        ):
            if not isinstance(report, CodesDone):
                sizes.clear()  # the signature and the intensity window
            else:
                blocks, found = blocks + 1, list(sizes)
        largest[count] = max(found)
        assert len(found) <= blocks == 4 * count
    assert largest[3] == largest[6] <= (128 + 48) ** 3


def test_the_first_codes_of_a_volume_of_400_gb_need_few_reads(quick, teacher, tmp_path, monkeypatch):
    source, path, read, reads = tmp_path / "in.ome.zarr", tmp_path / "a.codes.ome.zarr", Volume.read, []
    create_multiscale(source, (5848,) * 3, np.uint16, voxel_size_um=(1, 1, 1), chunk=(64, 64, 64), levels=1)

    def counted(self, region, level=0):
        reads.append(region.size)
        return read(self, region, level)

    monkeypatch.setattr(Volume, "read", counted)
    middle = Region((2900, 2900, 2900), (2901, 3000, 3000))
    run = map_codes(source, path, config(teacher), focus=middle)
    first = next(report for report in run if isinstance(report, CodesDone))
    run.close()
    assert first.total == 92**3
    assert first.region.intersection(middle) is not None
    assert len(reads) <= 27 + 150 + 2  # what it is recognised by, its intensity, and this block and the next
    assert sum(reads) < 5e6


def test_what_is_looked_at_comes_first(quick, array, teacher, tmp_path):
    focus = Region((0, 130, 66), (10, 140, 70))
    run = map_codes(in_memory(array), tmp_path / "a.codes.ome.zarr", config(teacher, block=64), focus=focus)
    first = next(report for report in run if isinstance(report, CodesDone))
    run.close()
    assert first.region == Region((0, 128, 64), (40, 150, 70))
    assert first.cells == Region((0, 4, 2), (2, 5, 3))


# --- stopping and going on -----------------------------------------------------------------------------


def test_closing_stops_within_one_block_and_the_next_run_does_only_the_rest(
    array, expected, teacher, tmp_path, encoders
):
    path, settings = tmp_path / "a.codes.ome.zarr", config(teacher, block=64)
    run = map_codes(in_memory(array), path, settings)
    while not (isinstance(report := next(run), CodesDone) and report.done == 4):
        pass
    run.close()
    done = encoders[0].windows
    assert CodeMap.open(path).revision == 4
    rest = [report for report in map_codes(in_memory(array), path, settings) if isinstance(report, CodesDone)]
    assert (rest[0].resumed, rest[0].done, rest[-1].done) == (4, 5, BLOCKS)
    assert encoders[1].windows == CELLS - done
    assert same(whole(CodeMap.open(path)), expected)


def test_a_finished_run_says_so_and_computes_nothing(quick, array, teacher, tmp_path, encoders):
    path = tmp_path / "a.codes.ome.zarr"
    list(map_codes(in_memory(array), path, config(teacher)))
    reports = list(map_codes(in_memory(array), path, config(teacher, block=64)))
    assert reports[-1].resumed
    assert any("computed already" in report.text for report in reports if isinstance(report, Notice))
    assert len(encoders) == 1


CHILD = """
    import sys
    from napari_vesselkd.patterns.codes import map_codes
    from napari_vesselkd.patterns.config import CodesConfig
    from napari_vesselkd.patterns.reports import CodesDone
    for report in map_codes(sys.argv[1], sys.argv[2], CodesConfig(sys.argv[3], threads=1, block=64)):
        if isinstance(report, CodesDone):
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
def test_kill_9_costs_at_most_one_block_and_changes_no_code(source, teacher, tmp_path, encoders):
    path = tmp_path / "a.codes.ome.zarr"
    with start(source, path, teacher) as child:
        for line in child.stdout:
            if int(line) == 2:
                time.sleep(0.01)
                child.send_signal(signal.SIGKILL)
                break
        seen = [int(line) for line in child.stdout]
    last = max([2, *seen])
    assert last < BLOCKS
    part = whole(CodeMap.open(path))[0]
    left = np.count_nonzero(part == 0)
    list(map_codes(source, path, config(teacher, block=64)))
    assert 0 < left <= encoders[0].windows <= left + 8  # one block may be there and not yet be marked
    found = whole(CodeMap.open(path))
    np.testing.assert_array_equal(part[part > 0], found[0][part > 0])
    assert same(found, whole(mapped(source, tmp_path / "b.codes.ome.zarr", config(teacher))))


def test_a_second_process_is_told_that_the_output_is_busy(source, teacher, tmp_path):
    path = tmp_path / "a.codes.ome.zarr"
    with start(source, path, teacher, "slowly") as child:
        child.stdout.readline()
        with pytest.raises(OutputBusyError, match="Another process"):
            list(map_codes(source, path, config(teacher)))
        child.kill()


# --- other outputs -------------------------------------------------------------------------------------


def test_other_settings_need_a_restart_which_makes_a_new_map(quick, array, teacher, tmp_path):
    path, other = tmp_path / "a.codes.ome.zarr", write_teacher(tmp_path / "o.safetensors", seed=4)
    first = mapped(in_memory(array), path, config(teacher))
    for volume, settings, what in (
        (in_memory(array), config(other), "checkpoint"),
        (in_memory(array), config(teacher, upper=90.0), "percentiles"),
        (in_memory(array + 1), config(teacher), "volume"),
    ):
        with pytest.raises(OutputError, match=rf"holds a code map with another {what}.*--restart"):
            list(map_codes(volume, path, settings))
    np.testing.assert_array_equal(CodeMap.open(path).codes[...], first.codes[...])
    again = mapped(in_memory(array), path, config(other, restart=True))
    assert again.id != first.id
    assert again.sha256 != first.sha256
    assert again.codes[...].all()


def test_what_is_no_code_map_is_never_replaced(quick, array, teacher, tmp_path):
    from napari_vesselkd.inference import SegmentConfig, segment

    labels = tmp_path / "labels.ome.zarr"
    list(segment(in_memory(array[:32, :32, :32]), labels, SegmentConfig(device="cpu", threads=1)))
    folder = tmp_path / "notes.ome.zarr"
    folder.mkdir()
    (folder / "thoughts.txt").write_text("mine")
    for path in (labels, folder):
        before = sorted(path.rglob("*"))
        for restart in (False, True):
            with pytest.raises(OutputError):
                list(map_codes(in_memory(array), path, config(teacher, restart=restart)))
        assert sorted(path.rglob("*")) == before


def test_the_bundled_teacher_maps_the_codes_that_it_says(array, tmp_path):
    checkpoint = CheckpointRegistry().get("teacher-small")
    part = in_memory(array[:30, :60, :30])
    code_map = mapped(part, tmp_path / "a.codes.ome.zarr", config("teacher-small", upper=95.0))
    np.testing.assert_array_equal(whole(code_map)[0], brute_force(part, str(checkpoint.path)))
    assert (code_map.checkpoint, code_map.sha256) == ("teacher-small", checkpoint.card.sha256)
    assert code_map.code_count == grid_of(checkpoint.card).codes == 256
