"""What is said before a stage of VpbSD begins: presets, the teacher it begins with, time, memory, disk.

The answer needs torch and MONAI. Importing them in a thread of the viewer would hold the GUI thread up for
seconds, so a process of its own finds out.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil

from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError, VesselKDError
from napari_vesselkd.plugin.failure import in_the_dock
from napari_vesselkd.plugin.goals import AUTO, PUBLISHED, QUICK, Goal, LearnForm
from napari_vesselkd.plugin.learn_state import Offer
from napari_vesselkd.plugin.visible import describe_bytes


def ask_for_offer(project: Path, form: LearnForm) -> Offer:
    """Return what `read_offer` says in a process of its own; takes seconds, for a worker."""
    words = [sys.executable, "-m", "napari_vesselkd.plugin.teaching", str(project), *_words(form)]
    answer = subprocess.run(  # noqa: S603  (our own module)
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    try:
        return Offer(**json.loads(answer.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        said = answer.stderr.strip().splitlines()
        return Offer(problem=said[-1] if said else "What teaching takes could not be found out")


def _words(form: LearnForm) -> list[str]:
    return [form.goal.name, form.preset, form.teacher, form.method]


def read_offer(project: Path, form: LearnForm) -> Offer:
    """Return what a stage means in a project; a problem is part of the answer."""
    from napari_vesselkd.learning.stages import (
        choose_teacher,
        estimate_pretraining,
        estimate_stages,
        estimate_teaching,
        preset_of,
    )
    from napari_vesselkd.training.presets import PRESETS

    preset = preset_for(accelerators())
    descriptions = {name: one.description for name, one in PRESETS.items()}
    begins = ""
    try:
        if form.goal is Goal.PRETRAIN:
            estimate = estimate_pretraining(form.preset)
        else:
            teacher = choose_teacher(project, form.teacher)
            begins = teacher.card.name
            if form.goal is Goal.TUNE:
                estimate = estimate_teaching(teacher, preset_of(form.preset).teach)
            else:
                method = form.method or None
                estimate = estimate_stages(project, form.preset, teacher=form.teacher, method=method)
    except (CheckpointError, CheckpointNotFoundError) as error:
        return Offer(descriptions, problem=_no_teacher(error, form.teacher), preset=preset)
    except VesselKDError as error:
        return Offer(descriptions, problem=_sentence(error), preset=preset)
    tight = what_is_tight(
        estimate.ram_bytes,
        psutil.virtual_memory().available,
        estimate.disk_bytes,
        shutil.disk_usage(project).free,
    )
    return Offer(descriptions, teacher=begins, estimate=estimate.text, tight=tight, preset=preset)


def accelerators() -> int:
    """Return how many CUDA devices there are."""
    import torch

    return torch.cuda.device_count()


def preset_for(gpus: int) -> str:
    """Return the preset to begin with: the paper's steps would take a CPU weeks."""
    return PUBLISHED if gpus else QUICK


def what_is_tight(ram: float, free_ram: float, disk: float, free_disk: float) -> str:
    """Return what there is too little of, all in bytes; empty where there is enough."""
    parts = []
    if ram > free_ram:
        parts.append(f"{describe_bytes(free_ram)} of memory")
    if disk > free_disk:
        parts.append(f"{describe_bytes(free_disk)} of disk")
    return f"Only {' and '.join(parts)} {'is' if len(parts) == 1 else 'are'} free" if parts else ""


def _no_teacher(error: VesselKDError, teacher: str) -> str:
    if teacher == AUTO and isinstance(error, CheckpointNotFoundError):
        return "There is no teacher to begin with: choose Pretrain a new teacher"
    return _sentence(error)


def _sentence(error: VesselKDError) -> str:
    value = f": {error.value}" if error.value is not None else ""
    remedy = f". {in_the_dock(error.remedy)}" if error.remedy else ""
    return f"{error.what}{value}{remedy}"


if __name__ == "__main__":
    asked = LearnForm(goal=Goal[sys.argv[2]], preset=sys.argv[3], teacher=sys.argv[4], method=sys.argv[5])
    sys.stdout.write(json.dumps(asdict(read_offer(Path(sys.argv[1]), asked))) + "\n")
