"""Phantoms to learn from: crops with exact labels, as volumes are in practice."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs

from napari_vesselkd.reports import Report
from napari_vesselkd.training.bundled import RECIPES, Recipe, phantom_config
from napari_vesselkd.training.crops import BACKGROUND, FOREGROUND, Crop
from napari_vesselkd.training.patches import VESSEL, fill_pool, phantom_path
from napari_vesselkd.training.streams import Source, source_of_crop

PHANTOM_SEED = 3_000_000  # of the first that is mixed in: the bundled networks have not seen it
UPPER = 99.0
THIN = {  # share cut to a thin stack, and its fewest slices
    "coarse-z": (0.4, 10),
    "hr-coarse-z": (0.4, 10),
    "isotropic": (0.2, 16),
}
UPPERS = (95.0, 99.5)  # percentiles of their windows


def mixed_in(name: str, count: int) -> Generator[Report, None, list[Source]]:
    """Return the phantoms of a recipe to mix in against forgetting; made once, kept in the user's cache."""
    seeds = [PHANTOM_SEED + number for number in range(count)]
    crops = yield from varied_crops(phantom_folder(RECIPES[name]), name, seeds, 0)
    return [source_of_crop(crop) for crop in crops]


def phantom_folder(recipe: Recipe) -> Path:
    """Return where the phantoms of a recipe are kept between runs."""
    return platformdirs.user_cache_path("napari-vesselkd") / "phantoms" / recipe.name


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


def whole_crops(pool: Path, name: str, seeds: Sequence[int]) -> Generator[Report, None, list[Crop]]:
    """Return phantoms of a recipe as they are."""
    yield from fill_pool(pool, partial(phantom_config, RECIPES[name]), seeds)
    return [crop_of_phantom(phantom_path(pool, number), name) for number in seeds]


def crop_of_phantom(path: Path, recipe: str, upper: float = UPPER) -> Crop:
    """Return a phantom of the pool as a labelled crop; `upper` is the percentile of its window."""
    with np.load(path, allow_pickle=False) as stored:
        image, mask = stored["image"], stored["mask"]
        z, y, x = (float(value) for value in stored["voxel_size_um"])
    label = np.where(mask & VESSEL, FOREGROUND, BACKGROUND).astype(np.uint8)
    window = (float(image.min()), float(np.percentile(image, upper)))
    return Crop(f"{recipe} {path.stem}", image, label, window, path.stem, (z, y, x))


def _thin(crop: Crop, thinnest: int, rng: np.random.Generator) -> Crop:
    """Return some slices of a crop, as thin stacks have."""
    depth = crop.image.shape[0]
    slices = int(rng.integers(thinnest, depth + 1))
    start = int(rng.integers(depth - slices + 1))
    part = slice(start, start + slices)
    return replace(crop, image=crop.image[part], label=crop.label[part])
