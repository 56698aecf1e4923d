"""VpbSD's terms, its ramp, its presets and what is left out of it."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import DiceLoss

from napari_vesselkd.distillation import METHODS, PRESETS, TeacherLesson, VpbSDConfig
from napari_vesselkd.distillation.losses import dice_loss, soft_dice_loss
from napari_vesselkd.distillation.ramp import ramp
from napari_vesselkd.distillation.vpbsd import pseudo_labels
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import Student, StudentConfig
from teaching import COARSE_Z, ISOTROPIC, TinyTeacher, lesson_of, number, pair


def terms(name="vpbsd", config=None, **how):
    student, teacher = pair()
    method = METHODS[name](student, teacher, config)
    lesson = lesson_of(method, student, teacher, **how)
    return method.terms(lesson, student), lesson, method


def test_the_ramp_has_the_values_of_the_published_one():
    assert ramp(0, 300, 80 / 300) == pytest.approx(math.exp(-5))
    assert ramp(40, 300, 80 / 300) == pytest.approx(0.2865, abs=1e-4)
    assert [ramp(step, 300, 80 / 300) for step in (80, 81, 300)] == [1, 1, 1]
    assert ramp(0, 300, 0.0) == 1


@given(st.integers(0, 1000), st.integers(1, 1000), st.floats(0.01, 1))
def test_the_ramp_rises_and_stays_in_its_range(step, steps, share):
    assert math.exp(-5) * 0.999 <= ramp(step, steps, share) <= ramp(step + 1, steps, share) <= 1


def test_the_codes_are_met_by_their_mean_distance_on_labelled_and_unlabelled_entries():
    found, lesson, method = terms()
    z, codes = lesson.features[method.student_taps[0]], lesson.taught.codes
    torch.testing.assert_close(found["codes"], torch.nn.functional.l1_loss(z, codes))


def test_every_entry_counts_for_the_codes():
    found, lesson, method = terms()
    z = lesson.features[method.student_taps[0]]
    (gradient,) = torch.autograd.grad(found["codes"], z)
    assert all(entry.any() for entry in gradient)


def test_pseudo_labels_are_hard_and_for_unlabelled_entries_alone():
    found, lesson, _ = terms(step=10_000, steps=100)
    hard = (lesson.taught.pseudo[2:, :, :-2] > 0.5).float()
    assert 0 < hard.mean() < 1
    oracle = DiceLoss(sigmoid=True, batch=True)(lesson.logits[2:, :, :-2], hard)
    torch.testing.assert_close(found["pseudo-labels"], oracle, atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found["pseudo-labels"], lesson.logits)
    assert not gradient[:2].any()
    assert gradient[2:].any()


def test_cross_entropy_on_the_pseudo_labels_comes_beside_dice_where_it_is_asked_for():
    published, _, _ = terms(step=10_000, steps=100)
    found, lesson, _ = terms(config=VpbSDConfig(pseudo_cross_entropy=0.7), step=10_000, steps=100)
    hard = (lesson.taught.pseudo[2:, :, :-2] > 0.5).float()
    oracle = torch.nn.BCELoss()(torch.sigmoid(lesson.logits[2:, :, :-2]), hard)
    more = found["pseudo-labels"] - published["pseudo-labels"]
    torch.testing.assert_close(more, 0.7 * oracle, atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found["pseudo-labels"], lesson.logits)
    assert not gradient[:2].any() and not gradient[:, :, -2:].any()


def test_the_pseudo_labels_grow_with_the_ramp_and_the_codes_are_there_from_the_start():
    (early, _, _), (late, _, _) = terms(step=0, steps=300), terms(step=80, steps=300)
    assert number(early["pseudo-labels"]) == pytest.approx(math.exp(-5) * number(late["pseudo-labels"]))
    assert number(early["codes"]) == number(late["codes"])


def test_the_presets_are_the_three_readings_of_the_weights():
    at = {}
    for name, config in PRESETS.items():
        for step in (0, 300):
            found, _, _ = terms(config=config, step=step, steps=300)
            at[name, step] = {key: number(value) for key, value in found.items()}
    full, low = at["A", 300], math.exp(-5)
    for name, step, pseudo, codes in (
        ("A", 0, low, 1),
        ("B", 0, 1, low),
        ("B", 300, 1, 1),
        ("C", 0, low, 0.1),
        ("C", 300, 1, 0.1),
    ):
        assert at[name, step]["pseudo-labels"] == pytest.approx(pseudo * full["pseudo-labels"])
        assert at[name, step]["codes"] == pytest.approx(codes * full["codes"])
    assert VpbSDConfig() == PRESETS["A"]


def test_each_ablation_leaves_out_one_term_and_changes_no_other():
    whole, _, _ = terms()
    for name, kept in (("vpbsd-without-codes", "pseudo-labels"), ("vpbsd-without-pseudo", "codes")):
        found, _, _ = terms(name)
        assert set(found) == {kept}
        assert torch.equal(found[kept], whole[kept])


def test_the_continuous_hint_is_fitnets_and_comes_with_the_same_pseudo_labels():
    student, teacher = pair()
    torch.manual_seed(0)
    both = METHODS["hint-and-pseudo"](student, teacher).train()
    torch.manual_seed(0)
    hint = METHODS["fitnets"](student, teacher).train()
    lesson = lesson_of(both, student, teacher)
    said = torch.sigmoid(lesson.taught.logits)
    plain = METHODS["vpbsd"](student, teacher)
    kept = replace(
        lesson_of(plain, student, teacher),
        teacher=TeacherLesson(codes=torch.zeros(4, 8, 2, 2, 2), pseudo=said),
    )
    found = both.terms(lesson, student)
    assert set(found) == {"hint", "pseudo-labels"}
    assert torch.equal(found["hint"], hint.terms(lesson, student)["hint"])
    assert torch.equal(found["pseudo-labels"], plain.terms(kept, student)["pseudo-labels"])


def test_soft_pseudo_labels_count_where_the_teacher_is_sure():
    _, lesson, method = terms(config=VpbSDConfig(soft=True))
    said = torch.full_like(lesson.image, 0.5)
    said[2:, :, 0], said[2:, :, 1], said[2:, :, 2] = 0.05, 0.95, 0.3
    sure = torch.ones_like(said)
    sure[2:, :, 1, 0] = 0
    lesson = replace(lesson, teacher=TeacherLesson(pseudo=said, confident=sure))
    target, counts = pseudo_labels(lesson, method.config)
    assert torch.equal(target, said[2:])
    expected = torch.zeros_like(counts)
    expected[:, :, :2] = 1
    expected[:, :, 1, 0] = 0
    assert torch.equal(counts, expected)
    hard, all_count = pseudo_labels(lesson, VpbSDConfig())
    assert set(hard.unique().tolist()) == {0, 1}
    assert torch.equal(all_count, lesson.valid[2:] * sure[2:])


def test_the_share_of_confident_voxels_is_shown():
    _, lesson, method = terms(config=VpbSDConfig(soft=True))
    said = lesson.taught.pseudo[2:, :, :-2]
    share = ((said < 0.1) | (said > 0.9)).float().mean()
    assert number(method.watched["confident"]) == pytest.approx(number(share))


def test_soft_dice_is_dice_for_hard_labels_and_least_at_the_label_for_soft_ones():
    draw = torch.Generator().manual_seed(0)
    p, y = (torch.rand(2, 1, 6, 6, 6, generator=draw) for _ in range(2))
    valid = (torch.rand(2, 1, 6, 6, 6, generator=draw) > 0.3).float()
    hard = (y > 0.7).float()
    torch.testing.assert_close(
        soft_dice_loss(p, hard, valid), dice_loss(p, hard, valid), atol=1e-6, rtol=1e-5
    )
    assert number(soft_dice_loss(y, y, valid)) == pytest.approx(0, abs=1e-6)
    assert soft_dice_loss((y > 0.5).float(), y, valid) > 0.1
    assert dice_loss((y > 0.5).float(), y, valid) < dice_loss(y, y, valid)


def test_codes_of_another_width_are_refused_with_both_numbers():
    student = Student(StudentConfig(widths=(4, 16), strides=(2, 2)))
    with pytest.raises(InvalidInputError, match="16 and 8"):
        METHODS["vpbsd"](student, TinyTeacher())
    METHODS["vpbsd-without-codes"](student, TinyTeacher())


def test_a_grid_coarser_than_the_codes_is_flagged():
    assert not METHODS["vpbsd"](*pair(ISOTROPIC)).codes_are_averaged
    assert not METHODS["vpbsd"](*pair(COARSE_Z)).codes_are_averaged
    coarse = StudentConfig(widths=(4, 8), strides=(2, (2, 4, 4)))
    assert METHODS["vpbsd"](*pair(coarse)).codes_are_averaged
