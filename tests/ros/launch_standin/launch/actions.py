"""Stand-in for `launch.actions`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import LaunchContext, LaunchDescriptionEntity, Substitution, performed
from .launch_description_sources import PythonLaunchDescriptionSource


class DeclareLaunchArgument(LaunchDescriptionEntity):
    """An argument of the launch file; `--show-args` lists it."""

    def __init__(
        self,
        name: str,
        *,
        default_value: str | Substitution | None = None,
        description: str | None = None,
        choices: list[str] | None = None,
    ) -> None:
        if choices is not None and isinstance(default_value, str) and default_value not in choices:
            raise RuntimeError(f"default_value {default_value!r} of {name} is not among {choices}")
        self.name = name
        self.default_value = default_value
        self.description = description or "no description given"
        self.choices = choices

    def execute(self, context: LaunchContext) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                raise RuntimeError(f"Required launch argument {self.name!r} was not provided.")
            context.launch_configurations[self.name] = performed(self.default_value, context)
        value = context.launch_configurations[self.name]
        if self.choices is not None and value not in self.choices:
            raise RuntimeError(f"Argument {self.name!r}: {value!r} is not among {self.choices}")


class OpaqueFunction(LaunchDescriptionEntity):
    """A function that is called with the context and returns entities."""

    def __init__(self, *, function: Callable[[LaunchContext], list[LaunchDescriptionEntity] | None]) -> None:
        self.function = function

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        return self.function(context)


class IncludeLaunchDescription(LaunchDescriptionEntity):
    """Another launch file with its arguments, which outlive it, as they do without a group around it."""

    def __init__(
        self,
        launch_description_source: PythonLaunchDescriptionSource,
        *,
        launch_arguments: Iterable[tuple[str, str | Substitution]] = (),
    ) -> None:
        self.source = launch_description_source
        self.launch_arguments = list(launch_arguments)

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        for name, value in self.launch_arguments:
            context.launch_configurations[name] = performed(value, context)
        return [self.source.get_launch_description(context)]
