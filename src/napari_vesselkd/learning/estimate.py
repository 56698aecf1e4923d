"""What "fine-tune the teacher, then distil a new student" will roughly take, said before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.learning.choosing import choose_teacher, preset_of
from napari_vesselkd.learning.costs import giga_macs, parameters_of
from napari_vesselkd.models import Student, StudentConfig
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.reports import Report
from napari_vesselkd.training.distill import distill_by
from napari_vesselkd.training.presets import Preset
from napari_vesselkd.training.pretrain import PretrainConfig
from napari_vesselkd.training.teach import TeachConfig

CPU_SPEEDS = {"swin_unetr": 4.0, "unetr": 25.0, "segresnet": 9.0, "student": 4.0}
"""GMAC/s per physical core, as measured on one; small channels and attention are slow."""
GPU_SPEED = 3000.0
"""GMAC/s of a graphics card at such small batches."""
PASSES = 3  # a step is one pass forward and about two backward
BYTES_PER_WEIGHT = 4 * 6  # weights, gradients, two moments of Adam, the copy that is saved and the last state
BYTES_PER_MAC = 0.35  # activations that a step keeps, per multiply-accumulate of a patch
MIRRORINGS = 8  # that soft answers are averaged over
BASE_BYTES = 1.2e9  # Python, torch


@dataclass(frozen=True)
class StagesPreflight(Report):
    """What the stages will roughly need.

    Attributes
    ----------
    seconds : float
        In s; within a factor of about three.
    ram_bytes, vram_bytes, disk_bytes : int
        Peak memory of the process and of the device, and what the run folder takes.
    device : str
    text : str
        All of it in one line.
    stages : dict of str to float
        Seconds of "pretrain", or of "teacher" (its fine-tuning), "answers" (asking it) and "student".
    """

    seconds: float
    ram_bytes: int
    vram_bytes: int
    disk_bytes: int
    device: str
    text: str
    stages: dict[str, float] = field(default_factory=dict)


def estimate_stages(
    source: str | Path,
    preset: str | Preset = "quick",
    device: str = "auto",
    *,
    teacher: str = "auto",
    method: str | None = None,
) -> StagesPreflight:
    """Estimate time, memory and disk of `teach_and_distill`, from multiply-accumulates and steps.

    With a `method`, those of `distill_from` by it: the teacher stays as it is.

    Raises
    ------
    As `choose_teacher`; DeviceError if there is no such device; InvalidInputError for an unknown preset.
    """
    chosen, place = preset_of(preset), checked_device(device)
    if method is not None:
        chosen = replace(chosen, distill=distill_by(chosen.distill, method))
    config = TeacherConfig.from_dict(choose_teacher(source, teacher).card.config)
    network = Teacher(config)
    cost, weights = giga_macs(network, config.patch), parameters_of(network)
    student = giga_macs(Student(StudentConfig()), max(chosen.distill.patch))
    stages = {
        "teacher": 0.0 if method else cost * _teaching(chosen.teach) / _speed(place, config.network),
        "answers": cost * _asking(chosen) / _speed(place, config.network),
        "student": student * _learning(chosen) / _speed(place, "student"),
    }
    memory = int(weights * BYTES_PER_WEIGHT + cost * 1e9 * BYTES_PER_MAC * chosen.teach.batch)
    return _preflight(stages, place, weights, memory, int(weights * BYTES_PER_WEIGHT + _kept(chosen)))


def estimate_teaching(
    source: str | Path, preset: str | Preset = "quick", device: str = "auto", *, teacher: str = "auto"
) -> StagesPreflight:
    """Estimate time, memory and disk of `teach_from` in the same way.

    Raises
    ------
    As `estimate_stages`.
    """
    config = TeacherConfig.from_dict(choose_teacher(source, teacher).card.config)
    return _one_stage("teacher", config, preset_of(preset).teach, checked_device(device))


def estimate_pretraining(preset: str | Preset = "quick", device: str = "auto") -> StagesPreflight:
    """Estimate time, memory and disk of `pretrain_from` in the same way.

    Raises
    ------
    DeviceError if there is no such device; InvalidInputError for an unknown preset.
    """
    chosen, place = preset_of(preset).pretrain, checked_device(device)
    return _one_stage("pretrain", chosen.teacher, chosen, place)


def _one_stage(
    name: str, config: TeacherConfig, chosen: PretrainConfig | TeachConfig, place: str
) -> StagesPreflight:
    """Estimate a stage in which a teacher learns."""
    network = Teacher(config)
    cost, weights = giga_macs(network, config.patch), parameters_of(network)
    stages = {name: cost * _teaching(chosen) / _speed(place, config.network)}
    memory = int(weights * BYTES_PER_WEIGHT + cost * 1e9 * BYTES_PER_MAC * chosen.batch)
    return _preflight(stages, place, weights, memory, weights * BYTES_PER_WEIGHT)


def _preflight(stages: dict[str, float], place: str, weights: int, memory: int, disk: int) -> StagesPreflight:
    seconds = sum(stages.values())
    on_cpu = place == "cpu"
    ram = int(BASE_BYTES) + (memory if on_cpu else weights * 8)
    text = (
        f"About {_duration(seconds)} on {place}, {ram / 1e9:.1f} GB of memory"
        + ("" if on_cpu else f", {memory / 1e9:.1f} GB of the graphics card's")
        + f", {disk / 1e6:.0f} MB of disk"
    )
    return StagesPreflight(seconds, ram, 0 if on_cpu else memory, disk, place, text, stages)


def _teaching(config: PretrainConfig | TeachConfig) -> float:
    """Return the passes of a patch through the teacher while it learns."""
    return float(PASSES * config.steps * config.batch * config.accumulate)


def _asking(preset: Preset) -> float:
    """Return the passes of a patch through the teacher for its answers."""
    kind, config = METHODS[preset.distill.method], preset.distill
    if not kind.needs_teacher:
        return 0.0
    if kind.needs_live_teacher:
        return float(config.steps * config.accumulate * (config.batch + config.unlabelled))
    soft = bool(config.options.get("soft", False))
    return float(config.pool * (1 + kind.needs_unlabelled) * (1 + MIRRORINGS * soft))


def _learning(preset: Preset) -> float:
    """Return the passes of a patch through the student."""
    config = preset.distill
    return float(PASSES * config.steps * config.accumulate * (config.batch + config.unlabelled))


def _kept(preset: Preset) -> float:
    """Return the bytes of the teacher's answers."""
    voxels = math.prod(preset.distill.patch)
    return 2.0 * preset.distill.pool * voxels / (1 if preset.distill.options.get("soft") else 8)


def _speed(device: str, network: str) -> float:
    """Return GMAC/s."""
    if device != "cpu":
        return GPU_SPEED
    return CPU_SPEEDS.get(network, 4.0) * (psutil.cpu_count(logical=False) or 1)


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
