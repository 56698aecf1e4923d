"""Which device, precision and engine a run uses."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from typing import Any

from napari_vesselkd.errors import DeviceError
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.models.folding import is_at_hand


@dataclass(frozen=True)
class Backend:
    """Where and how a net is computed.

    Attributes
    ----------
    device : str
        "cpu", "cuda:N" or "mps".
    precision : str
        "fp32" or "bf16".
    engine : str
        "onednn", "openvino" or "torch".
    """

    device: str
    precision: str
    engine: str


def choose_backend(device: str = "auto", precision: str = "auto") -> Backend:
    """Return the fastest backend for what was asked for.

    "auto" takes a CUDA or MPS device where there is one, and bf16 where the hardware computes it: its Dice
    differs from fp32 by at most .001 (``benchmarks/bench_throughput.py`` prints it).

    Raises
    ------
    DeviceError
        If this machine has no such device, or int8 was asked for.
    """
    found = checked_device(device)
    if precision == "int8":
        raise DeviceError(
            "int8 needs calibrated weights, which this version does not make",
            value="--precision int8",
            limit="auto, fp32, bf16",
            remedy="Take --precision bf16",
        )
    engine = cpu_engine() if found == "cpu" else "torch"
    if precision == "auto":
        precision = "bf16" if _fast_bf16(found, engine) else "fp32"
    return Backend(found, precision, engine)


def cpu_engine() -> str:
    """Return the fastest engine of this machine's CPU: "onednn", else "openvino", else "torch"."""
    if is_at_hand():
        return "onednn"
    return "openvino" if has_openvino() else "torch"


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def _fast_bf16(device: str, engine: str) -> bool:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if engine == "onednn":
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        if capabilities:
            return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    if device == "cpu" and has_openvino():  # older versions of PyTorch do not tell
        return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return False


@functools.cache
def openvino_core() -> Any:
    """Return this process's only OpenVINO core.

    Its CPU plugin gives the calling thread a stack for signal handlers and takes it away with the core. Of
    several cores one leaves a stack behind that is gone, and the next signal (Ctrl-C) ends the process.
    """
    import openvino

    return openvino.Core()
