"""Convolutions of one patch on the CPU: PyTorch takes a slow way for small features, several times slower."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from napari_vesselkd.models.folding import is_at_hand


class QuickConv3d(nn.Conv3d):
    """A convolution that computes one patch as PyTorch computes several, where nothing is learned from it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, O, z, y, x) of features (B, I, Z, Y, X)."""
        alone = len(x) == 1 and x.device.type == "cpu" and x.dtype == torch.float32
        if not alone or not torch.is_inference_mode_enabled() or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        padding = cast(tuple[int, ...], self.padding)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, padding, self.stride, self.dilation, self.groups
        )


def make_quick(net: nn.Module) -> None:
    """Let the convolutions of a network be `QuickConv3d`, where this machine has such an operation."""
    if not is_at_hand():
        return
    for module in net.modules():
        if type(module) is nn.Conv3d and module.padding_mode == "zeros" and isinstance(module.padding, tuple):
            module.__class__ = QuickConv3d
