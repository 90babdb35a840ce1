"""This package, built with colcon as a user would, and what a shell has that sources it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path

from sernet_ros.fastdds import PROFILE_VARIABLES

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "sernet_ros"


class Workspace:
    """A colcon workspace in a folder of its own: built once, then shared by all tests of a session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = folder / "install" / PACKAGE
        self.executables = self.prefix / "lib" / PACKAGE
        self.share = self.prefix / "share" / PACKAGE
        if not self.prefix.exists():
            bases = ["--build-base", str(folder / "build"), "--install-base", str(folder / "install")]
            self.colcon("build", *bases)

    def colcon(self, *arguments: str) -> str:
        """Run colcon on the source tree with the Python of the tests; returns its output."""
        command = [sys.executable, "-m", "colcon", "--log-base", str(self.folder / "log"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment after `. install/setup.sh`."""
        command = ["sh", "-c", '. "$0" >&2 && env -0', str(self.folder / "install" / "setup.sh")]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True)
        return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def clean_environment() -> dict[str, str]:
    """This process's environment without what another workspace or the tests have put into it.

    AMENT_PREFIX_PATH is kept, or is the virtual environment: the ROS wheels do not set it.
    """
    dropped = ("PYTHONPATH", "COLCON_PREFIX_PATH", *PROFILE_VARIABLES)
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    kept.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    return kept
