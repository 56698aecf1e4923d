"""Promises of measuring statistics layer by layer."""

from __future__ import annotations

import pytest
import torch

from napari_vesselkd.models import Student, StudentConfig, freeze_statistics, measuring, statistics_of
from napari_vesselkd.models.measuring import measure_statistics

CONFIGS = [
    StudentConfig(widths=(4, 8, 16), strides=(2, 2, 2)),
    StudentConfig(widths=(4, 8, 16), stem_stride=(1, 2, 2), strides=((1, 2, 2), 2, 2)),
    StudentConfig(widths=(4, 8), stem_stride=None, strides=(2, 2)),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("folded", [True, False])
def test_they_are_those_of_one_pass_over_all_patches(config, folded, monkeypatch):
    if not folded:
        monkeypatch.setattr(measuring, "is_at_hand", lambda: False)
    torch.manual_seed(0)
    student = Student(config).eval()
    patches = [torch.rand(16, 32, 48) * share for share in (0.2, 0.5, 1.0)]
    freeze_statistics(student, [patch[None, None] for patch in patches])
    expected = statistics_of(student)
    measure_statistics(student, patches)
    for found, wanted in zip(statistics_of(student), expected, strict=True):
        torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), atol=1e-6, rtol=1e-5)
    assert patches[0].max() <= 0.2  # left as they were
