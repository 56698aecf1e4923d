"""The teacher: a large net with a codebook at its bottleneck (VpbSD, arXiv 2411.09567, figure 2).

Notation: B batch, * voxels (Z, Y, X) or (Y, X), `grid` the cells of the bottleneck, W width of a code.

    x (B,1,*) -> encoder -> z (B,C,*grid) -> 1x1 conv -> u (B,W,*grid) -> nearest codes q -> 1x1 conv
      -> decoder, with the encoder's skip connections -> 1x1 conv -> logits, or reconstruction, (B,1,*)

Encoder and decoder are MONAI's Swin UNETR (the paper's), UNETR or SegResNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.networks import NETWORKS
from napari_vesselkd.models.quantiser import Quantised, Quantiser, QuantiserConfig, make_quantiser
from napari_vesselkd.models.quick_convolution import make_quick


@dataclass(frozen=True)
class TeacherConfig:
    """Shape of a `Teacher`.

    Attributes
    ----------
    spatial_dims : int
        3 for volumes, 2 for images.
    network : {"swin_unetr", "unetr", "segresnet"}
        Encoder and decoder.
    feature_size : int
        Channels of the finest level: 48 is the paper's (62 million parameters); 24 and 12 for less.
    quantiser : QuantiserConfig
    patch : int
        Side of the patches it is trained on and applied to, a multiple of 32, at least 64.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    spatial_dims: int = 3
    network: str = "swin_unetr"
    feature_size: int = 48
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    patch: int = 64

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise InvalidInputError("The teacher works in 2 or 3 dimensions", value=self.spatial_dims)
        if self.network not in NETWORKS:
            raise InvalidInputError(
                "There is no such network for a teacher", value=self.network, limit=", ".join(NETWORKS)
            )
        if self.feature_size < 12 or self.feature_size % 12:
            raise InvalidInputError(
                "The feature size does not fit", value=self.feature_size, limit="multiples of 12"
            )
        if self.patch < 64 or self.patch % 32:
            raise InvalidInputError(
                "The patch does not fit the teacher", value=self.patch, limit="multiples of 32 from 64 on"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TeacherConfig:
        """Build a config from what `to_dict` (and JSON) made of one.

        Raises
        ------
        InvalidInputError
            If a field is unknown or a value does not fit.
        """
        try:
            quantiser = QuantiserConfig(**values.get("quantiser", {}))
            return cls(**{**values, "quantiser": quantiser})
        except (TypeError, ValueError) as error:
            raise InvalidInputError("This is not a teacher's configuration", value=values) from error

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TeacherView:
    """Everything that a pass of the teacher gives.

    Attributes
    ----------
    logits : Tensor (B, 1, *)
    reconstruction : Tensor (B, 1, *) or None
        Where it was asked for, in place of the logits' head.
    z : Tensor (B, C, *grid)
        Before the codebook.
    u, q : Tensor (B, W, *grid)
        Before and after the nearest code is taken.
    indices : Tensor (B, *grid) int64
    loss : Tensor
        Scalar, of the codebook.
    """

    logits: Tensor
    reconstruction: Tensor | None
    z: Tensor
    u: Tensor
    q: Tensor
    indices: Tensor
    loss: Tensor


class Teacher(nn.Module):
    """Encoder, codebook and decoder.

    Parameters
    ----------
    config : TeacherConfig, optional

    Attributes
    ----------
    network : encoder and decoder
    quantiser : Quantiser
    down, up : 1x1 convolutions
        Dimension alignment, C to W and back (eq. 8).
    out, reconstruction : 1x1 convolutions
        The two heads: logits, and the image.
    """

    def __init__(self, config: TeacherConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TeacherConfig()
        kind: Any = nn.Conv3d if config.spatial_dims == 3 else nn.Conv2d
        self.network = NETWORKS[config.network](config)
        width, channels = config.quantiser.width, self.network.z_width
        self.down = kind(channels, width, 1)
        self.quantiser: Quantiser = make_quantiser(config.quantiser)
        self.up = kind(width, channels, 1)
        self.out = kind(self.network.width, 1, 1)
        self.reconstruction = kind(self.network.width, 1, 1)
        make_quick(self)

    @property
    def total_stride(self) -> tuple[int, ...]:
        """Voxels per cell of the grid, per axis; sides must be multiples of it."""
        return (self.network.stride,) * self.config.spatial_dims

    @property
    def z_width(self) -> int:
        """Channels of z."""
        return self.network.z_width

    @property
    def code_width(self) -> int:
        """Channels of a code, W."""
        return self.config.quantiser.width

    @property
    def z_tap(self) -> str:
        """Path of the module whose output is z; see `distillation.taps`."""
        return f"network.{self.network.z_tap}"

    @property
    def preactivation_tap(self) -> str:
        """Path of what goes into the last rectifier at the bottleneck; see `distillation.taps`."""
        return f"network.{self.network.preactivation_tap}"

    @property
    def behind_codes(self) -> tuple[str, ...]:
        """How the names of the parameters begin that what is found in the codebook goes through."""
        return ("up.", "out.", "reconstruction.", *(f"network.{name}" for name in self.network.decoder))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, 1, *) of `x` (B, 1, *) in [0, 1].

        Raises
        ------
        InvalidInputError
            If a side of `x` is not a multiple of `total_stride`.
        """
        return self.view(x).logits

    def view(
        self, x: Tensor, *, skip_keep: float = 1.0, reconstruct: bool = False, of_codes: bool = False
    ) -> TeacherView:
        """Return everything that a pass gives.

        Parameters
        ----------
        x : Tensor (B, 1, *)
            In [0, 1].
        skip_keep : float
            Probability that a skip connection of a sample is kept; else it is 0.
        reconstruct : bool
            Whether the head that reconstructs is applied too.
        of_codes : bool
            Whether it reconstructs from the codes alone, in a second pass of the decoder, whatever
            `skip_keep` is.
        """
        z, skips = self._encode(x)
        u = self.down(z)
        found = self.quantiser(u)
        features = self._decode(found.q, skips, skip_keep)
        image = None
        if reconstruct:
            image = self.reconstruction(self._decode(found.q, skips, 0.0) if of_codes else features)
        return TeacherView(self.out(features), image, z, u, found.q, found.indices, found.loss)

    def codes(self, x: Tensor) -> Tensor:
        """Return the code indices (B, *grid) int64 of `x` (B, 1, *) in [0, 1]."""
        return cast(Quantised, self.quantiser(self.embed(x))).indices

    def embed(self, x: Tensor) -> Tensor:
        """Return u (B, W, *grid), before the nearest code is taken, without computing any skip connection."""
        self.check_sides(x.shape[2:])
        return cast(Tensor, self.down(self.network.bottleneck(x)))

    def reconstruct(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the image (B, 1, *) that the decoder makes of given codes, without the skips of `x`."""
        return cast(Tensor, self.reconstruction(self._of_codes(x, indices)))

    def logits_of(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the logits (B, 1, *) that the decoder makes of given codes, without the skips of `x`."""
        return cast(Tensor, self.out(self._of_codes(x, indices)))

    def check_sides(self, sides: Sequence[int]) -> None:
        """Raise InvalidInputError if images of these sides do not fit."""
        sides = tuple(sides)
        if any(side % step for side, step in zip(sides, self.total_stride, strict=True)):
            limit = f"multiples of {self.total_stride}"
        elif self.network.one_size and any(side != self.config.patch for side in sides):
            limit = f"{self.config.patch} along every axis, for which its positions are learned"
        elif sides == self.total_stride and self.network.two_cells:
            limit = "more than one cell, as they are normalised over the image"
        else:
            return
        raise InvalidInputError(
            "The block's sides do not fit the teacher", value=sides, limit=limit, remedy="Pad the block"
        )

    def _of_codes(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the decoder's features (B, width, *) of given codes, without the skips of `x`."""
        _, skips = self._encode(x)
        return self._decode(self.quantiser.lookup(indices), skips, 0.0)

    def _encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.check_sides(x.shape[2:])
        return self.network.encode(x)

    def _decode(self, q: Tensor, skips: Sequence[Tensor], skip_keep: float) -> Tensor:
        if skip_keep < 1:
            skips = [_dropped(skip, skip_keep) for skip in skips]
        return self.network.decode(self.up(q), skips)


def _dropped(skip: Tensor, keep: float) -> Tensor:
    """Return `skip` with each sample as it is, with probability `keep`, or 0."""
    kept = torch.rand(len(skip), *(1,) * (skip.dim() - 1), device=skip.device) < keep
    return skip * kept
