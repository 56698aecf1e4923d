"""The teacher is the paper's network with a codebook in it; its parts can be exchanged and switched off."""

import json

import pytest
import torch

from napari_vesselkd.distillation.taps import tapped
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import Student
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig

NETWORKS = ("swin_unetr", "unetr", "segresnet")
CODES = QuantiserConfig(codes=16, width=8)


def teacher_of(network="swin_unetr", dims=2, **changes):
    torch.manual_seed(0)
    config = TeacherConfig(
        **{"spatial_dims": dims, "network": network, "feature_size": 12, "quantiser": CODES, **changes}
    )
    return Teacher(config)


def image(*sides, batch=1):
    return torch.rand(batch, 1, *sides, generator=torch.Generator().manual_seed(1))


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_without_the_codebook_it_has_the_papers_number_of_parameters():
    teacher = Teacher()
    assert count(teacher.network, teacher.out) == 62_186_659


@pytest.mark.parametrize("sides", [(64, 64, 64), (96, 96, 96), (128, 64, 64)])
def test_codes_lie_on_the_grid_of_the_students_z_with_its_width(sides):
    teacher, student = teacher_of(dims=3, quantiser=QuantiserConfig()).eval(), Student().eval()
    with torch.no_grad():
        z = student.encode(image(*sides))
    grid = [side // step for side, step in zip(sides, teacher.total_stride, strict=True)]
    assert list(z.shape[2:]) == grid and z.shape[1] == teacher.code_width


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_everything_in_a_view_has_its_shape(network, dims):
    teacher, sides = teacher_of(network, dims).eval(), (64,) * dims
    with torch.no_grad():
        view = teacher.view(image(*sides, batch=2), reconstruct=True)
        alone = teacher.codes(image(*sides, batch=2))
    grid = tuple(side // step for side, step in zip(sides, teacher.total_stride, strict=True))
    assert view.logits.shape == view.reconstruction.shape == (2, 1, *sides)
    assert view.z.shape == (2, teacher.z_width, *grid)
    assert view.u.shape == view.q.shape == (2, teacher.code_width, *grid)
    assert view.indices.shape == (2, *grid) and view.loss.dim() == 0
    assert torch.equal(alone, view.indices)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_reach_encoder_and_decoder_through_the_codes_alone(network):
    teacher = teacher_of(network).train()
    view = teacher.view(image(64, 64), skip_keep=0.0, reconstruct=True)
    view.reconstruction.pow(2).sum().backward()
    assert teacher.down.weight.grad.abs().sum() > 0
    assert teacher.up.weight.grad.abs().sum() > 0
    first = next(teacher.network.net.parameters())
    assert first.grad is not None and teacher.reconstruction.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("network", NETWORKS)
def test_without_skips_only_the_codes_decide(network):
    teacher = teacher_of(network).eval()
    one, other = image(64, 64), image(64, 64).flip(2) ** 2
    with torch.no_grad():
        view = teacher.view(one, skip_keep=0.0, reconstruct=True)
        same = teacher.reconstruct(other, view.indices)
        codes = (view.indices + 1) % CODES.codes
        changed = teacher.reconstruct(one, codes)
        with_skips = teacher.view(one, reconstruct=True).reconstruction
        both = teacher.view(one, reconstruct=True, of_codes=True)
    assert torch.equal(both.reconstruction, view.reconstruction)
    assert torch.equal(both.logits, teacher(one)) and not torch.equal(both.logits, view.logits)
    assert torch.allclose(same, view.reconstruction, atol=1e-4)
    assert not torch.allclose(changed, view.reconstruction, atol=1e-4)
    assert not torch.allclose(with_skips, view.reconstruction, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_bottleneck_alone_is_that_of_a_whole_pass(network):
    teacher, x = teacher_of(network).eval(), image(64, 64)
    with torch.no_grad():
        view = teacher.view(x)
        assert torch.equal(teacher.embed(x), view.u)
        assert torch.equal(teacher.codes(x), view.indices)


def test_skips_are_dropped_per_sample_with_the_probability_asked_for():
    from napari_vesselkd.models.teacher import _dropped

    torch.manual_seed(3)
    kept = _dropped(torch.ones(4000, 2, 3), 0.25)
    rows = kept.flatten(1)
    assert bool(((rows == 0).all(1) | (rows == 1).all(1)).all())
    assert float(rows[:, 0].mean()) == pytest.approx(0.25, abs=0.03)


def test_evaluation_repeats_itself_and_leaves_every_tensor_as_it_was():
    teacher = teacher_of().eval()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(teacher(image(64, 64)), teacher(image(64, 64)))
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


@pytest.mark.parametrize("network", NETWORKS)
def test_taps_give_z_and_what_goes_into_an_activation(network):
    teacher = teacher_of(network).eval()
    with torch.no_grad(), tapped(teacher, [teacher.z_tap, teacher.preactivation_tap]) as found:
        view = teacher.view(image(64, 64))
    assert torch.equal(found[teacher.z_tap], view.z)
    assert found[teacher.preactivation_tap].min() < 0 < found[teacher.preactivation_tap].max()


@pytest.mark.parametrize("kind", ["ema", "gumbel", "fsq"])
def test_configurations_survive_json(kind):
    config = TeacherConfig(2, "segresnet", 24, QuantiserConfig(kind=kind, levels=(4, 4)), 96)
    assert TeacherConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_memory_format_does_not_matter():
    teacher, x = teacher_of("segresnet", 3).eval(), image(64, 64, 64)
    with torch.no_grad():
        usual = teacher(x)
        last = teacher.to(memory_format=torch.channels_last_3d)(x.to(memory_format=torch.channels_last_3d))
    assert torch.allclose(usual, last, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": "resnet"},
        {"feature_size": 16},
        {"patch": 32},
        {"patch": 80},
        {"spatial_dims": 4},
        {"depth": 3},
        {"quantiser": {"kind": "none"}},
        {"quantiser": {"size": 2}},
        {"quantiser": 3},
    ],
)
def test_configurations_that_do_not_fit_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        TeacherConfig.from_dict(wrong)


@pytest.mark.parametrize(
    ("network", "sides", "limit"),
    [("swin_unetr", (64, 80), "multiples"), ("swin_unetr", (32, 32), "one cell"), ("unetr", (96, 64), "64")],
)
def test_images_that_do_not_fit_are_refused_with_the_limit(network, sides, limit):
    with pytest.raises(InvalidInputError, match=limit):
        teacher_of(network)(image(*sides))
