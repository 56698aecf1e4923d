"""The three projections side by side: which slabs they show and how large they are. No Qt.

Notation: voxels and regions are (z, y, x) of the finest level; lengths are (z, y, x) in um; the pane of an
axis shows the two others: z has y down and x across, x has y down and z across, y has z down and x across.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape
from napari_vesselkd.plugin.visible import slab_around

THICKNESS_UM = 50.0
GAP = 4  # pixels between panes


@dataclass(frozen=True)
class Pane:
    """Where a pane lies in the widget, in pixels."""

    left: float
    top: float
    width: float
    height: float


def slab_of(region: Region, axis: str, voxel: Shape, thickness: int, shape: Shape) -> Region:
    """Return `region` with `thickness` slices around `voxel` along `axis`; 0 leaves all of it."""
    if thickness == 0:
        return region
    at = AXES.index(axis)
    low, high = slab_around(voxel[at], thickness, shape[at])
    start, stop = list(region.start), list(region.stop)
    start[at], stop[at] = low, high
    return Region(as_shape(start), as_shape(stop))


def slices_of(thickness_um: float, voxel_size_um: VoxelSize) -> Shape:
    """Return how many slices along each axis are about `thickness_um` thick; 0 where it is 0: all."""
    if thickness_um <= 0:
        return (0, 0, 0)
    return as_shape([max(1, round(thickness_um / size)) for size in voxel_size_um])


def cube_around(view: Region, hidden: int, voxel: Shape, shape: Shape, voxel_size_um: VoxelSize) -> Region:
    """Return the view with a depth along the `hidden` axis as large as it is wide, around `voxel`.

    What is on screen says nothing about the axis of the slider; without a bound the panes of a deep volume
    would be needles.
    """
    widest = max(
        size * step
        for axis, (size, step) in enumerate(zip(view.shape, voxel_size_um, strict=True))
        if axis != hidden
    )
    low, high = slab_around(voxel[hidden], max(1, math.ceil(widest / voxel_size_um[hidden])), shape[hidden])
    start, stop = list(view.start), list(view.stop)
    start[hidden], stop[hidden] = low, high
    return Region(as_shape(start), as_shape(stop))


def panes(lengths_um: Sequence[float], width: float, height: float) -> dict[str, Pane]:
    """Return the places of the three panes in a widget: one scale for all, as large as fits."""
    z, y, x = lengths_um
    scale = max(1e-9, min((width - GAP) / (x + z), (height - GAP) / (y + z)))
    across, down, deep = x * scale, y * scale, z * scale
    return {
        "z": Pane(0, 0, across, down),
        "x": Pane(across + GAP, 0, deep, down),
        "y": Pane(0, down + GAP, across, deep),
    }


def stepped(voxel: Shape, axis: str, steps: int, shape: Shape) -> Shape:
    """Return `voxel` moved along `axis`, inside the volume."""
    moved = list(voxel)
    at = AXES.index(axis)
    moved[at] = min(max(0, moved[at] + steps), shape[at] - 1)
    return as_shape(moved)


def lengths_of(region: Region, voxel_size_um: VoxelSize) -> VoxelSize:
    """Return the (z, y, x) size of `region` in um."""
    z, y, x = (size * step for size, step in zip(region.shape, voxel_size_um, strict=True))
    return z, y, x
