"""The loop learns, stops and goes on bit by bit, and ends with frozen statistics."""

from itertools import pairwise

import pytest
import torch

from napari_vesselkd.errors import CheckpointError, InvalidInputError
from napari_vesselkd.models import Student, StudentConfig, is_frozen
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.training import Batch, FitConfig, fit, segmentation_loss
from napari_vesselkd.training.fit import learning_rate
from napari_vesselkd.volume import IntensityWindow

CONFIG = FitConfig(steps=12, warmup=2, save_every=3, report_every=4, calibration=2, freeze_at=0.5)


def model(seed=0):
    torch.manual_seed(seed)
    return Student(StudentConfig(widths=(4, 8), strides=(2, 2)))


def batch_of(step):
    generator = torch.Generator().manual_seed(abs(step) * 2 + int(step < 0))
    image = torch.rand(2, 1, 16, 16, 16, generator=generator)
    label = (image > 0.6).float()
    return Batch(image, label, label, torch.ones_like(label))


def run(path, net, config=CONFIG, stop_after=None):
    for report in fit(net, batch_of, segmentation_loss, config, path):
        if stop_after is not None and report.done >= stop_after:
            break
    return net


def weights(net):
    return {key: value.clone() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("stop_after", [4, 8])  # before and after the statistics are frozen
def test_a_stopped_run_goes_on_bit_by_bit(tmp_path, stop_after):
    whole = weights(run(tmp_path / "whole", model()))
    run(tmp_path / "parts", model(), stop_after=stop_after)
    resumed = weights(run(tmp_path / "parts", model(seed=5)))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    one, two = (weights(run(tmp_path / name, model())) for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_finished_run_does_nothing_more(tmp_path):
    run(tmp_path / "state", model())
    assert list(fit(model(1), batch_of, segmentation_loss, CONFIG, tmp_path / "state")) == []


def test_it_ends_with_frozen_statistics(tmp_path):
    assert is_frozen(run(tmp_path / "state", model()))


def test_reports_count_steps_and_carry_the_loss(tmp_path):
    reports = list(fit(model(), batch_of, segmentation_loss, CONFIG, tmp_path / "state"))
    assert [report.done for report in reports] == [4, 8, 12]
    assert all(report.unit == "steps" and report.loss > 0 for report in reports)


def test_nothing_but_the_state_is_left_behind(tmp_path):
    run(tmp_path / "state", model())
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_state_of_another_configuration_is_refused(tmp_path):
    run(tmp_path / "state", model(), stop_after=4)
    other = FitConfig(steps=99)
    with pytest.raises(InvalidInputError, match="another configuration"):
        run(tmp_path / "state", model(), other)


def test_a_broken_state_is_refused(tmp_path):
    run(tmp_path / "state", model(), stop_after=4)
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:500])
    with pytest.raises(CheckpointError, match="broken"):
        run(tmp_path / "state", model())


def test_a_state_of_another_model_is_refused(tmp_path):
    run(tmp_path / "state", model(), stop_after=4)
    with pytest.raises(CheckpointError, match="another model"):
        run(tmp_path / "state", Student(StudentConfig(widths=(4, 8), stem_stride=None, strides=(2, 2))))


@pytest.mark.parametrize("schedule", ["cosine", "exponential"])
def test_the_rate_rises_then_falls_to_its_share(schedule):
    config = FitConfig(steps=100, warmup=10, learning_rate=1.0, schedule=schedule, final_share=0.01)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] < rates[5] < rates[9]
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.01)


@pytest.mark.slow
def test_the_student_overfits_one_phantom_patch(tmp_path):
    phantom = make_phantom(
        PhantomConfig(shape=(16, 64, 64), seed=2, voxel_size_um=(2, 1, 1), modality="two_photon")
    )
    window = IntensityWindow(float(phantom.image.min()), float(phantom.image.max()) * 0.5)
    image = torch.from_numpy(window.apply(phantom.image))[None, None]
    label = torch.from_numpy(phantom.label.astype("float32"))[None, None]
    data = Batch(image, label, label, torch.ones_like(label))
    torch.manual_seed(0)
    net = Student(StudentConfig(stem_stride=(1, 2, 2), strides=((1, 2, 2), 2, 2, 2)))
    config = FitConfig(steps=300, warmup=10, learning_rate=1e-2, average=0.9, calibration=1, save_every=300)
    list(fit(net, lambda _: data, segmentation_loss, config, tmp_path / "state"))
    with torch.no_grad():
        found = torch.sigmoid(net(image)) > 0.5
    dice = 2 * (found & (label > 0)).sum() / (found.sum() + label.sum())
    assert dice > 0.95


def test_statistics_may_stay_live_until_the_end(tmp_path):
    config = FitConfig(steps=6, warmup=2, calibration=2, freeze_at=1.0, report_every=2)
    net = model()
    states = [is_frozen(net) for _ in fit(net, batch_of, segmentation_loss, config, tmp_path / "state")]
    assert states == [False] * 3 and is_frozen(net)
