"""The benchmark's level message: real nodes, asked over DDS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus

from sernet_core.benchmark.cases import Case, Entry
from sernet_core.benchmark.gather import Settings
from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
from sernet_core.errors import ConfigError
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_ros import message_level
from sernet_ros.message_level import message_tasks
from sernet_ros.standin import StandIn


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, build_network(config), CheckpointInfo(config, CAMVID, (96, 64)))
    return path


@pytest.mark.timeout(600)
def test_nodes_take_turns_and_tell_their_stages(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--model", str(model), "--engines", "eager:bf16", "--sizes", "96x64", "--threads", "1"]
    arguments += ["--repeats", "2", "--stand-in", "20", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "sernet_ros.benchmark", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "benchmark.json").read_text())
    rows = {(row["engine"], row["precision"]): row for row in report["rows"] if row["level"] == "message"}
    assert set(rows) == {("eager", "fp32"), ("eager", "bf16"), ("sleep", "none")}
    for row in rows.values():
        assert row["runs"] == 2 and row["over_network"]["median"] > 0 and "beyond_network_ms" in row
        assert {"decode", "inference", "publish", "total"} <= set(row["split_ms"])
        assert row["split_ms"]["total"] > 0 and row["built_memory_mb"] > 20
    asleep = rows["sleep", "none"]
    assert asleep["median_ms"] >= asleep["split_ms"]["inference"] >= 20
    assert "node: decode" in (out / "benchmark.html").read_text()
    assert "stand-in 20 ms" in done.stdout and "ROS domain" in done.stdout
    assert "not measured yet" not in (out / "benchmark.html").read_text()


def test_a_node_that_does_not_answer_is_a_fault_and_the_others_are_timed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = (sys.executable, "-c", "raise SystemExit('the engine cannot be built')")
    monkeypatch.setattr(message_level, "NODE_COMMAND", ends)
    frames = [np.zeros((64, 96, 3), np.uint8)]
    settings = Settings((str(model),), ("eager",), ((96, 64),), "model", "cpu", 1, 2, nodes=True)
    entry = Entry(Case("small", "eager", "fp32", 96, 64), "mask", lambda number: None)
    faults: dict[str, str] = {}
    rclpy.init(args=[])
    try:
        with message_tasks(settings, [entry], frames, faults, folder=tmp_path, standin_ms=1) as tasks:
            assert [(task.case.engine, task.level) for task in tasks] == [
                ("sleep", "message"),
                ("sleep", "network"),
            ]
            tasks[0].task(0)
    finally:
        rclpy.shutdown()
    (name, reason), *_ = faults.items()
    assert len(faults) == 1 and name == "small eager fp32 message"
    assert "does not answer with this engine" in reason and "the engine cannot be built" in reason


def test_a_bad_request_is_refused(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sernet_ros.benchmark",
        "--engines",
        "steam",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "benchmark: error: unknown engine 'steam'" in done.stderr


def test_stand_in() -> None:
    network = StandIn("30 ms")
    answers = network.segment_many([np.zeros((6, 8, 3), np.uint8)] * 2, confidence=True)
    assert [answer.mask.shape for answer in answers] == [(6, 8)] * 2 and answers[0].confidence is not None
    with pytest.raises(ConfigError, match="such as '20 ms', not 'fast'"):
        StandIn("fast")


def test_a_node_with_the_stand_in_tells_its_state(live) -> None:
    one = live(load=StandIn, model="1 ms")
    one.ask(np.zeros((48, 64, 3), np.uint8))
    one.level(DiagnosticStatus.OK)
    values = one.values()
    assert (values["engine"], values["device"], values["engine_state"]) == ("sleep", "none", "ready")
    assert not [name for name in values if name.startswith("device_memory")]
