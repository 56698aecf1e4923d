"""In which order blocks are worked on: what is on screen first, then outward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from napari_vesselkd.blocks.grid import Block, BlockGrid
from napari_vesselkd.geometry import Region

Focus = Callable[[], Region | None] | Region | None


def blocks_in_order(
    grid: BlockGrid, focus: Focus = None, *, skip: Callable[[Block], bool] | None = None
) -> Iterator[Block]:
    """Yield each block of `grid` once, the nearest to `focus` first.

    Parameters
    ----------
    grid : BlockGrid
    focus : Region, callable, or None
        What is looked at, in voxels of the grid's volume. A callable is asked before every block, so that the
        order follows the view; None (also from the callable) keeps the order there is, z, y, x at first.
    skip : callable, optional
        Blocks for which it is true are left out (those already done).
    """
    waiting = grid.indices()
    seen: Region | None = None
    position = 0
    while position < len(waiting):
        now = focus() if callable(focus) else focus
        if now is not None and now != seen:
            waiting, position, seen = _nearest_first(waiting[position:], grid, now), 0, now
        block = grid.block(waiting[position].tolist())
        position += 1
        if skip is None or not skip(block):
            yield block


def _nearest_first(indices: npt.NDArray[np.int32], grid: BlockGrid, focus: Region) -> npt.NDArray[np.int32]:
    """Sort grid positions by the gap between block and focus, then by the distance of their centres."""
    core = np.asarray(grid.core, dtype=np.float64)
    low = indices * core  # (N, 3)
    gap = np.maximum(0, np.maximum(low - np.asarray(focus.stop), np.asarray(focus.start) - (low + core)))
    away = low + core / 2 - np.asarray(focus.centre)
    return indices[np.lexsort(((away**2).sum(axis=1), (gap**2).sum(axis=1)))]
