"""What was given as text, or in a TOML file, as the type that a setting has."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from napari_vesselkd.errors import InvalidInputError


def toml_value(text: str) -> Any:
    """Return a value in TOML's notation, or a bare word as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def coerced(where: str, value: Any, hint: Any) -> Any:
    """Return `value` as one of the types of `hint`; a tuple may be text, ``"0.1,0.9"``, or a list.

    Raises
    ------
    InvalidInputError
        If it is none of them; `where` says what it was given for.
    """
    for kind in _alternatives(hint):
        found = _as(value, kind)
        if found is not None:
            return found
    names = [_name(kind) for kind in _alternatives(hint) if kind is not type(None)]
    raise InvalidInputError(
        f"The setting has the wrong type ({where})", value=repr(value), limit=" or ".join(names)
    )


def _name(kind: Any) -> str:
    if get_origin(kind) is tuple:
        members = [member.__name__ for member in get_args(kind) if member is not Ellipsis]
        return ",".join(members) + (",..." if Ellipsis in get_args(kind) else "")
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )


def _alternatives(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _as(value: Any, kind: Any) -> Any:
    """Return `value` as `kind`, or None where it is something else."""
    origin = get_origin(kind) or kind
    if origin is tuple:
        parts = [toml_value(part.strip()) for part in value.split(",")] if isinstance(value, str) else value
        members = get_args(kind)
        if members[1:] == (Ellipsis,) and isinstance(parts, list | tuple):
            members = members[:1] * len(parts)
        if not isinstance(parts, list | tuple) or len(parts) != len(members):
            return None
        found = tuple(_as(part, member) for part, member in zip(parts, members, strict=True))
        return None if None in found else found
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return value if isinstance(value, Mapping) else None
    if isinstance(value, bool) != (origin is bool):
        return None
    if origin in (float, str) and isinstance(value, int | float):
        return origin(value)
    return value if isinstance(origin, type) and isinstance(value, origin) else None
