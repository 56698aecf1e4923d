"""Smooth noise and wide blurs that cost little: computed on a coarse grid and interpolated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def stretch(values: F32, shape: Sequence[int], *, centred: bool = False) -> F32:
    """Return `values` linearly interpolated to `shape`, axis by axis.

    `centred` puts the coarse values at the centres of equal bins, else the outermost ones at the borders.
    """
    for axis, n in enumerate(shape):
        coarse = values.shape[axis]
        if coarse == n:
            continue
        if coarse == 1:
            values = np.repeat(values, n, axis)
            continue
        at = (np.arange(n) + 0.5) * coarse / n - 0.5 if centred else np.linspace(0, coarse - 1, n)
        at = np.clip(at, 0, coarse - 1)
        low = np.minimum(at.astype(np.int64), coarse - 2)
        weight = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        first = np.take(values, low, axis)
        values = first + (np.take(values, low + 1, axis) - first) * weight
    return values


def smooth_noise(shape: Sequence[int], cells: Sequence[float] | F64, rng: np.random.Generator) -> F32:
    """Return smooth noise with standard deviation of about 1, varying over `cells` voxels (z, y, x)."""
    steps = [min(max(c, 1.0) / 2, n / 2) for n, c in zip(shape, cells, strict=True)]
    coarse = [n if step <= 1 else round(n / step) + 1 for n, step in zip(shape, steps, strict=True)]
    values = rng.standard_normal(coarse, dtype=np.float32)
    values = ndimage.gaussian_filter(
        values,
        [0.5 * max(c, 1.0) / max(s, 1.0) for c, s in zip(cells, steps, strict=True)],
        mode="nearest",
        truncate=3,
    )
    values -= values.mean()
    return stretch(values / max(float(values.std()), 1e-6), shape)


def wide_blur(image: F32, sigma: Sequence[float]) -> F32:
    """Return a Gaussian blur of `sigma` voxels (z, y, x), on a grid coarsened by at most sigma / 1.5."""
    factors = [max(1, min(int(s / 1.5), n)) for s, n in zip(sigma, image.shape, strict=True)]
    small = image
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, image.shape[axis], factor)
            counts = np.diff(np.append(starts, image.shape[axis])).astype(np.float32)
            small = np.add.reduceat(small, starts, axis)
            small = small / counts.reshape([-1 if a == axis else 1 for a in range(3)])
    scaled = [s * c / n for s, c, n in zip(sigma, small.shape, image.shape, strict=True)]
    small = ndimage.gaussian_filter(small, scaled, truncate=2.5)
    return stretch(small, image.shape, centred=True)
