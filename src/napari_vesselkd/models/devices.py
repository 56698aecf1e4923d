"""Devices of torch."""

from __future__ import annotations

import torch

from napari_vesselkd.errors import DeviceError


def checked_device(device: str) -> str:
    """Return "cpu", "cuda:N" or "mps" for what was asked for; "auto" takes CUDA, then MPS, then the CPU.

    Raises
    ------
    DeviceError
        If this machine has no such device.
    """
    kind, _, number = device.partition(":")
    if device == "auto":
        if torch.cuda.is_available():
            return f"cuda:{torch.cuda.current_device()}"  # each process of torchrun has its own
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda" and (number.isdecimal() or not number):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            raise DeviceError(
                "There is no such CUDA device",
                value=device,
                limit=f"cuda:0..cuda:{count - 1}" if count else "this machine has none that PyTorch can use",
                remedy="Take --device auto or cpu",
            )
        return f"cuda:{number or 0}"
    if device == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("This machine has no MPS device", value=device, remedy="Take --device auto or cpu")
    if device not in ("cpu", "mps"):
        raise DeviceError("There is no such device", value=device, limit="auto, cpu, cuda, cuda:N, mps")
    return device
