"""Stand-in for `launch.launch_description_sources`."""

from __future__ import annotations

import runpy

from . import LaunchContext, LaunchDescription, Substitution, performed


class PythonLaunchDescriptionSource:
    """A launch file in Python."""

    def __init__(self, launch_file_path: str | Substitution) -> None:
        self.launch_file_path = launch_file_path

    def get_launch_description(self, context: LaunchContext) -> LaunchDescription:
        return runpy.run_path(performed(self.launch_file_path, context))["generate_launch_description"]()
