"""Make the small teacher that comes with the package, from phantoms alone.

    python -m napari_vesselkd.training.bundled_teacher --out DIR [--seed N]

Pretraining without labels (stage A of VpbSD), then learning to segment with all weights (stage B), while it
goes on reconstructing, so that its codes go on meaning something. A run that was stopped goes on where it was
when the command is given again; the card records the command, seed, time and configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from napari_vesselkd.checkpoints import CheckpointRegistry, save_checkpoint
from napari_vesselkd.reports import Report
from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.bundled import HELD_OUT, RECIPES, commit, phantom_config
from napari_vesselkd.training.crops import BACKGROUND, FOREGROUND, Crop
from napari_vesselkd.training.patches import VESSEL, fill_pool, phantom_path
from napari_vesselkd.training.presets import SMALL
from napari_vesselkd.training.pretrain import PretrainConfig, pretrain
from napari_vesselkd.training.sources import Material
from napari_vesselkd.training.streams import source_of_crop
from napari_vesselkd.training.teach import TeachConfig, teach
from napari_vesselkd.training.validation import probability, scores

NAME = "teacher-small"
WHOLE_PHANTOMS = 80  # of each recipe, to pretrain on
PHANTOMS = 240  # of each recipe, to learn to segment from
HELD_OUT_PHANTOMS = 8  # of each recipe
UPPER = 99.0
THIN = {"coarse-z": (0.4, 10), "isotropic": (0.2, 16)}  # share cut to a thin stack, and its fewest slices
UPPERS = (95.0, 99.5)  # percentiles of their windows
PRETRAIN = PretrainConfig(teacher=SMALL, steps=1200, batch=4, upper=UPPER, look_every=200, name="pretrained")
TEACH = TeachConfig(
    steps=3000,
    learning_rate=1e-3,
    head_rate=1e-3,
    codes="following",
    reconstruction=10.0,
    cross_entropy=1.0,
    skeleton_recall=1.0,
    augment=AugmentConfig(),
    validate_every=1000,
    name=NAME,
)


def make_teacher(out: Path, *, seed: int = 0, command: str = "") -> Iterator[Report]:
    """Write the checkpoint and its card to `out`, intermediate files to out/run."""
    run = out / "run" / NAME
    whole = yield from whole_phantoms(run / "phantoms", seed)
    yield from pretrain(whole, run / "pretrain", replace(PRETRAIN, seed=seed))
    material = yield from phantoms(run / "phantoms", seed)
    pretrained = CheckpointRegistry().get(run / "pretrain" / "checkpoints" / PRETRAIN.name)
    yield from teach(material, pretrained, run / "teach", replace(TEACH, seed=seed))
    taught = CheckpointRegistry().get(run / "teach" / "checkpoints" / NAME)
    lineage = {
        **taught.card.lineage,
        "parent": "pretraining by the same command",
        "pretraining": {**pretrained.card.lineage, **pretrained.card.metrics},
        "data": material.about["source"],
        "seed": seed,
        "command": command,
        "commit": commit(),
    }
    description = "Small teacher with its codebook (SegResNet), trained on phantoms"
    teacher = taught.load().half()  # half the size
    metrics = {"held_out_phantoms": _scores(teacher.float(), material.watched)}
    card = replace(taught.card, description=description, lineage=lineage, metrics=metrics)
    save_checkpoint(out / NAME, teacher.half(), card)


def whole_phantoms(pool: Path, seed: int) -> Generator[Report, None, Material]:
    """Return what the teacher is pretrained on."""
    crops: list[Crop] = []
    for name in reversed(THIN):
        first = HELD_OUT * 2 * seed
        crops += yield from _whole_crops(pool / name, name, range(first, first + WHOLE_PHANTOMS))
    return _material(crops, ())


def phantoms(pool: Path, seed: int) -> Generator[Report, None, Material]:
    """Return what the teacher learns to segment from; whole phantoms that it does not are watched."""
    learned: list[Crop] = []
    held_out: list[Crop] = []
    for name in THIN:
        first, other = HELD_OUT * 2 * seed, HELD_OUT * (2 * seed + 1)
        learned += yield from varied_crops(pool / name, name, range(first, first + PHANTOMS), seed)
        held_out += yield from _whole_crops(pool / name, name, range(other, other + HELD_OUT_PHANTOMS))
    return _material(learned, held_out)


def _material(crops: Sequence[Crop], watched: Sequence[Crop]) -> Material:
    sources = tuple(source_of_crop(crop) for crop in crops)
    about = {"source": f"{len(sources)} phantoms of napari_vesselkd.phantoms, no real volume"}
    return Material(sources, (), tuple(watched), crops[0].voxel_size_um, about)


def _whole_crops(pool: Path, name: str, seeds: Sequence[int]) -> Generator[Report, None, list[Crop]]:
    """Return phantoms of a recipe as they are."""
    yield from fill_pool(pool, partial(phantom_config, RECIPES[name]), seeds)
    return [crop_of_phantom(phantom_path(pool, number), name) for number in seeds]


def varied_crops(
    pool: Path, name: str, seeds: Sequence[int], seed: int
) -> Generator[Report, None, list[Crop]]:
    """Return phantoms of a recipe to learn from: windows of several percentiles, some thin as stacks are."""
    yield from fill_pool(pool, partial(phantom_config, RECIPES[name]), seeds)
    share, thinnest = THIN[name]
    crops = []
    for number in seeds:
        rng = np.random.default_rng([seed, number])
        crop = crop_of_phantom(phantom_path(pool, number), name, rng.uniform(*UPPERS))
        crops.append(_thin(crop, thinnest, rng) if rng.random() < share else crop)
    return crops


def _thin(crop: Crop, thinnest: int, rng: np.random.Generator) -> Crop:
    """Return some slices of a crop, as thin stacks have."""
    depth = crop.image.shape[0]
    slices = int(rng.integers(thinnest, depth + 1))
    start = int(rng.integers(depth - slices + 1))
    part = slice(start, start + slices)
    return replace(crop, image=crop.image[part], label=crop.label[part])


def _scores(teacher: nn.Module, crops: Sequence[Crop]) -> dict[str, float]:
    """Return Dice and clDice on phantoms that were not learned from."""
    dice, cldice = scores(crops, [probability(teacher, crop.scaled()) >= 0.5 for crop in crops])
    return {"count": len(crops), "dice": round(dice, 4), "cldice": round(cldice, 4)}


def crop_of_phantom(path: Path, recipe: str, upper: float = UPPER) -> Crop:
    """Return a phantom of the pool as a labelled crop; `upper` is the percentile of its window."""
    with np.load(path, allow_pickle=False) as stored:
        image, mask = stored["image"], stored["mask"]
        z, y, x = (float(value) for value in stored["voxel_size_um"])
    label = np.where(mask & VESSEL, FOREGROUND, BACKGROUND).astype(np.uint8)
    window = (float(image.min()), float(np.percentile(image, upper)))
    return Crop(f"{recipe} {path.stem}", image, label, window, path.stem, (z, y, x))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m napari_vesselkd.training.bundled_teacher", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    words = ["DIR" if word == str(given.out) else word for word in arguments or sys.argv[1:]]
    command = " ".join(["python -m napari_vesselkd.training.bundled_teacher", *words])
    for report in make_teacher(given.out, seed=given.seed, command=command):
        print(json.dumps(report.to_dict()), flush=True)


if __name__ == "__main__":
    main()
