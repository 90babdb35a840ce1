"""Files that this package brings along, in the source tree or where it is installed."""

from __future__ import annotations

from pathlib import Path


def config_file(name: str) -> Path | None:
    """A file of the folder config, in the source tree or the installation; None where it is in neither."""
    source_tree = Path(__file__).resolve().parent.parent / "config" / name
    if source_tree.is_file():
        return source_tree
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        return None
    try:
        installed = Path(get_package_share_directory("sernet_ros")) / "config" / name
    except (PackageNotFoundError, OSError):  # OSError: AMENT_PREFIX_PATH is not set
        return None
    return installed if installed.is_file() else None
