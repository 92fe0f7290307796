"""Settings to and from plain values, strictly: nothing is ignored without a word.

Plain values are nested dictionaries, as TOML and JSON have them. An unknown key, a value of the
wrong type and a value out of range are errors that name the key.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from exprocr.core.config.schema import PRESETS, Preset
from exprocr.core.system.limits import MAX_SETTINGS_BYTES
from exprocr.core.system.regular import read_regular
from exprocr.errors import ConfigError, unknown_name
from exprocr.words import quoted, shortened

T = TypeVar("T")

MAX_DOTS = 200
"""Most dots of a line of a settings file."""


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as nested dictionaries of plain values, without the Nones."""
    return {k: v for k, v in _plain(dataclasses.asdict(config)).items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "", base: T | None = None) -> T:
    """Build a configuration dataclass from plain values, strictly.

    Args:
        cls: The dataclass to build.
        values: Plain values; sections are dictionaries.
        where: Name of the section, for messages.
        base: Values to start from; the dataclass's own defaults if None.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type or is out of range.
    """
    hints = typing.get_type_hints(cls)
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = shortened(f"{where}.{key}" if where else key)
        if key not in hints:
            raise ConfigError(unknown_name(name, key, hints, what="key"))
        hint = hints[key]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{name}: expected a section, found {quoted(value)}")
            inner = getattr(base, key) if base is not None else None
            changes[key] = from_dict(hint, value, name, inner)
        else:
            changes[key] = _convert(hint, value, name)
    try:
        if base is not None:
            return dataclasses.replace(base, **changes)  # type: ignore[type-var]
        return cls(**changes)
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(where) else f"{where}: {message}") from None


def load_settings(
    preset: str, file: Path | None = None, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> Preset:
    """Return a preset with the values of a TOML file, then single changes, put over it.

    Args:
        preset: Name of the preset.
        file: TOML with the sections of `Preset`.
        changes: Values by section and key.

    Raises:
        ConfigError: The preset or a key is unknown, a value does not fit, or the file is no TOML.
    """
    if preset not in PRESETS:
        raise ConfigError(unknown_name("preset", preset, PRESETS, what="preset"))
    settings = PRESETS[preset]
    if file is not None:
        values = read_toml(file)
        try:
            settings = from_dict(Preset, values, base=settings)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
    return from_dict(Preset, changes or {}, base=settings)


def read_toml(file: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        ConfigError: It cannot be read, is larger than `MAX_SETTINGS_BYTES`, or is no TOML.
    """
    try:
        text = read_regular(file, MAX_SETTINGS_BYTES).decode("utf-8")
        # Python's parser needs quadratic time for keys of very many parts.
        if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
            raise RecursionError
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{file}: expected TOML, found: values nested too deeply") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ConfigError(f"{file}: expected TOML, found: {shortened(str(error), 200)}") from None


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Check a plain value against a type hint; lists become tuples, integers floats."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):  # X | None, or X | Literal[...] | None
        words = [
            w for arg in args if typing.get_origin(arg) is Literal for w in typing.get_args(arg)
        ]
        if value is None or value in words:
            return value
        if words and type(value) is not args[0]:
            kinds = " or ".join([args[0].__name__, *map(repr, words)])
            raise ConfigError(f"{name}: expected {kinds}, found {quoted(value)}")
        return _convert(args[0], value, name)
    if origin is Literal:
        if value in args:
            return value
        raise ConfigError(
            f"{name}: expected one of {', '.join(map(repr, args))}, found {quoted(value)}"
        )
    if origin is tuple:
        if isinstance(value, list | tuple) and (args[-1] is ... or len(args) == len(value)):
            return tuple(_convert(args[0], item, name) for item in value)
        many = "" if args[-1] is ... else f" of {len(args)}"
        raise ConfigError(f"{name}: expected a list{many}, found {quoted(value)}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{name}: expected float, found a number beyond it") from None
    if type(value) is not hint:
        raise ConfigError(f"{name}: expected {hint.__name__}, found {quoted(value)}")
    return value
