"""The loop learns, stops and goes on bit by bit, and ends with frozen statistics."""

import os
import threading
import time
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from napari_vesselkd.errors import CheckpointError, InvalidInputError
from napari_vesselkd.models import Student, StudentConfig
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.training import Batch, FitConfig, fit, segmentation_terms
from napari_vesselkd.training.fit import learning_rate, made_ahead
from napari_vesselkd.volume import IntensityWindow

fitting = import_module("napari_vesselkd.training.fit")  # the name of the module is also that of its function
CONFIG = FitConfig(steps=12, warmup=2, save_every=3, report_every=4)


def model(seed=0):
    torch.manual_seed(seed)
    return Student(StudentConfig(widths=(4, 8), strides=(2, 2)))


def batch_of(step):
    generator = torch.Generator().manual_seed(abs(step) * 2 + int(step < 0))
    image = torch.rand(2, 1, 16, 16, 16, generator=generator)
    label = (image > 0.6).float()
    return Batch(image, label, label, torch.ones_like(label))


def terms_of(net, batch, step):
    return segmentation_terms(net(batch.image), batch)


def run(path, net, config=CONFIG, stop_after=None):
    for report in fit(net, batch_of, terms_of, config, path):
        if stop_after is not None and report.done >= stop_after:
            break
    return net


def weights(net):
    return {key: value.clone() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("stop_after", [4, 8])
def test_a_stopped_run_goes_on_bit_by_bit(tmp_path, stop_after):
    whole = weights(run(tmp_path / "whole", model()))
    run(tmp_path / "parts", model(), stop_after=stop_after)
    resumed = weights(run(tmp_path / "parts", model(seed=5)))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    one, two = (weights(run(tmp_path / name, model())) for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_batches_made_in_several_threads_give_the_same_weights(tmp_path, monkeypatch):
    one = weights(run(tmp_path / "one", model()))
    monkeypatch.setattr(fitting, "_threads", lambda device: 3)
    several = weights(run(tmp_path / "several", model()))
    assert all(torch.equal(one[key], several[key]) for key in one)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_order_and_that_many_are_made_meanwhile(threads):
    begun, together = [], threading.Barrier(threads)

    def batch_of(number):
        begun.append(number)
        if number < threads:
            together.wait(timeout=30)  # only if all of them are made at a time
        time.sleep(0.002 * (number % 3))
        return number

    batches = made_ahead(batch_of, iter(range(10)), threads)
    assert next(batches) == 0 and len(begun) <= threads + 1
    assert list(batches) == [*range(1, 10)] and sorted(begun) == [*range(10)]


def test_a_batch_that_cannot_be_made_ends_the_run_and_no_more_are_begun():
    begun = []

    def batch_of(number):
        begun.append(number)
        if number == 4:
            raise OSError("the disk is gone")
        return number

    batches = made_ahead(batch_of, iter(range(100)), 2)
    with pytest.raises(OSError, match="disk is gone"):
        list(batches)
    assert max(begun) <= 5


@pytest.mark.parametrize(("processors", "threads"), [(64, 8), (4, 4), (None, 1)])
def test_batches_for_a_gpu_are_made_in_several_threads(monkeypatch, processors, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert fitting._threads(torch.device("cuda")) == threads
    assert fitting._threads(torch.device("cpu")) == 1


def test_a_finished_run_does_nothing_more(tmp_path):
    run(tmp_path / "state", model())
    assert list(fit(model(1), batch_of, terms_of, CONFIG, tmp_path / "state")) == []


def test_reports_count_steps_and_carry_the_loss(tmp_path):
    reports = list(fit(model(), batch_of, terms_of, CONFIG, tmp_path / "state"))
    assert [report.done for report in reports] == [4, 8, 12]
    assert all(report.unit == "steps" and report.loss > 0 for report in reports)


def test_nothing_but_the_state_is_left_behind(tmp_path):
    run(tmp_path / "state", model())
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_full_disk_leaves_the_last_state_alone_and_a_killed_write_is_written_over(tmp_path, monkeypatch):
    run(tmp_path / "state", model(), stop_after=4)
    kept, write = (tmp_path / "state").read_bytes(), Path.write_bytes

    def cut(self, content):
        write(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", cut)
        with pytest.raises(OSError, match="No space"):
            run(tmp_path / "state", model())
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert (tmp_path / "state").read_bytes() == kept
    with monkeypatch.context() as patch:  # a kill cleans nothing up
        patch.setattr(Path, "write_bytes", cut)
        patch.setattr(Path, "unlink", lambda self, **_: None)
        with pytest.raises(OSError, match="No space"):
            run(tmp_path / "state", model())
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as another process
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
    config = FitConfig(steps=300, warmup=10, learning_rate=1e-2, average=0.9, save_every=300)
    list(fit(net, lambda _: data, terms_of, config, tmp_path / "state"))
    with torch.no_grad():
        found = torch.sigmoid(net(image)) > 0.5
    dice = 2 * (found & (label > 0)).sum() / (found.sum() + label.sum())
    assert dice > 0.95


class Noisy(torch.nn.Module):
    """Draws noise, and keeps a count in a buffer and a moving weight that no gradient reaches."""

    def __init__(self):
        super().__init__()
        self.net = model()
        self.frozen = torch.nn.Linear(2, 2).requires_grad_(False)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, image):
        if self.training:
            self.count += 1
            image = image + 0.1 * torch.randn_like(image)
        return self.net(image)


@pytest.mark.parametrize("stop_after", [4, 8])
def test_a_model_that_draws_noise_and_keeps_buffers_goes_on_bit_by_bit(tmp_path, stop_after):
    config = replace(CONFIG, accumulate=2, factors={"net.head": 10.0}, precision="bf16")
    whole = weights(run(tmp_path / "whole", Noisy(), config))
    run(tmp_path / "parts", Noisy(), config, stop_after=stop_after)
    resumed = weights(run(tmp_path / "parts", Noisy(), config))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole if not key.startswith("frozen"))
    assert whole["count"] == 24


def test_accumulated_batches_give_the_step_of_one_large_batch(tmp_path):
    def mean_terms(net, batch, step):
        return {"squares": ((net(batch.image) - batch.label) ** 2).mean()}

    def large(step):
        parts = [batch_of(2 * step + n) for n in range(2)]
        return Batch(
            *(
                torch.cat([getattr(p, key) for p in parts])
                for key in ("image", "label", "centreline", "valid")
            )
        )

    one, two = model(), model()
    config = FitConfig(steps=3, warmup=1, average=0.0)
    list(fit(one, batch_of, mean_terms, replace(config, accumulate=2), tmp_path / "one"))
    list(fit(two, large, mean_terms, config, tmp_path / "two"))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_factors_scale_the_rate_of_the_parameters_they_name(tmp_path):
    net, before = model(), weights(model())
    config = FitConfig(steps=1, warmup=1, average=0.0, factors={"head": 0.0})
    list(fit(net, batch_of, terms_of, config, tmp_path / "state"))
    moved = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and not any(key.startswith("head") for key in moved)


def test_terms_are_reported_by_name_and_sum_to_the_loss(tmp_path):
    *_, last = fit(model(), batch_of, terms_of, CONFIG, tmp_path / "state")
    assert set(last.terms) == {"Dice", "cross entropy"}
    assert sum(last.terms.values()) == pytest.approx(last.loss)
