"""Stand-in for `launch_ros.substitutions`."""

from __future__ import annotations

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, Substitution


class FindPackageShare(Substitution):
    """The share folder of an installed package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def perform(self, context: LaunchContext) -> str:
        return get_package_share_directory(self.package)
