"""Stand-in for `launch`: as much of its public API as this package's launch files use, and no more.

An argument that the real classes do not take is an error here too; one that they take and our launch files do
not use is not simulated.
"""

from __future__ import annotations

from pathlib import Path


class LaunchContext:
    """State of one launch.

    Attributes:
        launch_configurations: Value of each argument, filled by `DeclareLaunchArgument`.
        commands: Argument vector of each process, in the order of their start.
        timeouts: Seconds of each process from SIGINT to SIGTERM, and from that to SIGKILL.
        folder: Where parameters that are given as a dictionary are written.
    """

    def __init__(self, arguments: dict[str, str], folder: Path) -> None:
        self.launch_configurations = dict(arguments)
        self.commands: list[list[str]] = []
        self.timeouts: list[list[float]] = []
        self.folder = folder


class LaunchDescriptionEntity:
    """Anything that a launch description can hold."""

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do what the entity stands for; returns the entities to execute next."""
        raise NotImplementedError


class LaunchDescription(LaunchDescriptionEntity):
    """A list of entities, executed in order."""

    def __init__(self, initial_entities: list[LaunchDescriptionEntity] | None = None) -> None:
        self.entities = list(initial_entities or [])

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return self.entities


class Substitution:
    """A text that is known only when the launch runs."""

    def perform(self, context: LaunchContext) -> str:
        raise NotImplementedError


def performed(value: str | Substitution, context: LaunchContext) -> str:
    """The text of a value that may be a substitution."""
    return value.perform(context) if isinstance(value, Substitution) else value
