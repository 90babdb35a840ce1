"""Judging a model on recordings without ROS: several of them, shared by processes, without ground truth."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluating import PATIENCE, ROOT, SECOND, SIZE, judge, report_of

from sernet_core.engines.base import missing_packages
from sernet_core.labels import CAMVID
from sernet_core.runtime import Segmenter
from sernet_ros.bag.formats import IMAGE_TYPE
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.writer import BagWriter
from sernet_ros.sources import Picture, SyntheticOptions, open_source

pytestmark = pytest.mark.usefixtures("handlers")


def shared(count: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Offline, by several processes."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    words += ["-m", "sernet_ros.evaluate_bag", *map(str, arguments), "--offline"]
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


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
    done = shared(3, *arguments, "--out", tmp_path / "three")
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


# Another engine


def test_an_engine_by_name_alone_and_over_processes(
    model: Path, bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault := missing_packages(("openvino",)):
        pytest.skip(f"openvino: {fault}")
    monkeypatch.setenv("SERNET_CACHE", str(tmp_path / "cache"))
    arguments = (bag, "--model", model, "--engine", "openvino", "--precision", "fp32", "--threads", "1")
    assert judge(*arguments, "--out", tmp_path / "one") == 0
    done = shared(2, *arguments, "--device", "cpu", "--out", tmp_path / "two")
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = report_of(tmp_path / "one"), report_of(tmp_path / "two")
    assert (one["engine"], one["precision"]) == (two["engine"], two["precision"]) == ("openvino", "fp32")
    assert one["frames"] == two["frames"] and one["frames"]["scored"] == 6
    assert one["confusion"] == two["confusion"] and one["frame_miou"] == two["frame_miou"]
    # The engine's masks, by another way to them.
    segmenter = Segmenter.load(model, device="cpu", engine="openvino", threads=1)
    pictures = [frame for frame in open_source(str(bag)).frames() if isinstance(frame, Picture)]
    masks = [segmenter.segment(picture.image).mask for picture in pictures]
    counts = np.bincount(np.concatenate(masks, axis=None), minlength=len(CAMVID))
    share = dict(zip(CAMVID.names, 100 * counts / counts.sum(), strict=True))
    assert one["class_share_percent"] == pytest.approx({**share, "unlabeled": 0.0}, abs=0.01)


def test_int8_finds_its_engine(model: Path, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    if fault := missing_packages(("openvino",)):
        pytest.skip(f"openvino: {fault}")
    assert judge(bag, "--model", model, "--precision", "int8", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "sernet quantize" in error and "Traceback" not in error, "the model has no int8 file"


def test_processes_do_not_choose_each_for_itself(model: Path, bag: Path, tmp_path: Path) -> None:
    done = shared(2, bag, "--model", model, "--engine", "auto", "--out", tmp_path / "out")
    assert done.returncode != 0 and "name the engine" in done.stderr
    assert not (tmp_path / "out").exists()


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
