"""Pretraining itself: terms, skip connections, temperature, what does not count, and what its looks say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.training.codebook_watch import CodebookReport
from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.fit import FitProgress
from napari_vesselkd.training.pretrain import GENTLE, PretrainConfig, pretrain
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Stream, StreamPatches, source_of_crop
from tiny_network import TINY, tiny_network

assert tiny_network
pytestmark = pytest.mark.usefixtures("tiny_network")
CONFIG = PretrainConfig(teacher=TINY, steps=4, batch=1, look_every=2, learning_rate=0.02, threads=1)


class Passes:
    """What a teacher was asked and said: while it learned, when it was looked at, and of shuffled codes."""

    def __init__(self, monkeypatch):
        self.learned, self.looked, self.shuffled = [], [], []
        view, reconstruct = Teacher.view, Teacher.reconstruct

        def seen(net, x, **asked):
            found = view(net, x, **asked)
            if net.training:
                found.reconstruction.retain_grad()
            place = self.learned if net.training else self.looked
            place.append((x, asked, float(net.quantiser.progress), found))
            return found

        def of_shuffled(net, x, indices):
            self.shuffled.append((indices, reconstruct(net, x, indices)))
            return self.shuffled[-1][1]

        monkeypatch.setattr(Teacher, "view", seen)
        monkeypatch.setattr(Teacher, "reconstruct", of_shuffled)


@pytest.fixture
def passes(monkeypatch):
    return Passes(monkeypatch)


def material(depth=64):
    """Return one volume whose cells of 32^3 differ, so that its codes do."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 200, (2, 2, 2)).repeat(32, 0).repeat(32, 1).repeat(32, 2)[:depth]
    image = (cells + rng.integers(0, 40, cells.shape)).astype(np.uint8)
    crop = Crop("volume", image, np.zeros_like(image), (0.0, 240.0), "volume", (1.0, 1.0, 1.0))
    return Material((), (source_of_crop(crop),), (), (1.0, 1.0, 1.0), {"source": "crops"})


def reports(found, kind):
    return [report for report in found if isinstance(report, kind)]


@pytest.mark.parametrize(
    ("steps", "kept"), [(4, [0.0, 0.0, 0.5, 0.5]), (5, [0.0, 0.0, 0.0, 0.5, 0.5]), (1, [0.0])]
)
def test_skips_are_dropped_in_the_first_half_and_half_of_them_in_the_second(tmp_path, passes, steps, kept):
    list(pretrain(material(), tmp_path, replace(CONFIG, steps=steps, look_every=steps)))
    assert [asked["skip_keep"] for _, asked, _, _ in passes.learned] == kept


def test_the_share_that_is_done_goes_with_the_steps_and_the_temperature_with_it(tmp_path, monkeypatch):
    gumbel = replace(TINY, quantiser=replace(TINY.quantiser, kind="gumbel"))
    passes, seen, view = Passes(monkeypatch), [], Teacher.view

    def warm(net, x, **asked):
        seen.extend([net.quantiser.temperature] * net.training)
        return view(net, x, **asked)

    monkeypatch.setattr(Teacher, "view", warm)
    list(pretrain(material(), tmp_path, replace(CONFIG, teacher=gumbel)))
    assert [done for _, _, done, _ in passes.learned] == [0, 0.25, 0.5, 0.75]
    assert seen == pytest.approx([2 * 0.25 ** (share / 0.7) for share in (0, 0.25, 0.5, 0.7)])


def test_the_terms_are_the_error_where_the_volume_is_and_a_tenth_of_the_codebooks(tmp_path, passes):
    """A volume of 40 slices: the reflected 24 teach nothing (methods 1.1); eqs 4 and 5."""
    thin = material(depth=40)
    found = reports(pretrain(thin, tmp_path, CONFIG), FitProgress)
    batches = StreamPatches(Stream(thin.all, (64, 64, 64)), 1, GENTLE, CONFIG.seed)
    for step, (report, (image, _, _, view)) in enumerate(zip(found, passes.learned, strict=True)):
        valid = batches(step).valid
        assert int(valid.sum()) == 40 * 64 * 64
        error = ((view.reconstruction - image).square() * valid).sum() / (40 * 64 * 64)
        assert report.terms["reconstruction"] == pytest.approx(error.item())
        assert report.terms["codebook"] == pytest.approx(0.1 * view.loss.item()) and view.loss > 0
        assert report.loss == pytest.approx(sum(report.terms.values()))
        assert set(report.terms) == {"reconstruction", "codebook"}
        moved = view.reconstruction.grad
        assert not moved[valid == 0].any()
        wanted = 2 * (view.reconstruction - image) / (40 * 64 * 64)
        torch.testing.assert_close(moved[valid > 0], wanted[valid > 0])


def test_a_look_counts_the_codes_since_the_last_one(tmp_path, passes):
    looks = reports(pretrain(material(), tmp_path, CONFIG), CodebookReport)
    assert [look.step for look in looks] == [2, 4]
    for look, between in zip(looks, (passes.learned[:2], passes.learned[2:]), strict=True):
        chosen = torch.cat([view.indices.flatten() for _, _, _, view in between]).numpy()
        shares = np.unique(chosen, return_counts=True)[1] / len(chosen)
        assert len(chosen) == 16 and len(shares) > 1
        assert look.usage == len(shares) / 16 and look.dead == 16 - len(shares)
        assert look.perplexity == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


def test_a_look_is_without_skips_and_says_how_much_worse_shuffled_codes_are(tmp_path, passes):
    looks = reports(pretrain(material(), tmp_path, CONFIG), CodebookReport)
    assert len(passes.looked) == len(passes.shuffled) == len(looks)
    for look, seen, (indices, other) in zip(looks, passes.looked, passes.shuffled, strict=True):
        image, asked, _, view = seen
        assert len(image) == 8 and asked["skip_keep"] == 0.0
        assert not torch.equal(indices, view.indices)
        assert torch.equal(indices.flatten().sort()[0], view.indices.flatten().sort()[0])
        assert look.mse == pytest.approx((view.reconstruction - image).square().mean().item())
        assert look.reliance == pytest.approx((other - image).square().mean().item() / look.mse)
        assert (tmp_path / look.picture).is_file()


def test_a_decoder_that_learned_from_its_codes_relies_on_them(tmp_path):
    """Every cell has a brightness of its own here: shuffled codes put it elsewhere."""
    config = replace(CONFIG, steps=30, look_every=30)
    *_, last = reports(pretrain(material(), tmp_path, config), CodebookReport)
    card = CheckpointRegistry().get(tmp_path / "checkpoints" / "teacher-pretrained").card
    assert last.reliance > 1.2
    assert card.metrics["codebook"]["reliance"] == pytest.approx(last.reliance, abs=1e-5)
