"""Stand-in for `launch_ros.parameter_descriptions`."""

from __future__ import annotations

import typing

import yaml
from launch import LaunchContext, Substitution, performed


class ParameterValue:
    """A value with its type.

    As with the real one, only what a substitution gives is converted when the launch runs: a text stays as it
    is, a number is what Python makes of the text, everything else is read as YAML. A value that is no
    substitution must be of the type already, a text too.
    """

    def __init__(self, value: str | float | Substitution, *, value_type: type) -> None:
        if not isinstance(value, (Substitution, value_type if isinstance(value_type, type) else ())):
            raise TypeError(f"value={value!r} is not an instance of {value_type}")
        self.value = value
        self.value_type = value_type

    def evaluate(self, context: LaunchContext) -> object:
        if not isinstance(self.value, Substitution):
            return self.value
        text = performed(self.value, context)
        if self.value_type in (str, int, float):
            return self.value_type(text)
        value = yaml.safe_load(text)
        origin, inner = typing.get_origin(self.value_type), typing.get_args(self.value_type)
        if not isinstance(value, origin or self.value_type) or not all(
            isinstance(one, inner) for one in (value if origin else ())
        ):
            raise ValueError(f"cannot convert {text!r} to {self.value_type}")
        return value
