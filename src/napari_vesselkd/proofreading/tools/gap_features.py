"""What is measured of one gap: its shape, and what the image shows across it, behind it and beyond it.

Notation: s evidence (0..1, `evidence`); v the image, smoothed, with the background as 0 and the vessel behind
the end as 1, not clipped; b, d the median and the robust deviation of v in the background around the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_vesselkd.geometry import Region, VoxelSize, as_shape
from napari_vesselkd.proofreading.tools.boxes import F32, I64, Mask
from napari_vesselkd.proofreading.tools.ends import End
from napari_vesselkd.proofreading.tools.gap_search import Scene, axis_beyond
from napari_vesselkd.proofreading.tools.paths import path_length

LEAST_NOISE = 0.02
CORE = 0.6  # of the radius: the part of the cross section that is looked at across the gap
LEAST_CONTRAST = 0.05
MAD = 1.4826  # of a normal distribution: deviation in parts of the median absolute one


@dataclass(frozen=True, eq=False)
class Sight:
    """What is seen in a box around an end: evidence and image, vessels, the axis behind the end."""

    box: Region
    inside: Mask
    evidence: F32
    shown: F32
    behind: Mask


def shape_features(scene: Scene, end: End, target: int, path: I64) -> tuple[float, ...]:
    """Return the features of the shape of a gap on a path (N, 3), as `GapFeatures` has them first."""
    size = np.asarray(scene.size)
    other = scene.end(target)
    chord = (path[-1] - path[0]) * size
    length, straight = path_length(path, scene.size), float(np.linalg.norm(chord))
    chord = chord / straight
    radius = float(scene.graph.radius_um[target]) if other is None else other.radius_um
    radius = max(radius, min(scene.size) / 2)
    mean = end.radius_um if other is None else (end.radius_um + radius) / 2
    calibre = np.log(end.radius_um / radius)
    branch = end.length_um / end.radius_um
    if other is not None:
        branch = min(branch, other.length_um / other.radius_um)
    return (
        float(np.log(max(length / mean, 0.1))),
        float(np.log1p(length / min(scene.size))),
        float(end.direction @ chord),
        0.0 if other is None else float(-other.direction @ chord),
        float(other is None),
        float(max(calibre, 0) if other is None else abs(calibre)),
        float(min(np.log1p(branch), 3.0)),
        float(scene.graph.pieces[target] != end.piece),
        straight / length,
        float(end.node in scene.stubs) + float(target in scene.stubs),
        _border(end, scene.inside.shape),
        float(np.log(max(end.radius_um / min(scene.size), 0.1))),
    )


def _border(end: End, shape: tuple[int, ...]) -> float:
    """Return how near the border of what is looked at an end is: 1 there, less by e every two voxels."""
    place = np.asarray(end.voxel)
    away = float(np.minimum(place, np.asarray(shape) - 1 - place).min())
    return float(np.exp(-away / 2))


def seen_features(scene: Scene, end: End, target: int, run: I64, sight: Sight) -> tuple[float, ...]:
    """Return the features of what is seen of a gap, as `GapFeatures` has them last.

    Parameters
    ----------
    run : ndarray (N, 3)
        The voxels of the path outside of vessels, in the box of `sight`.
    """
    size, radius = scene.size, end.radius_um
    part, low = _part(run, sight.inside.shape, radius, size)
    path, inside = run - low, sight.inside[part]
    off = np.ones(inside.shape, bool)
    off[tuple(path.T)] = False
    distance, nearest = ndimage.distance_transform_edt(off, sampling=size, return_indices=True)
    ring = (distance > 2 * radius) & (distance < 4 * radius + max(size)) & ~inside
    core = ((distance <= max(CORE * radius, 0.75 * min(size))) & ~inside) | ~off
    shown = sight.shown[part]
    ground, spread = _ground(shown[ring])
    number = np.zeros(shown.shape, np.int64)
    number[tuple(path.T)] = np.arange(len(path))
    point = number[tuple(index[core] for index in nearest)]
    return (
        *_path_features(sight.evidence[part], path, ring),
        *_core_features(shown[core] - ground, point, len(path), spread),
        *_likeness(sight, axis_beyond(scene, target, sight.box), ground, spread),
    )


def _path_features(evidence: F32, path: I64, ring: Mask) -> tuple[float, ...]:
    """Return the mean of s on a path (N, 3), its 10th percentile, the mean less that around, how sure."""
    on_path = evidence[tuple(path.T)]
    mean, least = float(on_path.mean()), float(np.percentile(on_path, 10))
    around = evidence[ring] if ring.any() else np.zeros(1, np.float32)
    above = mean - float(around.mean())
    noise = max(float(around.std()), LEAST_NOISE) / np.sqrt(max(len(path) / 2, 1))
    return mean, least, above, _signed_log(above / noise)


def _core_features(values: F32, point: I64, length: int, spread: float) -> tuple[float, ...]:
    """Return the mean of v - b in the core of a gap, that in parts of its error, the least along the way.

    `values` (M,) are v - b of its voxels, `point` (M,) which of the `length` voxels of the path is nearest.
    """
    sums, counts = np.bincount(point, values, length), np.bincount(point, minlength=length)
    window = np.ones(min(3, length))
    along = np.convolve(sums, window, "same") / np.convolve(counts, window, "same")
    mean = float(values.mean())
    error = spread / np.sqrt(max(len(values) / 3, 1))
    return float(np.clip(mean, -1, 3)), _signed_log(mean / error), float(np.clip(along.min(), -1, 3))


def _likeness(sight: Sight, beyond: Mask, ground: float, spread: float) -> tuple[float, float]:
    """Return how clear the vessel behind is against the background, and how like it the one beyond."""
    behind = float(np.median(sight.shown[sight.behind])) - ground if sight.behind.any() else 0.0
    there = float(np.median(sight.shown[beyond])) - ground if beyond.any() else 0.0
    ratio = there / behind if behind > LEAST_CONTRAST else 0.0
    return _signed_log(behind / spread), float(np.clip(ratio, -1, 2))


def _ground(around: F32) -> tuple[float, float]:
    """Return the median and the robust deviation of what is around."""
    if not around.size:
        return 0.0, LEAST_NOISE
    middle = float(np.median(around))
    return middle, max(MAD * float(np.median(np.abs(around - middle))), LEAST_NOISE)


def _signed_log(value: float) -> float:
    return float(np.sign(value) * np.log1p(abs(value)))


def _part(path: I64, shape: tuple[int, ...], radius: float, size: VoxelSize) -> tuple[tuple[slice, ...], I64]:
    """Return the box around a path (N, 3) in which its background is looked at, and its start."""
    margin = [int(np.ceil(4 * radius / one)) + 2 for one in size]
    low = np.maximum(path.min(axis=0) - margin, 0)
    high = np.minimum(path.max(axis=0) + margin + 1, shape)
    return Region(as_shape(low.tolist()), as_shape(high.tolist())).slices, low
