"""The node's parameters: declared from one table, checked as one set, read as one frozen `Settings`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sernet_core.engines.registry import CHOICES, PRECISIONS
from sernet_core.errors import ConfigError, unknown_name


def _parameter(
    default: Any,
    description: str,
    *,
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
    live: bool = False,
    fixed: bool = False,
) -> Any:
    """A field of `Settings`.

    Args:
        default: Value where the user gives none; its type is the parameter's.
        description: What `ros2 param describe` says.
        limits: Smallest and largest number.
        choices: The words that are allowed.
        pattern: Regular expression of what is allowed beside the choices.
        live: Whether a change takes effect at once, in any state of the node.
        fixed: Whether it is read once, when the process starts.
    """
    rules = {"description": description, "limits": limits, "choices": choices, "pattern": pattern}
    return field(default=default, metadata={**rules, "live": live, "fixed": fixed})


@dataclass(frozen=True)
class Settings:
    """The values of all parameters at one moment."""

    model: str = _parameter(
        "sernet-r50-camvid", "Checkpoint: a shipped name, a name in the user's model folder, or a path"
    )
    device: str = _parameter(
        "auto",
        "Where the network runs: auto, cpu, cuda or cuda:N",
        choices=("auto", "cpu", "cuda"),
        pattern=r"cuda:\d+",
    )
    engine: str = _parameter(
        "auto", "What runs the network: auto (the fastest here) or an engine's name", choices=CHOICES
    )
    precision: str = _parameter(
        "auto",
        "Arithmetic of the network; fp16 on CUDA alone, int8 with a quantised model",
        choices=PRECISIONS,
    )
    threads: int = _parameter(
        0, "CPU threads of the network; 0 leaves the choice to the engine", limits=(0, 1024)
    )
    input_size: str = _parameter(
        "model",
        "Size at which the network sees the image: model (the size it was trained for, aspect kept), "
        "source (the image's own) or WxH; the mask always has the image's size",
        choices=("model", "source"),
        pattern=r"[1-9]\d{1,4}x[1-9]\d{1,4}",
    )
    autostart: bool = _parameter(True, "Configure and activate the node as soon as it runs", fixed=True)
    input_qos: str = _parameter(
        "auto",
        "Reliability of the image subscription: auto (that of the publisher, best effort until one is seen), "
        "sensor_data (best effort) or reliable",
        choices=("auto", "sensor_data", "reliable"),
    )
    output_qos: str = _parameter(
        "auto",
        "Reliability of mask and overlay: auto (reliable, which any subscriber can receive), "
        "sensor_data (best effort) or reliable",
        choices=("auto", "sensor_data", "reliable"),
    )
    overlay_alpha: float = _parameter(
        0.5, "Weight of the class colours in the overlay, 0 to 1", limits=(0.0, 1.0), live=True
    )
    publish_overlay: bool = _parameter(True, "Publish the overlay while somebody listens to it", live=True)
    inference_timeout: float = _parameter(
        5.0,
        "Seconds that an inference may take; what comes later is discarded",
        limits=(0.01, 600.0),
        live=True,
    )
    diagnostics_period: float = _parameter(
        1.0, "Seconds between two messages on /diagnostics", limits=(0.1, 60.0), live=True
    )
    enable: bool = _parameter(True, "Whether images are segmented; ~/enable sets it too", live=True)


_FIELDS = {entry.name: entry for entry in fields(Settings)}


class Parameters:
    """Declares the parameters on a node, refuses bad values, and tells of changes.

    Args:
        node: The node; its overrides (command line, parameters file) are checked here.
        changed: Called with the new settings after each accepted change.
        configured: Whether the node is configured now: then only live parameters change.

    Raises:
        ConfigError: A value given at the start is bad; all bad ones are named.
    """

    def __init__(
        self, node: Node, changed: Callable[[Settings], None], configured: Callable[[], bool]
    ) -> None:
        self._node = node
        self._changed = changed
        self._configured = configured
        for entry in _FIELDS.values():
            try:
                node.declare_parameter(entry.name, entry.default, _descriptor(entry.name))
            except ParameterException as error:
                raise ConfigError(str(error)) from error
        self.settings = self._read()
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._accepted)

    def _read(self) -> Settings:
        values = {name: self._node.get_parameter(name).value for name in _FIELDS}
        faults = [fault for name, value in values.items() if (fault := fault_of(name, value))]
        if faults:
            raise ConfigError("; ".join(faults))
        return Settings(**{name: _typed(name, value) for name, value in values.items()})

    def _check(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        faults = []
        for parameter in parameters:
            if parameter.name not in _FIELDS:
                continue
            fault = fault_of(parameter.name, parameter.value)
            if not fault and parameter.value != getattr(self.settings, parameter.name):
                fault = self._too_late(parameter.name)
            faults += [fault] if fault else []
        return SetParametersResult(successful=not faults, reason="; ".join(faults))

    def _too_late(self, name: str) -> str:
        if _FIELDS[name].metadata["live"] or not self._configured():
            return ""
        return f"{name}: is read when the node is configured; deactivate and clean up the node first"

    def _accepted(self, parameters: Iterable[Parameter]) -> None:
        if any(parameter.name in _FIELDS for parameter in parameters):
            self.settings = self._read()
            self._changed(self.settings)


def fault_of(name: str, value: Any) -> str:
    """What is wrong with a value of a parameter; empty when nothing is.

    Args:
        name: Name of a parameter that exists.
        value: A whole number will do for a float.
    """
    entry = _FIELDS[name]
    given, wanted = type(value), type(entry.default)
    if given is not wanted and not (wanted is float and given is int):
        return f"{name}: must be {_KIND[wanted]}, is {value!r}"
    rules: Mapping[str, Any] = entry.metadata
    if rules["limits"] is not None:
        low, high = rules["limits"]
        if not (math.isfinite(value) and low <= value <= high):
            return f"{name}: must lie between {low:g} and {high:g}, is {value:g}"
    if rules["choices"] and value not in rules["choices"] and not re.fullmatch(rules["pattern"], value):
        return f"{name}: {unknown_name('value', value, rules['choices'])}. {rules['description']}"
    if value == "":
        return f"{name}: must not be empty. {rules['description']}"
    return ""


_KIND = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _typed(name: str, value: Any) -> Any:
    kind: Callable[[Any], Any] = type(_FIELDS[name].default)
    return kind(value)


def _descriptor(name: str) -> ParameterDescriptor:
    rules = _FIELDS[name].metadata
    descriptor = ParameterDescriptor(name=name, description=rules["description"], read_only=rules["fixed"])
    # With dynamic typing the checks are all ours, so that every refusal gives its reason in the same
    # words, and `overlay_alpha: 1` is as good as 1.0.
    descriptor.dynamic_typing = True
    words = (*rules["choices"], *filter(None, [rules["pattern"]]))
    descriptor.additional_constraints = "one of: " + ", ".join(words) if words else ""
    if rules["limits"] is not None:
        low, high = rules["limits"]
        if isinstance(_FIELDS[name].default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor


def unknown_overrides(names: Iterable[str]) -> list[str]:
    """Words for each name that a user has set but the node does not have: most likely a slip of the pen."""
    standard = ("use_sim_time", "qos_overrides.", "start_type_description_service")
    strange = [name for name in names if name not in _FIELDS and not name.startswith(standard)]
    return [unknown_name("parameter", name, _FIELDS) for name in strange]
