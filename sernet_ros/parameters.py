"""The node's parameters: declared from the table of `Settings`, checked as one set, refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sernet_core.errors import ConfigError
from sernet_ros.settings import FIELDS, Settings, fault_of, typed


class Parameters:
    """Declares the parameters on a node, refuses bad values, and tells of changes.

    Args:
        node: The node; its overrides (command line, parameters file) are checked here.
        changed: Called with the settings before and after each accepted change.
        configured: Whether the node is configured now: then what is read at configuring does not change.
        fault: What else is wrong with a change of settings, as a whole; empty when nothing is.

    Attributes:
        settings: The values as they are now.

    Raises:
        ConfigError: A value given at the start is bad; all bad ones are named.
    """

    def __init__(
        self,
        node: Node,
        changed: Callable[[Settings, Settings], None],
        configured: Callable[[], bool],
        fault: Callable[[Settings, Settings], str],
    ) -> None:
        self._node = node
        self._changed = changed
        self._configured = configured
        self._fault = fault
        for entry in FIELDS.values():
            default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            try:
                node.declare_parameter(entry.name, default, _descriptor(entry.name))
            except ParameterException as error:
                raise ConfigError(str(error)) from error
        self.settings = self._read()
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._accepted)

    def _read(self) -> Settings:
        values = {name: self._node.get_parameter(name).value for name in FIELDS}
        faults = [fault for name, value in values.items() if (fault := fault_of(name, value))]
        if faults:
            raise ConfigError("; ".join(faults))
        return Settings(**{name: typed(name, value) for name, value in values.items()})

    def _check(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        wanted = {one.name: one.value for one in parameters if one.name in FIELDS}
        faults = []
        for name, value in wanted.items():
            fault = fault_of(name, value)
            if not fault and typed(name, value) != getattr(self.settings, name):
                fault = self._too_late(name)
            faults += [fault] if fault else []
        if wanted and not faults:
            now = {name: getattr(self.settings, name) for name in FIELDS}
            new = Settings(**now | {name: typed(name, value) for name, value in wanted.items()})
            faults += [fault] if (fault := self._fault(self.settings, new)) else []
        return SetParametersResult(successful=not faults, reason="; ".join(faults))

    def _too_late(self, name: str) -> str:
        if FIELDS[name].metadata["takes"] in ("live", "swap") or not self._configured():
            return ""
        return f"{name}: is read when the node is configured; deactivate and clean up the node first"

    def _accepted(self, parameters: Iterable[Parameter]) -> None:
        if any(parameter.name in FIELDS for parameter in parameters):
            before, self.settings = self.settings, self._read()
            self._changed(before, self.settings)


def _descriptor(name: str) -> ParameterDescriptor:
    rules: Any = FIELDS[name].metadata
    read_only = rules["takes"] == "start"
    descriptor = ParameterDescriptor(name=name, description=rules["description"], read_only=read_only)
    # With dynamic typing the checks are all ours, so that every refusal gives its reason in the same
    # words, and `overlay_alpha: 1` is as good as 1.0.
    descriptor.dynamic_typing = True
    words = (*rules["choices"], *filter(None, [rules["pattern"]]))
    descriptor.additional_constraints = "one of: " + ", ".join(words) if words else ""
    default = FIELDS[name].default
    if rules["limits"] is not None and not isinstance(default, tuple):
        low, high = rules["limits"]
        if isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor
