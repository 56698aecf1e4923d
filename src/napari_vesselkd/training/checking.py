"""Checks that the configurations of training share."""

from __future__ import annotations

import re
from typing import Any

from napari_vesselkd.errors import InvalidInputError


def check_at_least(config: Any, **least: int) -> None:
    """Raise InvalidInputError if a named value of `config` is below its least; None passes."""
    for name, limit in least.items():
        value = getattr(config, name)
        if value is not None and value < limit:
            raise InvalidInputError(f"{name} is too small", value=value, limit=f"at least {limit}")


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
