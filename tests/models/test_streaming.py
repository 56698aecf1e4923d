"""Promises of the student prepared for blocks."""

from __future__ import annotations

import pytest
import torch

from napari_vesselkd.errors import CheckpointError
from napari_vesselkd.geometry import Region
from napari_vesselkd.models import Student, StudentConfig, freeze_statistics
from napari_vesselkd.models.streaming import StreamingStudent, exact_reach, plan_block

CONFIGS = [
    StudentConfig(widths=(4, 8, 16), strides=(2, 2, 2)),
    StudentConfig(widths=(4, 8, 16), stem_stride=(1, 2, 2), strides=((1, 2, 2), 2, 2)),
    StudentConfig(widths=(4, 8), stem_stride=None, strides=(2, 2)),
]


def frozen(config, seed=0):
    torch.manual_seed(seed)
    student = Student(config).eval()
    freeze_statistics(student, [torch.rand(1, 1, 32, 32, 32)])
    return student


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_it_computes_what_the_student_computes(config):
    student = frozen(config)
    x = torch.rand(1, 1, 32, 64, 48)
    torch.testing.assert_close(StreamingStudent(student)(x), student(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_a_core_gets_what_it_gets_in_the_whole_block(config):
    streaming = StreamingStudent(frozen(config))
    x = torch.rand(1, 1, 32, 64, 48)
    whole = streaming(x)
    for core in (
        Region((0, 0, 0), (16, 16, 16)),
        Region((16, 32, 16), (32, 48, 48)),
        Region((8, 16, 32), (24, 24, 48)),
    ):
        torch.testing.assert_close(streaming(x, core), whole[(..., *core.slices)], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_decoder_computes_no_more_than_the_core_needs():
    streaming = StreamingStudent(frozen(CONFIGS[0]))
    plan = streaming.plan((256, 256, 256), Region((128, 128, 128), (160, 160, 160)))
    assert plan.levels[0].skip.shape == (20, 20, 24)  # whole runs of cells along x
    assert all(side <= 112 for side in plan.voxels.shape)
    whole = streaming.plan((64, 64, 64))
    assert [level.skip for level in whole.levels] == [Region.whole((n, n, n)) for n in (32, 16, 8)]


@torch.no_grad()
def test_nothing_beyond_the_exact_reach_has_any_influence():
    config = CONFIGS[1]
    streaming = StreamingStudent(frozen(config))
    reach = exact_reach(streaming.strides)
    for axis, step in enumerate(streaming.strides.total):
        shape = list(streaming.strides.total)
        shape[axis] = 3 * reach[axis] + step
        x = torch.rand(1, 1, *shape)
        y = x.clone()
        y.narrow(2 + axis, 0, reach[axis]).uniform_()
        same = (streaming(x) == streaming(y)).movedim(2 + axis, 0).flatten(1).all(1)
        first = int(same.logical_not().nonzero().max()) + 1
        assert reach[axis] < first <= 2 * reach[axis]
        assert first > 2 * reach[axis] - 2 * step


def test_live_normalisation_and_2d_nets_are_refused():
    with pytest.raises(CheckpointError, match="cannot run in blocks"):
        StreamingStudent(Student(CONFIGS[0]))
    with pytest.raises(CheckpointError, match="cannot run in blocks"):
        StreamingStudent(Student(StudentConfig(spatial_dims=2)))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("halo", [0, 16, 80])
@torch.no_grad()
def test_voxels_and_context_around_a_core_are_enough(config, halo):
    streaming = StreamingStudent(frozen(config))
    x = torch.rand(1, 1, 32, 160, 128)
    context, whole = streaming.encode_context(x), streaming(x)
    core = Region((16, 64, 96), (32, 96, 112))
    plan = plan_block((32, 160, 128), core, (halo,) * 3, streaming.strides)
    found = streaming.decode(x[(..., *plan.voxels.slices)], context[(..., *plan.context.slices)], plan)
    difference = float((found - whole[(..., *core.slices)]).abs().max())
    assert found.shape[2:] == core.shape
    if halo >= max(exact_reach(streaming.strides)):
        assert difference < 1e-5
    if halo == 0:
        assert difference > 1e-3
