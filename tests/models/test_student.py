"""The student is the paper's network: counts, grids, two and three dimensions."""

import json
import warnings

import pytest
import torch

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import Student, StudentConfig

COARSE_Z = StudentConfig(stem_stride=(1, 2, 2), strides=((1, 2, 2), 2, 2, 2))


def parameters(model):
    return sum(tensor.numel() for tensor in model.parameters())


def gmac(model, side=64):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        counter = FlopCountAnalysis(model, torch.zeros(1, 1, side, side, side))
        counter.unsupported_ops_warnings(False)
        return counter.total() / 1e9


def test_the_student_has_the_papers_size_and_work():
    model = Student()
    assert parameters(model) == 122_349
    assert gmac(model) == pytest.approx(0.105, rel=0.01)


def test_the_student_without_stem_has_its_size_and_work():
    model = Student(StudentConfig(stem_stride=None))
    assert parameters(model) == 121_849
    assert gmac(model) == pytest.approx(0.70, rel=0.01)


@pytest.mark.parametrize("shape", [(64, 64, 64), (96, 96, 96), (128, 64, 64)])
def test_z_lies_on_the_teachers_bottleneck_grid(shape):
    z = Student().encode(torch.rand(1, 1, *shape))
    assert z.shape == (1, 32, *(side // 32 for side in shape))


def test_z_is_taken_before_any_activation():
    z = Student().encode(torch.rand(1, 1, 64, 64, 64))
    assert (z < -0.01).any() and (
        z > 0.01
    ).any()  # a LeakyReLU would leave the negative side 100 times smaller
    assert z.min().abs() > 0.1 * z.max()


@pytest.mark.parametrize("config", [StudentConfig(), StudentConfig(stem_stride=None), COARSE_Z])
def test_logits_have_the_shape_of_the_input(config):
    model = Student(config)
    shape = [2 * stride for stride in model.total_stride]
    assert model(torch.rand(2, 1, *shape)).shape == (2, 1, *shape)


def test_total_stride_is_the_product_of_all_strides_per_axis():
    assert Student().total_stride == (32, 32, 32)
    assert Student(COARSE_Z).total_stride == (8, 32, 32)


def test_the_same_class_works_on_images():
    model = Student(StudentConfig(spatial_dims=2))
    x = torch.rand(1, 1, 64, 96)
    assert model(x).shape == x.shape
    assert model.encode(x).shape == (1, 32, 2, 3)


def test_every_parameter_takes_part():
    model = Student()
    model(torch.rand(1, 1, 64, 64, 64)).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_side_that_is_no_multiple_of_the_stride_is_refused():
    with pytest.raises(InvalidInputError, match="multiples of"):
        Student()(torch.rand(1, 1, 48, 64, 64))


def test_the_configuration_survives_json():
    assert StudentConfig.from_dict(json.loads(json.dumps(COARSE_Z.to_dict()))) == COARSE_Z


@pytest.mark.parametrize(
    "values",
    [{"colour": 1}, {"spatial_dims": 4}, {"strides": (2, 2)}, {"stem_stride": (2, 2)}, {"strides": "abcd"}],
)
def test_a_configuration_that_makes_no_student_is_refused(values):
    with pytest.raises(InvalidInputError):
        StudentConfig.from_dict(values)
