"""The frozen student as blocks need it: the same function with less work, for the core of a block only.

Normalisation is folded into the convolutions; the last transposed convolution and the 1x1x1 head, linear
both, become one 1x1x1 convolution whose channels are the voxels of a cell. The encoder works on the whole
outer box of a block; the decoder needs less of it on each way up, and computes only what reaches the core.

Notation: level i has ``n_i`` cells along an axis, each ``f_i`` times as long as those of the level before it;
level 0 comes after the stem, level L is z. All boxes are half-open and in cells of their level.
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
class CropPlan:
    """Crops of all decoder levels, finest first, that of the last one's output before the head, and of z."""

    levels: tuple[DecoderCrop, ...]
    head: Region
    deepest: Region


def plan_crops(shape: Shape, core: Region, stem: Shape, strides: Sequence[Shape]) -> CropPlan:
    """Work out the smallest boxes from which the logits of `core` are exactly those of the whole block.

    Parameters
    ----------
    shape : tuple of int
        Of the block, (z, y, x), multiples of the total stride.
    core : Region
        Wanted part of it, its bounds multiples of `stem`.
    stem, strides : tuple of int
        Stride of the stem and of each level, (z, y, x).
    """
    sizes = [_divided(shape, stem)]
    for stride in strides:
        sizes.append(_divided(sizes[-1], stride))
    needed = Region(_divided(core.start, stem), _divided(core.stop, stem))
    head, done = needed, []
    for size, coarse_size, stride in zip(sizes, sizes[1:], strides, strict=False):
        fine = cast(Region, needed.expanded((CONVOLUTION_REACH,) * 3).intersection(Region.whole(size)))
        coarse = cast(Region, _sources(fine, stride).intersection(Region.whole(coarse_size)))
        origin = [low * f for low, f in zip(coarse.start, stride, strict=True)]
        done.append((fine, coarse, fine.relative_to(origin)))
        needed = coarse
    computed = [fine.start for fine, _, _ in done[1:]] + [(0, 0, 0)]
    levels = tuple(
        DecoderCrop(coarse.relative_to(start), inside, fine)
        for (fine, coarse, inside), start in zip(done, computed, strict=True)
    )
    return CropPlan(levels, head.relative_to(done[0][0].start), needed)


def exact_reach(stem: Shape, strides: Sequence[Shape]) -> Shape:
    """Return the halo, (z, y, x) voxels, beyond which no voxel can have any influence on a core.

    A multiple of the total stride; with it, a block's logits equal those of the whole volume by construction.
    The halo after which no label differs any more is often smaller, and depends on the weights.
    """
    total = as_shape([math.prod(axis) for axis in zip(stem, *strides, strict=True)])
    middle = 64 * max(total)
    shape = (2 * middle,) * 3
    core = Region((middle,) * 3, as_shape([middle + step for step in total]))
    plan = plan_crops(shape, core, stem, strides)
    low = plan.deepest.start
    for level in reversed(range(len(strides))):
        cells = _times(low, strides[level])
        first = [min(a, b) for a, b in zip(cells, plan.levels[level].skip.start, strict=True)]
        low = as_shape([cell - CONVOLUTION_REACH for cell in first])
    reach = [middle - start for start in _times(low, stem)]
    return as_shape([-(-side // step) * step for side, step in zip(reach, total, strict=True)])


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
        self.stem_stride: Shape = cast(Shape, folded.config.stem_stride or (1, 1, 1))
        self.strides = cast(tuple[Shape, ...], folded.config.strides)
        self.total_stride: Shape = cast(Shape, folded.total_stride)
        self.slope = folded.config.slope
        self.stem, self.encoder, self.down = folded.stem, folded.encoder, folded.down
        self.decoder = folded.decoder
        self.head = _cell_head(folded.up, folded.head)
        self.eval().requires_grad_(False)

    def plan(self, shape: Sequence[int], core: Region | None = None) -> CropPlan:
        """Return the crops for a block of `shape` of which `core` is wanted (all by default)."""
        block = as_shape(shape)
        return plan_crops(block, core or Region.whole(block), self.stem_stride, self.strides)

    def forward(self, x: Tensor, core: Region | None = None) -> Tensor:
        """Return the logits of `core`, (B, 1, Z, Y, X), for blocks `x`, (B, 1, Z', Y', X') in [0, 1]."""
        plan = self.plan(x.shape[2:], core)
        if self.stem is not None:
            x = F.leaky_relu(self.stem(x), self.slope, inplace=True)
        skips = []
        for level, (convs, down) in enumerate(zip(self.encoder, self.down, strict=True)):
            x = convs(x)  # (B, C_i, n_i)
            skips.append(_cut(x, plan.levels[level].skip))
            x = down(x)
        for level in reversed(range(len(self.decoder))):
            crop = plan.levels[level]
            x = _cut(x, crop.source)
            size = [n * f for n, f in zip(x.shape[2:], self.strides[level], strict=True)]
            x = F.interpolate(x, size=size, mode="trilinear", align_corners=False)
            x = self.decoder[level](_cut(x, crop.fine) + skips.pop())
        x = self.head(_cut(x, plan.head))  # (B, voxels of a cell, n_0)
        return _voxels_of_cells(x, self.stem_stride)


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


def _sources(fine: Region, stride: Shape) -> Region:
    """Return the coarse cells that trilinear upsampling by `stride` takes the cells `fine` from."""
    start = [(2 * low + 1 - f) // (2 * f) for low, f in zip(fine.start, stride, strict=True)]
    stop = [(2 * high - 1 - f) // (2 * f) + min(f, 2) for high, f in zip(fine.stop, stride, strict=True)]
    return Region(as_shape(start), as_shape(stop))


def _cut(x: Tensor, box: Region) -> Tensor:
    return x[(..., *box.slices)]


def _divided(values: Sequence[int], by: Sequence[int]) -> Shape:
    return as_shape([value // step for value, step in zip(values, by, strict=True)])


def _times(values: Sequence[int], by: Sequence[int]) -> Shape:
    return as_shape([value * step for value, step in zip(values, by, strict=True)])
