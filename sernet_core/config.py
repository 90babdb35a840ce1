"""YAML files into frozen dataclasses; an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from sernet_core.errors import ConfigError, unknown_name

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """YAML's safe values; a key that is given twice is an error, where YAML would take the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
        if name in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"'{key.value}' is there twice", problem_mark=key.start_mark
            )
        seen |= {name} - {None}
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: The file cannot be read or is not such a mapping, or has a key twice.
    """
    try:
        values = yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {_in_one_line(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping of settings")
    return values


def _in_one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        words = ", ".join(filter(None, (error.context, error.problem)))
        return f"line {line}, column {column}: {words}"
    return " ".join(str(error).split())


def build(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Make a dataclass from plain values, checked by the annotations of its fields.

    Args:
        kind: A dataclass whose fields are numbers, strings, booleans, tuples, literals or dataclasses.
        values: Settings by field name; fields with a default may be left out.
        where: Path of the settings, for messages.

    Raises:
        ConfigError: Unknown or missing key, or a value of another type.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where or 'settings'}: {unknown_name('key', str(key), fields)}")
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise ConfigError(f"{where or 'settings'}: '{name}' is missing")
    return kind(
        **{key: _convert(hints[key], value, f"{where}.{key}".strip(".")) for key, value in values.items()}
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: must be a mapping, is {value!r}")
        return build(typing.cast(type, hint), value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {unknown_name('value', str(value), map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: must be a list, is {value!r}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise ConfigError(f"{where}: must have {len(kinds)} values, has {len(value)}")
        return tuple(
            _convert(kind, item, f"{where}[{i}]")
            for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )
    if hint is float:
        value = _number(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: must be {hint.__name__}, is {value!r}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{where}: must be a finite number, got {value!r}")
    return value


def _number(value: Any) -> Any:
    """A whole number as a float, and 1e-3 too, which is text to PyYAML; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    try:
        return float(value) if isinstance(value, str) and math.isfinite(float(value)) else value
    except ValueError:
        return value
