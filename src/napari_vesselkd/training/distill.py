"""Stage C of VpbSD: a student is taught by labels, pseudo-labels and codes (eqs 9 to 12), or otherwise."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_vesselkd.checkpoints import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.checkpoints.calibration import PATCH
from napari_vesselkd.distillation import METHODS, Lesson, Method, TeacherLesson, tapped
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Shape
from napari_vesselkd.models import Student, freeze_statistics
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.models.streaming import StreamingStudent, exact_reach
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.reports import Report
from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.bundled import RECIPES
from napari_vesselkd.training.checking import (
    check_at_least,
    check_choices,
    check_name,
    check_rate,
    check_weights,
)
from napari_vesselkd.training.fit import FitConfig, fit
from napari_vesselkd.training.lessons import LessonBatch, Lessons
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.pairing import (
    Pair,
    keeps_soft,
    method_config,
    new_student,
    paired,
    recipe_for,
)
from napari_vesselkd.training.pretrain import GENTLE, finished, lineage_of
from napari_vesselkd.training.sources import Material, require_unlabelled
from napari_vesselkd.training.streams import Stream
from napari_vesselkd.training.teach import require_teacher
from napari_vesselkd.training.teacher_cache import TeacherCache
from napari_vesselkd.training.timing import timed
from napari_vesselkd.training.validation import probability, watched

CALIBRATION = 12  # batches for the statistics stored with the weights


@dataclass(frozen=True)
class DistillConfig:
    """How a student is taught; the defaults are the paper's where it states them.

    Attributes
    ----------
    method : str
        One of `napari_vesselkd.distillation.METHODS`.
    options : dict
        Fields of the method's own configuration, see its module.
    student : {"auto", "paper", "coarse-z", "isotropic"}
        Its network: by the voxel size, the paper's, or that of a bundled student.
    steps, batch, unlabelled, accumulate : int
        Steps; labelled and unlabelled patches per pass; passes per step.
    patch : (z, y, x)
        Multiples of the strides of both nets.
    learning_rate : float
        Of Adam, falling exponentially to a hundredth.
    average : float
        Decay of the moving average of the weights, which is kept; 0: the last weights (paper).
    cross_entropy, skeleton_recall : float
        Weights beside Dice on the labels, see `LossConfig`; 0 in the paper.
    augment : AugmentConfig
        Of what the student sees. The teacher sees the patch as it is where its answers are kept.
    pool : int
        Places per stream whose answers of the teacher are kept on disk: hard pseudo-labels, or with the
        method's option ``soft`` probabilities, averaged over eight mirrorings.
    upper : float
        Percentile of the intensity window for methods without a teacher; else it is the teacher's.
    validate_every : int
        Steps between two looks at the held-out volumes.
    seed : int
    device, precision : str
        "auto", "cpu", "cuda", "cuda:N" or "mps"; "fp32" or "bf16".
    threads : int, optional
        CPU threads; all by default.
    name : str
        Of the checkpoint.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    method: str = "vpbsd"
    options: dict[str, Any] = field(default_factory=dict)
    student: str = "auto"
    steps: int = 86_400
    batch: int = 2
    unlabelled: int = 2
    accumulate: int = 1
    patch: Shape = (64, 64, 64)
    learning_rate: float = 1e-2
    average: float = 0.0
    cross_entropy: float = 0.0
    skeleton_recall: float = 0.0
    augment: AugmentConfig = GENTLE
    pool: int = 2000
    upper: float = 95.0
    validate_every: int = 250
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    name: str = "student"

    def __post_init__(self) -> None:
        check_at_least(
            self, steps=1, batch=1, unlabelled=1, accumulate=1, pool=1, validate_every=1, threads=1
        )
        check_rate(self.learning_rate)
        check_name(self.name)
        check_weights(self, "cross_entropy", "skeleton_recall")
        if len(self.patch) != 3 or min(self.patch) < 1:
            raise InvalidInputError(
                "patch is out of range", value=self.patch, limit="three sides of 1 or more"
            )
        check_choices(self, method=tuple(METHODS), student=("auto", "paper", *RECIPES))
        self.fit_config()  # checks the rest

    def fit_config(self) -> FitConfig:
        """Return the loop's settings."""
        return FitConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            schedule="exponential",
            warmup=max(1, self.steps // 100),
            accumulate=self.accumulate,
            average=self.average,
            precision=self.precision,
            save_every=max(1, min(200, self.steps // 4)),
            report_every=max(1, min(20, self.validate_every, self.steps // 20)),
            seed=self.seed,
        )


def distill(
    material: Material,
    teacher: Checkpoint | None,
    run: Path,
    config: DistillConfig,
    *,
    start: Checkpoint | None = None,
    answers: Path | None = None,
) -> Iterator[Report]:
    """Teach a student; write run/checkpoints/NAME. Resumes like `pretrain`.

    Parameters
    ----------
    material : Material
    teacher : Checkpoint, optional
        For methods that need one.
    run : Path
    config : DistillConfig
    start : Checkpoint, optional
        Student whose weights to begin with, instead of random ones.
    answers : Path, optional
        Folder of the teacher's answers, by default in `run`; runs that `ask` the same may share it.

    Yields
    ------
    Report
        `Notice`, `Progress` of the teacher's answers, `FitProgress` and `Validation`, at the end
        `StageFinished`.

    Raises
    ------
    CheckpointError
        If the method needs a teacher and `teacher` is none that segments.
    InvalidInputError
        If the method needs unlabelled volumes and there are none, or an option is unknown.
    TrainingError
        If the loss is not a number: step and patches are named, the last saved state stays.
    """
    target = run / "checkpoints" / config.name
    if not target.with_name(f"{config.name}.safetensors").exists():
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        recipe = recipe_for(material.voxel_size_um, config)
        with timed(run):
            student = new_student(recipe, config, start)
            student = yield from _train(
                material, teacher, run, config, student, answers=answers or run / "teacher"
            )
        anisotropy = (0.0, 1e9) if recipe is None else recipe.anisotropy
        made_from = {"stage": "distill", **_parents(teacher, start), **material.about}
        upper = config.upper if teacher is None else float(teacher.card.intensity["upper"])
        card = CheckpointCard(
            name=config.name,
            description=f"Student taught by the method {config.method}",
            config=student.config.to_dict(),
            voxel_size_um={"anisotropy": list(anisotropy)},
            intensity={"lower": 0.0, "upper": upper},
            halo=exact_reach(StreamingStudent(student).strides),
            normalisation="volume",
            statistics_depth=PATCH[0],
            lineage={**made_from, **lineage_of(config, run)},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        save_checkpoint(target, student, card)
    yield finished("distill", target, load_checkpoint(target)[1])


def distill_by(config: DistillConfig, method: str) -> DistillConfig:
    """Return `config` for another method: options that it does not know are left out.

    Raises
    ------
    InvalidInputError
        If there is no such method.
    """
    if method not in METHODS:
        raise InvalidInputError("There is no such method", value=method, limit=", ".join(METHODS))
    known = {one.name for one in fields(METHODS[method].Config)}
    options = {name: value for name, value in config.options.items() if name in known}
    return replace(config, method=method, options=options)


def check_distill(material: Material, teacher: Checkpoint | None, config: DistillConfig) -> None:
    """Raise what `distill` would raise at its start; `check_networks` tells what is raised a little later."""
    kind = METHODS[config.method]
    method_config(config)
    if kind.needs_teacher:
        if teacher is None:
            raise InvalidInputError(
                f"The method {config.method} needs a teacher",
                value="none",
                remedy="Give --teacher CHECKPOINT",
            )
        require_teacher(teacher, "finetune-teacher")
    if kind.needs_unlabelled:
        require_unlabelled(material, f"The method {config.method}")


def ask(
    material: Material, teacher: Checkpoint, folder: Path, config: DistillConfig
) -> Generator[Report, None, None]:
    """Ask the teacher what `distill` asks it with the same patch, pool, seed and ``options["soft"]``."""
    loaded: Any = teacher.load().to(checked_device(config.device))
    yield from _asked(_streams(material, config), loaded, folder, config)


def _streams(material: Material, config: DistillConfig) -> list[Stream]:
    """Return the labelled stream, and the unlabelled one where the method needs it."""
    streams = [Stream(material.labelled, config.patch)]
    if METHODS[config.method].needs_unlabelled:
        streams.append(Stream(material.unlabelled, config.patch))
    return streams


def _asked(
    streams: Sequence[Stream], teacher: Teacher, folder: Path, config: DistillConfig
) -> Generator[Report, None, list[TeacherCache]]:
    """Return the teacher's answers of each stream."""
    caches = []
    soft = keeps_soft(config)
    for name, stream in zip(("labelled", "unlabelled"), streams, strict=False):
        places = stream.places(config.pool, config.seed)
        caches.append(TeacherCache(folder / name, stream, places, soft=soft))
        yield from caches[-1].fill(teacher)
    return caches


def _train(
    material: Material,
    chosen: Checkpoint | None,
    run: Path,
    config: DistillConfig,
    student: Student,
    *,
    answers: Path,
) -> Generator[Report, None, Student]:
    """Run the loop; return the student on the CPU, with frozen statistics."""
    check_distill(material, chosen, config)
    kind, device = METHODS[config.method], checked_device(config.device)
    teacher: Any = chosen.load().to(device) if kind.needs_teacher and chosen is not None else None
    pair = paired(student, teacher, config).to(device)
    streams, caches = _streams(material, config), []
    if teacher is not None and not kind.needs_live_teacher:
        caches = yield from _asked(streams, teacher, answers, config)
    batches = Lessons(streams, (config.batch, config.unlabelled), config.augment, config.seed, caches)
    average = copy.deepcopy(pair)
    reports = fit(
        pair,
        batches,
        partial(_terms, teacher, config),
        config.fit_config(),
        run / "state.safetensors",
        average=average,
        after_step=lambda pair, step: pair.method.after_step(pair.student, step),
    )
    yield from watched(
        reports,
        lambda crop: probability(average.student, crop.scaled()),
        material.watched,
        run,
        config.validate_every,
    )
    freeze_statistics(student, [batches(-1 - n).batch.image.to(device) for n in range(CALIBRATION)])
    return student.cpu().eval()


def _terms(
    teacher: Teacher | None, config: DistillConfig, pair: Pair, batch: LessonBatch, step: int
) -> dict[str, Tensor]:
    """Return the terms on the labels, and those of the method."""
    method, whole = pair.method, batch.batch
    with tapped(pair.student, method.student_taps) as features:
        logits = pair.student(whole.image)
    weights = LossConfig(cross_entropy=config.cross_entropy, skeleton_recall=config.skeleton_recall)
    supervised = segmentation_terms(logits[: batch.labelled], batch.supervised, weights)
    lesson = Lesson(
        image=whole.image,
        label=whole.label,
        valid=whole.valid,
        labelled=batch.labelled,
        logits=logits,
        features=features,
        teacher=_heard(teacher, method, batch),
        step=step,
        steps=config.steps,
    )
    scaled = {name: method.segmentation_weight * term for name, term in supervised.items()}
    return {**scaled, **method.terms(lesson, pair.student)}


@torch.no_grad()
def _heard(teacher: Teacher | None, method: Method, batch: LessonBatch) -> TeacherLesson | None:
    """Return what the teacher says about a batch: what was kept, or by running it."""
    if teacher is None:
        return None
    if batch.taught is not None:
        codes = teacher.quantiser.lookup(batch.taught.indices) / teacher.quantiser.scale
        return TeacherLesson(codes=codes, pseudo=batch.taught.probability)
    with tapped(teacher, method.teacher_taps) as features:
        view = teacher.view(batch.batch.image)
    return TeacherLesson(codes=view.q / teacher.quantiser.scale, logits=view.logits, features=features)


def _parents(teacher: Checkpoint | None, start: Checkpoint | None) -> dict[str, str]:
    found = {"teacher": teacher, "parent": start}
    names = {key: "" if one is None else one.card.name for key, one in found.items()}
    return names | {f"{key}_sha256": one.card.sha256 for key, one in found.items() if one is not None}
