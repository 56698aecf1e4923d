"""Methods and the teachers there are: their taps exist, their codes and features teach a student."""

import pytest
import torch

from napari_vesselkd.distillation import METHODS, Lesson, TeacherLesson, tapped
from napari_vesselkd.models import Student, StudentConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from teaching import number

KINDS = {
    "swin_unetr, two dimensions": (2, "swin_unetr"),
    "unetr, two dimensions": (2, "unetr"),
    "segresnet, two dimensions": (2, "segresnet"),
    "segresnet, three dimensions": (3, "segresnet"),
}


@pytest.fixture(scope="module", params=KINDS)
def teacher(request):
    dims, network = KINDS[request.param]
    torch.manual_seed(0)
    return Teacher(TeacherConfig(dims, network, feature_size=12)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def lesson_and_student(teacher):
    """A lesson that holds all that any method asks for."""
    dims = teacher.config.spatial_dims
    torch.manual_seed(0)
    student = Student(StudentConfig(dims))
    student.head.bias.data.fill_(-2.0)
    image = torch.rand(2, 1, *(64,) * dims)
    with tapped(student, ["down.3"]) as features:
        logits = student(image)
    with torch.no_grad(), tapped(teacher, [teacher.z_tap, teacher.preactivation_tap]) as seen:
        view = teacher.view(image)
    said = TeacherLesson(view.q, torch.sigmoid(view.logits), None, view.logits, seen)
    label = torch.cat([(image[:1] > 0.9).float(), torch.zeros_like(image[1:])])
    lesson = Lesson(image, label, torch.ones_like(image), 1, logits, features, said, 0, 100)
    assert torch.equal(seen[teacher.z_tap], view.z)
    return lesson, student


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if kind.needs_teacher])
def test_every_method_with_a_teacher_learns_from_every_teacher(name, teacher, lesson_and_student):
    lesson, student = lesson_and_student
    method = METHODS[name](student, teacher).train()
    terms = method.terms(lesson, student)
    gradients = torch.autograd.grad(
        sum(terms.values()), list(student.parameters()), retain_graph=True, allow_unused=True
    )
    assert any(gradient is not None and gradient.any() for gradient in gradients)
    assert all(torch.isfinite(term) for term in terms.values())


def test_a_preactivation_has_both_signs_which_its_activation_keeps(teacher, lesson_and_student):
    lesson, _ = lesson_and_student
    seen = lesson.taught.features[teacher.preactivation_tap]
    assert 0.1 < number((seen > 0).float().mean()) < 0.9


def test_the_papers_student_meets_the_codes_cell_by_cell(teacher, lesson_and_student):
    lesson, student = lesson_and_student
    method = METHODS["vpbsd"](student, teacher)
    z = lesson.features["down.3"]
    if teacher.config.network != "unetr":
        assert z.shape == lesson.taught.codes.shape
        assert not method.codes_are_averaged
    else:
        assert method.codes_are_averaged  # its grid is twice as fine
