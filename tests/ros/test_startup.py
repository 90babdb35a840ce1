"""The words for a missing package, and that every executable can be imported without ROS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sernet_ros.startup import explain_missing

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["rclpy", "rclpy._rclpy_pybind11", "sensor_msgs.msg", "rcl_interfaces"])
def test_a_missing_ros_package_asks_for_ros(name: str) -> None:
    words = explain_missing(
        "segment", ImportError(f"No module named '{name}'", name=name), "/usr/bin/python3"
    )
    assert words.startswith("segment: ROS 2 cannot be imported") and "setup.bash" in words and name in words


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'torch'", name="torch"), OSError("libtorch.so: cannot open")]
)
def test_a_missing_torch_asks_for_the_environment(error: Exception) -> None:
    words = explain_missing("segment", error, "/opt/python3")
    assert "/opt/python3" in words and "--system-site-packages" in words and str(error) in words


def test_the_executable_explains_itself_without_ros_or_torch() -> None:
    blocked = "import sys; sys.modules['rclpy'] = sys.modules['torch'] = None"
    code = f"{blocked}; from sernet_ros.node import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "setup.bash" in done.stderr and "Traceback" not in done.stderr
