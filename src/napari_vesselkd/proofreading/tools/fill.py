"""Fill what is enclosed: a place that was clicked, and the dark lumen of vessels whose wall alone was found.

Notation: background is connected through faces; a hole of a slice is background that does not reach the
slice's border. A lumen is open at both ends, so that it is a hole in slices across it only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    F64,
    Mask,
    Point,
    Source,
    box_around,
    checked_box,
    checked_point,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.proposal import VESSEL, Proposal, as_points, proposal

RADIUS_UM = 50.0


def bounded_fill(
    point: Point,
    *,
    vessel: Source,
    voxel_size_um: VoxelSize,
    radius_um: float = RADIUS_UM,
    leak_um: float = 0.0,
    axis: str | None = None,
) -> Proposal:
    """Propose to fill the background around `point` (z, y, x) as far as the vessel's wall.

    Parameters
    ----------
    radius_um : float
        The fill never goes further from the point than this.
    leak_um : float
        Openings of the wall of up to this width are closed first.
    axis : "z", "y" or "x", optional
        Only in the slice across this axis.

    Returns
    -------
    Proposal
        Its score is 1 where the wall encloses the place, less by the share of its surface that the bound and
        not the wall made.

    Raises
    ------
    RegionError
        If the point is outside the volume.
    InvalidInputError
        If it lies in vessel, the radius cannot be used, or everything within the radius is background.
    """
    shape, size = checked_sources(vessel), checked_voxel_size(voxel_size_um)
    voxel = checked_point(point, shape)
    _check_fill(radius_um, leak_um, axis)
    box = box_around([voxel], radius_um, shape, size)
    if axis is not None:
        number = AXES.index(axis)
        start, stop = list(box.start), list(box.stop)
        start[number], stop[number] = voxel[number], voxel[number] + 1
        box = Region(as_shape(start), as_shape(stop))
    inside = read_vessel(vessel, box)
    own = as_shape(np.subtract(voxel, box.start).tolist())
    if inside[own]:
        raise InvalidInputError("The point is vessel already", value=voxel, remedy="Click into the hole")
    within = _ball(box.shape, own, size) <= radius_um
    mask = _flooded(~inside & within, own, leak_um, size)
    walls = ndimage.binary_dilation(mask) & ~mask
    made = ndimage.binary_dilation(mask & ~_core(within)) & walls
    wall = int(np.count_nonzero(walls & inside))
    if not wall:
        raise InvalidInputError(
            "Nothing encloses the point", value=f"{radius_um:g} um", remedy="Click into a hole of a vessel"
        )
    score = wall / (wall + int(np.count_nonzero(made & ~inside)))
    volume = mask.sum() * float(np.prod(size))
    reason = (
        f"{volume:.0f} um³ enclosed by vessel" if score == 1 else f"{volume:.0f} um³, walls by {score:.0%}"
    )
    return proposal("fill", box, mask, VESSEL, reason=reason, score=float(score), points=as_points(voxel))


def hollow_fill(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    region: Region | None = None,
    most_radius_um: float = RADIUS_UM,
) -> tuple[Proposal, ...]:
    """Return what is probably the lumen of vessels of which the wall alone was found, the largest first.

    Cavities, and runs of holes of slices that are longer than they are wide: the opening of a loop of vessels
    is a hole in few slices only and stays open.

    Parameters
    ----------
    most_radius_um : float
        Wider holes are left alone.
    """
    shape, size = checked_sources(vessel), checked_voxel_size(voxel_size_um)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    inside = read_vessel(vessel, looked)
    cavities = ndimage.binary_fill_holes(inside) & ~inside
    lumen = cavities.copy()
    for axis in range(3):
        if inside.shape[axis] > 1:
            lumen |= _tunnels(inside, axis, size)
    label, _ = ndimage.label(lumen)
    found = []
    for number, place in enumerate(ndimage.find_objects(label), start=1):
        mask = label[place] == number
        if _depth(mask, size) > most_radius_um:
            continue
        box = Region(as_shape([one.start for one in place]), as_shape([one.stop for one in place]))
        closed = bool(cavities[place][mask].all())
        volume = mask.sum() * float(np.prod(size))
        reason = f"{'A cavity' if closed else 'A lumen'} of {volume:.0f} um³ inside a vessel"
        score = 1.0 if closed else 0.8
        found.append(proposal("hollow", box.shifted(looked.start), mask, VESSEL, reason=reason, score=score))
    return tuple(sorted(found, key=lambda one: -one.count))


def _tunnels(inside: Mask, axis: int, size: VoxelSize) -> Mask:
    """Return the holes of the slices across `axis` in runs that are longer along it than wide."""
    slices = np.moveaxis(inside, axis, 0)
    holes = np.stack([ndimage.binary_fill_holes(one) & ~one for one in slices])
    label, _ = ndimage.label(holes)
    across = [length for number, length in enumerate(size) if number != axis]
    for number, place in enumerate(ndimage.find_objects(label), start=1):
        run = label[place] == number
        depth = max(
            float(ndimage.distance_transform_edt(np.pad(one, 1), sampling=across).max()) for one in run
        )
        if len(run) * size[axis] < 2 * depth:
            holes[place][run] = False
    return np.asarray(np.moveaxis(holes, 0, axis))


def _depth(mask: Mask, size: Sequence[float]) -> float:
    """Return the largest distance in um to the outside in a mask of any number of axes."""
    return float(ndimage.distance_transform_edt(np.pad(mask, 1), sampling=size).max())


def _flooded(free: Mask, own: Shape, leak_um: float, size: VoxelSize) -> Mask:
    """Return what of `free` is connected with a voxel, through openings wider than `leak_um` only."""
    label, _ = ndimage.label(free)
    whole = np.asarray(label == label[own])
    if leak_um <= 0:
        return whole
    depth = ndimage.distance_transform_edt(np.pad(whole, 1), sampling=size)[1:-1, 1:-1, 1:-1]
    wide = depth > leak_um / 2 + min(size) / 2
    if not wide.any():
        return whole
    label, _ = ndimage.label(wide)
    distance, place = ndimage.distance_transform_edt(~wide, sampling=size, return_indices=True)
    start = tuple(int(index[own]) for index in place)
    core = np.asarray(label == label[start])
    back = ndimage.distance_transform_edt(~core, sampling=size) <= leak_um / 2 + min(size)
    label, _ = ndimage.label((back | (distance[own] >= distance) & core) & whole)
    return np.asarray(label == label[own]) if label[own] else whole


def _ball(shape: Shape, centre: Shape, size: VoxelSize) -> F64:
    """Return the distance in um of each voxel of an array from `centre`."""
    z, y, x = (((np.arange(n) - c) * step) ** 2 for n, c, step in zip(shape, centre, size, strict=True))
    return np.asarray(np.sqrt(z[:, None, None] + y[:, None] + x))


def _core(within: Mask) -> Mask:
    """Return the voxels whose face neighbours are all within the bound; the array's border is a bound."""
    edges = np.pad(within, 1, constant_values=False)
    flat = np.array([n == 1 for n in within.shape])
    structure = ndimage.generate_binary_structure(3, 1)
    for axis in np.flatnonzero(flat):
        structure = structure & np.moveaxis(np.array([False, True, False])[:, None, None], 0, axis)
    return np.asarray(ndimage.binary_erosion(edges, structure)[1:-1, 1:-1, 1:-1])


def _check_fill(radius_um: float, leak_um: float, axis: str | None) -> None:
    if not 0 < radius_um < float("inf"):
        raise InvalidInputError("The radius cannot be used", value=radius_um, limit="above 0 um")
    if not 0 <= leak_um < radius_um:
        raise InvalidInputError("The width of leaks cannot be used", value=leak_um, limit="0 to the radius")
    if axis is not None and axis not in AXES:
        raise InvalidInputError("Unknown axis", value=axis, limit=", ".join(AXES))
