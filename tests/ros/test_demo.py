"""The demo: processes over DDS from camera to report, and what it says when something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from proc import takes_signals

from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
from sernet_core.errors import InputError
from sernet_core.labels import CAMVID
from sernet_core.metrics import ConfusionMatrix
from sernet_core.network import NetworkConfig, build_network
from sernet_core.report import OverlayVideo
from sernet_core.runtime import Segmenter
from sernet_ros.live_report import RunFacts, accuracy_note, build_report
from sernet_ros.live_run import isolate
from sernet_ros.matching import Sent
from sernet_ros.recording import IMAGE, MASK, OVERLAY, TRUTH, Received, Recording
from sernet_ros.sources import Picture, SyntheticOptions, open_source

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 140.0  # seconds until something counts as failed, on a busy machine
SIZE = (128, 96)
NAMES = {"sernet_ros.node", "sernet_ros.replay"}
RESULTS = {"report.json", "report.html", "contact_sheet.jpg", "overlay.webm"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A depth-18 checkpoint with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(
        path, build_network(config), CheckpointInfo(config, CAMVID, SIZE, notice="Only for tests.")
    )
    return path


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A folder of images without ground truth."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        image = np.random.default_rng(index).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    # Without the user's domain, as on a machine of its own: the demo takes one at random.
    environment = {key: value for key, value in os.environ.items() if key != "ROS_DOMAIN_ID"}
    # The engine that is ready at once; building another takes longer than these tests.
    engine = () if "engine:=steam" in arguments else ("--param", "engine:=eager")
    return subprocess.Popen(
        [sys.executable, "-m", "sernet_ros.demo", *engine, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )


def run(*arguments: str | Path) -> tuple[int, str]:
    process = start(*arguments)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    return process.returncode, output


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def under_way(out: Path) -> Callable[[], bool]:
    """Whether the replayer has sent a frame."""
    log = out / "frames.jsonl"

    def has_sent() -> bool:
        try:
            # More than the one frame that goes first, for the engine.
            return log.read_text().count("\n") > 1
        except FileNotFoundError:  # each replay begins its own
            return False

    return has_sent


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# As processes over DDS


def test_lockstep_on_the_synthetic_street_scores_as_offline(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, output = run(
        "--out",
        out,
        "--model",
        model,
        "--size",
        "128x96",
        "--frames",
        "6",
        "--rate",
        "lockstep",
        "--device",
        "cpu",
        "--view",
        "0",
    )
    assert code == 0, output
    assert "  view  http://127.0.0.1:" in output
    assert {path.name for path in out.iterdir()} >= RESULTS
    report = json.loads((out / "report.json").read_text())
    assert report["frames"] == {
        "source": 6, "sent": 6, "answered": 6, "dropped": 0, "unmatched": 0, "duplicates": 0, "scored": 6,
        "unreadable": 0,
    }  # fmt: skip
    assert report["passed"] and report["model"] == "tiny" and report["engine"] and report["device"] == "cpu"
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"] <= report["latency_ms"]["p99"]
    assert "inference" in report["stages_ms"]

    offline = ConfusionMatrix(CAMVID)
    segmenter = Segmenter.load(model, device="cpu")
    for picture in open_source("synthetic", None, SyntheticOptions(size=SIZE, frames=6)).frames():
        assert isinstance(picture, Picture) and picture.truth is not None
        offline.update(picture.truth, segmenter.segment(picture.image).mask)
    assert report["miou"] == pytest.approx(offline.miou, abs=0.1)
    assert report["iou"] == pytest.approx(offline.summary()["iou"], abs=0.1)

    page = (out / "report.html").read_text()
    assert f"{report['miou']:.1f}" in page and "Only for tests." in page
    capture = cv2.VideoCapture(str(out / "overlay.webm"))
    shown = 0
    while capture.read()[0]:
        shown += 1
    assert shown == 6
    assert cv2.imread(str(out / "contact_sheet.jpg")).shape[1] > 4 * 320
    assert "mIoU" in output and str(out / "report.html") in output


def test_automatic_rate_on_a_folder_without_truth(model: Path, frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, output = run("--out", out, "--model", model, "--source", frames, "--min-answered", "20")
    assert code == 0, output
    report = json.loads((out / "report.json").read_text())
    assert report["miou"] is None and "no ground truth" in report["accuracy_note"]
    assert report["frames"]["sent"] == 5 and report["frames"]["unmatched"] == 0
    rates = report["rates_hz"]
    assert rates["asked"] == pytest.approx(min(15.0, 0.6 * rates["one_by_one"]), abs=0.01)
    assert "no ground truth" in output and "namespace /sernet_demo" in output


def test_the_model_of_a_parameter_file_is_the_one_that_is_shown(
    model: Path, frames: Path, tmp_path: Path
) -> None:
    out, file = tmp_path / "out", tmp_path / "node.yaml"
    # As on a robot, whose cameras are others than the replayer.
    own = "image_transport: compressed, cameras: [front], autostart: false"
    file.write_text(f"/**: {{ros__parameters: {{model: {model}, device: cpu, {own}}}}}\n")
    code, output = run("--out", out, "--params-file", file, "--source", frames, "--rate", "lockstep")
    assert code == 0, output
    report = json.loads((out / "report.json").read_text())
    assert Path(report["node"]["model"]) == model and report["model"] == model.stem
    code, output = run("--out", out, "--source", frames, "--param", f"model:={model}")
    assert code == 2 and "name the checkpoint with --model" in output


def test_a_node_that_answers_too_little_fails_the_run(model: Path, frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, output = run(
        "--out", out, "--model", model, "--source", frames, "--rate", "15", "--param", "roi:=[9999, 0, 0, 0]"
    )
    assert code == 1, output
    report = json.loads((out / "report.json").read_text())
    assert not report["passed"] and report["frames"]["answered"] == 0 and report["frames"]["dropped"] == 5
    assert "answered 0.0 % of the frames" in output
    assert "failed" in (out / "report.html").read_text()


def test_a_node_that_does_not_start_is_quoted(model: Path, frames: Path, tmp_path: Path) -> None:
    code, output = run(
        "--out", tmp_path / "out", "--model", model, "--source", frames, "--param", "engine:=steam"
    )
    assert code == 1, output
    assert "before it was ready" in output and "steam" in output and "node.log" in output
    assert "Traceback" not in output


def test_a_node_that_dies_is_reported(model: Path, frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start("--out", out, "--model", model, "--size", "128x96", "--frames", "2000", "--rate", "3")
    try:
        wait_for(under_way(out), process)
        segmenter = [
            child
            for child in psutil.Process(process.pid).children()
            if "sernet_ros.node" in str(child.cmdline())
        ]
        segmenter[0].kill()
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    assert process.returncode == 1, output
    report = json.loads((out / "report.json").read_text())
    assert "exit code -9" in report["reasons"][0] and not report["passed"]
    assert "last words" in output and "active: listens to" in output
    assert report["frames"]["sent"] < 2000 == report["frames"]["source"]
    assert f"first {report['frames']['sent']} of 2000 frames" in (out / "report.html").read_text()


def test_results_that_cannot_be_written_are_told(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(
        "--out", out, "--model", model, "--size", "128x96", "--frames", "3", "--rate", "lockstep"
    )  # fmt: skip
    try:
        wait_for((out / "node.log").is_file, process)  # results of earlier runs are gone by then
        (out / "report.json").mkdir()  # in the way of the file
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    assert process.returncode == 2 and "Traceback" not in output, output
    assert f"{out / 'report.json'}: cannot be written: Is a directory" in output


def test_ctrl_c_takes_every_process_along(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start("--out", out, "--model", model, "--size", "128x96", "--frames", "2000", "--rate", "3")
    try:
        wait_for(under_way(out), process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    assert process.returncode == 130 and "Traceback" not in output, output
    assert not [child for child in children if runs(child)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_packages_are_imported_ends_it_at_once(number: signal.Signals) -> None:
    process = start("--model", "no-such-model")
    try:
        wait_for(lambda: takes_signals(process.pid), process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    assert (process.returncode, output) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_the_end_of_the_terminal_and_of_the_demo_takes_every_process_along(
    model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start("--out", out, "--model", model, "--size", "128x96", "--frames", "2000", "--rate", "3")
    children: list[psutil.Process] = []
    try:
        wait_for(under_way(out), process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert {name for child in children for name in NAMES if name in child.cmdline()} == NAMES
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == (130 if number == signal.SIGHUP else -number)
        deadline = time.monotonic() + PATIENCE
        while any(map(runs, children)):
            assert time.monotonic() < deadline, "processes outlived the demo"
            time.sleep(0.05)
    finally:
        end(process)
        for child in filter(runs, children):
            child.kill()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "no-such-model"), "no-such-model"),
        (("--source", "/no/such/film.mp4"), "no such file or folder"),
        (("--out", "/dev/null/out"), "not a folder that can be written"),
        (("--param", "enable:=false"), "a node that is started has enable:=true; leave it away"),
    ],
)
def test_bad_requests_end_before_anything_starts(
    model: Path, tmp_path: Path, arguments: tuple[str, str], words: str
) -> None:
    code, output = run("--out", tmp_path / "out", "--model", model, *arguments)
    assert code == 2 and words in output and "Traceback" not in output, output
    assert not (tmp_path / "out" / "node.log").exists()


def test_frames_that_the_model_was_trained_on_are_no_measure(tmp_path: Path) -> None:
    for index in range(3):
        for kind, channels in (("images", 3), ("labels", 1)):
            path = tmp_path / "val" / kind / f"s{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.zeros((SIZE[1], SIZE[0], channels), np.uint8))
    source = open_source(str(tmp_path), "val")

    def note(stems: list[str]) -> str:
        return accuracy_note(source, CheckpointInfo(NetworkConfig(), CAMVID, SIZE, data={"stems": stems}))

    assert note(["other"]) == ""
    assert note(["other", "s0", "s2"]) == (
        "2 of 3 frames are in the model's training list: accuracy is left out."
    )


# Parts


def received(topic: str, stamp_ns: int, value: int = 0, size: tuple[int, int] = (64, 48)) -> Received:
    width, height = size
    shape = (height, width, 3) if topic in (IMAGE, OVERLAY) else (height, width)
    return Received(topic, stamp_ns, stamp_ns + 1_000_000, np.full(shape, value, np.uint8))


def recording(tmp_path: Path, with_truth: bool = True) -> Recording:
    return Recording(CAMVID, OverlayVideo(tmp_path / "v.webm", 15.0), with_truth)


def test_masks_are_scored_once_and_only_against_their_own_truth(tmp_path: Path) -> None:
    kept = recording(tmp_path)
    for stamp, truth, mask in ((10, 3, 3), (20, 3, 4)):
        for topic, value in ((MASK, mask), (IMAGE, 0), (TRUTH, truth), (OVERLAY, 90)):
            kept.take(received(topic, stamp, value))
    kept.take(received(MASK, 10, 5))
    kept.take(received(TRUTH, 10, 3))
    kept.take(received(MASK, 30, 3))  # its truth is missing
    assert kept.scored == {10, 20}
    assert kept.matrix.counts.sum() == 2 * 64 * 48 and kept.matrix.pixel_accuracy == 50.0
    assert [stamp for stamp, _ in kept.answers] == [10, 20, 10, 30]
    assert [exhibit.caption for exhibit in kept.exhibits()] == ["10", "20"]
    assert kept.size == (64, 48)


def test_masks_of_another_size_than_their_frame_are_refused(tmp_path: Path) -> None:
    kept = recording(tmp_path)
    kept.take(received(TRUTH, 1))
    with pytest.raises(InputError, match=r"must have the size of their frame$"):
        kept.take(received(MASK, 1, size=(32, 24)))


def test_report_tells_restamped_masks(tmp_path: Path) -> None:
    kept = recording(tmp_path, with_truth=False)
    kept.take(received(MASK, 1_000_000))
    kept.take(received(MASK, 999))
    facts = RunFacts(
        model="m", classes=CAMVID, notice="", source="s", accuracy_note="None here.", asked_rate=None,
        one_by_one_rate=None, min_answered=90.0, node_exit=None, command="demo",
    )  # fmt: skip
    report = build_report(facts, [Sent(0, "a", 1_000_000, 500_000)], ["b: torn"], kept, {"x_ms.p50": "1.5"})
    assert report["frames"]["answered"] == 1 and report["frames"]["unmatched"] == 1
    assert report["latency_ms"]["p50"] == 1.5 and report["stages_ms"] == {"x": {"p50": 1.5}}
    assert not report["passed"] and "stamp that no frame has" in report["reasons"][0]
    assert report["miou"] is None and report["unreadable"] == ["b: torn"]
    json.dumps(report, allow_nan=False)


def test_a_run_keeps_apart_from_the_users_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        # Set before it is deleted, so that the end of the test takes back what the function sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert "random" in isolate("/here")
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 101
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    assert isolate("/here") == "ROS domain 42 (yours), namespace /here"
    assert os.environ["ROS_DOMAIN_ID"] == "42"
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
