"""The presets are what the paper says, where it does (VpbSD, arXiv 2411.09567), and what later work found.

E: an epoch is 288 steps, every labelled patch once at a batch of 2 (9 volumes of 64 patches, section 4.1).
"""

from dataclasses import replace

import pytest

from napari_vesselkd.distillation.vpbsd import VpbSDConfig
from napari_vesselkd.models import StudentConfig
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.distill import DistillConfig
from napari_vesselkd.training.presets import PRESETS
from napari_vesselkd.training.pretrain import GENTLE, PretrainConfig
from napari_vesselkd.training.teach import TeachConfig

E = 9 * 64 // 2
PUBLISHED, EVIDENCE, QUICK = (PRESETS[name] for name in ("published", "evidence", "quick"))


def values(config, *names):
    return tuple(getattr(config, name) for name in names)


def test_the_published_teacher_is_a_swin_unetr_with_a_gumbel_codebook():
    """Table 1: 64 million parameters, which 48 features come near; section 3.4: Gumbel-softmax (eq. 8)."""
    teacher = PUBLISHED.pretrain.teacher
    assert values(teacher, "spatial_dims", "network", "feature_size", "patch") == (3, "swin_unetr", 48, 64)
    assert teacher.quantiser.kind == "gumbel"
    # Not in the paper: beta of VQ-VAE (eq. 3), temperatures of vq-wav2vec, the width of the student's z.
    assert values(teacher.quantiser, "commitment", "temperature", "annealed") == (0.25, (2.0, 0.5), 0.7)
    assert teacher.quantiser.width == StudentConfig().widths[-1] == 32


def test_the_published_stages_have_the_papers_epochs_rates_and_batches():
    """Section 4.1: 80, 30 and 300 epochs with Adam at 1e-3, 1e-5 and 1e-2, batches of 2, patches of 64^3."""
    stages = PUBLISHED.pretrain, PUBLISHED.teach, PUBLISHED.distill
    for config, epochs, rate in zip(stages, (80, 30, 300), (1e-3, 1e-5, 1e-2), strict=True):
        assert config.steps == pytest.approx(epochs * E, rel=0.01)
        assert values(config, "learning_rate", "batch") == (rate, 2)
        assert config.fit_config().schedule == "exponential"
        assert config.fit_config().average == 0  # no average of the weights is spoken of
    assert (PUBLISHED.distill.unlabelled, PUBLISHED.distill.patch) == (2, (64, 64, 64))
    assert PUBLISHED.pretrain.upper == PUBLISHED.distill.upper == 95  # "clipped at the 95th percentile"


def test_the_published_losses_are_the_papers():
    """Eqs 4, 7, 11 and 12: the codebook's terms weigh .1; Dice alone, on labels and on hard pseudo-labels."""
    assert PUBLISHED.pretrain.alpha == PUBLISHED.teach.alpha == 0.1
    for config in (PUBLISHED.teach, PUBLISHED.distill):
        assert values(config, "cross_entropy", "skeleton_recall") == (0, 0)
        assert config.augment == GENTLE
    assert values(PUBLISHED.teach, "codes", "reconstruction", "skip_keep") == ("frozen", 0, 1)
    assert values(PUBLISHED.distill, "method", "student", "options") == ("vpbsd", "paper", {})
    weights = VpbSDConfig(**PUBLISHED.distill.options)
    assert values(weights, "codes", "pseudo", "codes_ramp") == (1, 1, 0)
    assert weights.pseudo_ramp == 80 / 300  # Laine and Aila: 80 of 300 epochs
    assert values(weights, "soft", "pseudo_cross_entropy") == (False, 0)
    assert not PUBLISHED.from_current


def test_the_student_of_the_paper_has_four_levels_from_four_to_thirty_two_channels():
    """122,349 parameters and .11 GMAC, as the paper's .12 million and .11 "GFLOPs" (table 1)."""
    assert StudentConfig().widths == (4, 8, 16, 32)


def test_evidence_is_the_published_one_but_for_what_later_work_found_better():
    """Methods 1.10: averaged codes with revival (BEiT-v2), skeleton recall, soft masked labels."""
    averaged = QuantiserConfig(kind="ema", codes=256, width=32, decay=0.99, revival=0.2)
    assert EVIDENCE.pretrain.teacher.quantiser == averaged
    teacher = replace(EVIDENCE.pretrain.teacher, quantiser=replace(averaged, kind="gumbel"))
    assert replace(EVIDENCE.pretrain, teacher=teacher) == PUBLISHED.pretrain
    more = {"cross_entropy": 1.0, "skeleton_recall": 1.0, "augment": AugmentConfig()}
    assert replace(PUBLISHED.teach, **more) == EVIDENCE.teach
    soft = {"soft": True, "pseudo_cross_entropy": 1.0}
    bundled = {"student": "auto", "average": 0.995}  # the networks and the average of the bundled students
    assert replace(PUBLISHED.distill, **more, **bundled, options=soft) == EVIDENCE.distill
    assert VpbSDConfig(**soft).confident == (0.1, 0.9)


def test_quick_has_a_small_teacher_few_steps_and_a_low_rate_before_the_codes():
    """What CHANGELOG and docs/adr/0008 say of it: the teacher's network and its rate were measured."""
    assert values(QUICK.pretrain.teacher, "network", "feature_size") == ("segresnet", 12)
    assert values(QUICK.teach, "learning_rate", "decoder_rate") == (1e-6, 1e-4)
    assert [one.steps for one in (QUICK.pretrain, QUICK.teach, QUICK.distill)] == [300, 150, 300]
    assert QUICK.distill.options == {"pseudo_cross_entropy": 1.0} and QUICK.from_current


def test_without_a_preset_the_settings_are_the_papers():
    assert TeachConfig() == PUBLISHED.teach
    assert replace(DistillConfig(), student="paper") == PUBLISHED.distill
    assert replace(PretrainConfig(), teacher=PUBLISHED.pretrain.teacher) == PUBLISHED.pretrain
