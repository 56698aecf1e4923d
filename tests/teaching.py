"""Lessons for tests of methods: a small student, a small teacher, and what they say about a random batch."""

from types import SimpleNamespace

import torch
from torch import nn

from napari_vesselkd.distillation import Lesson, TeacherLesson, tapped
from napari_vesselkd.models import Student, StudentConfig
from napari_vesselkd.models.quantiser import QuantiserConfig

ISOTROPIC = StudentConfig(widths=(4, 8), strides=(2, 2))
FLAT = StudentConfig(spatial_dims=2, widths=(4, 8), strides=(2, 2))
COARSE_Z = StudentConfig(widths=(4, 8), stem_stride=(1, 2, 2), strides=((1, 2, 2), 2))


class TinyTeacher(nn.Module):
    """A teacher's interface on one convolution with stride 8; activations work in place, as MONAI's do."""

    z_tap, preactivation_tap = "block", "block.1:input"

    def __init__(self, dims=3, width=12):
        super().__init__()
        kind = nn.Conv3d if dims == 3 else nn.Conv2d
        self.config = SimpleNamespace(spatial_dims=dims, patch=16, quantiser=QuantiserConfig(width=8))
        self.total_stride, self.z_width = (8,) * dims, width
        self.block = nn.Sequential(kind(1, width, 8, 8), nn.LeakyReLU(0.01, inplace=True))
        self.down = kind(width, 8, 1)
        self.head = kind(width, 1, 1)

    def forward(self, x):
        z = self.block(x)
        return nn.functional.interpolate(self.head(z), size=x.shape[2:], mode="nearest")


def number(tensor):
    return tensor.detach().item()


def pair(config=ISOTROPIC, width=12):
    torch.manual_seed(7)
    student = Student(config).train()
    student.head.bias.data.fill_(-2.0)  # fairly sure that there is nothing
    return student, TinyTeacher(config.spatial_dims, width).eval()


def lesson_of(method, student, teacher, *, step=0, steps=100, labelled=2, batch=4, side=16, vessel=True):
    """Return a lesson; the teacher's part has gradients, so that a method that follows them is caught."""
    dims = student.config.spatial_dims
    draw = torch.Generator().manual_seed(3)
    image = torch.rand(batch, 1, *(side,) * dims, generator=draw)
    label = (image > 0.9).float() * float(vessel)
    label[labelled:] = 0
    valid = torch.ones_like(image)
    valid[:, :, -2:] = 0
    with tapped(student, method.student_taps) as features:
        logits = student(image)
    said = None
    if method.needs_teacher:
        with tapped(teacher, method.teacher_taps) as seen:
            answer = teacher(image)
        answer = 20 * (answer - answer.median())  # as many vessels as not
        live = {"logits": answer, "features": seen}
        kept = {"codes": teacher.down(teacher.block(image)), "pseudo": torch.sigmoid(answer)}
        said = TeacherLesson(**(live if method.needs_live_teacher else kept))
    return Lesson(image, label, valid, labelled, logits, features, said, step, steps)
