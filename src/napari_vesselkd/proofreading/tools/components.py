"""Connected pieces: take one out, find false ones, accept those that are large and certain.

Notation: pieces are connected through faces, edges and corners; sizes in um^3; certainty is the mean over the
piece of the probability of vessel.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.proofreading.tools.boxes import (
    EVERYWHERE,
    F32,
    Labels,
    Mask,
    Point,
    Source,
    at_border,
    box_around,
    checked_box,
    checked_point,
    checked_sources,
    read_values,
    read_vessel,
)
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, VESSEL, Proposal, as_points, proposal

FIRST_SIDE = 48  # voxels of the box in which a piece is looked for first
TOUCH = 2  # voxels around a click in which a piece is meant


def delete_component(point: Point, *, vessel: Source, voxel_size_um: VoxelSize) -> Proposal:
    """Propose to take out the connected piece at `point`, (z, y, x) in voxels, however far it reaches.

    The box grows only where the piece leaves it, so that a small piece of a large volume takes few reads.

    Raises
    ------
    RegionError
        If the point is outside the volume.
    InvalidInputError
        If there is no vessel within two voxels of it, or the piece does not fit in a box of 2**25 voxels.
    """
    shape, size = checked_sources(vessel), checked_voxel_size(voxel_size_um)
    voxel = vessel_at(point, vessel, shape)
    box, mask = component_at(voxel, vessel, shape)
    volume = int(mask.sum()) * float(np.prod(size))
    reason = f"A piece of {volume:.0f} um³, not connected with anything else"
    return proposal(
        "delete component", box, mask, BACKGROUND, reason=reason, score=1.0, points=as_points(voxel)
    )


def vessel_at(point: Point, vessel: Source, shape: Shape) -> Shape:
    """Return the voxel of vessel nearest to `point`, at most two away; errors as `delete_component`."""
    voxel = checked_point(point, shape)
    box = box_around([voxel], TOUCH, shape, (1.0, 1.0, 1.0))
    found = np.argwhere(read_vessel(vessel, box)) + np.asarray(box.start)
    if not len(found):
        raise InvalidInputError(
            "There is no vessel at the point",
            value=",".join(str(value) for value in voxel),
            limit=f"a voxel of vessel within {TOUCH} voxels",
            remedy="Click on a vessel",
        )
    return as_shape(found[int(np.argmin(np.linalg.norm(found - np.asarray(voxel), axis=1)))])


def component_at(voxel: Shape, vessel: Source, shape: Shape) -> tuple[Region, Mask]:
    """Return the connected piece that a voxel of vessel belongs to: a box, and where the piece is in it."""
    half = FIRST_SIDE // 2
    start = as_shape([max(one - half, 0) for one in voxel])
    stop = as_shape([min(one + half, size) for one, size in zip(voxel, shape, strict=True)])
    box = Region(start, stop)
    while True:
        label, _ = ndimage.label(read_vessel(vessel, checked_box(box)), EVERYWHERE)
        mask = label == label[tuple(np.subtract(voxel, box.start))]
        sides = at_border(box, shape, mask)
        if not sides:
            return box, mask
        box = _grown(box, sides, shape)


def component_proposals(
    vessel: Source,
    voxel_size_um: VoxelSize,
    *,
    image: Source | None = None,
    probability: Source | None = None,
    region: Region | None = None,
    most_um3: float | None = None,
    least_score: float = 0.5,
) -> tuple[Proposal, ...]:
    """Return the isolated pieces that are probably no vessel, the surest first.

    The score is ``1 - certainty``; without a probability certainty is where the median of the image in the
    piece lies between that of the background around it and that of the other vessels, without an image .5.

    Parameters
    ----------
    most_um3 : float, optional
        Larger pieces are left alone; 2 % of all vessels in the region if not given.
    least_score : float, optional

    Notes
    -----
    Pieces that touch the border of `region` inside the volume, or that of the volume, are left alone.
    """
    shape, size = checked_sources(vessel, image, probability), checked_voxel_size(voxel_size_um)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    inside = read_vessel(vessel, looked)
    label, count = ndimage.label(inside, EVERYWHERE)
    if not count:
        return ()
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:] * float(np.prod(size))
    most = 0.02 * float(sizes.sum()) if most_um3 is None else most_um3
    values = None if image is None else read_values(image, looked)
    chance = None if probability is None else read_values(probability, looked)
    found = []
    for number, place in enumerate(ndimage.find_objects(label), start=1):
        box = _box(place)
        if sizes[number - 1] > most or _touches(box, inside.shape):
            continue
        mask = label[place] == number
        certainty = _certainty(mask, box, label=label, image=values, chance=chance, number=number)
        score = 1 - certainty
        if score >= least_score:
            reason = f"An isolated piece of {sizes[number - 1]:.0f} um³, vessel by {certainty:.0%}"
            centre = np.mean(np.argwhere(mask), axis=0)
            found.append(
                proposal(
                    "false piece",
                    box.shifted(looked.start),
                    mask,
                    BACKGROUND,
                    reason=reason,
                    score=score,
                    points=as_points(centre, box.shifted(looked.start).start),
                )
            )
    return tuple(sorted(found, key=lambda one: -one.score))


def accept_components(
    vessel: Source,
    probability: Source,
    voxel_size_um: VoxelSize,
    *,
    least_um3: float,
    least_certainty: float,
    region: Region | None = None,
) -> tuple[Proposal, ...]:
    """Return one proposal per piece of `region` that is at least so large and certain, the largest first.

    Each writes vessel where the piece is: what was predicted becomes a correction. A piece that goes on
    outside the region counts with its part inside.

    Raises
    ------
    InvalidInputError
        If the certainty is not in 0..1 or the size is negative.
    """
    _check_accept(least_um3, least_certainty)
    shape, size = checked_sources(vessel, probability), checked_voxel_size(voxel_size_um)
    looked = checked_box((region or Region.whole(shape)).checked(shape))
    label, count = ndimage.label(read_vessel(vessel, looked), EVERYWHERE)
    if not count:
        return ()
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:] * float(np.prod(size))
    sure = np.asarray(ndimage.mean(read_values(probability, looked), label, numbers))
    places = ndimage.find_objects(label)
    found = []
    for at in np.argsort(-sizes, kind="stable"):
        if sizes[at] < least_um3 or sure[at] < least_certainty:
            continue
        box = _box(places[at])
        reason = f"A piece of {sizes[at]:.0f} um³, vessel by {sure[at]:.0%}"
        mask = label[box.slices] == at + 1
        found.append(
            proposal("accept", box.shifted(looked.start), mask, VESSEL, reason=reason, score=float(sure[at]))
        )
    return tuple(found)


def _certainty(
    mask: Mask,
    box: Region,
    *,
    label: Labels,
    image: F32 | None,
    chance: F32 | None,
    number: int,
) -> float:
    """Return how much like vessel a piece is, 0 to 1: by probability, else by the image, else one half."""
    if chance is not None:
        return float(chance[box.slices][mask].mean())
    if image is None:
        return 0.5
    around = box.expanded((3, 6, 6)).intersection(Region.whole(label.shape)) or box
    here = label[around.slices]
    near = (here == 0) & ~ndimage.binary_dilation(here == number, EVERYWHERE)
    others = (label > 0) & (label != number)
    if not near.any() or not others.any():
        return 0.5
    low, high = float(np.median(image[around.slices][near])), float(np.median(image[others]))
    own = float(np.median(image[box.slices][mask]))
    return 0.5 if high == low else float(np.clip((own - low) / (high - low), 0, 1))


def _grown(box: Region, sides: list[tuple[int, int]], shape: Shape) -> Region:
    """Return a box that is twice as long towards the given sides, clipped to the volume."""
    start, stop = list(box.start), list(box.stop)
    for axis, sign in sides:
        if sign < 0:
            start[axis] = max(0, box.start[axis] - box.shape[axis])
        else:
            stop[axis] = min(shape[axis], box.stop[axis] + box.shape[axis])
    return Region(as_shape(start), as_shape(stop))


def _box(place: tuple[slice, ...]) -> Region:
    return Region(as_shape([one.start for one in place]), as_shape([one.stop for one in place]))


def _touches(box: Region, shape: tuple[int, ...]) -> bool:
    return any(a == 0 or b == n for a, b, n in zip(box.start, box.stop, shape, strict=True) if n > 1)


def _check_accept(least_um3: float, least_certainty: float) -> None:
    if not 0 <= least_certainty <= 1:
        raise InvalidInputError("The certainty cannot be used", value=least_certainty, limit="0 to 1")
    if not least_um3 >= 0:
        raise InvalidInputError("The size cannot be used", value=least_um3, limit="0 um³ and more")
