"""Interpolate between two drawn slices by their shape.

Raya & Udupa, IEEE Trans. Med. Imaging 9 (1990): the signed distance to the outline is interpolated linearly.
Where the two outlines lie apart the shapes are moved onto the line between their centres first, so that a
vessel that runs obliquely stays whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    F64,
    Mask,
    Source,
    checked_box,
    checked_sources,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.proposal import VESSEL, Proposal, proposal


def interpolate(
    drawn: Source,
    voxel_size_um: VoxelSize,
    *,
    axis: str,
    first: int,
    last: int,
    region: Region | None = None,
) -> Proposal:
    """Propose the vessel between the slices `first` and `last` across `axis`.

    Parameters
    ----------
    drawn : source, (z, y, x)
        Not 0 where vessel is drawn; the two slices are looked at alone, and what lies between is kept.
    axis : "z", "y" or "x"
    first, last : int
        Numbers of the slices, with at least one between them.
    region : Region, optional
        Only what is drawn in it.

    Raises
    ------
    InvalidInputError
        If the axis or the slices cannot be used, or one of the slices is empty.
    """
    shape, size = checked_sources(drawn), checked_voxel_size(voxel_size_um)
    number = _checked(axis, first, last, shape)
    looked = (region or Region.whole(shape)).checked(shape)
    start, stop = list(looked.start), list(looked.stop)
    start[number], stop[number] = first, last + 1
    box = checked_box(Region(as_shape(start), as_shape(stop)))
    ends: list[Mask] = []
    for at in (first, last):
        start[number], stop[number] = at, at + 1
        plane = read_vessel(drawn, Region(as_shape(start), as_shape(stop)))
        ends.append(np.asarray(plane.take(0, number)))
        if not ends[-1].any():
            raise InvalidInputError(
                f"Nothing is drawn in the slice across {axis}", value=at, remedy="Draw the outline in both"
            )
    across = tuple(length for one, length in enumerate(size) if one != number)
    shares = np.arange(1, last - first) / (last - first)
    between = np.zeros(box.shape, bool)
    np.moveaxis(between, number, 0)[1:-1] = shapes_between(ends[0], ends[1], shares, across)
    mask = between & ~read_vessel(drawn, box)
    reason = f"{last - first - 1} slices between {axis} = {first} and {last}"
    return proposal("interpolate", box, mask, VESSEL, reason=reason, score=1.0)


def shapes_between(one: Mask, other: Mask, shares: F64, across: tuple[float, ...]) -> Mask:
    """Return the shapes (N, rows, columns) at `shares` (N,) of the way from one to another."""
    centres = [np.array(ndimage.center_of_mass(mask)) for mask in (one, other)]
    move = np.zeros(2) if (one & other).any() else centres[1] - centres[0]
    out = []
    for share in shares:
        parts = [_signed(one, across, share * move), _signed(other, across, (share - 1) * move)]
        out.append((1 - share) * parts[0] + share * parts[1] > 0)
    return np.array(out).reshape(len(shares), *one.shape)


def _signed(mask: Mask, across: tuple[float, ...], move: npt.NDArray[np.float64]) -> F64:
    """Return the signed distance to the outline of a mask moved by `move` voxels, positive inside."""
    inner = ndimage.distance_transform_edt(mask, sampling=across)
    outer = ndimage.distance_transform_edt(~mask, sampling=across)
    half = min(across) / 2
    signed = np.where(mask, inner - half, half - outer)
    if not move.any():
        return np.asarray(signed)
    far = float(signed.min()) - float(np.linalg.norm(np.array(mask.shape) * across))
    return np.asarray(ndimage.shift(signed, move, order=1, mode="constant", cval=far))


def _checked(axis: str, first: int, last: int, shape: tuple[int, int, int]) -> int:
    if axis not in AXES:
        raise InvalidInputError("Unknown axis", value=axis, limit=", ".join(AXES))
    number = AXES.index(axis)
    if not 0 <= first < last < shape[number]:
        raise InvalidInputError(
            f"The slices across {axis} cannot be used",
            value=f"{first} and {last}",
            limit=f"0 <= first < last <= {shape[number] - 1}",
        )
    if last - first < 2:
        raise InvalidInputError(
            "There is no slice between the two", value=f"{first} and {last}", remedy="Draw further apart"
        )
    return number
