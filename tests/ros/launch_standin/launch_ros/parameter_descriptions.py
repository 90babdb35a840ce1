"""Stand-in for `launch_ros.parameter_descriptions`."""

from __future__ import annotations

import typing

import yaml


class ParameterValue:
    """A value with its type: the text is read as YAML and must be of that type; a text stays as it is."""

    def __init__(self, value: str, *, value_type: type) -> None:
        self.value = value
        self.value_type = value_type

    def evaluate(self) -> object:
        if self.value_type is str:
            return self.value
        value = yaml.safe_load(self.value)
        origin, inner = typing.get_origin(self.value_type), typing.get_args(self.value_type)
        fits = isinstance(value, origin or self.value_type) and all(
            isinstance(one, inner) for one in (value if origin else ())
        )
        if not fits and not (self.value_type is float and isinstance(value, int)):
            raise ValueError(f"{self.value!r} is not of the type {self.value_type}")
        return float(value) if self.value_type is float else value
