"""Memory: how much there is, keeping what was freed, and what engines raise when it runs out."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

import psutil

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP_BYTES = 1 << 30
LARGE_ARRAY_BYTES = 1 << 20


def memory_at_hand(device: str) -> int:
    """Return how many bytes a run may plan with: what is free on the device, or available on the machine."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next pass instead of returning them to the system.

    A pass of the net frees and asks again for the same large buffers; by default each of them is mapped
    anew and faulted in page by page, half of the time of a pass in PyTorch. Returns whether it could be set.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, KEEP_BYTES)) and bool(
        libc.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
    )


@cache
def return_freed_memory() -> bool:
    """Let glibc give large freed arrays back to the system at once, so that memory does not creep up.

    For engines that keep their own buffers; by default the threads' heaps keep pieces of what was freed,
    which adds up to 100 MB. Returns whether it could be set.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_ARRAY_BYTES))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an engine's error says that memory ran out."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return any(sign in text for sign in ("can't allocate memory", "bad_alloc", "out of memory"))
