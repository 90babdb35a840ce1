"""Runs of evaluate_bag: as a process with everything that belongs to it, or offline in the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sernet_ros import evaluate_bag

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 140.0  # seconds until something counts as failed, on a busy machine
SIZE = (128, 96)
SECOND = 10**9
RESULTS = {"report.json", "report.html", "frames.csv", "contact_sheet.jpg", "overlay.webm"}


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "ROS_DOMAIN_ID"}
    # The engine that is ready at once, and gives the masks of the offline run.
    engine = () if {"--offline", "--running"} & set(arguments) else ("--engine", "eager")
    return subprocess.Popen(
        [sys.executable, "-m", "sernet_ros.evaluate_bag", *map(str, arguments), *engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables},
    )


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate()


def run(*arguments: str | Path, **variables: str) -> tuple[int, str]:
    process = start(*arguments, **variables)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    return process.returncode, output


def judge(*arguments: str | Path) -> int:
    """Offline, in this process."""
    return evaluate_bag.main([*map(str, arguments), "--offline", "--device", "cpu"])


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())
