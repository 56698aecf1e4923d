"""Features of a network while it runs, read by hooks; the network does not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError

INPUT = ":input"


@contextmanager
def tapped(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Give a dict that each pass of `model` fills with features, by name.

    Parameters
    ----------
    model : nn.Module
    names : sequence of str
        Paths of modules, for what comes out of them, or with ":input" behind for what goes in. Of a module
        that runs several times per pass the last time counts.

    Raises
    ------
    InvalidInputError
        If the model has no such module.

    Notes
    -----
    Features are cloned: activations and residual sums often work in place, and a pre-activation would be
    overwritten by its own activation.
    """
    found: dict[str, Tensor] = {}
    modules = [_find(model, name) for name in names]
    hooks = [_hook(module, name, found) for module, name in zip(modules, names, strict=True)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def channels_of(model: nn.Module, name: str, shape: Sequence[int]) -> int:
    """Return the channels of a feature, seen in one pass over an empty (1, 1, *shape) image."""
    first = next(model.parameters())
    was_training = model.training
    model.eval()
    with tapped(model, [name]) as found:
        model(torch.zeros(1, 1, *shape, device=first.device, dtype=first.dtype))
    model.train(was_training)
    return found[name].shape[1]


def _find(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name.removesuffix(INPUT))
    except AttributeError as error:
        raise InvalidInputError(
            f"The {type(model).__name__} has no such module to tap",
            value=name,
            limit=", ".join(path for path, _ in model.named_children()),
        ) from error


def _hook(module: nn.Module, name: str, found: dict[str, Tensor]) -> Any:
    if name.endswith(INPUT):
        return module.register_forward_pre_hook(_keep_input(name, found))
    return module.register_forward_hook(_keep_output(name, found))


def _keep_input(name: str, found: dict[str, Tensor]) -> Callable[[nn.Module, Any], None]:
    def keep(_module: nn.Module, inputs: Any) -> None:
        found[name] = inputs[0].clone()

    return keep


def _keep_output(name: str, found: dict[str, Tensor]) -> Callable[[nn.Module, Any, Any], None]:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        found[name] = output.clone()

    return keep
