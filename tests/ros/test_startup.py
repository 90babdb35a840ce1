"""The words for a missing package, and that every executable can be imported without ROS."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from sernet_ros.startup import explain_missing

ROOT = Path(__file__).parents[2]
EXECUTABLES = ["node", "replay", "demo", "make_bag", "evaluate_bag", "compare", "view"]
REQUIRED = {
    "replay": ["synthetic"],
    "make_bag": ["synthetic", "--out", "bag"],
    "evaluate_bag": ["drive.mcap"],
    "compare": ["old", "new"],
}


@pytest.mark.parametrize(
    "name",
    [
        *("rclpy", "rclpy._rclpy_pybind11", "rpyutils", "sensor_msgs.msg", "rcl_interfaces", "std_srvs.srv"),
        *("ament_index_python", "rosidl_parser.definition", "type_description_interfaces"),
    ],
)
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


def run_without(packages: str, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    blocked = "".join(f"sys.modules['{package}'] = None; " for package in packages.split())
    code = f"import sys; {blocked}from sernet_ros.{module} import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("module", EXECUTABLES)
def test_every_executable_explains_itself_without_ros_torch_numpy_and_opencv(module: str) -> None:
    done = run_without("rclpy torch numpy cv2", module, *REQUIRED.get(module, []))
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "cannot be imported" in done.stderr or "a package is missing" in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="needs rclpy")
@pytest.mark.parametrize("package", ["numpy", "cv2"])
@pytest.mark.parametrize("module", EXECUTABLES)
def test_a_missing_numpy_or_opencv_is_named(module: str, package: str) -> None:
    done = run_without(package, module, *REQUIRED.get(module, []))
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"a package is missing: import of {package}" in done.stderr
