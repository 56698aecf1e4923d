"""KD, FitNets, VID and AB against independent formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.distillation.ab import ABConfig, boundary_loss
from napari_vesselkd.distillation.hints import Standardise, aligned
from napari_vesselkd.distillation.kd import KDConfig, binary_kl
from napari_vesselkd.distillation.vid import gaussian_surprise
from napari_vesselkd.models import Student
from teaching import COARSE_Z, TinyTeacher, lesson_of, number, pair


def random(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_is_torchs_divergence_of_two_channel_softmaxes(temperature):
    s, t = random(2, 1, 4, 4, 4), random(2, 1, 4, 4, 4, seed=1)
    two_s, two_t = (torch.cat([torch.zeros_like(z), z], 1) / temperature for z in (s, t))
    oracle = F.kl_div(two_s.log_softmax(1), two_t.softmax(1), reduction="none").sum(1, keepdim=True)
    torch.testing.assert_close(binary_kl(s, t, temperature), temperature**2 * oracle, atol=1e-5, rtol=1e-4)


def test_kd_is_zero_at_the_teachers_answer_and_finite_where_both_are_sure():
    z = torch.tensor([-200.0, -3.0, 0.0, 9.0, 200.0])
    assert binary_kl(z, z, 4.0).tolist() == [0] * 5
    assert torch.isfinite(binary_kl(z, -z, 1.0)).all()


def kd_term(method, lesson):
    return number(method.terms(lesson, None)["imitation"])


def test_kd_weighs_the_surroundings_of_vessels_as_much_as_all_the_rest():
    student, teacher = pair()
    method = METHODS["kd"](student, teacher, KDConfig(band=1, temperature=1.0))
    lesson = lesson_of(method, student, teacher, batch=1, labelled=1)
    shape = (1, 1, 9, 9, 9)
    said = torch.full(shape, -5.0)
    said[0, 0, 4, 4, 4] = 5.0
    answer = said.clone()
    answer[0, 0, 4, 4, 3] = 5.0  # wrong inside the band of 27 voxels
    wrong = binary_kl(torch.tensor(5.0), torch.tensor(-5.0), 1.0).item()
    fields = {"label": torch.zeros(shape), "valid": torch.ones(shape), "logits": answer}
    heard = type(lesson.taught)(logits=said)
    one = type(lesson)(**{**vars(lesson), **fields, "teacher": heard})
    assert kd_term(method, one) == pytest.approx(0.9 * wrong / 27 / 2, rel=1e-4)
    answer[0, 0, 4, 4, 3], answer[0, 0, 0, 0, 0] = -5.0, 5.0  # wrong outside
    assert kd_term(method, one) == pytest.approx(0.9 * wrong / (9**3 - 27) / 2, rel=1e-4)
    assert method.segmentation_weight == 0.1


def test_fitnets_predicts_the_standardised_feature():
    student, teacher = pair()
    method = METHODS["fitnets"](student, teacher).train()
    lesson = lesson_of(method, student, teacher)
    feature = lesson.taught.features["block"]
    z = lesson.features[method.student_taps[0]]
    oracle = F.batch_norm(feature, None, None, training=True)  # the first batch is all it has seen
    predicted = torch.einsum("oi,bizyx->bozyx", method.regressor.weight[:, :, 0, 0, 0], z)
    predicted = predicted + method.regressor.bias.view(1, -1, 1, 1, 1)
    expected = F.mse_loss(predicted, oracle)
    torch.testing.assert_close(method.terms(lesson, student)["hint"], expected, atol=1e-5, rtol=1e-4)


def test_the_scale_of_the_teachers_feature_changes_nothing():
    student, teacher = pair()
    terms = []
    for scale in (100.0, 10_000.0):
        torch.manual_seed(0)
        method = METHODS["fitnets"](student, teacher).train()
        lesson = lesson_of(method, student, teacher)
        lesson.taught.features["block"] = lesson.taught.features["block"] * scale
        terms.append(number(method.terms(lesson, student)["hint"]))
    assert terms[0] == pytest.approx(terms[1], rel=0.02)


def test_standardising_measures_all_first_batches_together_then_stays():
    layer, parts = Standardise(3).train(), [random(2, 3, 2, 2, 2, seed=n) + n for n in range(100)]
    for part in parts:
        layer(part)
    everything = torch.cat(parts).movedim(1, 0).flatten(1)
    torch.testing.assert_close(layer.mean, everything.mean(1), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        layer.squares / layer.cells, everything.var(1, correction=0), atol=1e-1, rtol=1e-4
    )
    settled = {key: value.clone() for key, value in layer.state_dict().items()}
    layer(random(2, 3, 2, 2, 2) + 1e6)
    assert all(torch.equal(value, settled[key]) for key, value in layer.state_dict().items())


def test_standardising_measures_nothing_in_evaluation_and_does_not_follow_gradients():
    layer = Standardise(3).eval()
    layer(random(2, 3, 4, 4))
    assert int(layer.batches) == 0
    x = random(2, 3, 4, 4).requires_grad_()
    assert not layer.train()(x).isnan().any()
    assert not layer.mean.requires_grad


def test_vid_is_the_gaussian_likelihood_without_its_constant():
    feature, mean = random(2, 5, 3, 3, 3), random(2, 5, 3, 3, 3, seed=1)
    variance = torch.tensor([0.01, 0.5, 1.0, 5.0, 80.0])
    normal = Normal(mean, variance.sqrt().view(1, -1, 1, 1, 1))
    surprise = -normal.log_prob(feature) - 0.5 * math.log(2 * math.pi)
    oracle = surprise.mean(dim=(0, 2, 3, 4)).sum()
    torch.testing.assert_close(gaussian_surprise(feature, mean, variance), oracle)


def test_vid_begins_with_variance_five_learns_it_and_may_be_negative():
    student, teacher = pair()
    method = METHODS["vid"](student, teacher)
    torch.testing.assert_close(method.variance, torch.full((12,), 5.0))
    assert method.alpha.requires_grad
    sure = gaussian_surprise(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), torch.full((2,), 1e-3))
    assert number(sure) == pytest.approx(math.log(1e-3))


def test_regressors_for_the_big_teacher_have_the_stated_sizes_and_smaller_ones_for_small_teachers():
    sizes = {}
    for name, width in (("vid", 768), ("vid", 192), ("fitnets", 768)):
        method = METHODS[name](Student(), TinyTeacher(width=width))
        sizes[name, width] = sum(parameter.numel() for parameter in method.parameters())
    assert sizes["vid", 768] == 456_960  # the paper's 0.59 M less the student's 0.12 M
    assert sizes["fitnets", 768] == 25_344
    assert sizes["vid", 192] < 0.1 * sizes["vid", 768]


@pytest.mark.parametrize(
    ("s", "t", "loss"),
    [(0.5, 1, 0.25), (1.5, 1, 0), (-1.5, -1, 0), (0, -1, 1), (-1, 1, 4), (0.5, 0, 2.25)],
)
def test_ab_by_hand(s, t, loss):
    assert number(boundary_loss(torch.tensor([float(s)]), torch.tensor([float(t)]), 1.0)) == loss


def test_ab_is_a_mean_over_the_formulas_four_cases():
    s, t = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    oracle = (s + 1) ** 2 * ((s > -1) & (t <= 0)) + (s - 1) ** 2 * ((s <= 1) & (t > 0))
    torch.testing.assert_close(boundary_loss(s, t, 1.0), oracle.mean())


def test_ab_learns_from_the_sign_before_the_activation():
    student, teacher = pair()
    method = METHODS["ab"](student, teacher)
    lesson = lesson_of(method, student, teacher)
    assert method.teacher_taps == ("block.1:input",)
    assert torch.equal(lesson.taught.features["block.1:input"], teacher.block[0](lesson.image))


def test_ab_ends_after_its_share_of_the_steps():
    student, teacher = pair()
    method = METHODS["ab"](student, teacher, ABConfig(stage=0.125))
    assert method.terms(lesson_of(method, student, teacher, step=12, steps=100), student)
    assert not method.terms(lesson_of(method, student, teacher, step=13, steps=100), student)


def test_a_finer_student_is_averaged_to_the_teachers_grid():
    z = torch.arange(16.0).view(1, 1, 4, 2, 2)
    mine, its = aligned(z, torch.zeros(1, 1, 2, 2, 2))
    assert torch.equal(mine[0, 0, :, 0, 0], torch.tensor([2.0, 10.0]))
    assert torch.equal(its, torch.zeros(1, 1, 2, 2, 2))


def test_grids_finer_on_either_side_meet_at_the_coarser_and_no_code_is_repeated():
    z, codes = random(1, 3, 4, 1, 2), random(1, 3, 1, 2, 2, seed=1)
    mine, its = aligned(z, codes)
    assert torch.equal(mine, z.mean(2, keepdim=True))
    assert torch.equal(its, codes.mean(3, keepdim=True))


def test_half_precision_features_are_compared_in_single():
    mine, its = aligned(random(1, 2, 2, 2).bfloat16(), random(1, 2, 2, 2).half())
    assert mine.dtype == its.dtype == torch.float32


def test_anisotropic_students_meet_the_teachers_grid():
    student, teacher = pair(COARSE_Z)
    method = METHODS["vid"](student, teacher)
    lesson = lesson_of(method, student, teacher)
    assert lesson.features[method.student_taps[0]].shape[2:] == (8, 2, 2)
    z, feature = method.pair(lesson)
    assert z.shape[2:] == feature.shape[2:] == (2, 2, 2)
