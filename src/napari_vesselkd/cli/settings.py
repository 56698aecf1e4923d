"""One config from four places: defaults < ``--config FILE.toml`` < ``--set key=value`` < named options.

Fields of a config inside a config are named with a dot, ``teacher.feature_size``, or stand in a table.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from napari_vesselkd.errors import CorruptSourceError, InvalidInputError, SourceNotFoundError
from napari_vesselkd.geometry import Shape, as_shape
from napari_vesselkd.values import coerced, toml_value

Config = TypeVar("Config")

COMMANDS = ("codes", "convert", "crossval", "distill", "finetune", "pretrain", "segment", "synth")


def build_config(
    kind: type[Config],
    command: str,
    file: str | None,
    assignments: Sequence[str] | None,
    *,
    base: Config | None = None,
    **named: Any,
) -> Config:
    """Return a config of the dataclass `kind`.

    Parameters
    ----------
    kind : type
        A frozen dataclass.
    command : str
        The command it is for: its table in the file, ``[command]``, wins over the file's top level.
    file : str, optional
        TOML.
    assignments : sequence of str, optional
        ``key=value`` each; the value in TOML's notation, or a bare word.
    base : Config, optional
        In place of the defaults.
    **named
        The named options; None means not given.

    Raises
    ------
    InvalidInputError
        If a key is no field of `kind`, or a value of the wrong type.
    SourceNotFoundError, CorruptSourceError
        If the file is missing or no TOML.
    """
    values: dict[str, Any] = {}
    for place, given in ((file, _from_file(file, command)), ("--set", _from_assignments(assignments))):
        for key, value in given.items():
            _set(values, kind, key.replace("-", "_"), value, str(place))
    values.update({key: value for key, value in named.items() if value is not None})
    return _built(kind, base, values)


def _set(values: dict[str, Any], kind: Any, key: str, value: Any, place: str) -> None:
    """Put a setting into `values`, those of a config inside a config into a dictionary of their own."""
    name, dot, rest = key.partition(".")
    hints = get_type_hints(kind)
    known = {entry.name for entry in fields(kind)}
    if name not in known or (dot and not _has_parts(hints[name])):
        raise InvalidInputError(f"{place} has an unknown setting", value=key, limit=", ".join(sorted(known)))
    hint = hints[name]
    if is_dataclass(hint):
        inner = {rest: value} if dot else value
        if not isinstance(inner, Mapping):
            raise InvalidInputError(
                f"{place}: {key} is a group of settings",
                value=repr(value),
                limit=f"its fields, such as {name}.{fields(hint)[0].name}",
            )
        for part, content in inner.items():
            _set(values.setdefault(name, {}), hint, part, content, place)
    elif dot:
        values[name] = {**values.get(name, {}), rest: value}
    else:
        values[name] = coerced(f"{place}: {key}", value, hint)


def _has_parts(hint: Any) -> bool:
    return is_dataclass(hint) or get_origin(hint) is dict


def _built(kind: type[Config], base: Config | None, values: Mapping[str, Any]) -> Config:
    """Return `base`, or the defaults, with `values`; an inner dictionary is added to what is there."""
    hints = get_type_hints(kind)
    start: Any = kind() if base is None and any(is_dataclass(hints.get(name)) for name in values) else base
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if is_dataclass(hints.get(name)) and isinstance(value, Mapping):
            chosen[name] = _built(hints[name], getattr(start, name), value)
        elif get_origin(hints.get(name)) is dict and start is not None:
            chosen[name] = {**getattr(start, name), **value}
        else:
            chosen[name] = value
    return kind(**chosen) if start is None else replace(start, **chosen)


def differences(config: Any, base: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings in which two configs of one type differ, by name, with the first one's value."""
    for entry in fields(config):
        mine, its = getattr(config, entry.name), getattr(base, entry.name)
        name = f"{prefix}{entry.name}"
        if mine == its:
            continue
        if is_dataclass(mine):
            yield from differences(mine, its, f"{name}.")
        elif isinstance(mine, Mapping):
            yield from ((f"{name}.{key}", value) for key, value in mine.items() if its.get(key) != value)
        else:
            yield name, mine


def assignment(key: str, value: Any) -> str:
    """Return a setting as ``--set`` reads it: text, a number, true or false, or a sequence of them."""
    bare = isinstance(value, str) and value and toml_value(value) == value
    return f"{key}={value if bare else json.dumps(value)}"


def whole_numbers(option: str, text: str | None) -> Shape | None:
    """Read ``"z,y,x"``, three whole numbers; None stays None.

    Raises
    ------
    InvalidInputError
        If it is anything else.
    """
    if text is None:
        return None
    try:
        return as_shape([int(part) for part in text.split(",")])
    except ValueError as error:
        raise InvalidInputError(
            f"{option} is not three whole numbers",
            value=repr(text),
            limit="Z,Y,X",
            remedy="For example 64,256,256",
        ) from error


def _from_file(file: str | None, command: str) -> dict[str, Any]:
    if file is None:
        return {}
    path = Path(file).expanduser()
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError as error:
        raise SourceNotFoundError("There is no such config file", value=file) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CorruptSourceError(f"{file} is not a TOML file", value=str(error)) from error
    section = content.get(command, {})
    if not isinstance(section, dict):
        raise InvalidInputError(f"{file} has {command} as a value", limit=f"a table, [{command}]")
    return {key: value for key, value in content.items() if key not in COMMANDS} | section


def _from_assignments(assignments: Sequence[str] | None) -> dict[str, Any]:
    values = {}
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise InvalidInputError(
                "--set is not an assignment",
                value=repr(assignment),
                limit="key=value",
                remedy="For example upper=99.5",
            )
        values[key.strip()] = toml_value(text.strip())
    return values
