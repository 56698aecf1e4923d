"""The student: the paper's LightUNet (VpbSD, arXiv 2411.09567), 122,349 parameters.

Notation: B batch, Z Y X voxels (Y X in 2D), s the product of all strides along an axis. Inputs are float32 in
[0, 1] after the intensity window; outputs are logits. The input's sides must be multiples of `total_stride`.

    x (B,1,Z,Y,X) -> stem /2 -> [two convs -> skip_i -> down-conv] x 4 -> z (B,32,Z/s,Y/s,X/s)
    z -> [trilinear up, + skip_i, two convs] x 4 -> transposed conv x2 -> 1x1x1 head -> logits (B,1,Z,Y,X)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.normalisation import FreezableGroupNorm

Stride = int | tuple[int, ...]


@dataclass(frozen=True)
class StudentConfig:
    """Shape of a `Student`.

    Attributes
    ----------
    spatial_dims : int
        3 for volumes, 2 for images.
    in_channels : int
        Channels of the input.
    widths : tuple of int
        Channels of each level; the paper's student is (4, 8, 16, 32).
    stem_stride : int, tuple of int, or None
        Stride of the first convolution (one number, or one per axis); None leaves the stem out
        ("student-hr": the first level runs at full resolution, 121,849 parameters, 6.7 times the work).
    strides : tuple
        Stride of the down-convolution that ends each level, one number or one per axis. Volumes with coarse
        z use (1, 2, 2) first.
    slope : float
        Negative slope of LeakyReLU.
    """

    spatial_dims: int = 3
    in_channels: int = 1
    widths: tuple[int, ...] = (4, 8, 16, 32)
    stem_stride: Stride | None = 2
    strides: tuple[Stride, ...] = (2, 2, 2, 2)
    slope: float = 0.01

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise InvalidInputError("The student works in 2 or 3 dimensions", value=self.spatial_dims)
        if len(self.strides) != len(self.widths):
            raise InvalidInputError(
                "The student needs one stride per level",
                value=self.strides,
                limit=f"{len(self.widths)} strides",
            )
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
        object.__setattr__(self, "strides", tuple(_per_axis(s, self.spatial_dims) for s in self.strides))
        if self.stem_stride is not None:
            object.__setattr__(self, "stem_stride", _per_axis(self.stem_stride, self.spatial_dims))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StudentConfig:
        """Build a config from what `to_dict` (and JSON) made of one.

        Raises
        ------
        InvalidInputError
            If a field is unknown or a value does not fit.
        """
        try:
            return cls(**{key: _as_tuples(value) for key, value in values.items()})
        except (TypeError, ValueError) as error:
            raise InvalidInputError("This is not a student's configuration", value=values) from error

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Student(nn.Module):
    """Light residual U-Net, variant B of the design's enumeration (methods 1.6).

    Parameters
    ----------
    config : StudentConfig, optional

    Notes
    -----
    Each encoder level is two convolutions, each with GroupNorm and LeakyReLU, and ends with its
    downsampling; decoder levels add the encoder's feature (residual connection) instead of concatenating.
    """

    def __init__(self, config: StudentConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or StudentConfig()
        dims, widths, slope = config.spatial_dims, config.widths, config.slope
        strides = cast(tuple[tuple[int, ...], ...], config.strides)
        stem = cast(tuple[int, ...] | None, config.stem_stride)
        first = config.in_channels if stem is None else widths[0]
        self.stem = None if stem is None else _strided(dims, config.in_channels, widths[0], stem)
        self.stem_norm = None if stem is None else _norm_act(widths[0], slope)
        self.encoder = nn.ModuleList()
        self.down = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for below, width, stride in zip((first, *widths[:-1]), widths, strides, strict=True):
            self.encoder.append(_two_convs(dims, below, width, width, slope))
            self.down.append(_strided(dims, width, width, stride))
        for above, width in zip((widths[0], *widths[:-1]), widths, strict=True):
            self.decoder.append(_two_convs(dims, width, width, above, slope))
        self.up = None if stem is None else _transposed(dims, widths[0], widths[0], stem)
        self.head = _convolution(dims, widths[0], 1, 1)

    @property
    def total_stride(self) -> tuple[int, ...]:
        """Voxels of the input per cell of z, per axis; sides and block origins must be multiples of it."""
        strides = cast(tuple[tuple[int, ...], ...], self.config.strides)
        stem = cast(tuple[int, ...], self.config.stem_stride or (1,) * self.config.spatial_dims)
        return tuple(math.prod(axis) for axis in zip(stem, *strides, strict=True))

    def encode(self, x: Tensor) -> Tensor:
        """Return z (B, widths[-1], Z/s, Y/s, X/s), float, signed: after the last down-conv, no activation."""
        return self._encode(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, 1, Z, Y, X), float, of `x` (B, C, Z, Y, X) in [0, 1].

        Raises
        ------
        InvalidInputError
            If a side of `x` is not a multiple of `total_stride`.
        """
        z, skips = self._encode(x)
        for convs, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            z = convs(_upsample(z, skip.shape[2:]) + skip)
        if self.up is not None:
            z = self.up(z)
        return cast(Tensor, self.head(z))

    def check_sides(self, sides: Sequence[int]) -> None:
        """Raise InvalidInputError if images of these sides do not fit."""
        if any(side % s for side, s in zip(sides, self.total_stride, strict=True)):
            raise InvalidInputError(
                "The block's sides do not fit the student",
                value=tuple(sides),
                limit=f"multiples of {self.total_stride}",
                remedy="Pad the block",
            )

    def _encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.check_sides(x.shape[2:])
        if self.stem is not None and self.stem_norm is not None:
            x = self.stem_norm(self.stem(x))
        skips = []
        for convs, down in zip(self.encoder, self.down, strict=True):
            skips.append(convs(x))
            x = down(skips[-1])
        return x, skips


def _upsample(z: Tensor, size: Sequence[int]) -> Tensor:
    mode = "trilinear" if z.dim() == 5 else "bilinear"
    return F.interpolate(z, size=list(size), mode=mode, align_corners=False)


def _convolution(dims: int, width_in: int, width_out: int, kernel: int) -> nn.Module:
    kind = nn.Conv3d if dims == 3 else nn.Conv2d
    return kind(width_in, width_out, kernel, padding=kernel // 2)


def _strided(dims: int, width_in: int, width_out: int, stride: tuple[int, ...]) -> nn.Module:
    kind: Any = nn.Conv3d if dims == 3 else nn.Conv2d
    return cast(nn.Module, kind(width_in, width_out, stride, stride))


def _transposed(dims: int, width_in: int, width_out: int, stride: tuple[int, ...]) -> nn.Module:
    kind: Any = nn.ConvTranspose3d if dims == 3 else nn.ConvTranspose2d
    return cast(nn.Module, kind(width_in, width_out, stride, stride))


def _norm_act(width: int, slope: float) -> nn.Sequential:
    return nn.Sequential(FreezableGroupNorm(_groups(width), width), nn.LeakyReLU(slope, inplace=True))


def _groups(width: int) -> int:
    """Return gcd(width, 4), capped so that a group has at least two channels."""
    return max(1, min(math.gcd(width, 4), width // 2))


def _two_convs(dims: int, width_in: int, width: int, width_out: int, slope: float) -> nn.Sequential:
    return nn.Sequential(
        _convolution(dims, width_in, width, 3),
        *_norm_act(width, slope),
        _convolution(dims, width, width_out, 3),
        *_norm_act(width_out, slope),
    )


def _per_axis(stride: Stride, dims: int) -> tuple[int, ...]:
    strides = (stride,) * dims if isinstance(stride, int) else tuple(int(s) for s in stride)
    if len(strides) != dims or any(s < 1 for s in strides):
        raise InvalidInputError("A stride does not fit", value=stride, limit=f"{dims} whole numbers >= 1")
    return strides


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
