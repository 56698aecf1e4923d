"""One patch alone is convolved as quickly as several, with the same outcome; what is learned is untouched."""

import copy

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from napari_vesselkd.models.folding import is_at_hand
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.quick_convolution import QuickConv3d, make_quick
from napari_vesselkd.models.teacher import Teacher, TeacherConfig

pytestmark = pytest.mark.skipif(not is_at_hand(), reason="PyTorch without oneDNN")
SLOW = "aten::slow_conv3d_forward"


def quick(net):
    made = copy.deepcopy(net)
    make_quick(made)
    return made


def operations(function):
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        function()
    return {event.key for event in seen.key_averages()}


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    quantiser = QuantiserConfig(codes=16, width=8)
    return Teacher(TeacherConfig(network="segresnet", feature_size=12, quantiser=quantiser)).eval()


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1, "bias": False},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 1},
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": (1, 3, 3), "padding": (0, 1, 1), "dilation": (1, 2, 2)},
        {"kernel_size": 3, "padding": 1, "groups": 4},
    ],
)
def test_the_outcome_is_that_of_torch_in_double_precision(settings):
    torch.manual_seed(1)
    plain = nn.Conv3d(8, 12, **settings)
    x = torch.randn(1, 8, 8, 16, 12)
    with torch.inference_mode():
        found = quick(plain)(x)
        torch.testing.assert_close(found.double(), plain.double()(x.double()), atol=1e-5, rtol=1e-5)


def test_a_teacher_in_use_takes_no_slow_way_with_one_patch(teacher):
    patch = torch.rand(1, 1, 64, 64, 64)
    with torch.inference_mode():
        assert SLOW not in operations(lambda: teacher.view(patch))
    with torch.no_grad():
        assert SLOW in operations(lambda: teacher.view(patch)), "PyTorch has no slow way any more"


def test_what_is_learned_is_what_torch_learns():
    torch.manual_seed(2)
    plain = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 1, 1))
    gradients = []
    for net in (plain, quick(plain)):
        net(torch.linspace(0, 1, 512).view(1, 1, 8, 8, 8)).square().sum().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_other_kinds_stay_and_weights_have_their_names():
    net = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1), nn.Conv3d(2, 2, 3, padding="same"), nn.ConvTranspose3d(2, 1, 2)
    )
    names = list(net.state_dict())
    make_quick(net)
    assert [type(one) for one in net] == [QuickConv3d, nn.Conv3d, nn.ConvTranspose3d]
    assert list(net.state_dict()) == names
