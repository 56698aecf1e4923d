"""Blocks and the grid they lie on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, Shape, as_shape


@dataclass(frozen=True, slots=True)
class Block:
    """One unit of inference; see the figure of the package.

    Attributes
    ----------
    index : tuple of int
        Position on the grid, (z, y, x).
    core : Region
        What this block alone is responsible for; it may end beyond the volume.
    outer : Region
        Core and halo: what is computed. Inside the extended volume.
    target : Region
        The part of the core that lies in the volume and in the region asked for: what is written.
    """

    index: Shape
    core: Region
    outer: Region
    target: Region

    @property
    def target_in_core(self) -> Region:
        return self.target.relative_to(self.core.start)


@dataclass(frozen=True)
class BlockGrid:
    """Disjoint cores over a region of a volume, anchored at voxel 0.

    Blocks are made when asked for: 2 x 10^5 of them cost nothing until then.

    Parameters
    ----------
    volume_shape : tuple of int
        (z, y, x) of the volume at the level worked on.
    core : tuple of int
        Shape of a core; multiples of `multiple`.
    halo : tuple of int
        Context on each side; multiples of `multiple`.
    multiple : tuple of int
        Total stride of the net.
    region : Region, optional
        What is asked for; everything by default.

    Raises
    ------
    InvalidInputError
        If core or halo are not multiples of `multiple`, or the core is empty.
    """

    volume_shape: Shape
    core: Shape
    halo: Shape
    multiple: Shape = (1, 1, 1)
    region: Region | None = None

    def __post_init__(self) -> None:
        _check_multiples("block", self.core, self.multiple, least=1)
        _check_multiples("halo", self.halo, self.multiple, least=0)
        if self.region is not None:
            self.region.checked(self.volume_shape)

    @property
    def asked(self) -> Region:
        """The region asked for."""
        return self.region or Region.whole(self.volume_shape)

    @property
    def extended(self) -> Region:
        """The volume, grown at its far sides to whole multiples of the total stride."""
        return Region.whole(self.volume_shape).aligned(self.multiple)

    @property
    def indices_range(self) -> Region:
        """Grid positions that touch the region asked for, as a box of indices."""
        asked = self.asked.aligned(self.core)
        start = [low // side for low, side in zip(asked.start, self.core, strict=True)]
        stop = [high // side for high, side in zip(asked.stop, self.core, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def __len__(self) -> int:
        return self.indices_range.size

    def __iter__(self) -> Iterator[Block]:
        for index in np.ndindex(self.indices_range.shape):
            yield self.block([i + low for i, low in zip(index, self.indices_range.start, strict=True)])

    def indices(self) -> npt.NDArray[np.int32]:
        """Return all grid positions, (N, 3) in z, y, x order."""
        box = self.indices_range
        axes = [np.arange(low, high, dtype=np.int32) for low, high in zip(box.start, box.stop, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def block(self, index: Sequence[int]) -> Block:
        """Return the block at a grid position."""
        start = as_shape([i * side for i, side in zip(index, self.core, strict=True)])
        cell = Region(start, as_shape([low + side for low, side in zip(start, self.core, strict=True)]))
        return self._make(as_shape(index), cast(Region, cell.intersection(self.asked)))

    def part(self, block: Block, target: Region) -> Block:
        """Return the block that computes only `target`, a box inside the target of `block`."""
        return self._make(block.index, target)

    def halves(self, block: Block) -> list[Block]:
        """Cut a block in two along its longest axis; empty when it is as small as the net allows.

        Together the parts compute what the block would have.
        """
        shape = block.core.shape
        axis = max(range(3), key=lambda a: shape[a] // self.multiple[a])
        count = shape[axis] // self.multiple[axis]
        if count < 2:
            return []
        cut = block.core.start[axis] + count // 2 * self.multiple[axis]
        parts = []
        for low, high in ((block.target.start[axis], cut), (cut, block.target.stop[axis])):
            if low < high:
                start, stop = list(block.target.start), list(block.target.stop)
                start[axis], stop[axis] = low, high
                parts.append(self._make(block.index, Region(as_shape(start), as_shape(stop))))
        return parts

    def largest_outer(self) -> Shape:
        """Return the shape of the largest outer box of any block, (z, y, x)."""
        sides = []
        for axis in range(3):
            box = self.asked.aligned(self.multiple)
            span = box.stop[axis] - box.start[axis]
            side = min(self.core[axis], span) + 2 * self.halo[axis]
            sides.append(min(side, self.extended.stop[axis]))
        return as_shape(sides)

    def _make(self, index: Shape, target: Region) -> Block:
        core = target.aligned(self.multiple)
        outer = cast(Region, core.expanded(self.halo).intersection(self.extended))
        return Block(index, core, outer, target)


def _check_multiples(name: str, shape: Shape, multiple: Shape, least: int) -> None:
    for axis, side, step in zip(AXES, shape, multiple, strict=True):
        if side % step or side < least:
            raise InvalidInputError(
                f"The {name} does not fit the net along {axis}",
                value=side,
                limit=f"multiples of {step}" + (", at least one" if least else ""),
                remedy=f"Take {max(least, math.ceil(side / step)) * step}",
            )
