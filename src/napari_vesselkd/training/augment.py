"""Random appearance and orientation of training patches.

Notation: an image is float32 (z, y, x) in [0, 1]; a mask is uint8 (z, y, x). Voxels may be anisotropic, so
quarter turns stay in the y-x plane; mirroring is safe along every axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.training.checking import check_at_least, check_shares, check_weights

Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AugmentConfig:
    """How often and how strongly the appearance changes. Each change has its own probability.

    Attributes
    ----------
    gamma : float
        Largest exponent, applied or inverted.
    contrast : float
        Largest relative change of contrast about the patch's mean.
    brightness : float
        Largest shift.
    blur : float
        Largest standard deviation in voxels, in the plane; half of it along z. 0: none.
    noise : float
        Largest standard deviation of added Gaussian noise.
    low_resolution : float
        Largest in-plane factor of simulated coarser sampling. 1: none.
    probability : float
        Of each of them.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    gamma: float = 1.8
    contrast: float = 0.35
    brightness: float = 0.1
    blur: float = 1.2
    noise: float = 0.08
    low_resolution: float = 2.0
    probability: float = 0.3

    def __post_init__(self) -> None:
        check_weights(self, "gamma", "contrast", "brightness", "blur", "noise", "low_resolution")
        check_at_least(self, gamma=1, low_resolution=1)
        check_shares(self, "probability")


@dataclass(frozen=True)
class Symmetry:
    """Mirrors along `axes` (0 z, 1 y, 2 x), then quarter `turns` in the plane."""

    axes: tuple[int, ...]
    turns: int

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `array` (z, y, x) mirrored and turned."""
        return np.rot90(np.flip(array, self.axes), self.turns, axes=(1, 2))

    def axis(self, axis: int) -> int:
        """Return where an axis of the array lies afterwards."""
        return 3 - axis if axis and self.turns % 2 else axis


def draw_symmetry(rng: np.random.Generator) -> Symmetry:
    """Return a random symmetry: mirrors on 3 axes, turns in the plane."""
    flips = rng.integers(2, size=3)
    turns = int(rng.integers(4))
    return Symmetry(tuple(int(axis) for axis in np.flatnonzero(flips)), turns)


def orient(arrays: tuple[npt.NDArray[Any], ...], rng: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
    """Return all arrays (z, y, x) under one random symmetry."""
    symmetry = draw_symmetry(rng)
    return tuple(symmetry.apply(array) for array in arrays)


def change_appearance(image: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Return `image` after a random subset of the changes, clipped to [0, 1]."""
    apply = rng.random(6) < config.probability
    if apply[0] and config.blur:
        image = _blurred(image, rng.uniform(min(0.2, config.blur), config.blur), rng.uniform(0.0, 0.5))
    if apply[1] and config.low_resolution > 1:
        image = _coarser(image, rng.uniform(min(1.2, config.low_resolution), config.low_resolution))
    if apply[2]:
        image = image ** np.float32(config.gamma ** rng.uniform(-1, 1))
    if apply[3]:
        mean = image.mean()
        image = (image - mean) * np.float32(1 + rng.uniform(-1, 1) * config.contrast) + mean
    if apply[4]:
        image = image + np.float32(rng.uniform(-1, 1) * config.brightness)
    if apply[5]:
        sigma = np.float32(rng.uniform(0, config.noise))
        image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1).astype(np.float32, copy=False)


def _blurred(image: Image, sigma: float, along_z: float) -> Image:
    return np.asarray(ndimage.gaussian_filter(image, (sigma * along_z, sigma, sigma), truncate=2.5))


def _coarser(image: Image, factor: float) -> Image:
    """Return `image` as if sampled `factor` times coarser in the plane, at its old shape."""
    sampled = ndimage.zoom(image, (1, 1 / factor, 1 / factor), order=1, grid_mode=True, mode="nearest")
    back = [new / old for new, old in zip(image.shape, sampled.shape, strict=True)]
    return np.asarray(ndimage.zoom(sampled, back, order=1, grid_mode=True, mode="nearest"), np.float32)
