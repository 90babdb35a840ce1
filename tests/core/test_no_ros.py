"""sernet_core needs no ROS: every module of it imports while ROS is blocked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys

BLOCKED = ("rclpy", "rcl_interfaces", "builtin_interfaces", "cv_bridge", "ament_index_python", "sernet_ros")

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        if first in BLOCKED or first.endswith("_msgs") or first.endswith("_srvs"):
            raise ImportError(f"{name} is blocked: sernet_core must not need ROS")

sys.meta_path.insert(0, Block())
import sernet_core
names = [entry.name for entry in pkgutil.walk_packages(sernet_core.__path__, "sernet_core.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def test_every_module_of_the_core_imports_without_ros() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
