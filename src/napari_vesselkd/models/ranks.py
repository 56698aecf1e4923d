"""Processes that train one model together, as torchrun starts them; without torchrun there is one.

Every process holds the same model and takes its share of the passes of each step; what it found is joined
with that of the others before anything changes, so that all of them stay the same. The first one alone
writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from napari_vesselkd.errors import DeviceError

LETTERS = 400  # of a text that processes tell each other


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if _joined() else 1


def number() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def is_first() -> bool:
    """Return whether this is the process that writes and reports."""
    return number() == 0


def join() -> None:
    """Meet the other processes that torchrun started; nothing happens where it started none, or twice.

    Raises
    ------
    DeviceError
        If there are graphics cards, but fewer than processes on this machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _joined():
        return
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if torch.cuda.is_available():
        if torch.cuda.device_count() < here:
            raise DeviceError(
                "There are fewer graphics cards than processes",
                value=f"{here} processes",
                limit=f"{torch.cuda.device_count()} on this machine",
                remedy="Give torchrun a smaller --nproc-per-node",
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def meet() -> None:
    """Wait until all processes have come this far."""
    if count() > 1:
        joined(torch.zeros(1, device=_device()))


@contextmanager
def first_before_others() -> Iterator[None]:
    """Let the first process do what is inside; then the others do, who find it done."""
    if not is_first():
        meet()
    yield
    if is_first():
        meet()


def leave() -> None:
    """Part from the other processes."""
    if _joined():
        dist.destroy_process_group()


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all processes, in place; a missing one counts as zeros."""
    if count() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)


def same_as_first(model: nn.Module) -> None:
    """Give parameters and buffers the values they have in the first process."""
    if count() > 1:
        for value in model.state_dict().values():
            copy_from_first(value)


def copy_from_first(value: Tensor) -> None:
    """Give a tensor the values it has in the first process."""
    if count() > 1:
        dist.broadcast(value, 0)


def joined(tokens: Tensor) -> Tensor:
    """Return the tokens (T, ...) of all processes, each with as many, one after the other."""
    if count() == 1:
        return tokens
    found = [torch.empty_like(tokens) for _ in range(count())]
    dist.all_gather(found, tokens.contiguous())
    return torch.cat(found)


def texts(text: str) -> list[str]:
    """Return what each process says, cut at a few hundred letters."""
    if count() == 1:
        return [text]
    line = torch.zeros(LETTERS, dtype=torch.uint8)
    said = text.encode()[:LETTERS]
    line[: len(said)] = torch.tensor(list(said), dtype=torch.uint8)
    everyone = joined(line.to(_device())[None]).cpu()
    return [bytes(one.tolist()).rstrip(b"\0").decode(errors="ignore") for one in everyone]


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
