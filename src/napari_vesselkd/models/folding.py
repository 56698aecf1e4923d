"""Convolutions of few channels with filled vector lanes: neighbours along x are computed as one cell.

A CPU computes 16 output channels at once; a convolution with 4 of them leaves three quarters idle. In memory
with the channels last, f neighbours of C channels along x lie exactly as one cell of f C channels does. So a
3x3x3 convolution to 4 channels is written as one with a kernel of 3x3x6, a stride of 4 along x and 16
channels: the same sums, the same bytes, little more than half of the time. The kernel holds the old one f
times, shifted, and zeros elsewhere.

Notation: features are (z, y, x, C), contiguous. Needs oneDNN (`is_at_hand`).
"""

from __future__ import annotations

import platform
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.geometry import Region, Shape

LANES = 16
NEARER, FARTHER = 0.75, 0.25  # weights of a linear interpolation by two


def is_at_hand() -> bool:
    """Whether this machine's PyTorch computes such convolutions fast."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(available) and platform.machine().lower() in ("x86_64", "amd64")


class FoldedConvolution:
    """A convolution of channels-last features.

    Parameters
    ----------
    convolution : Conv3d
        Either of stride 1 with an odd kernel, padded to keep the size, or with a kernel equal to its stride.
    slope : float, optional
        Of the LeakyReLU that follows.
    dtype : dtype
        To compute in.
    """

    def __init__(
        self, convolution: nn.Conv3d, slope: float | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        self.weight = convolution.weight.detach()  # (O, I, kz, ky, kx)
        self.bias = cast(Tensor, convolution.bias).detach()
        self.stride = cast(Shape, convolution.stride)
        self.padding = cast(Shape, convolution.padding)
        self.slope = slope
        self.dtype = dtype
        self._folded: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def out_channels(self) -> int:
        return self.weight.shape[0]

    @property
    def fullest(self) -> int:
        """How many neighbours along x fill the lanes."""
        return max(1, LANES // self.out_channels)

    def fold(self, width: int) -> int:
        """Return how many neighbours along x are computed as one cell where the result is `width` long."""
        return next(f for f in range(self.fullest, 0, -1) if width % f == 0)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the result, (z, y, x, O), of `x` (z, y, x, I).

        Always in cells of the `fullest`: in cells of another length a processor that multiplies matrices
        (AMX) adds in another order, and in half precision a block of another width would differ.
        """
        width = x.shape[2] // self.stride[2]
        missing = -width % self.fullest
        cells = self.folded(F.pad(x, (0, 0, 0, missing * self.stride[2])) if missing else x)
        found = cells.reshape(*cells.shape[:2], width + missing, self.out_channels)
        return found[:, :, :width].contiguous()

    def folded(self, x: Tensor) -> Tensor:
        """Return the result as it is computed: (z, y, x / f, f O), see `fold`."""
        fold = self.fold(x.shape[2] // self.stride[2])
        weight, bias = self._weights(fold)
        if any(self.padding):
            stride = (1, 1, fold)
        else:  # cells do not overlap: those of x are folded as well
            run = fold * self.stride[2]
            x = x.reshape(*x.shape[:2], x.shape[2] // run, run * x.shape[3])
            stride = (*self.stride[:2], 1)
        found = _convolved(x, weight, bias, stride, self.padding)
        return found if self.slope is None else F.leaky_relu_(found, self.slope)

    def _weights(self, fold: int) -> tuple[Tensor, Tensor]:
        if fold not in self._folded:
            make = overlapping_kernel if any(self.padding) else disjoint_kernel
            weight = make(self.weight, fold).to(self.dtype)
            self._folded[fold] = _channels_last(weight), self.bias.repeat(fold).to(self.dtype)
        return self._folded[fold]


def overlapping_kernel(weight: Tensor, fold: int) -> Tensor:
    """Return the kernel (f O, I, kz, ky, kx + f - 1) that computes f neighbours of one (O, I, kz, ky, kx)."""
    out, inner, *sides = weight.shape
    kernel = weight.new_zeros(fold, out, inner, *sides[:2], sides[2] + fold - 1)
    for shift in range(fold):
        kernel[shift, ..., shift : shift + sides[2]] = weight
    return kernel.flatten(0, 1)


def disjoint_kernel(weight: Tensor, fold: int) -> Tensor:
    """Return the kernel (f O, f kx I, kz, ky, 1) for one (O, I, kz, ky, kx) whose stride equals its sides."""
    out, inner, *sides = weight.shape
    kernel = weight.new_zeros(fold, out, fold, sides[2], inner, *sides[:2])
    for cell in range(fold):
        kernel[cell, :, cell] = weight.permute(0, 4, 1, 2, 3)
    return kernel.flatten(2, 4).flatten(0, 1)[..., None]


def upsampled_onto(x: Tensor, factors: Shape, box: Region, other: Tensor) -> Tensor:
    """Return `other` plus the part `box` of `x` upsampled trilinearly.

    Parameters
    ----------
    x : Tensor
        (z, y, x, C).
    factors : tuple of int
        Along each axis; fast for 1 and 2.
    box : Region
        In cells of the upsampled `x`.
    other : Tensor
        (z, y, x, C) of the shape of `box`; need not be contiguous.
    """
    if max(factors) > 2:
        x = _upsampled(x, factors)
        return x[box.slices] + other
    if factors[2] == 2:
        x = _doubled_along_x(x)
    if factors[1] == 2:
        x = _doubled_along_y(x)
    rows = x[:, box.slices[1], box.slices[2]]
    result = other.new_empty(other.shape)
    for plane, z in enumerate(range(box.start[0], box.stop[0])):  # a plane at a time stays in the cache
        if factors[0] == 1:
            torch.add(rows[z], other[plane], out=result[plane])
            continue
        beside = min(max(z // 2 + (1 if z % 2 else -1), 0), len(rows) - 1)
        torch.lerp(rows[z // 2], rows[beside], FARTHER, out=result[plane])
        result[plane] += other[plane]
    return result


def _upsampled(x: Tensor, factors: Shape) -> Tensor:
    size = [side * factor for side, factor in zip(x.shape[:3], factors, strict=True)]
    found = F.interpolate(x.permute(3, 0, 1, 2)[None], size=size, mode="trilinear", align_corners=False)
    return found[0].permute(1, 2, 3, 0)


def _doubled_along_x(x: Tensor) -> Tensor:
    """Interpolate by a convolution: runs of C values are too short for anything else."""
    depth, height, width, channels = x.shape
    fold = 2 if width % 2 == 0 and 4 * channels <= 2 * LANES else 1
    one = torch.eye(channels, dtype=x.dtype)
    weight = x.new_zeros(2, channels, channels, 1, 1, 3)
    weight[0, ..., 0, 0, 0], weight[1, ..., 0, 0, 2] = FARTHER * one, FARTHER * one
    weight[:, ..., 0, 0, 1] = NEARER * one
    kernel = _channels_last(overlapping_kernel(weight.flatten(0, 1), fold))
    bias = x.new_zeros(len(kernel))
    continued = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    found = _convolved(continued, kernel, bias, (1, 1, fold), (0, 0, 0))
    return found.reshape(depth, height, 2 * width, channels)


def _doubled_along_y(x: Tensor) -> Tensor:
    depth, height, *row = x.shape
    result = x.new_empty(depth, height, 2, *row)
    torch.lerp(x[:, 1:], x[:, :-1], FARTHER, out=result[:, 1:, 0])
    torch.lerp(x[:, :-1], x[:, 1:], FARTHER, out=result[:, :-1, 1])
    result[:, 0, 0], result[:, -1, 1] = x[:, 0], x[:, -1]
    return result.flatten(1, 2)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: Shape, padding: Shape) -> Tensor:
    """Convolve channels-last features; PyTorch itself would take another, slow, way where they are small."""
    found = torch.mkldnn_convolution(x.permute(3, 0, 1, 2)[None], weight, bias, padding, stride, (1, 1, 1), 1)
    return found[0].permute(1, 2, 3, 0).contiguous()


def _channels_last(weight: Tensor) -> Tensor:
    """Return the same in the layout that makes PyTorch compute with the channels last, a 1x1x1 kernel too."""
    result = torch.empty(weight.shape, dtype=weight.dtype, memory_format=torch.channels_last_3d)
    return result.copy_(weight)
