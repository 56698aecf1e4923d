"""Encoders and decoders of teachers: MONAI's networks with the bottleneck between them open.

Notation: B batch, * voxels (Z, Y, X) or (Y, X), C channels of the bottleneck z, `grid` its cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_vesselkd.models.teacher import TeacherConfig


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
        Where in its cell what decides a code is centred in a trained teacher, 0 its first voxel, 0.5 its
        middle.
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
    centre = 0.375  # 0 in one that learned nothing: strides of 2 begin at the first voxel (docs/adr/0009)

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
