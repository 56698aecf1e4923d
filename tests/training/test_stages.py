"""The stages of VpbSD: each goes on bit by bit, the codebook is used, codes stay, and the teacher too."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import CheckpointError, InvalidInputError, TrainingError
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.training import FitConfig, fit
from napari_vesselkd.training.codebook_watch import CodebookReport
from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.distill import DistillConfig, distill
from napari_vesselkd.training.fit import FitProgress
from napari_vesselkd.training.lessons import Lessons
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.patches import Batch
from napari_vesselkd.training.pretrain import (
    GENTLE,
    PretrainConfig,
    StageFinished,
    pretrain,
)
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Source, Stream, StreamPatches, source_of_crop
from napari_vesselkd.training.teach import TeachConfig, require_teacher, teach
from napari_vesselkd.training.validation import Validation

TEACHER = TeacherConfig(network="segresnet", feature_size=12, quantiser=QuantiserConfig(codes=16, width=32))
PRETRAIN = PretrainConfig(teacher=TEACHER, steps=4, batch=1, look_every=2, threads=1)
TEACH = TeachConfig(steps=4, batch=1, learning_rate=1e-3, validate_every=2, threads=1)
DISTILL = DistillConfig(steps=6, batch=1, unlabelled=1, pool=2, validate_every=3, student="paper", threads=1)


@pytest.fixture(scope="module", autouse=True)
def little_to_look_at():
    """Fewer patches to look at and to measure statistics on, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("pretrain", "teach"):
            patch.setattr(f"napari_vesselkd.training.{module}.LOOKED_AT", 2)
        patch.setattr("napari_vesselkd.training.distill.CALIBRATION", 2)
        yield


def crop(seed, name):
    rng = np.random.default_rng(seed)
    image = rng.normal(20, 5, (64, 64, 64))
    label = np.ones(image.shape, np.uint8)
    for _ in range(4):
        y, x = rng.integers(5, 58, 2)
        label[:, y : y + 5, x : x + 5] = 2
    image[label == 2] += 60
    return Crop(name, image.clip(0, 255).astype(np.uint8), label, (0.0, 100.0), name, (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def material():
    labelled = source_of_crop(crop(0, "labelled"))
    plain = source_of_crop(crop(1, "plain"))
    unlabelled = Source("unlabelled", plain.volume, plain.window)
    return Material((labelled,), (unlabelled,), (crop(2, "held out"),), (1.0, 1.0, 1.0), {"source": "crops"})


@pytest.fixture(scope="module")
def pretrained(material, tmp_path_factory):
    run = tmp_path_factory.mktemp("pretrain")
    reports = list(pretrain(material, run, PRETRAIN))
    return reports, CheckpointRegistry().get(run / "checkpoints" / "teacher-pretrained")


@pytest.fixture(scope="module")
def taught(material, pretrained, tmp_path_factory):
    run = tmp_path_factory.mktemp("teach")
    reports = list(teach(material, pretrained[1], run, TEACH))
    return reports, CheckpointRegistry().get(run / "checkpoints" / "teacher")


def saving_often(config, every):
    """Return a config whose state is saved every so many steps."""

    class Often(type(config)):
        def fit_config(self, *of):
            return replace(super().fit_config(*of), save_every=every, report_every=1)

    return Often(**{key: getattr(config, key) for key in config.__dataclass_fields__})


def weights(run, name):
    return CheckpointRegistry().get(run / "checkpoints" / name).load().state_dict()


def resumed(stage, run, name):
    """Return the weights of a run that was dropped after three steps and called again."""
    for report in stage(run):
        if isinstance(report, FitProgress) and report.done == 3:
            break
    list(stage(run))
    return weights(run, name)


def stopped_and_resumed(stage, tmp_path, name):
    """Return the weights of a run, and of one that was dropped after three steps and called again."""
    list(stage(tmp_path / "whole"))
    return weights(tmp_path / "whole", name), resumed(stage, tmp_path / "parts", name)


def test_a_rate_for_the_decoder_alone_leaves_the_codes(material, pretrained, tmp_path):
    """Adam moves every weight by about the rate at each step, so what moved tells the rate it had."""
    config = replace(TEACH, learning_rate=1e-9, decoder_rate=1e-3, head_rate=1e-3)
    list(teach(material, pretrained[1], tmp_path, config))
    taught = CheckpointRegistry().get(tmp_path / "checkpoints" / "teacher")
    before, after = (dict(found.load().named_parameters()) for found in (pretrained[1], taught))
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6, rtol=0)}
    behind = tuple(pretrained[1].load().behind_codes)
    assert moved and all(name.startswith(behind) for name in moved)
    assert any(name.startswith("network.") for name in moved)
    assert taught.card.lineage["facts"]["changed_codes"] == 0.0


def test_pretraining_goes_on_bit_by_bit(material, pretrained, tmp_path):
    config = saving_often(PRETRAIN, 2)
    one = pretrained[1].load().state_dict()
    other = resumed(lambda run: pretrain(material, run, config), tmp_path, "teacher-pretrained")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_fine_tuning_a_teacher_goes_on_bit_by_bit_with_frozen_codes(material, pretrained, taught, tmp_path):
    config = saving_often(TEACH, 2)
    one = taught[1].load().state_dict()
    other = resumed(lambda run: teach(material, pretrained[1], run, config), tmp_path, "teacher")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_fine_tuning_a_teacher_goes_on_bit_by_bit_with_codes_that_follow(material, pretrained, tmp_path):
    codes = {"codes": "following", "skip_keep": 0.5, "reconstruction": 1.0}
    config = saving_often(replace(TEACH, **codes), 2)
    one, other = stopped_and_resumed(
        lambda run: teach(material, pretrained[1], run, config), tmp_path, "teacher"
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", ["vpbsd", "mean-teacher", "fitnets"])
def test_distilling_goes_on_bit_by_bit(material, taught, tmp_path, method):
    config = saving_often(replace(DISTILL, method=method), 2)
    one, other = stopped_and_resumed(
        lambda run: distill(material, taught[1], run, config), tmp_path, "student"
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_students_step_can_be_made_of_several_passes(material, tmp_path, monkeypatch):
    """Each pass has a batch of its own, and a run goes on between the steps as one that was not stopped."""
    assert DISTILL.fit_config() == replace(replace(DISTILL, accumulate=3).fit_config(), accumulate=1)
    passes, plain = [], Lessons.__call__
    monkeypatch.setattr(Lessons, "__call__", lambda self, n: passes.append(n) or plain(self, n))
    few = replace(DISTILL, method="baseline", patch=(32, 32, 32), steps=4, accumulate=2)
    config = saving_often(few, 2)
    list(distill(material, None, tmp_path / "whole", config))
    assert [number for number in passes if number >= 0] == list(range(8))
    one, other = (
        weights(tmp_path / "whole", "student"),
        resumed(lambda run: distill(material, None, run, config), tmp_path / "parts", "student"),
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_pretraining_reports_the_codebook(pretrained):
    reports, checkpoint = pretrained
    looks = [report for report in reports if isinstance(report, CodebookReport)]
    assert [look.step for look in looks] == [2, 4]
    assert all(0 < look.usage <= 1 and 1 <= look.perplexity <= 16 for look in looks)
    assert looks[-1].dead == 16 - round(16 * looks[-1].usage)
    assert isinstance(reports[-1], StageFinished) and reports[-1].stage == "pretrain"
    assert checkpoint.card.lineage["stage"] == "pretrain" and checkpoint.card.architecture == "teacher"


def test_fine_tuning_keeps_the_codes_and_says_how_many_places_changed_theirs(pretrained, taught):
    before, after = (one[1].load() for one in (pretrained, taught))
    assert torch.equal(before.quantiser.table(), after.quantiser.table())
    assert bool(after.quantiser.is_frozen)
    assert not torch.equal(before.out.weight, after.out.weight)
    assert 0 <= taught[0][-1].facts["changed_codes"] <= 1
    assert any(isinstance(report, Validation) for report in taught[0])


@pytest.mark.parametrize("start", ["pretrained", "taught"])
def test_codes_follow_the_encoder_where_asked_and_stay_afterwards(material, start, request, tmp_path):
    parent = request.getfixturevalue(start)[1]
    reports = list(teach(material, parent, tmp_path, replace(TEACH, codes="following")))
    after = CheckpointRegistry().get(tmp_path / "checkpoints" / "teacher").load()
    assert not torch.equal(parent.load().quantiser.table(), after.quantiser.table())
    assert bool(after.quantiser.is_frozen)
    assert reports[-1].facts["changed_codes"] > 0.3
    assert not [report for report in reports if "of the codes changed" in getattr(report, "text", "")]


def test_settings_of_the_codes_that_cannot_be_are_refused():
    with pytest.raises(InvalidInputError, match=r"moving.*frozen, following"):
        TeachConfig(codes="moving")
    with pytest.raises(InvalidInputError, match=r"1\.5.*0\.\.1"):
        TeachConfig(skip_keep=1.5)
    with pytest.raises(InvalidInputError, match=r"-1.*0 or more"):
        TeachConfig(reconstruction=-1)


def test_a_teacher_that_goes_on_reconstructing_makes_more_of_its_codes(material, pretrained, tmp_path):
    """Of the codes alone, on what it learned from; the term is reported with its weight."""
    errors, following = [], replace(TEACH, steps=4, validate_every=4, learning_rate=1e-3, codes="following")
    for weight in (0.0, 10.0):
        config = replace(following, reconstruction=weight)
        reports = list(teach(material, pretrained[1], tmp_path / str(weight), config))
        named = [report.terms for report in reports if isinstance(report, FitProgress) and report.terms]
        assert all(("reconstruction" in terms) == (weight > 0) for terms in named) and named
        teacher = CheckpointRegistry().get(tmp_path / str(weight) / "checkpoints" / "teacher").load().eval()
        with torch.no_grad():
            x = StreamPatches(Stream(material.all, (64, 64, 64)), 4, GENTLE, 0)(0).image
            errors.append(float((teacher.reconstruct(x, teacher.codes(x)) - x).square().mean()))
    assert errors[1] < 0.8 * errors[0]


def test_distilling_exports_the_student_alone_and_says_who_taught_it(material, taught, tmp_path):
    *_, last = distill(material, taught[1], tmp_path, DISTILL)
    made = CheckpointRegistry().get(last.checkpoint)
    assert sum(parameter.numel() for parameter in made.load().parameters()) == 122_349
    assert made.card.lineage["teacher"] == "teacher" and made.card.normalisation == "volume"
    assert made.card.statistics_depth == 64
    assert made.card.intensity["upper"] == taught[1].card.intensity["upper"]


@pytest.mark.parametrize("method", ["baseline", "kd", "ua-mt", "vpbsd-without-pseudo"])
def test_each_kind_of_method_runs_and_names_its_terms(material, taught, tmp_path, method):
    reports = list(distill(material, taught[1], tmp_path, replace(DISTILL, method=method, steps=1)))
    terms = next(report for report in reports if isinstance(report, FitProgress)).terms
    assert set(terms) >= {"Dice"} and len(terms) == (1 if method == "baseline" else 2)


def test_a_finished_stage_does_nothing_more(material, pretrained, tmp_path):
    list(pretrain(material, tmp_path, replace(PRETRAIN, steps=1)))
    assert len(list(pretrain(material, tmp_path, replace(PRETRAIN, steps=1)))) == 1


def test_the_wrong_kind_of_teacher_is_refused(material, pretrained, tmp_path):
    student = CheckpointRegistry().get("student-isotropic")
    with pytest.raises(CheckpointError, match="not the teacher"):
        list(teach(material, student, tmp_path, TEACH))
    with pytest.raises(CheckpointError, match="not the teacher"):
        list(distill(material, student, tmp_path, DISTILL))
    with pytest.raises(CheckpointError, match="made by pretrain"):
        list(distill(material, pretrained[1], tmp_path, DISTILL))


def test_a_teacher_for_images_is_refused_before_it_would_see_volumes(pretrained):
    with pytest.raises(InvalidInputError, match=r"trained on volumes.*teacher.spatial_dims=2"):
        replace(PRETRAIN, teacher=replace(TEACHER, spatial_dims=2))
    for_volumes = pretrained[1]
    config = {**for_volumes.card.config, "spatial_dims": 2}
    for_images = replace(for_volumes, card=replace(for_volumes.card, config=config))
    require_teacher(for_volumes, "pretrain")
    with pytest.raises(CheckpointError, match="cannot learn from volumes: teacher-pretrained"):
        require_teacher(for_images, "pretrain")


def test_what_a_method_lacks_is_said(material, taught, tmp_path):
    with pytest.raises(InvalidInputError, match="needs a teacher"):
        list(distill(material, None, tmp_path, DISTILL))
    with pytest.raises(InvalidInputError, match="needs unlabelled volumes"):
        list(distill(replace(material, unlabelled=()), taught[1], tmp_path, DISTILL))
    with pytest.raises(InvalidInputError, match="no such option"):
        list(distill(material, taught[1], tmp_path, replace(DISTILL, options={"lambda": 1})))
    with pytest.raises(InvalidInputError, match="no such method"):
        DistillConfig(method="magic")


def test_a_loss_that_is_not_a_number_names_step_and_patches(material, taught, tmp_path, monkeypatch):
    from napari_vesselkd.distillation import METHODS

    original = METHODS["vpbsd"].terms

    def broken(self, lesson, student):
        terms = original(self, lesson, student)
        return {name: term * (float("nan") if lesson.step == 3 else 1) for name, term in terms.items()}

    monkeypatch.setattr(METHODS["vpbsd"], "terms", broken)
    config = saving_often(DISTILL, 2)
    with pytest.raises(TrainingError, match=r"step 4.*labelled at \d+,\d+,\d+, unlabelled at"):
        list(distill(material, taught[1], tmp_path, config))
    assert (tmp_path / "state.safetensors").exists() and not (tmp_path / "checkpoints").exists()


def tubes(count, side, seed):
    """Return images (count, 1, side, side) of bright bars, some of them wide, in noise."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.15, 0.03, (count, 1, side, side))
    for image in images:
        at, width = rng.integers(8, side - 16), rng.integers(3, 12)
        bar = image[0] if rng.random() < 0.5 else image[0].T
        bar[at : at + width] = rng.uniform(0.5, 1.0)
    return torch.from_numpy(images.clip(0, 1).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(("skip_keep", "low", "high"), [(0.0, 1.5, 1e9), (1.0, 0.9, 1.1)])
def test_the_codebook_is_relied_on_without_skips_and_bypassed_with_them(tmp_path, skip_keep, low, high):
    torch.manual_seed(0)
    quantiser = QuantiserConfig(codes=64, width=16)
    net = Teacher(TeacherConfig(spatial_dims=2, network="segresnet", feature_size=12, quantiser=quantiser))
    images = tubes(64, 64, seed=0)

    def batch_of(step):
        chosen = images[np.random.default_rng(abs(step)).integers(64, size=8)]
        return Batch(chosen, chosen, chosen, torch.ones_like(chosen))

    def terms_of(net, batch, step):
        view = net.view(batch.image, skip_keep=skip_keep, reconstruct=True)
        return {
            "reconstruction": ((view.reconstruction - batch.image) ** 2).mean(),
            "codebook": 0.1 * view.loss,
        }

    config = FitConfig(steps=200, learning_rate=3e-3, warmup=10, average=0.0, save_every=200)
    list(fit(net, batch_of, terms_of, config, tmp_path / "state"))
    with torch.no_grad():
        view = net.view(images, skip_keep=skip_keep, reconstruct=True)
        shuffled = view.indices.flatten()[torch.randperm(view.indices.numel())].view_as(view.indices)
        _, skips = net._encode(images)
        other = net.reconstruction(net._decode(net.quantiser.lookup(shuffled), skips, skip_keep))
        reliance = ((other - images) ** 2).mean() / ((view.reconstruction - images) ** 2).mean()
    assert low < float(reliance) < high


@pytest.mark.slow
def test_a_teacher_learns_one_patch_by_heart(tmp_path):
    """Through its codebook and with its skip connections; in 2D, where a step takes a tenth of a second."""
    torch.manual_seed(0)
    net = Teacher(replace(TEACHER, spatial_dims=2))
    rng, vessel = np.random.default_rng(0), np.zeros((64, 64), np.float32)
    for y, x in rng.integers(4, 56, (4, 2)):
        vessel[y : y + 3], vessel[:, x : x + 4] = 1, 1
    image = (rng.normal(0.3, 0.1, vessel.shape) + 0.5 * vessel).clip(0, 1).astype(np.float32)
    x, label = (torch.from_numpy(part)[None, None] for part in (image, vessel))
    patch = Batch(x, label, label, torch.ones_like(label))

    def terms_of(net, batch, step):
        view = net.view(batch.image)
        weights = LossConfig(cross_entropy=1.0, skeleton_recall=0.0)
        return segmentation_terms(view.logits, batch, weights) | {"codebook": 0.1 * view.loss}

    config = FitConfig(steps=70, learning_rate=1e-2, schedule="exponential", warmup=5, average=0.0)
    list(fit(net, lambda number: patch, terms_of, config, tmp_path / "state"))
    with torch.no_grad():
        found = (net(x) > 0).float()
    dice = 2 * (found * label).sum() / (found.sum() + label.sum())
    assert dice > 0.9
