"""The teacher: a large net with a codebook at its bottleneck (VpbSD, arXiv 2411.09567, figure 2).

Notation: B batch, * voxels (Z, Y, X) or (Y, X), `grid` the cells of the bottleneck, W width of a code.

    x (B,1,*) -> encoder -> z (B,C,*grid) -> 1x1 conv -> u (B,W,*grid) -> nearest codes q -> 1x1 conv
      -> decoder, with the encoder's skip connections -> 1x1 conv -> logits, or reconstruction, (B,1,*)

Encoder and decoder are MONAI's Swin UNETR (the paper's), UNETR or SegResNet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.quantiser import Quantised, Quantiser, QuantiserConfig, make_quantiser


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

    def view(self, x: Tensor, *, skip_keep: float = 1.0, reconstruct: bool = False) -> TeacherView:
        """Return everything that a pass gives.

        Parameters
        ----------
        x : Tensor (B, 1, *)
            In [0, 1].
        skip_keep : float
            Probability that a skip connection of a sample is kept; else it is 0.
        reconstruct : bool
            Whether the head that reconstructs is applied too.
        """
        z, skips = self._encode(x)
        u = self.down(z)
        found = self.quantiser(u)
        features = self._decode(found.q, skips, skip_keep)
        image = self.reconstruction(features) if reconstruct else None
        return TeacherView(self.out(features), image, z, u, found.q, found.indices, found.loss)

    def codes(self, x: Tensor) -> Tensor:
        """Return the code indices (B, *grid) int64 of `x` (B, 1, *) in [0, 1]."""
        return cast(Quantised, self.quantiser(self.embed(x))).indices

    def embed(self, x: Tensor) -> Tensor:
        """Return u (B, W, *grid), before the nearest code is taken, without computing any skip connection."""
        self._check_sides(x)
        return cast(Tensor, self.down(self.network.bottleneck(x)))

    def reconstruct(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the image (B, 1, *) that the decoder makes of given codes, without the skips of `x`."""
        return cast(Tensor, self.reconstruction(self._of_codes(x, indices)))

    def logits_of(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the logits (B, 1, *) that the decoder makes of given codes, without the skips of `x`."""
        return cast(Tensor, self.out(self._of_codes(x, indices)))

    def _of_codes(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the decoder's features (B, width, *) of given codes, without the skips of `x`."""
        _, skips = self._encode(x)
        return self._decode(self.quantiser.lookup(indices), skips, 0.0)

    def _encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._check_sides(x)
        return self.network.encode(x)

    def _check_sides(self, x: Tensor) -> None:
        sides = tuple(x.shape[2:])
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

    def _decode(self, q: Tensor, skips: Sequence[Tensor], skip_keep: float) -> Tensor:
        if skip_keep < 1:
            skips = [_dropped(skip, skip_keep) for skip in skips]
        return self.network.decode(self.up(q), skips)


class Network(nn.Module):
    """An encoder and a decoder with the bottleneck between them open.

    Attributes
    ----------
    width, z_width : int
        Channels of the decoder's output and of z.
    stride : int
        Voxels per cell of z.
    one_size : bool
        Whether images must be of the configured size.
    two_cells : bool
        Whether a grid of one cell is too small.
    z_tap, preactivation_tap : str
        See `Teacher`.
    decoder : tuple of str
        How the names of the parameters behind the codebook begin.
    centre : float
        Where in its cell the field of view of a code is centred, 0 its first voxel, 0.5 its middle.
    """

    width: int
    z_width: int
    stride: int = 32
    one_size: ClassVar[bool] = False
    two_cells: ClassVar[bool] = False
    z_tap: ClassVar[str]
    preactivation_tap: ClassVar[str]
    decoder: ClassVar[tuple[str, ...]] = ("net.decoder",)
    centre: ClassVar[float] = 0.5

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return z, and the skip connections, the deepest first."""
        raise NotImplementedError

    def bottleneck(self, x: Tensor) -> Tensor:
        """Return z alone; networks that need less for it leave the rest out."""
        return self.encode(x)[0]

    def decode(self, z: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Return features (B, width, *)."""
        raise NotImplementedError


class SwinUNETRNetwork(Network):
    """Swin UNETR (arXiv 2201.01266): MONAI's, without its last layer."""

    two_cells = True
    z_tap = "net.encoder10"
    preactivation_tap = "net.encoder10.layer.lrelu:input"

    def __init__(self, config: TeacherConfig) -> None:
        from monai.networks.nets import SwinUNETR

        super().__init__()
        self.width, self.z_width = config.feature_size, 16 * config.feature_size
        self.net = SwinUNETR(1, 1, feature_size=config.feature_size, spatial_dims=config.spatial_dims)
        del self.net.out

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        net = self.net
        hidden = net.swinViT(x, net.normalize)
        fine = [net.encoder4(hidden[2]), net.encoder3(hidden[1]), net.encoder2(hidden[0]), net.encoder1(x)]
        return net.encoder10(hidden[4]), [hidden[3], *fine]

    def bottleneck(self, x: Tensor) -> Tensor:
        net = self.net
        return cast(Tensor, net.encoder10(net.swinViT(x, net.normalize)[4]))

    def decode(self, z: Tensor, skips: Sequence[Tensor]) -> Tensor:
        net = self.net
        blocks = (net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1)
        for block, skip in zip(blocks, skips, strict=True):
            z = block(z, skip)
        return z


class UNETRNetwork(Network):
    """UNETR (arXiv 2103.10504): MONAI's, without its last layer; takes patches of one size only."""

    stride = 16
    one_size = True
    z_tap = "grid"
    preactivation_tap = "net.encoder3.blocks.0.1.lrelu:input"

    def __init__(self, config: TeacherConfig) -> None:
        from monai.networks.nets import UNETR

        super().__init__()
        self.width, self.z_width = config.feature_size, 16 * config.feature_size
        self.net = UNETR(
            1,
            1,
            (config.patch,) * config.spatial_dims,
            feature_size=config.feature_size,
            hidden_size=self.z_width,
            mlp_dim=4 * self.z_width,
            spatial_dims=config.spatial_dims,
        )
        del self.net.out
        self.grid = nn.Identity()

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        net = self.net
        tokens, hidden = net.vit(x)
        maps = [net.proj_feat(hidden[layer]) for layer in (9, 6, 3)]
        coarse = [net.encoder4(maps[0]), net.encoder3(maps[1]), net.encoder2(maps[2])]
        return self.grid(net.proj_feat(tokens)), [*coarse, net.encoder1(x)]

    def bottleneck(self, x: Tensor) -> Tensor:
        net = self.net
        return cast(Tensor, self.grid(net.proj_feat(net.vit(x)[0])))

    def decode(self, z: Tensor, skips: Sequence[Tensor]) -> Tensor:
        net = self.net
        for block, skip in zip((net.decoder5, net.decoder4, net.decoder3, net.decoder2), skips, strict=True):
            z = block(z, skip)
        return z


class SegResNetNetwork(Network):
    """SegResNet (arXiv 1810.11654): MONAI's, six levels deep, without its last convolution."""

    z_tap = "net.down_layers.5"
    preactivation_tap = "net.down_layers.5.1.act:input"
    decoder = ("net.up_", "net.conv_final")
    centre = 0.0  # of convolutions with stride 2 and kernel 3, which begin at the first voxel

    def __init__(self, config: TeacherConfig) -> None:
        from monai.networks.nets import SegResNet

        super().__init__()
        self.width = config.feature_size // 2
        self.z_width = 32 * self.width
        groups = math.gcd(self.width, 8)
        self.net = SegResNet(
            config.spatial_dims,
            self.width,
            in_channels=1,
            norm=("GROUP", {"num_groups": groups}),
            blocks_down=(1, 1, 2, 2, 2, 1),
            blocks_up=(1, 1, 1, 1, 1),
            use_conv_final=False,
        )
        self.net.conv_final = self.net.conv_final[:-1]  # normalisation and activation: blocks end without

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        z, levels = self.net.encode(x)
        return z, levels[-2::-1]

    def decode(self, z: Tensor, skips: Sequence[Tensor]) -> Tensor:
        for up, layer, skip in zip(self.net.up_samples, self.net.up_layers, skips, strict=True):
            z = layer(up(z) + skip)
        return cast(Tensor, self.net.conv_final(z))


NETWORKS: dict[str, Callable[[TeacherConfig], Network]] = {
    "swin_unetr": SwinUNETRNetwork,
    "unetr": UNETRNetwork,
    "segresnet": SegResNetNetwork,
}


def _dropped(skip: Tensor, keep: float) -> Tensor:
    """Return `skip` with each sample as it is, with probability `keep`, or 0."""
    kept = torch.rand(len(skip), *(1,) * (skip.dim() - 1), device=skip.device) < keep
    return skip * kept
