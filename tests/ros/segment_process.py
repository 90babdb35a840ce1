"""Processes of their own for the tests: the executable `segment`, and others in its namespace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from live import PATIENCE, fresh_domain, fresh_namespace

ROOT = Path(__file__).parents[2]
MAIN = "import sys; from sernet_ros.node import main; sys.exit(main())\n"
IMPORT_PATIENCE = 4 * PATIENCE
"""Seconds for a process that has torch to import first."""

FAKE_NETWORK = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from live import FakeSegmenter
from sernet_core import runtime

class Fake(FakeSegmenter):
    @classmethod
    def load(cls, model, **_):
        return FakeSegmenter.load(cls(), model)

runtime.Segmenter = Fake
"""
"""Before MAIN, it gives the node a network whose masks a test can compute."""


class Process:
    """Python code with its output in a file, by default `segment`.

    Args:
        log: The file.
        arguments: ROS arguments.
        code: What runs.
        namespace: Of its node; a new one if left out.
    """

    def __init__(self, log: Path, *arguments: str, code: str = MAIN, namespace: str = "") -> None:
        self.namespace = namespace or fresh_namespace()
        self.log = log
        environment = {**os.environ, "ROS_DOMAIN_ID": str(fresh_domain()), "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", code, "--ros-args", "-r", f"__ns:={self.namespace}", *arguments]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent, env=environment
            )

    def output(self) -> str:
        return self.log.read_text()

    def says(self, words: str) -> None:
        """Wait until its output has these words."""
        deadline = time.monotonic() + IMPORT_PATIENCE
        while words not in self.output():
            assert self.process.poll() is None and time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def end(self, *signals: int) -> int:
        """Send signals right after each other, and wait for the exit code."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.05)
        return self.process.wait(IMPORT_PATIENCE)
