"""Training patches: a pool of phantoms on disk, and batches that are a function of (seed, step) alone.

Notation: B batch; a patch is (z, y, x). Volumes thinner than the patch are filled by reflection, as inference
does it, and the filling is marked invalid.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage.morphology import skeletonize
from torch import Tensor

from napari_vesselkd.geometry import Shape
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.training.augment import AugmentConfig, change_appearance, orient
from napari_vesselkd.volume import IntensityWindow

PERCENTILES = (90.0, 92.5, 95.0, 97.0, 98.0, 99.0, 99.5)
VESSEL, CENTRELINE, UNLABELLED = 1, 2, 4  # bits of a mask


@dataclass(frozen=True)
class Batch:
    """One training step's data, each (B, 1, Z, Y, X) float32.

    Attributes
    ----------
    image : Tensor
        In [0, 1].
    label : Tensor
        0 or 1.
    centreline : Tensor
        0 or 1: the label's skeleton, dilated by two voxels, inside the label (for skeleton recall).
    valid : Tensor
        0 where the patch was filled beyond its volume or is not labelled: no loss there.
    names : tuple of str
        Where the patches come from, for messages.
    statistics : int, optional
        Which of the run's fixed normalisation statistics to use; by default the batch's own (live).
    """

    image: Tensor
    label: Tensor
    centreline: Tensor
    valid: Tensor
    names: tuple[str, ...] = ()
    statistics: int | None = None

    def to(self, device: torch.device) -> Batch:
        """Return it on a device, with the channels last in memory."""
        layout = torch.channels_last_3d if self.image.dim() == 5 else torch.channels_last
        image = self.image.to(device, memory_format=layout)
        label, line, valid = (part.to(device) for part in (self.label, self.centreline, self.valid))
        return replace(self, image=image, label=label, centreline=line, valid=valid)


@dataclass(frozen=True)
class PatchConfig:
    """How patches are drawn.

    Attributes
    ----------
    shape : tuple of int
        Voxels (z, y, x) of a patch.
    batch : int
        Patches per step.
    thin : float
        Share of patches cut to a thin stack and filled in z, as stacks of few slices are.
    thinnest : int
        Slices of the thinnest such stack.
    upper : tuple of float
        Range of the upper percentile of the intensity window (lower is 0).
    """

    shape: Shape = (32, 96, 96)
    batch: int = 4
    thin: float = 0.5
    thinnest: int = 10
    upper: tuple[float, float] = (90.0, 99.5)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


def fill_pool(
    folder: Path, phantom_of: Callable[[int], PhantomConfig], seeds: Sequence[int], workers: int = 1
) -> Iterator[Report]:
    """Write the phantom of each seed into `folder`; those that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not phantom_path(folder, seed).exists()]
    start, done = monotonic(), len(seeds) - len(missing)
    with ProcessPoolExecutor(workers) as executor:
        jobs = (
            executor.submit(_write_phantom, phantom_path(folder, seed), phantom_of(seed)) for seed in missing
        )
        for number, job in enumerate(list(jobs), start=1):
            job.result()
            yield Progress(done + number, len(seeds), "phantoms", monotonic() - start, resumed=done)


class PhantomPatches:
    """Batches from a pool; call with a step's number. The same seed and step give the same batch.

    Parameters
    ----------
    folder : Path
        Filled by `fill_pool`.
    seeds : sequence of int
        Which phantoms.
    config : PatchConfig
    seed : int
        Of places, orientation and appearance.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], config: PatchConfig, seed: int = 0) -> None:
        self.folder, self.seeds, self.config, self.seed = folder, list(seeds), config, seed
        self._read = cache(self._load)

    def __call__(self, step: int) -> Batch:
        """Return the batch of `step`; negative steps are other batches (for calibration)."""
        rng = np.random.default_rng([self.seed, abs(step), int(step < 0)])
        patches = [self._patch(rng) for _ in range(self.config.batch)]
        return to_batch(patches, names=("phantoms",))

    def _load(
        self, index: int
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        with np.load(phantom_path(self.folder, self.seeds[index]), allow_pickle=False) as stored:
            return stored["image"], stored["mask"], stored["window"]

    def _patch(self, rng: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
        config = self.config
        raw, mask, window = self._read(int(rng.integers(len(self.seeds))))
        depth = config.shape[0]
        if rng.random() < config.thin:
            depth = int(rng.integers(config.thinnest, config.shape[0] + 1))
        sides = (min(depth, raw.shape[0]), *config.shape[1:])
        start = [int(rng.integers(n - side + 1)) for n, side in zip(raw.shape, sides, strict=True)]
        place = tuple(slice(low, low + side) for low, side in zip(start, sides, strict=True))
        high = np.interp(rng.uniform(*config.upper), PERCENTILES, window[1:])
        image = IntensityWindow(float(window[0]), float(high)).apply(raw[place])
        image = change_appearance(image, config.augment, rng)
        image, label = orient((image, mask[place]), rng)
        return fill(image, label, config.shape)


def fill(
    image: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8], shape: Shape
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return image and mask (z, y, x) reflected at their ends to `shape`, and the valid mask."""
    width = [(0, side - n) for side, n in zip(shape, image.shape, strict=True)]
    valid = np.pad((mask & UNLABELLED == 0).astype(np.float32), width)
    return np.pad(image, width, mode="reflect"), np.pad(mask, width, mode="reflect"), valid


def to_batch(
    patches: Sequence[tuple[npt.NDArray[Any], ...]],
    *,
    names: tuple[str, ...] = (),
    statistics: int | None = None,
) -> Batch:
    """Return a batch of patches, each the image, the mask and the valid mask (z, y, x)."""
    image, mask, valid = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*patches, strict=True))
    vessel, line = (mask & VESSEL).float(), (mask & CENTRELINE).ne(0).float()
    return Batch(image, vessel, line, valid, names, statistics)


def tube(label: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the skeleton of `label` (z, y, x), dilated twice and kept inside it."""
    skeleton = skeletonize(label > 0) > 0
    return np.asarray(ndimage.binary_dilation(skeleton, iterations=2) & (label > 0))


def phantom_path(folder: Path, seed: int) -> Path:
    """Return where `fill_pool` puts a phantom."""
    return folder / f"phantom-{seed:06d}.npz"


def _write_phantom(path: Path, config: PhantomConfig) -> None:
    phantom = make_phantom(config)
    mask = phantom.label * np.uint8(VESSEL) + tube(phantom.label).astype(np.uint8) * np.uint8(CENTRELINE)
    low = float(phantom.image.min())
    window = np.array([low, *np.percentile(phantom.image, PERCENTILES)])
    aside = path.with_suffix(f".{os.getpid()}.part.npz")
    size = np.array(phantom.voxel_size_um)
    try:
        np.savez(aside, image=phantom.image, mask=mask, window=window, voxel_size_um=size)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    aside.replace(path)
