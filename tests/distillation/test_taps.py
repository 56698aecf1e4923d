"""Taps read features as they were, whatever happens to them later."""

import pytest
import torch
from torch import nn

from napari_vesselkd.distillation.hints import z_tap
from napari_vesselkd.distillation.taps import channels_of, tapped
from napari_vesselkd.errors import InvalidInputError
from teaching import pair


def test_a_preactivation_is_read_before_its_activation_overwrites_it():
    net = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    with tapped(net, ["0", "1:input", "1"]) as found:
        net(torch.tensor([-1.0, 2.0]) + 0)
    assert found["0"].tolist() == found["1:input"].tolist() == [-1, 2]
    assert found["1"].tolist() == [0, 2]


def test_z_is_what_the_student_encodes_and_has_its_gradient():
    student, _ = pair()
    x = torch.rand(1, 1, 16, 16, 16)
    with tapped(student, [z_tap(student)]) as found:
        student(x)
    z = found[z_tap(student)]
    assert torch.equal(z, student.encode(x))
    z.sum().backward()
    assert student.stem.weight.grad.any()


def test_of_a_module_that_runs_twice_the_last_time_counts():
    step = nn.ReLU()
    net = nn.Sequential(step, nn.Linear(1, 1), step)
    net[1].weight.data.fill_(3.0)
    net[1].bias.data.fill_(0.0)
    with tapped(net, ["0:input"]) as found:
        net(torch.tensor([[2.0]]))
    assert found["0:input"].item() == 6


def test_nothing_is_left_on_the_model():
    student, _ = pair()
    with pytest.raises(ZeroDivisionError), tapped(student, [z_tap(student)]):
        _ = 1 / 0
    with tapped(student, [z_tap(student)]) as found:
        pass
    student(torch.rand(1, 1, 16, 16, 16))
    assert not found


def test_an_unknown_module_is_named():
    with pytest.raises(InvalidInputError, match=r"no such module to tap: encoder10.*allowed: stem"):
        tapped(pair()[0], ["encoder10"]).__enter__()


def test_channels_are_counted_without_changing_the_mode():
    student, _ = pair()
    assert channels_of(student, "encoder.0", (16, 16, 16)) == 4
    assert student.training
