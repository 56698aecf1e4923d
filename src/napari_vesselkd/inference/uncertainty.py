"""How unsure a prediction is: the entropy of its probability, averaged per cell.

Notation: z, y, x axes. Every second voxel of the volume along each axis is looked at, those whose coordinates
are even, so that the values do not depend on the blocks; a box of them is a *sample* (float32, in bits).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape

STEP = 2
Floats = npt.NDArray[np.float32]


def sample_box(target: Region) -> Region:
    """Return which even coordinates, divided by two, lie in `target`."""
    start = as_shape([-(-low // STEP) for low in target.start])
    return Region(start, as_shape([-(-high // STEP) for high in target.stop]))


def first_even(box: Region) -> Shape:
    """Return the first voxel of `box`, counted from its start, of a sample: 0 or 1 along each axis."""
    return as_shape([low % STEP for low in box.start])


def every_second(logits: Floats, first: Shape) -> Floats:
    """Return a sample of logits (z, y, x) from its `first` voxel on."""
    z, y, x = (slice(low, None, STEP) for low in first)
    return logits[z, y, x]


def every_second_of_cells(cells: Any, first: Shape) -> Any | None:
    """Do the same with what a net gives: cells of voxels, (z, y, x, cz, cy, cx), without moving the others.

    Returns the part of `cells` that is the sample, or None where a side of a cell is odd and not 1.
    """
    index = [slice(None)] * 6
    for axis, side in enumerate(cells.shape[3:]):
        if side > 1 and side % STEP:
            return None
        index[axis + 3 if side > 1 else axis] = slice(first[axis], None, STEP)
    return cells[tuple(index)]


def sample_of_cells(part: npt.NDArray[Any]) -> Floats:
    """Put the voxels of what `every_second_of_cells` gives to their places, (z, y, x)."""
    z, y, x, cz, cy, cx = part.shape
    return part.transpose(0, 3, 1, 4, 2, 5).reshape(z * cz, y * cy, x * cx)


def entropy_sample(logits: Floats, target: Region) -> Floats:
    """Return the entropy in bits, 0..1, of every second voxel of a block.

    Parameters
    ----------
    logits : ndarray of float32, (z, y, x)
        Of `target`; p = sigmoid(logit).
    target : Region
        In voxels of the volume.

    Returns
    -------
    ndarray of float32, (z, y, x)
        -p log2 p - (1 - p) log2 (1 - p), of the shape of `sample_box`.
    """
    return entropy(every_second(logits, first_even(target)))


def entropy(logits: Floats) -> Floats:
    """Return the entropy in bits of each probability sigmoid(logit)."""
    size = np.abs(logits)  # entropy is even; for large logits it is exp(-size) * (1 + size)
    small = np.exp(-size)
    bits = (np.log1p(small) + size * small / (1 + small)) / np.float32(np.log(2))
    return cast(Floats, bits)


def mean_per_cell(sample: Floats, target: Region, cell: Shape) -> Floats:
    """Return the mean of a sample in each cell that `target` touches, (cells z, y, x), else NaN."""
    box = sample_box(target)
    total: npt.NDArray[Any] = sample.astype(np.float64)
    count = np.ones((1, 1, 1))
    for axis in range(3):
        first, last = target.start[axis] // cell[axis], -(-target.stop[axis] // cell[axis])
        edges = -(-np.arange(first, last + 1) * cell[axis] // STEP)
        edges = np.clip(edges, box.start[axis], box.stop[axis]) - box.start[axis]
        sums = np.insert(np.cumsum(total, axis), 0, 0, axis)
        total = np.diff(sums.take(edges, axis), axis=axis)
        count = count * np.diff(edges).reshape([-1 if one == axis else 1 for one in range(3)])
    with np.errstate(invalid="ignore"):
        return cast(Floats, (total / np.where(count > 0, count, np.nan)).astype(np.float32))
