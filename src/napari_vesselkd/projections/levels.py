"""Which level of a pyramid a projection needs, and where a region lies in it.

Notation: regions and shapes are (z, y, x) voxels; full is the shape of the finest level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_vesselkd.geometry import AXES, Region, Shape, as_shape

AUTOMATIC_VOXELS = 64_000_000
PIXELS = 2048
FIRST_PIXELS = 192


def choose_level(shapes: Sequence[Shape], region: Region, *, voxels: int = AUTOMATIC_VOXELS) -> int:
    """Return the finest level where `region` (of level 0) has at most `voxels` and fits a screen."""
    for level, shape in enumerate(shapes):
        part = region_at(region, shapes[0], shape).shape
        if math.prod(part) <= voxels and max(part) <= PIXELS:
            return level
    return len(shapes) - 1


def level_for_pixels(shapes: Sequence[Shape], region: Region, axis: str, pixels: int) -> int:
    """Return the coarsest level whose projection of `region` still has `pixels` along its longer side.

    Level 0 where none has.
    """
    at = AXES.index(axis)
    for level in range(len(shapes) - 1, 0, -1):
        part = region_at(region, shapes[0], shapes[level]).shape
        if max(size for index, size in enumerate(part) if index != at) >= pixels:
            return level
    return 0


def levels_to_show(
    shapes: Sequence[Shape], region: Region, axis: str, pixels: int, *, voxels: int = AUTOMATIC_VOXELS
) -> tuple[int, ...]:
    """Return the levels to project one after the other, coarse first.

    The first has `FIRST_PIXELS`, so that something is there at once; the next has the `pixels` of the screen;
    the last is the finest that `voxels` allow, none of them is finer.
    """
    finest = choose_level(shapes, region, voxels=voxels)
    first = level_for_pixels(shapes, region, axis, min(FIRST_PIXELS, pixels))
    screen = level_for_pixels(shapes, region, axis, pixels)
    return tuple(sorted({max(level, finest) for level in (first, screen, finest)}, reverse=True))


def region_at(region: Region, full: Shape, shape: Shape) -> Region:
    """Return the voxels of a level of `shape` that `region` of the finest level (`full`) covers."""
    start, stop = [], []
    for low, high, whole, size in zip(region.start, region.stop, full, shape, strict=True):
        factor = level_factor(whole, size)
        first = min(size - 1, math.floor(low / factor + 1e-9))
        start.append(first)
        stop.append(max(first + 1, min(size, math.ceil(high / factor - 1e-9))))
    return Region(as_shape(start), as_shape(stop))


def level_factor(whole: int, size: int) -> float:
    """Return how many voxels of the finest level lie along one voxel of a level; whole where it can be."""
    nearest = max(1, round(whole / size))
    return float(nearest) if abs(whole / nearest - size) <= 1 else whole / size
