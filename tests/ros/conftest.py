"""Tests of the ROS side; without rclpy they are skipped, but for those that need no ROS."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# The nodes of the tests must not meet those of a robot on the same network.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

WITHOUT_ROS = {"test_image_codec.py", "test_matching.py", "test_startup.py", "test_worker.py"}
HAS_ROS = importlib.util.find_spec("rclpy") is not None


class _Skipped(pytest.Module):
    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip("rclpy cannot be imported: no ROS 2 here", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if HAS_ROS or module_path.name in WITHOUT_ROS:
        return None
    return _Skipped.from_parent(parent, path=module_path)


@pytest.fixture
def live(request: pytest.FixtureRequest):
    """Makes nodes that run until the test ends: `live(segmenter, overlay_alpha=0.3)`."""
    from live import Live

    running = []

    def start(*args, **parameters) -> Live:
        running.append(Live(*args, **parameters))
        return running[-1]

    yield start
    for one in running:
        one.end()
