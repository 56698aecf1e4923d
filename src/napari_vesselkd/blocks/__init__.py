"""The block grid: how a volume of any size is cut so that the pieces fit together without a seam.

::

        outer (what the net sees)               the volume, extended at its far sides to whole
       +---------------------------+            multiples of the net's total stride by reflection
       |        halo               |           +-------------------------+ - - +
       |     +---------------+     |           | block | block | block   |     |
       |     |               |     |           |-------+-------+---------|- - -|
       |     |     core      |     |           | block | block | block   |     |
       |     | (what counts) |     |           +-------------------------+- - -+
       |     +---------------+     |           |                         |     |
       |                           |           + - - - - - - - - - - - - + - - +
       +---------------------------+           voxel 0 is a corner of the grid, whatever region is asked for

* Cores are disjoint boxes of a grid anchored at voxel 0; their bounds are multiples of the net's total
  stride.
* ``outer = core + halo``, cut where the extended volume ends: there the net sees its own zero padding, in
  the block exactly as in one pass over the whole extended volume. Most of the halo is needed only coarsely;
  `napari_vesselkd.models.streaming` says what is read of it.
* The extension mirrors the volume at its last voxel (``v[n - 1 + i] = v[n - 1 - i]``, repeated where an
  axis is shorter than that; an axis of one slice repeats it), or repeats the last voxel ("edge"), as the
  checkpoint says. It depends on the volume alone, never on the block.
* ``target`` is the part of the core that was asked for and lies in the volume: what is written.

Notation: z, y, x axes; all boxes are half-open and in voxels of the level being worked on.
"""

from napari_vesselkd.blocks.grid import Block, BlockGrid
from napari_vesselkd.blocks.order import blocks_in_order
from napari_vesselkd.blocks.reading import continued, read_block

__all__ = ["Block", "BlockGrid", "blocks_in_order", "continued", "read_block"]
