"""Files that this package brings along, wherever ROS has installed them."""

from __future__ import annotations

from pathlib import Path

from sernet_core import package_files


def config_file(name: str) -> Path | None:
    """As `sernet_core.package_files.config_file`, and where the ament index says that the package is."""
    if found := package_files.config_file(name):
        return found
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        return None
    try:
        installed = Path(get_package_share_directory("sernet_ros")) / "config" / name
    except (PackageNotFoundError, OSError):  # OSError: AMENT_PREFIX_PATH is not set
        return None
    return installed if installed.is_file() else None
