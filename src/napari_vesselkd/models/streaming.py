"""The frozen student as blocks need it: the same function in two passes, each with a halo of its own.

A voxel is influenced from as far as 160 voxels away (`exact_reach`), but only through the coarse levels of
the net. So the first encoder levels are computed once per place, with a small halo, and their small result,
the context (1/64 of the bytes of the voxels in float32), is kept; a block then needs the voxels of its core
and a few more, and the context around it. Nothing is approximated: blocks give what one pass over the whole
volume gives.

::

    voxels --stem, levels 0..k-1--> context                      (once per place; `encode_context`)
    voxels near the core --stem, levels 0..k-1--> skips 0..k-1
    context around it ----- levels k..L-1 ------> skips k..L-1, z --decoder, cropped--> logits of the core

Normalisation is folded into the convolutions; the last transposed convolution and the 1x1x1 head, linear
both, become one 1x1x1 convolution whose channels are the voxels of a cell. The decoder needs less on each way
up, and computes only what reaches the core.

Notation: level i has ``n_i`` cells along an axis, level 0 comes after the stem, level L is z; k levels make
the context. All boxes are half-open and in cells of their level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.errors import CheckpointError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.models.normalisation import fold_normalisation, is_frozen
from napari_vesselkd.models.student import Student

CONVOLUTION_REACH = 2  # two 3x3x3 convolutions per level
CONTEXT_CELL_VOXELS = 128  # a cell of the context stands for at least so many voxels
FOLDED_VOXELS = 8  # along x, computed together on the fine levels (see `folding`): boxes hold whole runs


@dataclass(frozen=True)
class Strides:
    """Strides of a student, (z, y, x) each.

    Attributes
    ----------
    stem : tuple of int
    levels : tuple of tuple of int
        Of the down-convolution that ends each level.
    """

    stem: Shape
    levels: tuple[Shape, ...]

    @property
    def total(self) -> Shape:
        """Voxels per cell of z."""
        return self.until(len(self.levels))

    @property
    def split(self) -> int:
        """Number k of encoder levels that make the context."""
        deepest = len(self.levels) - 1
        return next(
            (k for k in range(1, deepest) if math.prod(self.until(k)) >= CONTEXT_CELL_VOXELS), deepest
        )

    @property
    def context(self) -> Shape:
        """Voxels per cell of the context."""
        return self.until(self.split)

    @property
    def context_halo(self) -> Shape:
        """Voxels that a cell of the context needs on each side, in whole cells of the context."""
        reach = [0, 0, 0]
        for level in range(self.split):
            reach = [r + CONVOLUTION_REACH * s for r, s in zip(reach, self.until(level), strict=True)]
        return as_shape([-(-r // cell) * cell for r, cell in zip(reach, self.context, strict=True)])

    def until(self, level: int) -> Shape:
        """Voxels per cell of `level`."""
        return as_shape([math.prod(axis) for axis in zip(self.stem, *self.levels[:level], strict=True)])


@dataclass(frozen=True)
class DecoderCrop:
    """What one decoder level takes from what is there.

    Attributes
    ----------
    source : Region
        Of the deeper level's output, relative to what was computed of it.
    fine : Region
        Of the upsampled source, relative to it: where this level computes.
    skip : Region
        The same cells in the encoder's feature of this level.
    """

    source: Region
    fine: Region
    skip: Region


@dataclass(frozen=True)
class BlockPlan:
    """What a block's core is computed from.

    Attributes
    ----------
    voxels : Region
        Voxels of the volume to read.
    context : Region
        Cells of the context.
    levels : tuple of DecoderCrop
        Finest first.
    head : Region
        Crop of the last decoder level's output.
    """

    voxels: Region
    context: Region
    levels: tuple[DecoderCrop, ...]
    head: Region

    @property
    def form(self) -> tuple[object, ...]:
        """What the result depends on beside the values of voxels and context."""
        return self.levels, self.head


def plan_block(extended: Shape, core: Region, halo: Sequence[int], strides: Strides) -> BlockPlan:
    """Work out the smallest boxes from which the logits of `core` are those of the whole volume.

    Parameters
    ----------
    extended : tuple of int
        Shape of the volume, (z, y, x), multiples of the total stride.
    core : Region
        Voxels wanted; its bounds are multiples of the total stride.
    halo : tuple of int
        Voxels of context on each side, multiples of the total stride; exact from `exact_reach` on.
    strides : Strides
    """
    everything, split = Region.whole(extended), strides.split
    outer = cast(Region, core.expanded(as_shape(halo)).intersection(everything))
    fine, sources = _decoder_boxes(outer, core, strides, folded=True)
    voxels = _voxels_for_skips(everything, fine, strides)
    skips = []
    for level, box in enumerate(fine):
        origin = voxels.start if level < split else outer.start
        skips.append(box.relative_to(_divided(origin, strides.until(level))))
    computed = [*(box.start for box in fine[1:]), _divided(outer.start, strides.total)]
    parts = zip(fine, sources, computed, strides.levels, skips, strict=True)
    levels = tuple(
        DecoderCrop(source.relative_to(start), box.relative_to(_times(source.start, stride)), skip)
        for box, source, start, stride, skip in parts
    )
    head = _over(core, strides.stem).relative_to(fine[0].start)
    return BlockPlan(voxels, _over(outer, strides.context), levels, head)


def exact_reach(strides: Strides) -> Shape:
    """Return the halo, (z, y, x) voxels, beyond which nothing can have any influence on a core.

    A multiple of the total stride; with it, a block's logits equal those of the whole volume by construction.
    """
    total, depth = strides.total, len(strides.levels)
    middle = 64 * max(total)
    core = Region((middle,) * 3, as_shape([middle + step for step in total]))
    fine, sources = _decoder_boxes(Region.whole((2 * middle,) * 3), core, strides)
    low = sources[-1].start
    for level in reversed(range(depth)):
        cells = _times(low, strides.levels[level])
        low = as_shape([min(a, b) - CONVOLUTION_REACH for a, b in zip(cells, fine[level].start, strict=True)])
    reach = [middle - start for start in _times(low, strides.stem)]
    return as_shape([-(-side // step) * step for side, step in zip(reach, total, strict=True)])


def _decoder_boxes(
    outer: Region, core: Region, strides: Strides, *, folded: bool = False
) -> tuple[list[Region], list[Region]]:
    """Return where each decoder level computes, and what it takes from the next deeper one, finest first.

    Nothing of it lies beyond `outer`. Where `folded`, the fine levels get whole runs of cells along x.
    """
    needed, fine, sources = _over(core, strides.stem), [], []
    for level, stride in enumerate(strides.levels):
        limits = [_over(outer, strides.until(depth)) for depth in (level, level + 1)]
        box = needed.expanded((CONVOLUTION_REACH,) * 3)
        if folded and level < strides.split:
            box = box.aligned((1, 1, max(1, FOLDED_VOXELS // strides.until(level)[2])))
        box = cast(Region, box.intersection(limits[0]))
        needed = cast(Region, _upsampled_from(box, stride).intersection(limits[1]))
        fine.append(box)
        sources.append(needed)
    return fine, sources


def _voxels_for_skips(everything: Region, fine: Sequence[Region], strides: Strides) -> Region:
    """Return the voxels from which the features of levels 0..k-1 are exact where the decoder takes them."""
    wanted = fine[strides.split - 1]
    for level in reversed(range(strides.split)):
        limit = _over(everything, strides.until(level))
        wanted = cast(Region, wanted.expanded((CONVOLUTION_REACH,) * 3).intersection(limit))
        if level > 0:
            below, other = strides.levels[level - 1], fine[level - 1]
            start = [min(a, b) for a, b in zip(_times(wanted.start, below), other.start, strict=True)]
            stop = [max(a, b) for a, b in zip(_times(wanted.stop, below), other.stop, strict=True)]
            wanted = Region(as_shape(start), as_shape(stop))
    voxels = Region(_times(wanted.start, strides.stem), _times(wanted.stop, strides.stem))
    z, y, _ = strides.until(strides.split - 1)
    return voxels.aligned((z, y, strides.context[2]))  # z and y as the net's shape, x in whole runs


class StreamingStudent(nn.Module):
    """A frozen `Student`, prepared for inference in blocks.

    Parameters
    ----------
    student : Student
        In three dimensions, with frozen normalisation; it is copied.

    Raises
    ------
    CheckpointError
        If it is not such a net.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        if not isinstance(student, Student) or student.config.spatial_dims != 3 or not is_frozen(student):
            raise CheckpointError(
                "The checkpoint's model cannot run in blocks",
                limit="a student in three dimensions with frozen normalisation",
                remedy="Choose another checkpoint",
            )
        folded = cast(Student, fold_normalisation(student))
        stem = cast(Shape, folded.config.stem_stride or (1, 1, 1))
        self.strides = Strides(stem, cast(tuple[Shape, ...], folded.config.strides))
        self.slope = folded.config.slope
        self.stem, self.encoder, self.down = folded.stem, folded.encoder, folded.down
        self.decoder = folded.decoder
        self.head = _cell_head(folded.up, folded.head)
        self.eval().requires_grad_(False)

    def plan(self, shape: Sequence[int], core: Region | None = None) -> BlockPlan:
        """Return the plan for a volume of `shape` that is one block, of which `core` is wanted (or all)."""
        whole = Region.whole(shape)
        return plan_block(whole.shape, core or whole, whole.shape, self.strides)

    def forward(self, x: Tensor, core: Region | None = None) -> Tensor:
        """Return the logits (B, 1, Z, Y, X) of `core` in a whole volume `x` (B, 1, Z', Y', X') in [0, 1]."""
        plan = self.plan(x.shape[2:], core)
        return self.decode(_cut(x, plan.voxels), self.encode_context(x), plan)

    def encode_context(self, x: Tensor) -> Tensor:
        """Return the context (B, C, ...) of voxels (B, 1, Z, Y, X); exact from `context_halo` on inwards."""
        x = self._stemmed(x)
        for level in range(self.strides.split):
            x = self.down[level](self.encoder[level](x))
        return x

    def decode(self, x: Tensor, context: Tensor, plan: BlockPlan) -> Tensor:
        """Return the logits of a core (B, 1, Z, Y, X) from the voxels and the context that its plan names."""
        split, depth = self.strides.split, len(self.strides.levels)
        skips = []
        x = self._stemmed(x)
        for level in range(depth):
            x = self.encoder[level](context if level == split else x)  # (B, C_i, n_i)
            skips.append(_cut(x, plan.levels[level].skip))
            if level != split - 1:
                x = self.down[level](x)
        for level in reversed(range(depth)):
            crop = plan.levels[level]
            x = _cut(x, crop.source)
            size = [n * f for n, f in zip(x.shape[2:], self.strides.levels[level], strict=True)]
            x = F.interpolate(x, size=size, mode="trilinear", align_corners=False)
            x = self.decoder[level](_cut(x, crop.fine) + skips.pop())
        x = self.head(_cut(x, plan.head))  # (B, voxels of a cell, n_0)
        return _voxels_of_cells(x, self.strides.stem)

    def _stemmed(self, x: Tensor) -> Tensor:
        return x if self.stem is None else F.leaky_relu(self.stem(x), self.slope, inplace=True)


def _cell_head(up: nn.Module | None, head: nn.Module) -> nn.Conv3d:
    """Merge ``head(up(x))``: one channel per voxel of a cell, in z, y, x order."""
    weight, bias = cast(Tensor, head.weight), cast(Tensor, head.bias)  # (1, C, 1, 1, 1), (1,)
    if up is not None:
        spread = cast(Tensor, up.weight)  # (C_in, C, sz, sy, sx)
        bias = bias + weight.flatten() @ cast(Tensor, up.bias)
        weight = torch.einsum("o,iozyx->zyxi", weight.flatten(), spread).flatten(0, 2)[..., None, None, None]
    merged = nn.Conv3d(weight.shape[1], weight.shape[0], 1)
    merged.weight.data = weight.detach().clone()
    merged.bias = nn.Parameter(bias.detach().expand(weight.shape[0]).clone())
    return merged


def _voxels_of_cells(x: Tensor, cell: Shape) -> Tensor:
    batch, _, z, y, x_ = x.shape
    cells = x.reshape(batch, *cell, z, y, x_)  # (B, cz, cy, cx, z, y, x)
    voxels = cells.permute(0, 4, 1, 5, 2, 6, 3)
    return voxels.reshape(batch, 1, z * cell[0], y * cell[1], x_ * cell[2])


def _upsampled_from(fine: Region, stride: Shape) -> Region:
    """Return the coarse cells that trilinear upsampling by `stride` takes the cells `fine` from."""
    start = [(2 * low + 1 - f) // (2 * f) for low, f in zip(fine.start, stride, strict=True)]
    stop = [(2 * high - 1 - f) // (2 * f) + min(f, 2) for high, f in zip(fine.stop, stride, strict=True)]
    return Region(as_shape(start), as_shape(stop))


def _cut(x: Tensor, box: Region) -> Tensor:
    return x[(..., *box.slices)]


def _over(box: Region, by: Shape) -> Region:
    return Region(_divided(box.start, by), _divided(box.stop, by))


def _divided(values: Sequence[int], by: Sequence[int]) -> Shape:
    return as_shape([value // step for value, step in zip(values, by, strict=True)])


def _times(values: Sequence[int], by: Sequence[int]) -> Shape:
    return as_shape([value * step for value, step in zip(values, by, strict=True)])
