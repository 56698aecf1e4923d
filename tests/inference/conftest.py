"""A tiny checkpoint, volumes with structure, and counted predictors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointCard, save_checkpoint
from napari_vesselkd.inference import predict
from napari_vesselkd.models import Student, StudentConfig, freeze_statistics
from segmenting import structured

TINY = StudentConfig(widths=(4, 8), stem_stride=2, strides=(2, 2))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Return the path of a checkpoint whose labels are mixed and with the halo that its net needs."""
    torch.manual_seed(0)
    student = Student(TINY).eval()
    patch = torch.from_numpy(structured((64, 64, 64), seed=9) / np.float32(1000)).float().clamp(0, 1)
    freeze_statistics(student, [patch[None, None]])
    with torch.no_grad():
        threshold = float(torch.sigmoid(student(patch[None, None])).quantile(0.7))
    card = CheckpointCard(
        name="tiny",
        description="random weights for tests",
        config=TINY.to_dict(),
        halo=(40, 40, 40),
        calibration={"threshold": threshold, "temperature": 1.0},
    )
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, student, card)
    return str(path)


@pytest.fixture
def predictors(monkeypatch):
    """Collect the predictors that runs make, to count their forward passes."""
    made = []

    class Counted(predict.Predictor):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(predict, "Predictor", Counted)
    return made
