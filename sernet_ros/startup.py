"""Words for a process that lacks a package, instead of a traceback."""

from __future__ import annotations

import re

from sernet_core.errors import missing_package

FAILED, BAD_REQUEST, INTERRUPTED = 1, 2, 130
"""Exit codes: the run was no success, the request cannot be met, Ctrl-C or the like."""
MISSING_PACKAGE = 2
"""Exit code of an executable that cannot import what it needs."""

# What rclpy and the messages consist of, by the naming rules of ROS packages.
_ROS_NAMES = re.compile(r"rclpy|rpyutils|(ament|rosidl)_\w+|\w+_(msgs|srvs|interfaces)")

_ROS_REMEDY = """\
Either use a ROS 2 installation: source /opt/ros/<distro>/setup.bash and the workspace's install/setup.bash
in this shell; or use the virtual environment of the source tree: run `make setup` there and start the
programs of .venv/bin."""


def explain_missing(program: str, error: Exception, python: str) -> str:
    """What to do about an import that failed.

    Args:
        program: Name of the executable.
        error: What the import raised: ImportError, or OSError where a shared library does not load.
        python: Path of the interpreter.

    Raises:
        ImportError: See `missing_package`.
    """
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if _ROS_NAMES.fullmatch(name):
        return f"{program}: ROS 2 cannot be imported: {error}\n{_ROS_REMEDY}"
    return f"{program}: {missing_package(error, python)}"
