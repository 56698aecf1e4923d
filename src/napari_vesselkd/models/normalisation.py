"""GroupNorm that can be frozen, so that a prediction no longer depends on the block it was computed in.

Live GroupNorm takes its statistics over the whole block: the same voxel gets another value in another
block, and no halo repairs that. Frozen statistics are numbers stored in the checkpoint: the net is a fixed
local function, and what is computed in blocks with enough halo equals what is computed in one piece.

Notation: B batch, C channels, G groups, V voxels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FreezableGroupNorm(nn.GroupNorm):
    """GroupNorm with an optional fixed mean and variance per channel.

    Attributes
    ----------
    mean, variance : Tensor
        (C,) float32, the frozen statistics (equal within a group); in the state dict, used where `frozen`.
    frozen : bool
        Whether the fixed statistics replace those of the block. Follows the state dict when one is loaded.
    """

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__(groups, channels)
        self.mean: Tensor
        self.variance: Tensor
        self.is_frozen: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("is_frozen", torch.tensor(False))
        self.frozen = False
        self.register_load_state_dict_post_hook(_follow_state)  # type: ignore[no-untyped-call]

    def freeze(self, mean: Tensor, variance: Tensor) -> None:
        """Use these (G,) statistics from now on."""
        repeats = self.num_channels // self.num_groups
        self.mean.copy_(mean.repeat_interleave(repeats))
        self.variance.copy_(variance.repeat_interleave(repeats))
        self.is_frozen.fill_(True)
        self.frozen = True

    def thaw(self) -> None:
        """Take the statistics from each block again."""
        self.is_frozen.fill_(False)
        self.frozen = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (B, C, ...)."""
        if self.frozen:
            return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """Return (scale, shift), each (C,): what the frozen layer computes is ``x * scale + shift``."""
        scale = self.weight * torch.rsqrt(self.variance + self.eps)
        return scale, self.bias - self.mean * scale


def is_frozen(model: nn.Module) -> bool:
    """Whether every normalisation of `model` is frozen: it is then the same function for any block."""
    return all(norm.frozen for norm in _norms(model))


@torch.no_grad()
def freeze_statistics(model: nn.Module, patches: Iterable[Tensor]) -> None:
    """Fix the statistics of every normalisation of `model` to their values over all `patches` together.

    One pass: each layer is fixed the moment its input arrives, so that the next one is measured on exactly
    what the frozen net will give it.

    Parameters
    ----------
    model : nn.Module
        With `FreezableGroupNorm` layers; it is left in the mode (train, eval) it had.
    patches : iterable of Tensor
        Each (B, C, Z, Y, X) float32 in [0, 1] of one shape, on the model's device.
    """
    thaw_statistics(model)
    hooks = [norm.register_forward_pre_hook(_freeze_on) for norm in _norms(model)]
    try:
        model(torch.cat(list(patches)))
    finally:
        for hook in hooks:
            hook.remove()


def statistics_of(model: nn.Module) -> list[list[list[float]]]:
    """Return the frozen statistics as plain numbers: [mean, variance], each (C,), of each normalisation."""
    return [[norm.mean.tolist(), norm.variance.tolist()] for norm in _norms(model)]


@torch.no_grad()
def set_statistics(model: nn.Module, statistics: list[list[list[float]]]) -> None:
    """Freeze `model` with what `statistics_of` returned for a model of the same shape."""
    for norm, (mean, variance) in zip(_norms(model), statistics, strict=True):
        repeats = norm.num_channels // norm.num_groups
        norm.freeze(torch.tensor(mean[::repeats]), torch.tensor(variance[::repeats]))


def thaw_statistics(model: nn.Module) -> None:
    """Make every normalisation of `model` live again (for training)."""
    for norm in _norms(model):
        norm.thaw()


def fold_normalisation(model: nn.Module) -> nn.Module:
    """Return a copy of a frozen `model` whose normalisations are merged into the convolutions before them.

    The copy computes the same function (up to rounding) with fewer passes over memory.
    """
    folded = copy.deepcopy(model).eval()
    previous: nn.Module | None = None
    parents = {
        id(child): (parent, name) for parent in folded.modules() for name, child in parent.named_children()
    }
    for module in list(folded.modules()):
        if isinstance(module, FreezableGroupNorm) and previous is not None:
            _absorb(previous, module)
            parent, name = parents[id(module)]
            setattr(parent, name, nn.Identity())
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            previous = module
    return folded


def _freeze_on(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
    layer, x = cast(FreezableGroupNorm, norm), cast(Tensor, inputs[0])
    values = x.movedim(1, 0).reshape(layer.num_groups, -1).double()  # (G, B * C/G * V)
    layer.freeze(values.mean(dim=1).float(), values.var(dim=1, correction=0).float())


def _norms(model: nn.Module) -> list[FreezableGroupNorm]:
    return [module for module in model.modules() if isinstance(module, FreezableGroupNorm)]


def _absorb(convolution: nn.Module, norm: FreezableGroupNorm) -> None:
    if not isinstance(convolution, nn.Conv2d | nn.Conv3d) or convolution.bias is None:
        raise TypeError("a normalisation can only be folded into a convolution with a bias")
    scale, shift = norm.affine_map()
    convolution.weight.data *= scale.reshape(-1, *(1,) * (convolution.weight.dim() - 1))
    convolution.bias.data.mul_(scale).add_(shift)


def _follow_state(module: nn.Module, _incompatible: object) -> None:
    norm = cast(FreezableGroupNorm, module)
    norm.frozen = bool(norm.is_frozen)
