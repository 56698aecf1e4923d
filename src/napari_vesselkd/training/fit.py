"""The one training loop, read from top to bottom.

A batch is a function of the step's number and the optimiser's state is saved with the weights, so that a run
that was stopped goes on bit by bit as if it had not been (on the CPU).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import cast

import torch
from torch import Tensor, nn

from napari_vesselkd.errors import TrainingError
from napari_vesselkd.models import freeze_statistics, is_frozen
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.training.patches import Batch
from napari_vesselkd.training.state import Parts, read_state, write_state

BatchOf = Callable[[int], Batch]
LossOf = Callable[[Tensor, Batch], Tensor]
ForwardOf = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted.

    Attributes
    ----------
    steps : int
    learning_rate : float
        Of Adam, at its highest, after `warmup` steps.
    schedule, final_share : {"cosine", "exponential"}, float
        How it falls to that share of itself; the paper's is exponential.
    clip, average : float
        Largest norm of the gradient; decay of the moving average of the weights, which is what is kept.
    freeze_at : float
        Share of the steps after which normalisation statistics are fixed and trained with; 1: at the end.
    calibration : int
        Batches over which they are measured.
    save_every, report_every : int
        Steps.
    """

    steps: int = 3000
    learning_rate: float = 5e-3
    schedule: str = "cosine"
    final_share: float = 0.01
    warmup: int = 100
    clip: float = 1.0
    average: float = 0.995
    freeze_at: float = 0.6
    calibration: int = 24
    save_every: int = 200
    report_every: int = 20


@dataclass(frozen=True)
class FitProgress(Progress):
    """Progress in steps with the mean loss since the last report."""

    loss: float = math.nan
    learning_rate: float = 0.0


def plain_forward(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits of a batch."""
    return cast(Tensor, model(batch.image))


def fit(
    model: nn.Module,
    batch_of: BatchOf,
    loss_of: LossOf,
    config: FitConfig,
    state_path: Path,
    *,
    forward_of: ForwardOf = plain_forward,
    average: nn.Module | None = None,
) -> Iterator[Report]:
    """Train `model` in place; afterwards it holds the averaged weights, with frozen statistics.

    Parameters
    ----------
    model : nn.Module
        On the device it is to be trained on.
    batch_of, loss_of : callable
        Step number to `Batch` (must depend on nothing else); logits and batch to a scalar.
    state_path : Path
        Where the state is kept; a run with the same config goes on from it.
    forward_of : callable
        Model and batch to logits.
    average : nn.Module, optional
        A copy of `model` that is to hold the averaged weights, for who wants to look at them meanwhile.

    Raises
    ------
    TrainingError
        If the loss or its gradient is not finite; the state of the last save stays.
    """
    device = next(model.parameters()).device
    average = (average or copy.deepcopy(model)).requires_grad_(False)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    parts = Parts(model, average, optimiser)
    first = read_state(state_path, parts, config)
    freeze_step = round(config.freeze_at * config.steps)
    started, losses = monotonic(), []
    with ThreadPoolExecutor(1) as ahead:  # the next batch is made while this one is used
        coming = ahead.submit(batch_of, first)
        for step in range(first, config.steps):
            batch = _to(coming.result(), device)
            if step + 1 < config.steps:
                coming = ahead.submit(batch_of, step + 1)
            if step == freeze_step:
                model.load_state_dict(average.state_dict())
                freeze_statistics(
                    model, [_to(batch_of(-1 - n), device).image for n in range(config.calibration)]
                )
                average.load_state_dict(model.state_dict())

            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            model.train()
            loss = loss_of(forward_of(model, batch), batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            _check_finite(loss, norm, step, batch)
            optimiser.step()
            _follow(average, model, min(config.average, (step + 1) / (step + 10)))

            losses.append(loss.item())
            done = step + 1
            if done % config.save_every == 0 or done == config.steps:
                write_state(state_path, parts, config, done)
            if done % config.report_every == 0 or done == config.steps:
                mean = sum(losses) / len(losses)
                losses.clear()
                yield FitProgress(done, config.steps, "steps", monotonic() - started, first, mean, rate)
    model.load_state_dict(average.state_dict())
    if not is_frozen(model):
        freeze_statistics(model, [_to(batch_of(-1 - n), device).image for n in range(config.calibration)])
    model.eval()


def learning_rate(step: int, config: FitConfig) -> float:
    """Return the rate of `step`: linear warm-up, then cosine or exponential decay to `final_share`."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    share = step / max(1, config.steps - 1)
    if config.schedule == "exponential":
        return float(config.learning_rate * rise * config.final_share**share)
    fall = config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * share))
    return config.learning_rate * rise * fall


def _check_finite(loss: Tensor, norm: Tensor, step: int, batch: Batch) -> None:
    if bool(torch.isfinite(loss)) and bool(torch.isfinite(norm)):
        return
    raise TrainingError(
        f"The loss is not a number at step {step + 1}",
        value=f"loss {loss.item():g}, gradient {norm.item():g}, from {', '.join(batch.names) or 'a batch'}",
        limit="finite numbers",
        remedy="The last saved state is kept; look at the labels and voxels there",
    )


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


def _to(batch: Batch, device: torch.device) -> Batch:
    layout = torch.channels_last_3d if batch.image.dim() == 5 else torch.channels_last
    image = batch.image.to(device, memory_format=layout)
    label, line, valid = (part.to(device) for part in (batch.label, batch.centreline, batch.valid))
    return replace(batch, image=image, label=label, centreline=line, valid=valid)
