"""Make the checkpoints that come with the package, from phantoms alone.

    python -m napari_vesselkd.training.bundled --out DIR [--recipe coarse-z] [--steps N] [--seed N]

A run that was stopped goes on where it was when the command is given again. The card of each checkpoint
records the command, seed, time, commit and configuration.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_vesselkd.checkpoints import CheckpointCard, save_checkpoint
from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.geometry import Shape, as_shape
from napari_vesselkd.measure import evaluate
from napari_vesselkd.models import (
    Student,
    StudentConfig,
    freeze_statistics,
    measure_reach,
    set_statistics,
    statistics_of,
)
from napari_vesselkd.models.streaming import StreamingStudent, exact_reach
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.reports import Report
from napari_vesselkd.training.fit import FitConfig, fit
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.patches import Batch, PatchConfig, PhantomPatches, fill_pool
from napari_vesselkd.training.timing import seconds_of, timed
from napari_vesselkd.volume import IntensityWindow, volume_from_arrays

HELD_OUT = 1_000_000
IN_PLANE_UM = (0.6, 2.6)
CALIBRATION = 24  # batches over which the statistics stored with the weights are measured


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights of one bundled checkpoint.

    Attributes
    ----------
    name, description : str
    anisotropy : tuple of float
        Range of z to in-plane voxel size for which the registry chooses it.
    trained : tuple of float
        Range of that ratio in training, wider than the one it is chosen for.
    phantom_shape : tuple of int
        Voxels (z, y, x) of each phantom.
    phantoms, held_out : int
        How many to train on, and how many others to choose the threshold and report scores on.
    upper : float
        Upper percentile of the intensity window at inference.
    """

    name: str
    description: str
    anisotropy: tuple[float, float]
    trained: tuple[float, float]
    model: StudentConfig
    phantom_shape: Shape = (32, 160, 160)
    phantoms: int = 400
    held_out: int = 24
    upper: float = 99.0
    threshold: float = 0.5
    seed: int = 0
    patches: PatchConfig = field(default_factory=PatchConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    loss: LossConfig = field(default_factory=LossConfig)


RECIPES = {
    "coarse-z": Recipe(
        name="student-coarse-z",
        description="Vessel student for stacks with coarse z (two-photon, confocal), trained on phantoms",
        anisotropy=(1.9, 1e9),
        trained=(1.6, 7.0),
        model=StudentConfig(stem_stride=(1, 2, 2), strides=((1, 2, 2), 2, 2, 2)),
        patches=PatchConfig(shape=(16, 128, 128), batch=3, thin=0.4, upper=(95.0, 99.5)),
        fit=FitConfig(steps=1600),
    ),
    "hr-coarse-z": Recipe(
        name="student-hr-coarse-z",
        description="Vessel student at full resolution for stacks with coarse z, trained on phantoms; slower",
        anisotropy=(1.9, 1e9),
        trained=(1.6, 7.0),
        model=StudentConfig(stem_stride=None, strides=((1, 2, 2), (1, 2, 2), 2, 2)),
        patches=PatchConfig(shape=(16, 96, 96), batch=3, thin=0.4, upper=(95.0, 99.5)),
        fit=FitConfig(steps=1400),
    ),
    "isotropic": Recipe(
        name="student-isotropic",
        description="Vessel student for nearly isotropic volumes (light-sheet, CT, MR), trained on phantoms",
        anisotropy=(0.0, 1.9),
        trained=(0.7, 2.2),
        model=StudentConfig(),
        phantom_shape=(80, 112, 112),
        patches=PatchConfig(shape=(64, 64, 64), thin=0.2, upper=(95.0, 99.5)),
        fit=FitConfig(steps=1600),
    ),
}


def make_bundled(recipe: Recipe, out: Path, *, workers: int = 1, command: str = "") -> Iterator[Report]:
    """Train the recipe's student; write its checkpoint and card to `out`, intermediate files to out/run."""
    run = out / "run" / recipe.name
    with timed(run):
        seeds = [recipe.seed * HELD_OUT * 2 + n for n in range(recipe.phantoms)]
        yield from fill_pool(run / "phantoms", partial(phantom_config, recipe), seeds, workers)
        torch.manual_seed(recipe.seed)
        model = Student(recipe.model)
        patches = PhantomPatches(run / "phantoms", seeds, recipe.patches, recipe.seed)

        def terms_of(net: Student, batch: Batch, _step: int) -> dict[str, Tensor]:
            return segmentation_terms(net(batch.image), batch, recipe.loss)

        yield from fit(model, patches, terms_of, recipe.fit, run / "state.safetensors")
    freeze_statistics(model, [patches(-1 - number).image for number in range(CALIBRATION)])
    lineage = {
        "command": command,
        "seed": recipe.seed,
        "data": f"{recipe.phantoms} phantoms of napari_vesselkd.phantoms, no real volume",
        "commit": commit(),
        "seconds": round(seconds_of(run)),
        "parent": None,
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "torch": torch.__version__,
    }
    save_checkpoint(out / recipe.name, model, replace(describe(model, recipe), lineage=lineage))


def phantom_config(recipe: Recipe, seed: int) -> PhantomConfig:
    """Return the phantom of `seed`: in-plane voxels of any size in the range, z by the recipe's ratios."""
    rng = np.random.default_rng([seed, 7])
    xy = math.exp(rng.uniform(*np.log(IN_PLANE_UM)))
    z = min(xy * math.exp(rng.uniform(*np.log(recipe.trained))), 6.5)
    size = (round(max(z, recipe.trained[0] * xy), 3), round(xy, 3), round(xy, 3))
    return PhantomConfig(shape=recipe.phantom_shape, seed=seed, voxel_size_um=size)


def describe(model: Student, recipe: Recipe, depth: int = 0) -> CheckpointCard:
    """Return the card of a trained model: its halo, and its scores on phantoms it has not seen.

    `depth` is its `statistics_depth`.
    """
    low, high = recipe.trained
    return CheckpointCard(
        name=recipe.name,
        description=recipe.description,
        config=model.config.to_dict(),
        voxel_size_um={
            "anisotropy": list(recipe.anisotropy),
            "trained_anisotropy": [low, high],
            "in_plane": list(IN_PLANE_UM),
        },
        intensity={"lower": 0.0, "upper": recipe.upper},
        padding="reflect",
        calibration={"threshold": recipe.threshold, "temperature": 1.0},
        halo=exact_reach(StreamingStudent(model).strides),
        normalisation="volume",
        statistics_depth=depth,
        metrics={
            "held_out_phantoms": held_out_scores(model, recipe, depth),
            "label_reach": label_reach(model, recipe),
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@torch.no_grad()
def held_out_scores(model: Student, recipe: Recipe, depth: int = 0) -> dict[str, Any]:
    """Return mean Dice and clDice on phantoms that were not trained on, calibrated as inference does it."""
    scores, trained = [], statistics_of(model)
    for number in range(recipe.held_out):
        phantom = make_phantom(phantom_config(recipe, HELD_OUT + number))
        size = phantom.voxel_size_um
        volume = volume_from_arrays([phantom.image], voxel_size_um=size, name=f"phantom {number}")
        window = _window(phantom.image, recipe.upper)
        calibrate(model, volume, window, stride=as_shape(model.total_stride), padding="reflect", depth=depth)
        probability = _probability(model, window.apply(phantom.image))
        scores.append(evaluate(probability >= recipe.threshold, phantom.label > 0))
    set_statistics(model, trained)
    return {
        "count": len(scores),
        "dice": round(float(np.nanmean([score.dice for score in scores])), 4),
        "cldice": round(float(np.nanmean([score.cldice for score in scores])), 4),
    }


def label_reach(model: Student, recipe: Recipe) -> list[int]:
    """Return how far from a cut labels change at most, (z, y, x) voxels, on three unseen phantoms."""
    shape = as_shape([max(32, 8 * stride) for stride in model.total_stride])
    found = []
    for number in range(3):
        config = replace(phantom_config(recipe, HELD_OUT + number), shape=shape)
        image = make_phantom(config).image
        volume = torch.from_numpy(_window(image, recipe.upper).apply(image))[None, None]
        found.append(measure_reach(model, volume, threshold=recipe.threshold))
    return [max(axis) for axis in zip(*found, strict=True)]


def _window(image: Any, upper: float) -> IntensityWindow:
    return IntensityWindow(float(image.min()), float(np.percentile(image, upper)))


def _probability(model: Student, image: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, Any]:
    width = [(0, -side % stride) for side, stride in zip(image.shape, model.total_stride, strict=True)]
    padded = torch.from_numpy(np.pad(image, width, mode="reflect"))[None, None]
    z, y, x = image.shape
    return np.asarray(torch.sigmoid(model(padded))[0, 0, :z, :y, :x])


def commit() -> str:
    """Return the commit of the source, or "unknown"."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m napari_vesselkd.training.bundled", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", choices=[*RECIPES, "all"], default="all")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phantoms", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    words = ["DIR" if word == str(given.out) else word for word in arguments or sys.argv[1:]]
    command = " ".join(["python -m napari_vesselkd.training.bundled", *words])
    for key in RECIPES if given.recipe == "all" else [given.recipe]:
        recipe = replace(RECIPES[key], seed=given.seed)
        if given.steps:
            recipe = replace(recipe, fit=replace(recipe.fit, steps=given.steps))
        if given.phantoms:
            recipe = replace(recipe, phantoms=given.phantoms)
        for report in make_bundled(recipe, given.out, workers=given.workers, command=command):
            print(json.dumps(report.to_dict()), flush=True)


if __name__ == "__main__":
    main()
