"""The benchmark's level message: real nodes, asked over DDS."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus

from sernet_core.benchmark.cases import Case, Entry
from sernet_core.benchmark.run import run
from sernet_core.benchmark.settings import Settings
from sernet_core.benchmark.timing import CALLS, WARM_UP
from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
from sernet_core.errors import ConfigError, EngineError
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_ros import benchmark, message_level
from sernet_ros.frame_times import Answered, Asked, read, stages
from sernet_ros.message_level import message_tasks
from sernet_ros.standin import StandIn

# Does what a node with stopwatches does, for the stand-in alone.
ENDS = """
import sys
from sernet_ros.timed_node import STAND_IN, main
if sys.argv[2] != STAND_IN:
    raise SystemExit("the engine cannot be built")
sys.exit(main(sys.argv))
"""


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
        split = row["stages_ms"]
        assert all(
            split[stage] > 0 for stage in ("delivery", "wait", "decode", "network", "answer", "publish")
        )
        # Of one process, and the same frames: a part cannot take longer than the whole.
        assert row["median_ms"] > split["inference"] > split["network"]
        assert row["over_network"]["p25"] > 1 and row["beyond_network_ms"] > 0
        assert row["over_inference"]["p25"] > 1 and row["beyond_inference_ms"] > 0
        assert row["process_memory_mb"] > 20 and "built_memory_mb" not in row
    asleep = rows["sleep", "none"]
    assert asleep["stages_ms"]["network"] >= 20
    assert [row["level"] for row in report["rows"] if row["engine"] == "sleep"] == ["message"]
    assert "of it network" in (out / "benchmark.html").read_text()
    assert "stand-in 20 ms" in done.stdout and "namespace /benchmark" in done.stdout
    assert "not measured yet" not in (out / "benchmark.html").read_text()


def test_a_node_that_does_not_answer_is_a_fault_and_the_others_are_timed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = (sys.executable, "-c", ENDS)
    monkeypatch.setattr(message_level, "NODE_COMMAND", ends)
    frames = [np.zeros((64, 96, 3), np.uint8)]
    settings = Settings(
        (str(model),), ("eager",), ((96, 64),), "model", "cpu", 1, 2, nodes=True, standin_ms=1
    )
    entry = Entry(Case("small", "eager", "fp32", 96, 64), "mask", lambda number: None)
    faults: dict[str, str] = {}
    rclpy.init(args=[])
    try:
        with message_tasks(settings, [entry], frames, faults, folder=tmp_path) as tasks:
            assert [(task.case.engine, task.level) for task in tasks] == [("sleep", "message")]
            for _ in range(CALLS * (WARM_UP + 1)):
                tasks[0].task(0)
            seconds = tasks[0].stages()
    finally:
        rclpy.shutdown()
    assert [len(values) for values in seconds.values()] == [1] * 7  # of the frame that is timed alone
    (name, reason), *_ = faults.items()
    assert len(faults) == 1 and name == "small eager fp32 message"
    assert "does not answer with this engine" in reason and "the engine cannot be built" in reason


def test_a_node_that_dies_in_its_turn_costs_no_other(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    @contextmanager
    def extra(*args):
        with message_tasks(*args, folder=out) as tasks:
            eager, asleep = tasks
            calls: list[int] = []

            def dies(number: int) -> object:
                calls.append(number)
                if len(calls) == CALLS * WARM_UP + 2:
                    children = psutil.Process().children(recursive=True)
                    (node,) = (child for child in children if str(out / "node0.jsonl") in child.cmdline())
                    node.kill()
                return eager.task(number)

            yield [dataclasses.replace(eager, task=dies), asleep]

    settings = Settings(
        (str(model),), ("eager",), ((96, 64),), "model", "cpu", 1, 2, nodes=True, standin_ms=1
    )
    rclpy.init(args=[])
    try:
        report = run(settings, out, extra, quiet=True)
    finally:
        rclpy.shutdown()
    ((name, reason),) = report["faults"].items()
    assert name == "small eager fp32 message, 96x64" and "the node has ended (-9)" in reason
    rows = {(row["engine"], row["level"]): row for row in report["rows"]}
    assert ("eager", "message") not in rows
    assert rows["sleep", "message"]["runs"] == rows["eager", "mask"]["runs"] == 2
    assert json.loads((out / "benchmark.json").read_text())["done"] == [[96, 64]]


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
    one.counted("answered")
    one.level(DiagnosticStatus.OK)
    values = one.values()
    assert (values["engine"], values["device"], values["engine_state"]) == ("sleep", "none", "ready")
    assert not [name for name in values if name.startswith("device_memory")]


def answered(began: float, ended: float, network: float | None = 0.5) -> Answered:
    return Answered(began, ended, network, wait=0.25, decode=0.125, publish=2.0)


def test_stages_of_a_frame_are_its_time() -> None:
    # The mask is there before the node has done publishing.
    found = stages([Asked(10.0, 13.0)], [answered(11.0, 12.5)])
    assert found == {
        "delivery": [0.625],
        "wait": [0.25],
        "decode": [0.125],
        "inference": [1.5],
        "network": [0.5],
        "answer": [0.5],
        "publish": [2.0],
    }
    assert sum(found[stage][0] for stage in ("delivery", "wait", "decode", "inference", "answer")) == 3.0
    some = stages([Asked(10.0, 13.0)] * 2, [answered(11.0, 12.0), answered(11.0, 12.0, None)])
    assert "network" not in some and len(some["inference"]) == 2


def test_frames_are_matched_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames from before, also one still under way when the first one is sent, are not taken for it."""
    path = tmp_path / "node.jsonl"
    with path.open("w") as file:
        for one in (answered(1.0, 2.0), answered(10.1, 10.5), answered(11.0, 12.0), answered(21.0, 22.0)):
            one.write(file)
        file.write('{"began": 31.0, "en')
    asked = [Asked(10.0, 12.5), Asked(20.0, 22.5)]
    assert [one.began for one in read(path, asked)] == [11.0, 21.0]
    monkeypatch.setattr("sernet_ros.frame_times._PATIENCE", 0.0)
    with pytest.raises(EngineError, match="lacks 1 of 3 frames"):
        read(path, [*asked, Asked(30.0, 33.0)])


@pytest.mark.parametrize("value", ["-5", "0", "20.5", "soon"])
def test_time_of_the_stand_in_is_checked_at_once(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.build_parser().parse_args(["--stand-in", "30"]).stand_in == 30
    with pytest.raises(SystemExit) as ended:
        benchmark.build_parser().parse_args([f"--stand-in={value}"])
    assert ended.value.code == 2 and f"'{value}' is not a whole number" in capsys.readouterr().err


def test_a_node_asked_for_auto_is_left_to_auto(model: Path) -> None:
    settings = Settings((str(model),), ("auto",), ((96, 64),), "model", "cpu", 1, 2, nodes=True)
    chosen = message_level._parameters(settings, Case("small", "openvino", "int8", 96, 64, "auto"))
    assert (chosen["engine"], chosen["precision"]) == ("auto", "auto")
    named = message_level._parameters(settings, Case("small", "openvino", "int8", 96, 64, "openvino:int8"))
    assert (named["engine"], named["precision"]) == ("openvino", "int8")
    assert named["model"] == str(model)
