"""What the later stages minimise and leave alone: commitment, codes of one size, the teacher that answers."""

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import Checkpoint, CheckpointCard, CheckpointRegistry, save_checkpoint
from napari_vesselkd.distillation import METHODS
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.training import distill as stage_c
from napari_vesselkd.training import teach as stage_b
from napari_vesselkd.training.codebook_watch import CodebookReport
from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.distill import DistillConfig, distill
from napari_vesselkd.training.fit import FitProgress
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Source, source_of_crop
from napari_vesselkd.training.teach import TeachConfig, teach
from tiny_network import TINY, tiny_network

assert tiny_network


@pytest.fixture(autouse=True)
def quick(monkeypatch, tiny_network):
    """Tiny teachers, and few patches beside the steps."""
    monkeypatch.setattr(stage_b, "LOOKED_AT", 2)
    monkeypatch.setattr(stage_c, "CALIBRATION", 1)


def crop(seed):
    image = np.random.default_rng(seed).integers(0, 200, (64, 64, 64)).astype(np.uint8)
    label = np.where(image > 180, 2, 1).astype(np.uint8)
    return Crop(f"volume {seed}", image, label, (0.0, 200.0), str(seed), (1.0, 1.0, 1.0))


@pytest.fixture
def material():
    labelled, other = source_of_crop(crop(0)), source_of_crop(crop(1))
    return Material((labelled,), (Source("other", other.volume, other.window),), (), (1.0, 1.0, 1.0))


@pytest.fixture
def teacher(tmp_path):
    """A teacher whose codes are seven times as large as codes are, which its patches are spread over."""
    torch.manual_seed(0)
    made = Teacher(TINY)
    made.quantiser.codebook.mul_(7)
    card = CheckpointCard(
        name="teacher",
        description="for tests",
        architecture="teacher",
        config=TINY.to_dict(),
        normalisation="windows",
        lineage={"stage": "finetune-teacher", "parent": None, "config": {"steps": 0}, "seconds": 0.0},
        created="2026-01-01T00:00:00+00:00",
    )
    save_checkpoint(tmp_path / "teacher", made, card)
    return CheckpointRegistry().get(tmp_path / "teacher")


def test_frozen_codes_keep_the_encoder_near_by_their_commitment(material, teacher, tmp_path, monkeypatch):
    """A tenth of ``beta |u - sg e|^2`` with beta .25 (methods 1.3 and 1.5; eqs 4 and 6)."""
    expected, view = [], Teacher.view

    def seen(net, x, **asked):
        found = view(net, x, **asked)
        if net.training:
            apart = found.u - net.quantiser.lookup(found.indices)
            expected.append(0.1 * 0.25 * apart.square().mean().item())
        return found

    monkeypatch.setattr(Teacher, "view", seen)
    config = TeachConfig(steps=2, batch=1, threads=1)
    found = [
        one for one in teach(material, teacher, tmp_path / "run", config) if isinstance(one, FitProgress)
    ]
    assert [one.terms["codebook"] for one in found] == pytest.approx(expected) and min(expected) > 0
    assert all(one.loss == pytest.approx(sum(one.terms.values())) for one in found)


def test_codes_that_follow_are_looked_at_as_in_pretraining(material, teacher, tmp_path, monkeypatch):
    learned, view = [], Teacher.view

    def seen(net, x, **asked):
        found = view(net, x, **asked)
        learned.extend([found.indices.flatten()] * net.training)
        return found

    monkeypatch.setattr(Teacher, "view", seen)
    config = TeachConfig(
        steps=4,
        batch=1,
        threads=1,
        codes="following",
        reconstruction=1.0,
        learning_rate=1e-2,
        validate_every=2,
    )
    looks = [
        one for one in teach(material, teacher, tmp_path / "run", config) if isinstance(one, CodebookReport)
    ]
    assert [look.step for look in looks] == [2, 4]
    for look, between in zip(looks, (learned[:2], learned[2:]), strict=True):
        shares = torch.cat(between).unique(return_counts=True)[1] / 16
        assert (look.usage, look.dead) == (len(shares) / 16, 16 - len(shares))
        assert look.perplexity == pytest.approx(float((-(shares * shares.log()).sum()).exp()), rel=1e-5)
        assert look.reliance > 0 and look.mse > 0
        assert look.picture is None  # the held-out volumes have one
    card = CheckpointRegistry().get(tmp_path / "run" / "checkpoints" / "teacher").card
    assert card.metrics["codebook"]["perplexity"] == pytest.approx(looks[-1].perplexity, abs=1e-5)


def test_codes_that_stay_are_not_reported(material, teacher, tmp_path):
    config = TeachConfig(steps=1, batch=1, threads=1)
    assert not [one for one in teach(material, teacher, tmp_path, config) if isinstance(one, CodebookReport)]


def taught_by(teacher, monkeypatch, method):
    """Let `distill` use one teacher in memory; return it and what `method` hears from it."""
    kept, heard = teacher.load(), []
    monkeypatch.setattr(Checkpoint, "load", lambda _: kept)
    terms = METHODS[method].terms

    def listening(self, lesson, student):
        heard.append(lesson.taught)
        return terms(self, lesson, student)

    monkeypatch.setattr(METHODS[method], "terms", listening)
    return kept, heard


KEPT, LIVE = "vpbsd", "fitnets"


def test_one_method_here_has_kept_answers_and_one_a_live_teacher():
    assert not METHODS[KEPT].needs_live_teacher and METHODS[LIVE].needs_live_teacher


@pytest.mark.parametrize("method", [KEPT, LIVE])
def test_ten_steps_leave_the_teacher_in_memory_as_it_was(material, teacher, tmp_path, monkeypatch, method):
    """Parameters, averages and mode; its codes are not frozen, so that training would move them."""
    kept, heard = taught_by(teacher, monkeypatch, method)
    assert not bool(kept.quantiser.is_frozen)
    before = {key: value.clone() for key, value in kept.state_dict().items()}
    config = DistillConfig(
        method=method, steps=10, batch=1, unlabelled=1, pool=2, student="paper", device="cpu", threads=1
    )
    *_, last = distill(material, teacher, tmp_path / "run", config)
    assert len(heard) == 10 and last.stage == "distill"
    assert all(torch.equal(value, before[key]) for key, value in kept.state_dict().items())
    assert not any(module.training for module in kept.modules())
    assert all(parameter.grad is None for parameter in kept.parameters())
    # Codes of any teacher are of one size, so that their weight means the same (methods 1.7).
    table = kept.quantiser.codebook.double()
    unit = table / table.square().mean().sqrt()
    for said in heard:
        codes = said.codes.movedim(1, -1).reshape(-1, table.shape[1]).double()
        assert torch.cdist(codes, unit).min(1).values.max() < 1e-4
