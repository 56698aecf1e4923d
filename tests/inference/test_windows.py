"""A teacher segments in windows that do not know of the blocks."""

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointCard, save_checkpoint
from napari_vesselkd.errors import CheckpointError, InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import BlockDone, SegmentConfig, preflight, segment, segment_project
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.inference.windows import WindowPredictor, weights
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from projects import new_project, write_image
from segmenting import in_memory, labels_of, structured

TINY = TeacherConfig(3, "segresnet", 12, QuantiserConfig(codes=16, width=8), 64)
SHAPE = (40, 100, 70)


def card_of(config, **changes):
    values = {"name": "t", "description": "random weights", "config": config.to_dict()}
    return CheckpointCard(**{**values, "architecture": "teacher", "normalisation": "windows", **changes})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Return the path of a teacher whose labels are mixed."""
    torch.manual_seed(0)
    model = Teacher(TINY).eval()
    path = tmp_path_factory.mktemp("teacher") / "t.safetensors"
    patch = torch.from_numpy(structured((64, 64, 64), seed=9) / np.float32(1000)).clamp(0, 1)
    with torch.no_grad():
        threshold = float(torch.sigmoid(model(patch[None, None].float())).quantile(0.7))
    save_checkpoint(path, model, card_of(TINY, calibration={"threshold": threshold, "temperature": 1.0}))
    return str(path)


@pytest.fixture
def quick(monkeypatch):
    """Put a cheap function of the whole window and the place in it where the teacher's pass is."""

    def forward(self, x):
        ramp = torch.linspace(-1, 1, x.shape[-1])
        return 20 * (x - x.mean()) + ramp + 0.5 * ramp[:, None]

    monkeypatch.setattr(Teacher, "forward", forward)


def config(checkpoint, **options):
    return SegmentConfig(
        **{"checkpoint": checkpoint, "threads": 1, "device": "cpu", "threshold": 0.5, **options}
    )


@pytest.mark.parametrize("block", [32, 64])
def test_blocks_of_any_size_give_the_labels_of_one_pass(quick, teacher, tmp_path, block):
    volume = in_memory(structured(SHAPE))
    list(segment(volume, tmp_path / "whole.ome.zarr", config(teacher, block=256)))
    reports = list(segment(volume, tmp_path / "blocks.ome.zarr", config(teacher, block=block)))
    whole = labels_of(tmp_path / "whole.ome.zarr")
    assert reports[0].blocks > 1 and 0.1 < whole.mean() < 0.9
    assert np.count_nonzero(labels_of(tmp_path / "blocks.ome.zarr") != whole) == 0


def test_a_real_teacher_shows_no_seam(teacher, tmp_path):
    volume = in_memory(structured((20, 30, 60)))
    found = []
    for block in (256, 32):
        path = tmp_path / f"{block}.ome.zarr"
        list(segment(volume, path, config(teacher, block=block, threshold=None)))
        found.append(labels_of(path))
    assert 0 < found[0].mean() < 1
    np.testing.assert_array_equal(found[1], found[0])


def test_every_voxel_is_the_weighted_mean_of_its_eight_windows(quick, teacher):
    model, half = Teacher(TINY), 32
    volume = structured((96, 96, 96)) / np.float32(1000)
    predictor = WindowPredictor(model, 2.0, Backend("cpu", "fp32", "torch"), 1)
    core = Region((32, 32, 32), (64, 64, 64))
    plan = predictor.plan((96, 96, 96), core, (half,) * 3)
    found = predictor.logits(volume[plan.voxels.slices].astype(np.float32), None, plan)
    position = np.arange(64) - 31.5
    bell = np.exp(-0.5 * (position / 8) ** 2)
    total, weight = np.zeros((96,) * 3), np.zeros((96,) * 3)
    for index in np.ndindex(2, 2, 2):
        place = tuple(slice(i * half, i * half + 64) for i in index)
        window = torch.from_numpy(volume[place].astype(np.float32))[None, None]
        gauss = bell[:, None, None] * bell[:, None] * bell
        total[place] += gauss * model(window)[0, 0].numpy()
        weight[place] += gauss
    expected = (total / weight)[core.slices] / 2.0
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("side", [64, 96])
def test_weights_sum_to_one_where_windows_overlap(side):
    one, half = weights(side), side // 2
    halves = [slice(0, half), slice(half, side)]
    total = sum(one[z, y, x] for z in halves for y in halves for x in halves)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert one[half, half, half] > 0.9


@pytest.mark.parametrize("shape", [(1, 50, 40), (10, 33, 64)])
def test_volumes_thinner_than_a_window_are_segmented(quick, teacher, tmp_path, shape):
    volume = in_memory(structured(shape))
    for block in (256, 32):
        list(segment(volume, tmp_path / f"{block}.ome.zarr", config(teacher, block=block)))
    whole = labels_of(tmp_path / "256.ome.zarr")
    assert whole.shape == shape and whole.any()
    np.testing.assert_array_equal(labels_of(tmp_path / "32.ome.zarr"), whole)


def test_a_stopped_run_goes_on_where_it_was(quick, teacher, tmp_path):
    volume = in_memory(structured(SHAPE))
    path, whole = tmp_path / "stopped.ome.zarr", tmp_path / "whole.ome.zarr"
    run = segment(volume, path, config(teacher, block=32))
    for report in run:
        if isinstance(report, BlockDone) and report.done == 5:
            run.close()
    again = [r for r in segment(volume, path, config(teacher, block=32)) if isinstance(r, BlockDone)]
    assert again[0].resumed >= 5 and again[-1].done == again[-1].total
    list(segment(volume, whole, config(teacher, block=64)))
    np.testing.assert_array_equal(labels_of(path), labels_of(whole))


def test_a_region_gives_what_the_whole_gives_there(quick, teacher, tmp_path):
    volume, region = in_memory(structured(SHAPE)), Region((3, 20, 5), (30, 77, 61))
    list(segment(volume, tmp_path / "whole.ome.zarr", config(teacher, block=64)))
    list(segment(volume, tmp_path / "part.ome.zarr", config(teacher, block=32, region=region)))
    whole, part = labels_of(tmp_path / "whole.ome.zarr"), labels_of(tmp_path / "part.ome.zarr")
    np.testing.assert_array_equal(part[region.slices], whole[region.slices])
    assert part.sum() == part[region.slices].sum()


def test_the_probability_is_written(quick, teacher, tmp_path):
    volume = in_memory(structured((20, 40, 40)))
    list(segment(volume, tmp_path / "l.ome.zarr", config(teacher, block=32, probability=True)))
    probability = labels_of(tmp_path / "l.probability.ome.zarr")
    np.testing.assert_array_equal(labels_of(tmp_path / "l.ome.zarr")[probability > 128], 1)
    assert 0 < np.count_nonzero(probability > 128) < probability.size


def test_the_preflight_knows_that_a_teacher_takes_longer(teacher, tmp_path):
    volume = in_memory(np.zeros((256, 256, 256), np.uint16))
    slow = preflight(volume, tmp_path / "a.ome.zarr", config(teacher))
    quick = preflight(volume, tmp_path / "b.ome.zarr", SegmentConfig(device="cpu", threads=1))
    assert slow.seconds > 20 * quick.seconds
    assert (slow.engine, slow.precision, slow.checkpoint) == ("torch", "fp32", "t")
    assert slow.halo == (32, 32, 32) and all(side % 32 == 0 for side in slow.block)
    assert slow.ram_bytes > 1e8


def test_another_halo_is_refused(teacher, tmp_path):
    with pytest.raises(InvalidInputError, match="halo"):
        next(segment(in_memory(structured(SHAPE)), tmp_path / "l.ome.zarr", config(teacher, halo=64)))


@pytest.mark.parametrize(
    ("teacher_config", "changes", "message"),
    [
        (TINY, {"lineage": {"stage": "pretrain"}}, "only pretrained"),
        (TeacherConfig(2, "segresnet", 12), {}, "2D images"),
    ],
)
def test_teachers_that_cannot_segment_volumes_say_so(tmp_path, teacher_config, changes, message):
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, Teacher(teacher_config), card_of(teacher_config, **changes))
    with pytest.raises(CheckpointError, match=message):
        next(segment(in_memory(structured(SHAPE)), tmp_path / "l.ome.zarr", config(str(path))))
    assert not (tmp_path / "l.ome.zarr").exists()


def test_a_project_gets_labels_and_uncertainty_from_a_teacher(quick, teacher, tmp_path):
    image = write_image(tmp_path / "image.ome.zarr", shape=(40, 64, 40))
    project = new_project(tmp_path / "a.vesselkd", image)
    list(segment_project(project, config(teacher, block=32)))
    uncertainty = project.labels_record.uncertainty
    assert np.isfinite(uncertainty).all() and 0 < uncertainty.max() <= 1
    assert 0 < labels_of(project.labels_path).mean() < 1
