"""What every method promises, whichever it is."""

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.errors import InvalidInputError
from teaching import COARSE_Z, FLAT, ISOTROPIC, lesson_of, pair

every_method = pytest.mark.parametrize("name", METHODS)
SCENES = {
    "three dimensions": (ISOTROPIC, {}),
    "two dimensions": (FLAT, {}),
    "anisotropic strides": (COARSE_Z, {}),
    "no vessel in any label": (ISOTROPIC, {"vessel": False}),
    "labelled entries only": (ISOTROPIC, {"labelled": 4}),
    "the last step": (ISOTROPIC, {"step": 99}),
}


def made(name, config=ISOTROPIC):
    student, teacher = pair(config)
    return METHODS[name](student, teacher).train(), student, teacher


@every_method
@pytest.mark.parametrize("scene", SCENES)
def test_terms_are_finite_scalars_and_never_teach_the_teacher(name, scene):
    config, how = SCENES[scene]
    method, student, teacher = made(name, config)
    terms = method.terms(lesson_of(method, student, teacher, **how), student)
    assert all(term.shape == () and torch.isfinite(term) for term in terms.values())
    if terms:
        sum(terms.values()).backward()
    gradients = [p.grad for p in [*student.parameters(), *method.parameters()] if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all(p.grad is None for p in teacher.parameters())
    if scene in ("three dimensions", "two dimensions", "anisotropic strides") and name != "baseline":
        assert any(p.grad is not None and p.grad.any() for p in student.parameters())


@every_method
def test_terms_are_single_precision_where_the_passes_are_half(name):
    method, student, teacher = made(name)
    with torch.autocast("cpu", torch.bfloat16):
        terms = method.terms(lesson_of(method, student, teacher), student)
    assert all(term.dtype == torch.float32 and torch.isfinite(term) for term in terms.values())


@every_method
def test_invalid_voxels_move_no_logit(name):
    method, student, teacher = made(name)
    lesson = lesson_of(method, student, teacher)
    lesson.logits.retain_grad()
    terms = method.terms(lesson, student)
    if terms:
        sum(terms.values()).backward()
    if lesson.logits.grad is not None:
        assert not lesson.logits.grad[lesson.valid == 0].any()


@every_method
def test_everything_is_trained_or_fixed_and_the_student_and_teacher_are_not_inside(name):
    method, student, teacher = made(name)
    outside = {id(p) for p in [*student.parameters(), *teacher.parameters()]}
    assert not outside & {id(p) for p in method.parameters()}
    terms = method.terms(lesson_of(method, student, teacher), student)
    if terms:
        sum(terms.values()).backward()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    assert all(p.grad is None for p in method.parameters() if not p.requires_grad)


@every_method
def test_the_state_is_complete_and_is_read_back_bit_by_bit(name):
    method, student, teacher = made(name)
    for step in range(3):
        method.terms(lesson_of(method, student, teacher, step=step), student)
        method.after_step(student, step)
    state = load(save({key: value.contiguous() for key, value in method.state_dict().items()}))
    other = METHODS[name](student, teacher).train()
    other.load_state_dict(state)
    answers = []
    for one in (method, other):
        torch.manual_seed(5)
        answers.append(one.terms(lesson_of(one, student, teacher, step=3), student))
    assert answers[0] == answers[1]


@every_method
def test_ten_steps_leave_the_teacher_as_it_was_and_nothing_of_the_method_in_the_student(name):
    method, student, teacher = made(name)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    keys, start = set(student.state_dict()), [p.detach().clone() for p in student.parameters()]
    both = nn.ModuleDict({"student": student, "method": method})
    trained = [p for p in both.parameters() if p.requires_grad]
    assert not {id(p) for p in trained} & {id(p) for p in teacher.parameters()}
    optimiser = torch.optim.Adam(trained, lr=1e-2)
    for step in range(10):
        optimiser.zero_grad()
        lesson = lesson_of(method, student, teacher, step=step)
        (lesson.logits.square().mean() + sum(method.terms(lesson, student).values())).backward()
        optimiser.step()
        method.after_step(student, step)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert set(student.state_dict()) == keys
    assert not all(map(torch.equal, start, student.parameters()))


@every_method
def test_a_method_says_what_it_follows_and_refuses_to_miss_its_teacher(name):
    kind = METHODS[name]
    assert kind.name == name
    assert kind.source
    kind.Config()
    if kind.needs_teacher:
        with pytest.raises(InvalidInputError, match="needs a teacher"):
            kind(pair()[0])
    else:
        kind(pair()[0])


def test_the_methods_of_the_papers_tables_are_there():
    table_1 = {"baseline", "kd", "fitnets", "vid", "ab", "mean-teacher", "ua-mt", "entropy", "vpbsd"}
    table_3 = {"vpbsd-without-codes", "vpbsd-without-pseudo", "hint-and-pseudo"}
    assert set(METHODS) == table_1 | table_3
