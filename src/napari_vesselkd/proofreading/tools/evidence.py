"""How much a voxel looks like a vessel, by the image and the probability.

Notation: I image (z, y, x); v, b the typical intensity of vessel and of background near by; evidence
``s = clip((I - b) / (v - b), 0, 1)``. A probability p below one half is evidence too: ``min(2 p, 1)``.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

from napari_vesselkd.geometry import Region, VoxelSize
from napari_vesselkd.proofreading.tools.boxes import F32, F64, Mask, Source, read_values

SMOOTHING = 0.7  # of the image, in units of the smallest voxel side
LEAST_CONTRAST = 1e-6  # of the image's range


def read_evidence(
    image: Source | None,
    probability: Source | None,
    box: Region,
    *,
    inside: Mask,
    voxel_size_um: VoxelSize,
    seeds: Mask | None = None,
) -> F32:
    """Return the evidence for vessel in `box`, (z, y, x) float32, 0 to 1; 0 everywhere without sources.

    Parameters
    ----------
    image, probability : source or None
        The image may be bright or dark in vessels; the probability is 0..1.
    box : Region
    inside : ndarray of bool, (z, y, x)
        What is vessel in the box now: the typical intensity of a vessel is taken there.
    voxel_size_um : (z, y, x)
    seeds : ndarray of bool, (z, y, x), optional
        Where the typical intensity of a vessel is taken instead.
    """
    found = []
    if image is not None:
        sigma = SMOOTHING * min(voxel_size_um) / np.asarray(voxel_size_um)
        smooth = ndimage.gaussian_filter(read_values(image, box), sigma)
        found.append(normalised(smooth, inside, inside if seeds is None else seeds))
    if probability is not None:
        found.append(np.clip(2 * read_values(probability, box), 0, 1))
    if not found:
        return np.zeros(box.shape, np.float32)
    return np.asarray(np.mean(found, axis=0), np.float32)


def read_sight(
    image: Source | None,
    probability: Source | None,
    box: Region,
    *,
    inside: Mask,
    voxel_size_um: VoxelSize,
    seeds: Mask,
) -> tuple[F32, F32]:
    """Return the evidence as `read_evidence`, and the image on the same scale but not clipped.

    The second is the evidence where there is no image.
    """
    evidence = read_evidence(image, probability, box, inside=inside, voxel_size_um=voxel_size_um, seeds=seeds)
    if image is None:
        return evidence, evidence
    sigma = SMOOTHING * min(voxel_size_um) / np.asarray(voxel_size_um)
    smooth = ndimage.gaussian_filter(read_values(image, box), sigma)
    return evidence, scaled(smooth, inside, seeds)


def local_support(values: F32, part: Mask, inside: Mask) -> float:
    """Return how much a part of a vessel looks like the rest near by, 0 to 1.

    Where the median of `values` in it lies between that of the background within 3 voxels and that of the
    vessel within 3 voxels; .5 where there is none of them or they are alike.

    Parameters
    ----------
    values : ndarray of float32, (z, y, x)
        The image with some room around the part.
    part, inside : ndarray of bool, (z, y, x)
        The part, and all that is vessel now.
    """
    levels = levels_near(values, part, inside)
    if levels is None:
        return 0.5
    low, high = levels
    return float(np.clip((float(np.median(values[part])) - low) / (high - low), 0, 1))


def levels_near(values: F32, part: Mask, inside: Mask) -> tuple[float, float] | None:
    """Return the median of `values` in the background within 3 voxels of a part, and in the vessel there.

    None where there is none of them or they are alike; arguments as `local_support`.
    """
    everywhere = np.ones((3, 3, 3), bool)
    near = ndimage.binary_dilation(part, everywhere, iterations=3)
    ground, rest = near & ~ndimage.binary_dilation(inside, everywhere), near & inside & ~part
    if not ground.any() or not rest.any():
        return None
    low, high = float(np.median(values[ground])), float(np.median(values[rest]))
    return None if high == low else (low, high)


def normalised(values: F32, inside: Mask, seeds: Mask) -> F32:
    """Return `values` (z, y, x) with the median outside `inside` as 0, that in `seeds` as 1, clipped.

    0 everywhere where the two cannot be told apart.
    """
    return np.asarray(np.clip(scaled(values, inside, seeds), 0, 1), np.float32)


def scaled(values: F32, inside: Mask, seeds: Mask) -> F32:
    """Return `normalised` without clipping."""
    outside = ~ndimage.binary_dilation(inside | seeds)
    if not seeds.any() or not outside.any():
        return np.zeros_like(values)
    low, high = float(np.median(values[outside])), float(np.median(values[seeds]))
    span = float(values.max()) - float(values.min())
    if abs(high - low) <= LEAST_CONTRAST * span or span == 0:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), np.float32)


def radii_by_evidence(
    evidence: F32, path: F64, *, voxel_size_um: VoxelSize, most_um: float, window: int = 2
) -> F64:
    """Return the radius in um at each point of a path by the half maximum of its cross section, NaN if none.

    The mean of the evidence is taken in shells around the axis, over `window` points to each side; the radius
    is the distance at which it first falls below half of what it is on the axis.

    Parameters
    ----------
    evidence : ndarray of float32, (z, y, x)
    path : ndarray (N, 3)
        In voxels of `evidence`.
    most_um : float
        Larger radii are not looked for.
    """
    size, places = np.asarray(voxel_size_um), np.round(path).astype(int)
    on_path = np.zeros(evidence.shape, bool)
    number = np.zeros(evidence.shape, np.int32)
    on_path[tuple(places.T)] = True
    number[tuple(places.T)] = np.arange(len(path))
    distance, nearest = ndimage.distance_transform_edt(~on_path, sampling=size, return_indices=True)
    step = float(min(size))
    near = distance <= most_um + step
    shell = np.round(distance[near] / step).astype(np.int64)
    point = number[tuple(index[near] for index in nearest)]
    shells = int(np.ceil(most_um / step)) + 2
    index = np.clip(shell, 0, shells - 1) + shells * point
    sums = np.bincount(index, evidence[near], shells * len(path)).reshape(len(path), shells)
    counts = np.bincount(index, minlength=shells * len(path)).reshape(len(path), shells)
    total, number_of = (_moving_sum(one.astype(np.float64), window) for one in (sums, counts))
    mean = np.divide(total, number_of, out=np.full_like(total, np.nan), where=number_of > 0)
    return np.array([_half_maximum(row, step) for row in mean])


def _moving_sum(rows: F64, window: int) -> F64:
    padded = np.pad(rows, ((window, window), (0, 0)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * window + 1, axis=0).sum(axis=-1))


def _half_maximum(profile: F64, step: float) -> float:
    """Return where a profile first falls below half of its beginning, between two shells linearly."""
    known = np.flatnonzero(~np.isnan(profile))
    if not len(known) or profile[known[0]] < 0.15:
        return float("nan")
    half = profile[known[0]] / 2
    for last, here in itertools.pairwise(known):
        if profile[here] < half:
            share = (profile[last] - half) / (profile[last] - profile[here])
            return float((last + share * (here - last)) * step)
    return float("nan")
