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
    """Fix the statistics of every normalisation of `model` to their values over `patches`.

    Layer by layer from the input on, each one measured with those before it already frozen, so that the
    frozen net sees exactly the statistics it normalises with.

    Parameters
    ----------
    model : nn.Module
        With `FreezableGroupNorm` layers; it is left in the mode (train, eval) it had.
    patches : iterable of Tensor
        Each (B, C, Z, Y, X) float32 in [0, 1], on the model's device. All of them weigh by their voxels.
    """
    samples = list(patches)
    thaw_statistics(model)
    for norm in _in_order_of_use(model, samples[0]):
        moments = _Moments(norm)
        for sample in samples:
            model(sample)
        moments.close()
        norm.freeze(*moments.statistics())


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


class _Moments:
    """Accumulates mean and variance per group of what enters one layer."""

    def __init__(self, norm: FreezableGroupNorm) -> None:
        self.groups = norm.num_groups
        self.count = 0
        self.sum = torch.zeros(self.groups, dtype=torch.float64)
        self.squares = torch.zeros(self.groups, dtype=torch.float64)
        self.handle = norm.register_forward_pre_hook(self._add)

    def _add(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = cast(Tensor, inputs[0]).detach()
        values = x.contiguous().reshape(x.shape[0], self.groups, -1).double()  # (B, G, C/G * V)
        self.count += values.shape[0] * values.shape[2]
        self.sum += values.sum(dim=(0, 2)).cpu()
        self.squares += values.square().sum(dim=(0, 2)).cpu()

    def statistics(self) -> tuple[Tensor, Tensor]:
        mean = self.sum / self.count
        variance = (self.squares / self.count - mean.square()).clamp_min(0)
        return mean.float(), variance.float()

    def close(self) -> None:
        self.handle.remove()


def _norms(model: nn.Module) -> list[FreezableGroupNorm]:
    return [module for module in model.modules() if isinstance(module, FreezableGroupNorm)]


def _in_order_of_use(model: nn.Module, sample: Tensor) -> list[FreezableGroupNorm]:
    order: list[FreezableGroupNorm] = []
    hooks = [norm.register_forward_pre_hook(lambda module, _: order.append(module)) for norm in _norms(model)]
    model(sample)
    for hook in hooks:
        hook.remove()
    return order


def _absorb(convolution: nn.Module, norm: FreezableGroupNorm) -> None:
    if not isinstance(convolution, nn.Conv2d | nn.Conv3d) or convolution.bias is None:
        raise TypeError("a normalisation can only be folded into a convolution with a bias")
    scale, shift = norm.affine_map()
    convolution.weight.data *= scale.reshape(-1, *(1,) * (convolution.weight.dim() - 1))
    convolution.bias.data.mul_(scale).add_(shift)


def _follow_state(module: nn.Module, _incompatible: object) -> None:
    norm = cast(FreezableGroupNorm, module)
    norm.frozen = bool(norm.is_frozen)
