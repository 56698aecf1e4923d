"""Checks that the configurations of training share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from napari_vesselkd.errors import InvalidInputError


def check_at_least(config: Any, **least: int) -> None:
    """Raise InvalidInputError if a named value of `config` is below its least; None passes."""
    for name, limit in least.items():
        value = getattr(config, name)
        if value is not None and not value >= limit:
            raise InvalidInputError(f"{name} is too small", value=value, limit=f"at least {limit}")


def check_shares(config: Any, *names: str) -> None:
    """Raise InvalidInputError if a named value of `config`, or one of its parts, is not in 0..1."""
    for name in names:
        value = getattr(config, name)
        if not all(0 <= part <= 1 for part in (value if isinstance(value, tuple) else (value,))):
            raise InvalidInputError(f"{name} is out of range", value=value, limit="0..1")


def check_weights(config: Any, *names: str) -> None:
    """Raise InvalidInputError if a named weight or strength of `config` is negative or not finite."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < math.inf:
            raise InvalidInputError(f"{name} is out of range", value=value, limit="0 or more")


def check_choices(config: Any, **known: Sequence[str]) -> None:
    """Raise InvalidInputError if a named value of `config` is none of those that are known."""
    for name, choices in known.items():
        value = getattr(config, name)
        if value not in choices:
            raise InvalidInputError(f"There is no such {name}", value=value, limit=", ".join(choices))


def check_rate(rate: float) -> None:
    """Raise InvalidInputError if a learning rate is not above 0 and at most 1."""
    if not 0 < rate <= 1:
        raise InvalidInputError("The learning rate is out of range", value=rate, limit="0..1")


def check_name(name: str) -> None:
    """Raise InvalidInputError if a checkpoint cannot have this name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InvalidInputError(
            "The checkpoint's name cannot be used",
            value=name,
            limit="letters, digits, dot, dash and underscore",
        )
