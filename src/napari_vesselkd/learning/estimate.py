"""What the stages of VpbSD will roughly take, alone and in one go, said before they start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.distillation import METHODS
from napari_vesselkd.learning.choosing import choose_teacher, preset_of
from napari_vesselkd.learning.costs import giga_macs, parameters_of
from napari_vesselkd.models import Student, StudentConfig
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.reports import Report
from napari_vesselkd.training.distill import DistillConfig, distill_by
from napari_vesselkd.training.pairing import keeps_soft
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
    chosen = preset_of(preset)
    config = chosen.distill if method is None else distill_by(chosen.distill, method)
    found = choose_teacher(source, teacher)
    return _of_stages(found, None if method else chosen.teach, config, checked_device(device))


def estimate_pretraining(
    preset: str | Preset | PretrainConfig = "quick", device: str = "auto"
) -> StagesPreflight:
    """Estimate time, memory and disk of `pretrain_from` in the same way.

    Raises
    ------
    DeviceError if there is no such device; InvalidInputError for an unknown preset.
    """
    chosen = preset if isinstance(preset, PretrainConfig) else preset_of(preset).pretrain
    return _of_teaching(chosen.teacher, chosen, "pretrain", checked_device(device))


def estimate_teaching(teacher: Checkpoint, config: TeachConfig) -> StagesPreflight:
    """Estimate time, memory and disk of `teach_from` in the same way."""
    network = TeacherConfig.from_dict(teacher.card.config)
    return _of_teaching(network, config, "teacher", checked_device(config.device))


def estimate_distilling(teacher: Checkpoint | None, config: DistillConfig) -> StagesPreflight:
    """Estimate time, memory and disk of `distill_from` in the same way."""
    return _of_stages(teacher, None, config, checked_device(config.device))


def _of_teaching(
    network: TeacherConfig, config: PretrainConfig | TeachConfig, stage: str, place: str
) -> StagesPreflight:
    """Return what one stage of a teacher takes."""
    cost, weights = _sizes(network)
    stages = {stage: cost * _teaching(config) / _speed(place, network.network)}
    return _preflight(
        stages, place, weights, _memory(cost, weights, config.batch), weights * BYTES_PER_WEIGHT
    )


def _of_stages(
    teacher: Checkpoint | None, teach: TeachConfig | None, distill: DistillConfig, place: str
) -> StagesPreflight:
    """Return what teaching a student takes, behind the fine-tuning of its teacher where there is one."""
    net = Student(StudentConfig())
    student = giga_macs(net, max(distill.patch))
    patches = distill.batch + distill.unlabelled
    seen = distill.steps * distill.accumulate * patches
    stages = dict.fromkeys(("teacher", "answers"), 0.0)
    stages["student"] = student * PASSES * seen / _speed(place, "student")
    kept = parameters_of(net) * BYTES_PER_WEIGHT + int(_kept(distill))
    if teacher is None:
        return _preflight(stages, place, 0, int(student * 1e9 * BYTES_PER_MAC * patches), kept)
    network = TeacherConfig.from_dict(teacher.card.config)
    (cost, weights), speed = _sizes(network), _speed(place, network.network)
    stages["answers"] = cost * _asking(distill) / speed
    asked = patches if METHODS[distill.method].needs_live_teacher else 1
    memory = _memory(cost, weights, asked if teach is None else max(asked, teach.batch))
    if teach is not None:
        stages["teacher"] = cost * _teaching(teach) / speed
    return _preflight(stages, place, weights, memory, weights * BYTES_PER_WEIGHT + kept)


def _sizes(config: TeacherConfig) -> tuple[float, int]:
    """Return the GMAC of a patch and the weights of a teacher."""
    network = Teacher(config)
    return giga_macs(network, config.patch), parameters_of(network)


def _memory(cost: float, weights: int, patches: int) -> int:
    """Return the bytes of a step of a teacher on so many patches at a time."""
    return int(weights * BYTES_PER_WEIGHT + cost * 1e9 * BYTES_PER_MAC * patches)


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


def _asking(config: DistillConfig) -> float:
    """Return the passes of a patch through the teacher for its answers."""
    kind = METHODS[config.method]
    if not kind.needs_teacher:
        return 0.0
    if kind.needs_live_teacher:
        return float(config.steps * config.accumulate * (config.batch + config.unlabelled))
    return float(config.pool * (1 + kind.needs_unlabelled) * (1 + MIRRORINGS * keeps_soft(config)))


def _kept(config: DistillConfig) -> float:
    """Return the bytes of the teacher's answers."""
    kind = METHODS[config.method]
    if kind.needs_live_teacher or not kind.needs_teacher:
        return 0.0
    voxels = math.prod(config.patch) / (1 if keeps_soft(config) else 8)
    return config.pool * (1 + kind.needs_unlabelled) * voxels


def _speed(device: str, network: str) -> float:
    """Return GMAC/s."""
    if device != "cpu":
        return GPU_SPEED
    return CPU_SPEEDS.get(network, 4.0) * (psutil.cpu_count(logical=False) or 1)


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
