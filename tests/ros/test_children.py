"""Child processes end when they are told to, and when their owner does; needs no ROS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sernet_ros import tied
from sernet_ros.processes import Child


def test_a_child_that_ignores_signals_is_ended(tmp_path: Path) -> None:
    program = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print('deaf'); "
    program += "time.sleep(99)"
    log = tmp_path / "log"
    child = Child("deaf", [sys.executable, "-u", "-c", program], log, os.environ)
    deadline = time.monotonic() + 20.0
    while "deaf" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.exit_code is None and "deaf" in child.last_words()
    child.stop(patience=0.2)
    assert child.exit_code == -signal.SIGKILL
    child.stop()  # once more does no harm


def test_a_child_is_not_tied_to_a_passing_thread(tmp_path: Path) -> None:
    refused: list[RuntimeError] = []

    def begin() -> None:
        try:
            Child("short", [sys.executable, "-c", ""], tmp_path / "log", os.environ).stop()
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the end of an owner")
def test_a_child_whose_owner_is_gone_does_not_start(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    done = subprocess.run([sys.executable, tied.__file__, str(os.getppid()), "touch", str(mark)])
    assert done.returncode == 1 and not mark.exists()
    done = subprocess.run([sys.executable, tied.__file__, str(os.getpid()), "touch", str(mark)])
    assert done.returncode == 0 and mark.exists()
