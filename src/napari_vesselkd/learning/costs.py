"""What a network costs: parameters, multiply-accumulates, and milliseconds per block."""

from __future__ import annotations

import statistics
import time

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from napari_vesselkd.models.teacher import Teacher

SIDE = 64
WARM, TIMED = 2, 7


def parameters_of(model: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def giga_macs(model: nn.Module, side: int = SIDE) -> float:
    """Return the multiply-accumulates, in 1e9, of one pass over a block of `side`^3 voxels.

    Those of convolutions and matrix products, as torch counts them; the papers' "GFLOPs" are these. Nothing
    is computed: the tensors have shapes only.
    """
    device = next(model.parameters()).device
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 1, side, side, side, device=device))
    return float(counter.get_total_flops() / 2e9)


@torch.inference_mode()
def milliseconds(model: nn.Module, device: torch.device, side: int = SIDE) -> float:
    """Return the median time, in ms, of one pass over a block of `side`^3 voxels on `device`."""
    model.eval().to(device)
    block = torch.rand(1, 1, side, side, side, device=device)
    times = []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        model(block)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[WARM:]) * 1e3


def costs_of(model: nn.Module, device: torch.device) -> dict[str, float]:
    """Return parameters, gmac, and milliseconds per block of a network on a device.

    Of a network that takes patches of one other size only, a block's share of such a patch counts.
    """
    side = model.config.patch if isinstance(model, Teacher) and model.network.one_size else SIDE
    share = (SIDE / side) ** 3
    return {
        "parameters": parameters_of(model),
        "gmac": round(share * giga_macs(model, side), 4),
        "milliseconds": round(share * milliseconds(model, device, side), 3),
    }
