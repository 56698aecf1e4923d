"""Make students by VpbSD, such as the bundled isotropic one: taught by a teacher, on phantoms alone.

    python -m napari_vesselkd.training.bundled_students --out DIR [--teacher NAME] [--recipe coarse-z]
        [--start student-coarse-z] [--method baseline]

Half of a recipe's phantoms are learned from with their labels, the others as unlabelled volumes (stage C of
VpbSD); with --start by a student that labels alone have taught already (`napari_vesselkd.training.bundled`).
With --method baseline the labels of that half alone are learned from: what teaching is to be compared with.
A run that was stopped goes on where it was when the command is given again; the card records the command,
the teacher, seed, time and configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry, save_checkpoint
from napari_vesselkd.distillation import METHODS
from napari_vesselkd.models import Student
from napari_vesselkd.reports import Report
from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.bundled import HELD_OUT, RECIPES, Recipe, commit, describe
from napari_vesselkd.training.bundled_teacher import NAME as TEACHER
from napari_vesselkd.training.bundled_teacher import varied_crops
from napari_vesselkd.training.distill import DistillConfig, distill, distill_by
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import Source, source_of_crop

PATCHES = {"coarse-z": (32, 128, 128), "isotropic": (64, 64, 64)}
TAUGHT = {"vpbsd": "taught on phantoms by VpbSD", "baseline": "trained on phantoms"}
DISTILL = DistillConfig(
    options={"soft": True},
    steps=1600,
    batch=2,
    unlabelled=1,
    learning_rate=5e-3,
    average=0.995,
    cross_entropy=1.0,
    augment=AugmentConfig(),
    pool=80,
)


def make_student(
    recipe: Recipe,
    key: str,
    teacher: Checkpoint,
    out: Path,
    config: DistillConfig,
    *,
    start: Checkpoint | None = None,
    command: str = "",
) -> Iterator[Report]:
    """Write the checkpoint of a recipe's student and its card to `out`, intermediate files to out/run."""
    run = out / "run" / recipe.name
    seeds = [recipe.seed * HELD_OUT * 2 + number for number in range(recipe.phantoms)]
    upper = float(teacher.card.intensity["upper"])
    crops = yield from varied_crops(run / "phantoms", key, seeds, recipe.seed)
    sources = [source_of_crop(crop) for crop in crops]
    half = len(sources) // 2
    hidden = (Source(one.name, one.volume, one.window) for one in sources[half:])
    about = {"source": f"{half} phantoms with labels, {len(sources) - half} without; no real volume"}
    material = Material(tuple(sources[:half]), tuple(hidden), (), crops[0].voxel_size_um, about)
    asked = replace(config, student=key, patch=PATCHES[key], seed=recipe.seed, name=recipe.name)
    heard = teacher if METHODS[config.method].needs_teacher else None
    yield from distill(material, heard, run, asked, start=start)
    taught = CheckpointRegistry().get(run / "checkpoints" / recipe.name)
    student = cast(Student, taught.load())
    card = describe(student, replace(recipe, upper=upper), taught.card.statistics_depth)
    made = {"data": about["source"], "seed": recipe.seed, "command": command, "commit": commit()}
    description = f"{recipe.description.removesuffix(', trained on phantoms')}, {TAUGHT[config.method]}"
    card = replace(card, description=description, lineage=taught.card.lineage | made)
    save_checkpoint(out / recipe.name, student, card)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m napari_vesselkd.training.bundled_students", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", default=TEACHER, help="name or path")
    parser.add_argument(
        "--start", help="student whose weights to begin with, a name or path; else random ones"
    )
    parser.add_argument("--method", choices=[*TAUGHT], default=DISTILL.method)
    parser.add_argument("--recipe", choices=[*PATCHES, "all"], default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=DISTILL.steps)
    parser.add_argument("--learning-rate", type=float, default=DISTILL.learning_rate)
    parser.add_argument("--phantoms", type=int, help="of each recipe")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    words = ["DIR" if word == str(given.out) else word for word in arguments or sys.argv[1:]]
    command = " ".join(["python -m napari_vesselkd.training.bundled_students", *words])
    teacher = CheckpointRegistry().get(given.teacher)
    for key in PATCHES if given.recipe == "all" else [given.recipe]:
        recipe = replace(RECIPES[key], seed=given.seed, phantoms=given.phantoms or RECIPES[key].phantoms)
        config = replace(DISTILL, steps=given.steps, learning_rate=given.learning_rate)
        config = distill_by(config, given.method)
        start = None if given.start is None else CheckpointRegistry().get(given.start)
        for report in make_student(recipe, key, teacher, given.out, config, start=start, command=command):
            print(json.dumps(report.to_dict()), flush=True)


if __name__ == "__main__":
    main()
