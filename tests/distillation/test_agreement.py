"""Mean Teacher, UA-MT and entropy minimisation against closed forms."""

import math

import pytest
import torch
from torch.distributions import Bernoulli

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.distillation.entropy import binary_entropy
from napari_vesselkd.distillation.mean_teacher import MeanTeacherConfig
from napari_vesselkd.distillation.ua_mt import UAMTConfig, dropped
from teaching import lesson_of, number, pair


def consistency(method, student, **how):
    torch.manual_seed(11)
    return number(method.terms(lesson_of(method, student, None, **how), student)["consistency"])


def test_the_average_is_the_closed_form_of_its_recurrence():
    student, _ = pair()
    method = METHODS["mean-teacher"](student, None, MeanTeacherConfig(decay=0.9))
    expected = math.nan
    for step in range(30):
        for parameter in student.parameters():
            parameter.data.fill_(float(step**2))
        method.after_step(student, step)
        first = step <= 9  # 1 - 1/(t + 1) <= 0.9: the plain mean of all until then
        mean = sum(n**2 for n in range(step + 1)) / (step + 1)
        expected = mean if first else 0.9 * expected + 0.1 * step**2
    kept = torch.cat([p.flatten() for p in method.average.parameters()])
    torch.testing.assert_close(kept, torch.full_like(kept, expected), rtol=1e-5, atol=0)


def test_the_average_copies_the_student_after_the_first_step_and_its_buffers_always():
    student, _ = pair()
    method = METHODS["mean-teacher"](student)
    for parameter in student.parameters():
        parameter.data.normal_()
    student.stem_norm[0].mean.fill_(3.0)
    method.after_step(student, 0)
    for mine, its in zip(method.average.state_dict().values(), student.state_dict().values(), strict=True):
        assert torch.equal(mine, its)


def test_the_average_is_never_in_training_mode_and_would_answer_the_same_there():
    student, _ = pair()
    method = METHODS["mean-teacher"](student).train()
    assert method.training
    assert not any(module.training for module in method.average.modules())
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(student.train()(x), student.eval()(x))


def test_without_noise_the_student_agrees_with_its_copy_and_with_noise_it_does_not():
    student, _ = pair()
    quiet = METHODS["mean-teacher"](student, None, MeanTeacherConfig(noise=0.0))
    assert consistency(quiet, student, step=100) == pytest.approx(0, abs=1e-12)
    assert consistency(METHODS["mean-teacher"](student), student, step=100) > 0


def test_the_noise_stays_within_its_limits(monkeypatch):
    student, _ = pair()
    method = METHODS["mean-teacher"](student)
    seen = []
    monkeypatch.setattr(method.average, "forward", lambda x: seen.append(x) or x)
    method.ask(torch.full((1, 1, 32, 32, 32), 0.5))
    noise = seen[0] - 0.5
    assert number(noise.abs().max()) == pytest.approx(0.2, abs=1e-6)
    assert number(noise.std()) == pytest.approx(0.0958, abs=0.005)  # of a normal cut at two of its deviations


def test_consistency_is_the_mean_square_over_valid_unlabelled_voxels_times_the_ramp():
    student, _ = pair()
    method = METHODS["mean-teacher"](student)
    lesson = lesson_of(method, student, None, step=50, steps=100)
    torch.manual_seed(11)
    said = method.ask(lesson.image[2:])
    apart = (torch.sigmoid(lesson.logits[2:]) - said) ** 2
    oracle = 0.1 * math.exp(-1.25) * apart[:, :, :-2].mean()
    assert consistency(method, student, step=50, steps=100) == pytest.approx(number(oracle), rel=1e-5)


def test_ua_mt_that_finds_everything_certain_is_mean_teacher():
    student, _ = pair()
    sure = METHODS["ua-mt"](student, None, UAMTConfig(certain=(math.inf, 0.0)))
    plain = METHODS["mean-teacher"](student)
    assert consistency(sure, student, step=70) == consistency(plain, student, step=70)
    assert number(sure.watched["masked foreground"]) == 0


def test_ua_mt_that_finds_nothing_certain_says_nothing():
    student, _ = pair()
    method = METHODS["ua-mt"](student, None, UAMTConfig(certain=(0.0, 0.0)))
    assert consistency(method, student, step=70) == 0


def test_ua_mt_counts_where_the_mean_of_the_passes_is_below_the_growing_limit(monkeypatch):
    student, _ = pair()
    method = METHODS["ua-mt"](student)
    lesson = lesson_of(method, student, None, step=50, steps=100)
    draw = torch.Generator().manual_seed(0)
    said, uncertainty = (torch.rand(2, 1, 16, 16, 16, generator=draw) for _ in range(2))
    monkeypatch.setattr(method, "uncertainty", lambda image: uncertainty * math.log(2))
    counts = method.counts(lesson.image[2:], said, lesson)
    assert torch.equal(counts, (uncertainty < 0.75 + 0.25 * math.exp(-1.25)).float())
    vessel = (said > 0.5) & (lesson.valid[2:] == 1)
    expected = ((counts == 0) & vessel).sum() / vessel.sum()
    assert number(method.watched["masked foreground"]) == pytest.approx(number(expected))


def test_uncertainty_is_the_entropy_of_the_mean_of_eight_passes(monkeypatch):
    student, _ = pair()
    method = METHODS["ua-mt"](student)
    answers = iter(torch.linspace(0, 1, 8).view(8, 1, 1, 1, 1, 1))
    monkeypatch.setattr(method, "ask", lambda image: next(answers))
    found = method.uncertainty(torch.zeros(1, 1, 1, 1, 1))
    assert number(found) == pytest.approx(number(Bernoulli(0.5).entropy()))
    assert next(answers, None) is None


def test_stochastic_passes_differ_by_dropped_channels_and_leave_nothing_behind():
    student, _ = pair()
    method = METHODS["ua-mt"](student, None, UAMTConfig(noise=0.0))
    x = torch.rand(1, 1, 16, 16, 16)
    with dropped((method.average.down[-1],), 0.5):
        z = [method.average.encode(x) for _ in range(2)]
    assert not torch.equal(*z)
    plain = student.encode(x)
    gone = (z[0] == 0).flatten(2).all(2)
    assert gone.any()
    torch.testing.assert_close(z[0][~gone], 2 * plain[~gone])  # whole channels; the others are scaled up
    assert torch.equal(method.average.encode(x), plain)
    assert torch.equal(student.encode(x), plain)
    certain = method.uncertainty(x)
    assert not torch.equal(certain, method.uncertainty(x))


def test_entropy_is_one_bit_at_one_half_and_nothing_at_zero_and_one():
    p = torch.tensor([0.0, 0.5, 1.0])
    assert binary_entropy(torch.logit(p)).tolist() == pytest.approx([0, 1, 0], abs=1e-30)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_entropy_and_its_gradient_are_finite_in_half_precision(kind):
    logits = torch.tensor([-65504.0, -40.0, -9.0, 0.0, 3.0, 17.0, 65504.0], dtype=kind).requires_grad_()
    found = binary_entropy(logits)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_entropy_is_torchs():
    logits = torch.linspace(-12, 12, 97)
    oracle = Bernoulli(logits=logits.double()).entropy() / math.log(2)
    torch.testing.assert_close(binary_entropy(logits), oracle.float(), atol=1e-6, rtol=1e-4)


def test_entropy_counts_valid_unlabelled_voxels_and_shows_the_foreground():
    student, _ = pair()
    method = METHODS["entropy"](student)
    lesson = lesson_of(method, student, None)
    term = method.terms(lesson, student)["entropy"]
    p = torch.sigmoid(lesson.logits[2:, :, :-2])
    oracle = 0.001 * Bernoulli(p).entropy().mean() / math.log(2)
    torch.testing.assert_close(term, oracle)
    assert number(method.watched["foreground"]) == pytest.approx(number(p.mean()))
