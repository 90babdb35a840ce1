"""Stand-in for `launch.substitutions`."""

from __future__ import annotations

import os

from . import LaunchContext, Substitution, performed


class LaunchConfiguration(Substitution):
    """The value of a launch argument."""

    def __init__(self, variable_name: str) -> None:
        self.variable_name = variable_name

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.variable_name]


class PathJoinSubstitution(Substitution):
    """Parts of a path, joined."""

    def __init__(self, substitutions: list[str | Substitution]) -> None:
        self.substitutions = substitutions

    def perform(self, context: LaunchContext) -> str:
        return os.path.join(*(performed(part, context) for part in self.substitutions))
