"""The one training loop, read from top to bottom.

A batch is a function of the step's number, torch's random generator is seeded from it, and the optimiser's
state is saved with the weights, so that a run that was stopped goes on bit by bit as if it had not been (on
the CPU).

Where torchrun started several processes, each takes its share of the passes of a step; the sum of their
gradients is that of one process, so the outcome is too, but for what a model itself learns in passing.
"""

from __future__ import annotations

import copy
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError, TrainingError
from napari_vesselkd.models import ranks
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.training.checking import check_at_least, check_choices, check_rate
from napari_vesselkd.training.state import Parts, read_state, write_state

MOST_THREADS = 8  # that make batches for a GPU


class Data(Protocol):
    """What one pass learns from, such as a `Batch`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Where it comes from, for messages."""
        ...

    def to(self, device: torch.device) -> Self:
        """Return it on a device."""
        ...


BatchOf = Callable[[int], Any]
TermsOf = Callable[[Any, Any, int], Mapping[str, Tensor]]
AfterStep = Callable[[Any, int], None]


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted.

    Attributes
    ----------
    steps : int
    learning_rate : float
        Of Adam, at its highest, after `warmup` steps.
    factors : dict
        Parameters whose name begins with a key learn at that multiple of the rate; 1 for all others.
    schedule, final_share : {"cosine", "exponential"}, float
        How it falls to that share of itself; the paper's is exponential.
    accumulate : int
        Batches whose gradients make one step; a multiple of the number of processes.
    clip, average : float
        Largest norm of the gradient; decay of the moving average of the weights, which is what is kept
        (0: the last weights).
    precision : {"fp32", "bf16"}
        Of the passes; weights and optimiser stay in fp32.
    save_every, report_every : int
        Steps.
    seed : int
        Of what the model itself draws, such as noise.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    steps: int = 3000
    learning_rate: float = 5e-3
    factors: dict[str, float] = field(default_factory=dict)
    schedule: str = "cosine"
    final_share: float = 0.01
    warmup: int = 100
    accumulate: int = 1
    clip: float = 1.0
    average: float = 0.995
    precision: str = "fp32"
    save_every: int = 200
    report_every: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self, steps=1, accumulate=1, save_every=1, report_every=1, seed=0)
        check_choices(self, schedule=("cosine", "exponential"), precision=("fp32", "bf16"))
        check_rate(self.learning_rate)
        if not 0 <= self.average < 1:
            raise InvalidInputError(
                "The decay of the moving average is out of range", value=self.average, limit="0 to below 1"
            )


@dataclass(frozen=True)
class FitProgress(Progress):
    """Progress in steps with the mean loss, and its terms, since the last report."""

    loss: float = math.nan
    terms: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0

    def due(self, every: int) -> bool:
        """Whether something is due that is done every so many steps, and at the end."""
        return self.done == self.total or self.done % every == 0


def fit(
    model: nn.Module,
    batch_of: BatchOf,
    terms_of: TermsOf,
    config: FitConfig,
    state_path: Path,
    *,
    average: nn.Module | None = None,
    after_step: AfterStep | None = None,
) -> Iterator[Report]:
    """Train `model` in place; afterwards it holds the averaged weights.

    Parameters
    ----------
    model : nn.Module
        On the device it is to be trained on; what needs no gradient is not trained.
    batch_of : callable
        Number of a pass (step x accumulate + n) to `Data`; must depend on nothing else. Called in other
        threads, for a GPU in several at a time.
    terms_of : callable
        Model, data and step to the named terms of the loss, scalars; their sum is minimised.
    state_path : Path
        Where the state is kept; a run with the same config goes on from it.
    average : nn.Module, optional
        A copy of `model` that is to hold the averaged weights, for who wants to look at them meanwhile.
    after_step : callable, optional
        Called with model and step after each step.

    Yields
    ------
    Report
        `FitProgress`; only the first of several processes reports and writes.

    Raises
    ------
    InvalidInputError
        If the processes cannot share the passes of a step evenly.
    TrainingError
        If the loss or its gradient is not finite; the state of the last save stays.
    """
    passes = _passes(config)
    device = next(model.parameters()).device
    average = (average or copy.deepcopy(model)).requires_grad_(False)
    optimiser = torch.optim.Adam(_groups(model, config.factors), lr=config.learning_rate)
    parts = Parts(model, average, optimiser)
    first = read_state(state_path, parts, config)
    for copied in (model, average):
        ranks.same_as_first(copied)
    started, seen = monotonic(), _Means()
    numbers = (number for step in range(first, config.steps) for number in passes(step))
    with closing(made_ahead(batch_of, numbers, _threads(device))) as batches:
        for step in range(first, config.steps):
            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            model.train()
            optimiser.zero_grad()
            for number in passes(step):
                batch = next(batches).to(device)
                torch.manual_seed(config.seed * 1_000_003 + number)
                with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                    terms = terms_of(model, batch, step)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
                (loss / config.accumulate).backward()  # type: ignore[no-untyped-call]
                seen.add(loss, terms)
                if ranks.count() == 1:  # else the others would wait for this one's gradient for ever
                    _check_finite("loss", loss, step, batch)
            ranks.sum_gradients(_trained(model))
            norm = torch.nn.utils.clip_grad_norm_(_trained(model), config.clip)
            _check_finite("gradient", norm, step, batch)
            optimiser.step()
            if after_step is not None:
                after_step(model, step)
            _follow(average, model, min(config.average, (step + 1) / (step + 10)))

            done = step + 1
            if not ranks.is_first():
                continue
            if done % config.save_every == 0 or done == config.steps:
                write_state(state_path, parts, config, done)
            if done % config.report_every == 0 or done == config.steps:
                elapsed = monotonic() - started
                yield FitProgress(done, config.steps, "steps", elapsed, first, *seen.means(), rate)
                seen = _Means()
    model.load_state_dict(average.state_dict())
    model.eval()


def made_ahead(batch_of: BatchOf, numbers: Iterator[int], threads: int) -> Generator[Any, None, None]:
    """Yield the batches of `numbers` in their order; while one is used, `threads` others are being made."""
    with ThreadPoolExecutor(threads) as makers:
        coming = deque(makers.submit(batch_of, number) for number in islice(numbers, threads))
        while coming:
            batch = coming.popleft().result()
            coming.extend(makers.submit(batch_of, number) for number in islice(numbers, 1))
            yield batch


def _threads(device: torch.device) -> int:
    """Return how many threads make batches: on a GPU a step takes a fraction of what its batch takes."""
    return 1 if device.type == "cpu" else min(MOST_THREADS, os.cpu_count() or 1)


def learning_rate(step: int, config: FitConfig) -> float:
    """Return the rate of `step`: linear warm-up, then cosine or exponential decay to `final_share`."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    share = step / max(1, config.steps - 1)
    if config.schedule == "exponential":
        return float(config.learning_rate * rise * config.final_share**share)
    fall = config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * share))
    return config.learning_rate * rise * fall


def _passes(config: FitConfig) -> Callable[[int], range]:
    """Return what gives the numbers of the passes of a step that this process makes."""
    processes = ranks.count()
    if config.accumulate % processes:
        raise InvalidInputError(
            "The processes cannot share the passes of a step evenly",
            value=f"{processes} processes, accumulate={config.accumulate}",
            limit="accumulate a multiple of the processes",
            remedy=f"Give --set accumulate={processes}: a step then learns from {processes} batches",
        )
    mine = ranks.number()
    return lambda step: range(step * config.accumulate + mine, (step + 1) * config.accumulate, processes)


class _Means:
    """Sums of the losses and terms since the last report."""

    def __init__(self) -> None:
        self.count, self.loss = 0, 0.0
        self.terms: dict[str, float] = {}

    def add(self, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        self.count += 1
        self.loss += loss.item()
        for name, term in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + term.item()

    def means(self) -> tuple[float, dict[str, float]]:
        return self.loss / self.count, {name: total / self.count for name, total in self.terms.items()}


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _groups(model: nn.Module, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the optimiser's groups of parameters, one per factor of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found = (value for key, value in factors.items() if name.startswith(key))
            groups.setdefault(next(found, 1.0), []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]


def _check_finite(what: str, value: Tensor, step: int, batch: Data) -> None:
    if bool(torch.isfinite(value)):
        return
    names = ", ".join(filter(None, ranks.texts(", ".join(batch.names))))
    raise TrainingError(
        f"The {what} is not a number at step {step + 1}",
        value=f"{value.item():g}, from {names or 'a batch'}",
        limit="finite numbers",
        remedy="The last saved state is kept; look at the labels and voxels there",
    )


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)
    for kept_too, as_it_is in zip(average.buffers(), model.buffers(), strict=True):
        kept_too.copy_(as_it_is)
