"""Judging a model on a recording: live, offline, over several; what is kept when something goes wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from live import fresh_namespace

from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
from sernet_core.datasets import open_dataset
from sernet_core.evaluate import evaluate
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.runtime import Segmenter
from sernet_ros import evaluate_bag
from sernet_ros.bag.formats import IMAGE_TYPE
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.bag.writer import BagWriter
from sernet_ros.processes import Child
from sernet_ros.sources import Picture, Source, SyntheticOptions, open_source

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 110.0  # seconds until something counts as failed, on a busy machine
SIZE = (128, 96)
SECOND = 10**9
pytestmark = pytest.mark.timeout(300)
RESULTS = {"report.json", "report.html", "frames.csv", "contact_sheet.jpg", "overlay.webm"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A depth-18 checkpoint with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    info = CheckpointInfo(config, CAMVID, SIZE, notice="Only for tests.")
    save_checkpoint(path, build_network(config), info)
    return path


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of the synthetic street, a tenth of a second apart."""
    path = tmp_path_factory.mktemp("bags") / "street"
    source = open_source("synthetic", None, SyntheticOptions(size=SIZE, frames=6))
    write_bag(source, RecordingOptions(rate=10.0, start_ns=50 * 10**9), path)
    return path


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The program takes the signals for itself, and some tests run it in this process."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "ROS_DOMAIN_ID"}
    # The engine that is ready at once, and gives the masks of the offline run.
    engine = () if {"--offline", "--running"} & set(arguments) else ("--param", "engine:=eager")
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


# Live and offline


def test_lockstep_offline_and_the_data_set_agree(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    source = open_source("synthetic", None, SyntheticOptions(size=SIZE, frames=4))
    save_as_data_set(source, data)
    path = tmp_path / "bag"
    write_bag(open_source(str(data), "val"), RecordingOptions(), path)
    live, offline = tmp_path / "live", tmp_path / "offline"
    code, output = run(path, "--model", model, "--out", live, "--rate", "lockstep", "--device", "cpu")
    assert code == 0, output
    assert judge(path, "--model", model, "--out", offline) == 0
    published, segmented = report_of(live), report_of(offline)
    assert {each.name for each in live.iterdir()} >= RESULTS
    assert published["frames"] == {
        "source": 4, "sent": 4, "answered": 4, "dropped": 0, "unmatched": 0, "duplicates": 0, "scored": 4,
        "unreadable": 0,
    }  # fmt: skip
    matrix = evaluate(Segmenter.load(model, device="cpu"), open_dataset(data, "val"), quiet=True)
    assert segmented["miou"] == pytest.approx(matrix.miou, abs=0.1)
    assert published["miou"] == pytest.approx(segmented["miou"], abs=0.1)
    assert published["iou"] == pytest.approx(segmented["iou"], abs=0.1)
    assert np.sum(published["confusion"]) == np.sum(segmented["confusion"]) == matrix.counts.sum()
    # The recorded stamps, live too.
    stamps = [moment["stamp_ns"] for moment in published["timeline"]]
    assert stamps == [10**9 + round(index * 1e9 / 15) for index in range(4)]
    assert [row["miou"] for row in published["timeline"]] == pytest.approx(
        [row["miou"] for row in segmented["timeline"]], abs=0.1
    )
    assert published["stages_ms"]["inference"]["p50"] > 0 and len(published["usage"]) >= 0
    assert published["partial"] is None and published["passed"] and not published.get("offline")
    page = (live / "report.html").read_text()
    for words in (
        "Confusion",
        "Frame by frame",
        "The worst frames",
        "Frames near the median",
        "Only for tests.",
    ):
        assert words in page, words
    assert "src=" not in page.replace('src="data:', "")


def save_as_data_set(source: Source, root: Path) -> None:
    import cv2

    for kind in ("images", "labels"):
        (root / "val" / kind).mkdir(parents=True)
    for index, picture in enumerate(source.frames()):
        assert isinstance(picture, Picture) and picture.truth is not None
        cv2.imwrite(str(root / f"val/images/f{index}.png"), picture.image[:, :, ::-1])
        cv2.imwrite(str(root / f"val/labels/f{index}.png"), picture.truth)


def test_real_time_keeps_the_recorded_moments(model: Path, bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, output = run(bag, "--model", model, "--out", out, "--speed", "0.5", "--device", "cpu")
    assert code == 0, output
    report = report_of(out)
    assert report["frames"]["sent"] == 6 and report["frames"]["unmatched"] == 0
    assert report["rates_hz"]["asked"] == pytest.approx(5.0)
    moments = [row["t_s"] for row in report["timeline"]]
    # Six frames, a tenth of a second apart, at half the speed: later on a busy machine, never earlier.
    assert moments[-1] >= 0.95 and moments == sorted(moments)


def test_a_running_node_is_judged_where_it_is(model: Path, bag: Path, tmp_path: Path) -> None:
    namespace, domain = fresh_namespace(), str(1 + (os.getpid() + 53) % 100)
    command = [sys.executable, "-m", "sernet_ros.node", "--ros-args", "-r", f"__ns:={namespace}"]
    command += [
        "-p",
        f"model:={model}",
        "-p",
        "device:=cpu",
        "-p",
        "engine:=eager",
        "-r",
        "image:=/front/image_raw",
    ]
    environment = {**os.environ, "ROS_DOMAIN_ID": domain, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    out = tmp_path / "out"
    with Child("node", command, tmp_path / "node.log", environment) as node:
        code, output = run(
            *(bag, "--running", namespace, "--node-image", "/front/image_raw", "--out", out),
            *("--rate", "lockstep", "--frames", "3"),
            ROS_DOMAIN_ID=domain,
        )
        assert node.exit_code is None, "it is the user's"
    assert code == 0, output
    report = report_of(out)
    assert report["frames"]["answered"] == report["frames"]["scored"] == 3
    assert report["model"] == "tiny" and report["usage"] == []
    assert judge(bag, "--model", model, "--out", tmp_path / "offline", "--frames", "3") == 0
    assert report["miou"] == pytest.approx(report_of(tmp_path / "offline")["miou"], abs=0.1)


def test_several_recordings_have_a_summary_over_all(model: Path, bag: Path, tmp_path: Path) -> None:
    night = tmp_path / "night"
    write_bag(
        open_source("synthetic", None, SyntheticOptions(condition="night", size=SIZE, frames=3)),
        RecordingOptions(images="png"),
        night,
    )
    out = tmp_path / "out"
    assert judge(bag, night, "--model", model, "--out", out) == 0
    summary = json.loads((out / "summary.json").read_text())
    parts = [report_of(out / name) for name in ("street", "night")]
    counts = np.array(parts[0]["confusion"]) + np.array(parts[1]["confusion"])
    assert summary["confusion"] == counts.tolist()
    hits, union = np.diagonal(counts), counts.sum(1) + counts[:, :-1].sum(0) - np.diagonal(counts)
    assert summary["miou"] == pytest.approx(100 * np.mean(hits[union > 0] / union[union > 0]), abs=1e-3)
    assert summary["miou"] != pytest.approx(np.mean([part["miou"] for part in parts]), abs=1e-3)
    assert summary["frames"]["scored"] == 9 and summary["partial"] is None
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["recording"] for row in rows] == ["street", "night"]
    assert float(rows[1]["miou"]) == parts[1]["miou"]
    assert 'href="night/report.html"' in (out / "summary.html").read_text()


def test_processes_that_share_a_recording_find_the_same(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bag"
    stamps = [SECOND, 2 * SECOND, 2 * SECOND, 3 * SECOND, 5 * SECOND, 4 * SECOND, 6 * SECOND]
    rng = np.random.default_rng(0)
    with BagWriter(path) as writer:
        writer.add("/image", IMAGE_TYPE)
        writer.add("/ground_truth", IMAGE_TYPE)
        for index, stamp in enumerate(stamps):
            size = (4, 128) if index == 2 else (96, 128)  # which the network refuses
            image = rng.integers(0, 256, (*size, 3), np.uint8)
            label = rng.integers(0, 11, size, np.uint8)
            writer.write("/ground_truth", index + 1, image_message(label, stamp, ""))
            message = image_message(image, stamp, "")
            message.encoding = "32FC1" if index == 4 else "rgb8"
            writer.write("/image", index + 1, message)
    arguments = (path, "--model", model, "--class-map", "camvid", "--device", "cpu")
    assert judge(*arguments[:-2], "--out", tmp_path / "one") == 0
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    words += ["-m", "sernet_ros.evaluate_bag", *map(str, arguments), "--offline"]
    done = subprocess.run(
        [sys.executable, *words, "--out", str(tmp_path / "three")],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    one, three = report_of(tmp_path / "one"), report_of(tmp_path / "three")
    for key in ("miou", "iou", "confusion", "frames", "frame_miou", "flicker_percent", "class_share_percent"):
        assert one[key] == three[key], key
    for row in (*one["timeline"], *three["timeline"]):
        row["latency_ms"] = row["latency_ms"] is not None
    assert one["timeline"] == three["timeline"]
    assert one["frames"]["answered"] == 5 and one["frames"]["unreadable"] == 1
    assert one["unreadable"] == three["unreadable"] and one["notes"] == three["notes"]
    tables = [(tmp_path / name / "frames.csv").read_text().splitlines() for name in ("one", "three")]
    for left, right in zip(*(csv.DictReader(table) for table in tables), strict=True):
        assert {**left, "latency_ms": ""} == {**right, "latency_ms": ""}


# Without ground truth, and what single frames are


def test_without_ground_truth_everything_else_is_there(model: Path, bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert judge(bag, "--model", model, "--out", out, "--truth-topic", "") == 0
    report = report_of(out)
    assert report["miou"] is None and report["confusion"] is None and report["frame_miou"] is None
    assert "no ground truth" in report["accuracy_note"]
    assert report["flicker_percent"]["median"] >= 0 and len(report["share_over_time"]) == 6
    assert sum(report["class_share_percent"].values()) == pytest.approx(100.0, abs=0.1)
    assert report["timeline"][1]["flicker_percent"] is not None
    assert report["timeline"][0]["flicker_percent"] is None
    page = (out / "report.html").read_text()
    assert "Pixels whose class changed" in page and "Share of the classes" in page
    assert "The worst frames" not in page


def test_the_table_of_frames_adds_up_to_the_report(model: Path, bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert judge(bag, "--model", model, "--out", out) == 0
    report = report_of(out)
    rows = list(csv.DictReader((out / "frames.csv").open()))
    assert [row["frame"] for row in rows] == [f"street_{index:06d}" for index in range(6)]
    assert [int(row["stamp_ns"]) for row in rows] == [50 * 10**9 + index * 10**8 for index in range(6)]
    counts = np.array(report["confusion"])
    for index, name in enumerate(CAMVID.names):
        assert sum(int(row[f"right {name}"]) for row in rows) == counts[index, index]
        assert sum(int(row[f"true {name}"]) for row in rows) == counts[index].sum()
        assert sum(int(row[f"predicted {name}"]) for row in rows) == counts[:, index].sum()
    assert [float(row["t_s"]) for row in rows] == pytest.approx([index / 10 for index in range(6)])


def test_answers_are_recorded_beside_their_frames(model: Path, bag: Path, tmp_path: Path) -> None:
    new = tmp_path / "answered"
    code, output = run(
        *(bag, "--model", model, "--out", tmp_path / "out", "--rate", "lockstep", "--frames", "3"),
        *("--device", "cpu", "--record", new),
    )
    assert code == 0, output
    segmenter = Segmenter.load(model, device="cpu")
    answered = {
        picture.stamp_ns: picture.image[:, :, 0]
        for picture in open_source(str(new), topics=TopicChoice("/camera/semantic_mask", "")).frames()
        if isinstance(picture, Picture)
    }
    assert len(answered) == 3
    for picture in list(open_source(str(new)).frames())[:3]:
        assert isinstance(picture, Picture) and picture.stamp_ns is not None
        mask = segmenter.segment(picture.image).mask
        assert np.count_nonzero(answered[picture.stamp_ns] != mask) <= 0.001 * mask.size
    assert judge(new, "--model", model, "--out", tmp_path / "again") == 0, (
        "it is a recording like the old one"
    )
    assert report_of(tmp_path / "again")["frames"]["scored"] == 6


# Broken and interrupted


def test_a_recording_that_breaks_off_is_judged_and_labelled(model: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "bag", tmp_path / "out"
    with BagWriter(path) as writer:
        writer.add("/image", IMAGE_TYPE)
        for index in range(9):  # a chunk of the file holds three
            image = np.full((300, 400, 3), index, np.uint8)
            writer.write("/image", index + 1, image_message(image, index + 1, ""))
    storage = path / "bag.mcap"
    storage.write_bytes(storage.read_bytes()[: storage.stat().st_size // 2])
    code, output = run(path, "--model", model, "--out", out, "--rate", "lockstep", "--device", "cpu")
    assert code == 1 and "breaks off" in output and "mcap recover" in output, output
    live = report_of(out)
    assert live["partial"].startswith("The recording breaks off: ") and not live["passed"]
    assert 0 < live["frames"]["answered"] == live["frames"]["sent"] < 9
    assert judge(path, "--model", model, "--out", out) == 1
    assert report_of(out)["partial"] == live["partial"]
    assert 'class="pill partial"' in (out / "report.html").read_text()


@pytest.mark.parametrize("way", ["live", "offline"])
def test_an_interrupted_run_keeps_what_it_has(model: Path, bag: Path, tmp_path: Path, way: str) -> None:
    long = tmp_path / "long"
    write_bag(open_source(str(bag)), RecordingOptions(rate=3.0), long, repeat=200)
    out = tmp_path / "out"
    extra = ["--offline"] if way == "offline" else []
    process = start(long, "--model", model, "--out", out, "--device", "cpu", *extra)
    children: list[psutil.Process] = []
    assert process.stdout
    try:
        # The progress tells when the first masks are there; the limit of the whole test is the limit.
        assert any(re.search(r", [1-9]\d* answered", line) for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    assert process.returncode == 130 and "Traceback" not in output, output
    report = report_of(out)
    sent = report["frames"]["sent"]
    assert 0 < sent < 1200 and report["partial"] == f"Interrupted after {sent} of 1200 frames"
    assert report["source"]["part"] == f"first {sent} of 1200 frames"
    assert report["frames"]["answered"] > 0 and "partial" in output
    assert len(list(csv.DictReader((out / "frames.csv").open()))) == sent
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_frames_that_the_network_refuses_are_unanswered(model: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "bag", tmp_path / "out"
    with BagWriter(path) as writer:
        writer.add("/image", IMAGE_TYPE)
        for index, size in enumerate([(96, 128), (4, 128), (96, 128)]):
            writer.write("/image", index + 1, image_message(np.zeros((*size, 3), np.uint8), index + 1, ""))
    assert judge(path, "--model", model, "--out", out) == 0
    report = report_of(out)
    assert report["frames"]["sent"] == 3 and report["frames"]["answered"] == 2
    assert "longer than 16 times" in report["notes"][0]
    assert report["timeline"][2]["flicker_percent"] is None, "the frame before it has no mask"


# Requests


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "no-such-model"), "no-such-model"),
        (("--offline", "--rate", "5"), "leave --running, --rate and --param away"),
        (("--image-topic", "/nothing"), "unknown topic '/nothing'"),
        (("--out", "/dev/null/out"), "not a folder that can be written"),
        (("--record", "/dev/null/x/new", "--offline"), "cannot be written"),
        (("--class-map", "cityscapes", "--offline"), "map them with a CSV file"),
        (("--class-map", "/no/such.csv", "--offline"), "neither a file nor one of camvid, cityscapes"),
        (("second",), "several recordings are judged with --offline"),
    ],
)
def test_bad_requests_get_one_line(
    model: Path,
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluate_bag.main([str(bag), "--model", str(model), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate_bag: error: ") and words in error and "Traceback" not in error
    assert not list(tmp_path.rglob("node.log"))


def test_a_missing_recording_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_bag.main([str(tmp_path / "gone"), "--offline", "--out", str(tmp_path / "out")]) == 2
    assert "gone: no such file or folder" in capsys.readouterr().err
