"""Settings of the stages that cannot be meant are refused where they are given, with what is allowed."""

from dataclasses import replace

import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import TeacherConfig
from napari_vesselkd.training import AugmentConfig, FitConfig, LossConfig
from napari_vesselkd.training.distill import DistillConfig
from napari_vesselkd.training.finetune import FinetuneConfig
from napari_vesselkd.training.presets import PRESETS
from napari_vesselkd.training.pretrain import PretrainConfig
from napari_vesselkd.training.teach import TeachConfig

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        *(
            (kind, {"precision": "fp16"}, "precision: fp16 .*fp32, bf16")
            for kind in (FitConfig, DistillConfig)
        ),
        *((kind, {"precision": "fp16"}, "precision: fp16") for kind in (PretrainConfig, TeachConfig)),
        *((kind, {"seed": -1}, "seed is too small") for kind in (PretrainConfig, TeachConfig, DistillConfig)),
        (FinetuneConfig, {"seed": -1}, "seed is too small"),
        *(
            (kind, {"alpha": -1.0}, "alpha is out of range: -1.0 .*0 or more")
            for kind in (PretrainConfig, TeachConfig)
        ),
        (PretrainConfig, {"alpha": NAN}, "alpha"),
        (PretrainConfig, {"skip_keep": (2.0, -1.0)}, r"skip_keep is out of range: \(2.0, -1.0\) .*0..1"),
        (PretrainConfig, {"skip_keep": (0.0, 1.5)}, "skip_keep"),
        (PretrainConfig, {"teacher": TeacherConfig(spatial_dims=2)}, "spatial_dims=2"),
        (PretrainConfig, {"learning_rate": NAN}, "learning rate"),
        (TeachConfig, {"skip_keep": -0.1}, "skip_keep"),
        (TeachConfig, {"reconstruction": INFINITE}, "reconstruction"),
        (TeachConfig, {"cross_entropy": -1.0}, "cross_entropy"),
        (DistillConfig, {"average": 2.0}, "moving average is out of range: 2.0"),
        (DistillConfig, {"average": 1.0}, "moving average"),
        (DistillConfig, {"skeleton_recall": INFINITE}, "skeleton_recall"),
        (FinetuneConfig, {"projection": NAN}, "projection"),
        (AugmentConfig, {"probability": 7.0}, "probability is out of range"),
        (AugmentConfig, {"gamma": 0.0}, "gamma is too small"),
        (AugmentConfig, {"blur": -1.0}, "blur is out of range"),
        (FitConfig, {"schedule": "linear"}, "no such schedule"),
        (LossConfig, {"dice": -1.0}, "dice"),
        (QuantiserConfig, {"decay": 2.0}, "decay is out of range: 2.0"),
        (QuantiserConfig, {"revival": -1.0}, "revival"),
        (QuantiserConfig, {"annealed": 0.0}, "annealed"),
        (QuantiserConfig, {"commitment": -0.1}, "commitment"),
        (QuantiserConfig, {"temperature": (0.0, 1.0)}, "temperature"),
    ],
)
def test_a_setting_out_of_range_is_refused(kind, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        kind(**changes)


def test_the_ends_of_the_ranges_are_allowed():
    PretrainConfig(skip_keep=(0.0, 1.0), alpha=0.0, precision="bf16")
    TeachConfig(skip_keep=1.0, alpha=0.0, reconstruction=0.0)
    DistillConfig(average=0.0, precision="bf16")
    QuantiserConfig(decay=1.0, revival=0.0, annealed=1.0, commitment=0.0)
    for preset in PRESETS.values():
        assert all(replace(one) == one for one in (preset.pretrain, preset.teach, preset.distill))
