"""Files that the packages bring along: beside the source tree, or in the share folder of an installation."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def config_file(name: str) -> Path | None:
    """A file of the folder config, in the source tree or the installation; None where it is in neither."""
    # An installation has it in share/, beside the folder lib/ that Python finds this package in.
    installed = [prefix / "share/sernet_ros/config" / name for prefix in _PACKAGE.parents]
    return next((path for path in (_PACKAGE.parent / "config" / name, *installed) if path.is_file()), None)
