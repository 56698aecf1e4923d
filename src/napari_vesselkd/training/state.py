"""The state of a training run on disk: safetensors for tensors, JSON for the rest; nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from napari_vesselkd.checkpoints.files import write_aside
from napari_vesselkd.errors import CheckpointError, InvalidInputError

if TYPE_CHECKING:
    from napari_vesselkd.training.fit import FitConfig


@dataclass(frozen=True)
class Parts:
    """What changes during training."""

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer


def write_state(path: Path, parts: Parts, config: FitConfig, done: int) -> None:
    """Write everything that the next step depends on to `path`, aside and then renamed."""
    tensors = {f"model.{key}": value for key, value in parts.model.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in parts.average.state_dict().items()}
    for index, entries in parts.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in entries.items()}
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    about = {"done": str(done), "config": json.dumps(asdict(config), sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, save(contiguous, metadata=about)).replace(path)


def read_state(path: Path, parts: Parts, config: FitConfig) -> int:
    """Restore what `write_state` wrote and return the number of steps done; 0 if there is no file.

    Raises
    ------
    InvalidInputError
        If the state belongs to a run with another config.
    CheckpointError
        If the file is broken or of another model.
    """
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as stored:
            about = stored.metadata() or {}
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        if about["config"] != json.dumps(asdict(config), sort_keys=True):
            raise InvalidInputError(
                "The training state belongs to a run with another configuration",
                value=path,
                remedy="Give another folder, or the configuration it was started with",
            )
        parts.model.load_state_dict(_part(tensors, "model."))
        parts.average.load_state_dict(_part(tensors, "average."))
        _restore(parts.optimiser, _part(tensors, "optimiser."))
        return int(about["done"])
    except (SafetensorError, RuntimeError, KeyError, OSError) as error:
        raise CheckpointError(
            "The training state is broken or of another model", value=path, remedy="Delete it to start afresh"
        ) from error


def _restore(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
