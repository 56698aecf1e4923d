"""Do two people say the same about a block: who corrected it, as each left it, and where they differ.

Notation: voxels are (z, y, x) uint8, 0 unlabelled, 1 background, 2 vessel; regions are in voxels of the
volume. Only voxels that both have labelled are compared. A journal says who painted; a block that one person
began and another went on with is, for the first, as it was after their last stroke.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.labels.edits import UNLABELLED, VESSEL
from napari_vesselkd.labels.journal import Journal
from napari_vesselkd.labels.replaying import replay
from napari_vesselkd.measure.overlap import Mask, ratio
from napari_vesselkd.measure.topology import centreline_counts
from napari_vesselkd.project import Project

ONLY_FIRST, ONLY_SECOND = 1, 2
NOBODY = "somebody"  # of journals that do not say who
Voxels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Reviewed:
    """What one person made of a region.

    Attributes
    ----------
    who : str
    region : Region
    voxels : ndarray of uint8, (z, y, x)
    strokes : int
        How many they made.
    """

    who: str
    region: Region
    voxels: Voxels
    strokes: int = 0


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two people agree, where both have labelled.

    Attributes
    ----------
    who : str
        The second of them.
    region : Region
        What both have looked at.
    compared : int
        Voxels that both have labelled.
    dice, cldice : float
        0..1; NaN where neither has any vessel.
    only_first, only_second : int
        Voxels that only one calls vessel.
    difference : ndarray of uint8, (z, y, x)
        Of `region`: 1 vessel for the first only, 2 for the second only.
    largest : (z, y, x) or None
        In voxels of the volume, a voxel amid the largest place where they differ.
    """

    who: str
    region: Region
    compared: int
    dice: float
    cldice: float
    only_first: int
    only_second: int
    difference: Voxels
    largest: Shape | None


def began(journal: Path) -> Voxels:
    """Return the voxels (z, y, x) that the block of a journal began from; ProjectError as `replay`."""
    return np.asarray(replay(journal, {}, only_begin=True).voxels, np.uint8)


def reviews_of(journal: Path) -> tuple[Reviewed, ...]:
    """Return the block of a journal as each person who painted on it left it, the latest last.

    Raises
    ------
    ProjectError
        If the journal is missing, damaged or of a newer version.
    """
    state = replay(journal, {}, only_begin=True)
    records = Journal.read(journal)[0][1:]
    mine = [str(one.get("who", "")) for one in records]
    last = {who: at for at, who in enumerate(mine) if records[at].get("kind") in ("stroke", "undo", "redo")}
    found = []
    for at, record in enumerate(records):
        state.follow(record)
        if last.get(mine[at]) == at:
            voxels = np.array(state.voxels, np.uint8)
            strokes = state.people.get(mine[at], 0)
            found.append(Reviewed(mine[at] or NOBODY, state.region, voxels, strokes))
    return tuple(found)


def reviews_in(path: str | Path, region: Region, image: str) -> tuple[Reviewed, ...]:
    """Return the accepted blocks of another's project that overlap `region`, the largest overlap first.

    Parameters
    ----------
    path : str or Path
        NAME.vesselkd; it is only read.
    region : Region
        In voxels of the volume.
    image : str
        Signature of the image, `Project.image.signature`: both must be of the same one.

    Raises
    ------
    InvalidInputError
        If it is of another image, or no accepted block of it overlaps the region.
    ProjectError
        If it is no project or damaged.
    """
    project = Project.open(path, write=False)
    try:
        if project.image.signature != image:
            raise InvalidInputError(
                "The other project is of another image",
                value=Path(path).name,
                remedy="Choose the second reviewer's project of the same image",
            )
        sizes = {}
        for block in project.blocks:
            common = block.region.intersection(region)
            if common is not None and block.axis is None and block.state.value == "accepted":
                sizes[block.number] = common.size
        if not sizes:
            raise InvalidInputError(
                "The second reviewer has accepted no block here",
                value=Path(path).name,
                remedy="Choose a block that both have corrected and accepted",
            )
        numbers = sorted(sizes, key=lambda number: -sizes[number])
        return tuple(
            Reviewed(
                _painters(project, number), project.block(number).region, project.accepted_voxels(number)
            )
            for number in numbers
        )
    finally:
        project.close()


def _painters(project: Project, number: int) -> str:
    """Return who painted on a block of another project, else the name of the project."""
    journal = project.path / "edits" / f"{number:06d}.jsonl"
    names = sorted({one.who for one in reviews_of(journal)} - {NOBODY}) if journal.is_file() else []
    return f"{' and '.join(names)} in {project.path.stem}" if names else project.path.stem


def compare(first: Voxels, region: Region, second: Reviewed) -> Agreement:
    """Return how far the voxels `first` (z, y, x) of `region` agree with a second person's.

    Dice and clDice are those of `measure`; centrelines are those of all that each has labelled, counted where
    both have.

    Raises
    ------
    InvalidInputError
        If the shapes are wrong, the two have no region in common, or no voxel that both have labelled.
    """
    if first.shape != region.shape:
        raise InvalidInputError(
            "The voxels are not of the region", value=first.shape, limit=f"{region.shape}"
        )
    common = region.intersection(second.region)
    remedy = "Choose a block that both have corrected"
    if common is None:
        raise InvalidInputError("The two reviewers have no voxel in common", remedy=remedy)
    one = first[common.relative_to(region.start).slices]
    other = second.voxels[common.relative_to(second.region.start).slices]
    where = (one != UNLABELLED) & (other != UNLABELLED)
    if not where.any():
        raise InvalidInputError("No voxel is labelled by both reviewers", remedy=remedy)
    mine, theirs = one == VESSEL, other == VESSEL
    only_first, only_second = where & mine & ~theirs, where & theirs & ~mine
    difference = np.full(one.shape, UNLABELLED, np.uint8)
    difference[only_first], difference[only_second] = ONLY_FIRST, ONLY_SECOND
    total = int(np.count_nonzero(where & mine)) + int(np.count_nonzero(where & theirs))
    return Agreement(
        second.who,
        common,
        int(np.count_nonzero(where)),
        ratio(2 * int(np.count_nonzero(where & mine & theirs)), total),
        _cldice(mine, theirs, where),
        int(np.count_nonzero(only_first)),
        int(np.count_nonzero(only_second)),
        difference,
        _largest(difference > 0, common),
    )


def _cldice(mine: Mask, theirs: Mask, where: Mask) -> float:
    hit_first, all_first, hit_second, all_second = centreline_counts(mine, theirs, where)
    if not all_first or not all_second:
        return float("nan") if all_first == all_second else 0.0
    precise, found = hit_first / all_first, hit_second / all_second
    return 2 * precise * found / (precise + found) if precise + found else 0.0


def _largest(differs: Mask, region: Region) -> Shape | None:
    """Return a voxel of the largest connected place where the two differ, the one deepest inside it."""
    label, count = ndimage.label(differs, np.ones((3, 3, 3), bool))
    if not count:
        return None
    number = 1 + int(np.argmax(np.bincount(label.ravel())[1:]))
    box: Any = ndimage.find_objects(label)[number - 1]
    depth = ndimage.distance_transform_edt(np.pad(label[box] == number, 1))[1:-1, 1:-1, 1:-1]
    at = np.unravel_index(int(np.argmax(depth)), depth.shape)
    low = [axis.start for axis in box]
    return as_shape([int(a) + b + c for a, b, c in zip(at, low, region.start, strict=True)])
