"""Reading the outer box of a block from a volume."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape


class Readable(Protocol):
    """What a block can be read from: a `Volume`, or anything with its `shape` and `read`."""

    @property
    def shape(self) -> Shape: ...

    def read(self, region: Region) -> npt.NDArray[Any]: ...


def read_block(volume: Readable, outer: Region, padding: str = "reflect") -> npt.NDArray[Any]:
    """Return the voxels of `outer`, (z, y, x) in the volume's own dtype.

    Where `outer` begins before the volume or ends beyond it, the volume is continued: by reflection, or by
    its outermost voxel where `padding` is "edge" (see the package).

    Raises
    ------
    CorruptSourceError
        If the volume cannot be read there.
    """
    rows = [
        continued(low, high, size, padding)
        for low, high, size in zip(outer.start, outer.stop, volume.shape, strict=True)
    ]
    needed = Region(as_shape([r.min() for r in rows]), as_shape([r.max() + 1 for r in rows]))
    voxels = volume.read(needed)
    for axis, row in enumerate(rows):
        if outer.start[axis] < 0 or outer.stop[axis] > volume.shape[axis]:
            voxels = np.take(voxels, row - needed.start[axis], axis=axis)
    return voxels


def continued(low: int, high: int, size: int, padding: str = "reflect") -> npt.NDArray[np.int64]:
    """Return which voxel is shown at each position ``low..high-1`` of a continued axis of `size` voxels."""
    position = np.arange(low, high, dtype=np.int64)
    if padding == "edge" or size == 1:
        return np.clip(position, 0, size - 1)
    period = 2 * (size - 1)
    position %= period
    return np.where(position < size, position, period - position)
