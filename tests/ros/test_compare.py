"""Two reports side by side; needs no ROS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sernet_core.labels import CAMVID
from sernet_core.report import OverlayVideo
from sernet_ros import compare
from sernet_ros.frame_report import add_frames, write_table
from sernet_ros.live_report import RunFacts, build_report
from sernet_ros.matching import Sent
from sernet_ros.recording import MASK, TRUTH, Received, Recording

FRAMES = 30


def leave_report(
    folder: Path, wrong: float, seed: int, frames: int = FRAMES, took_ms: float = 50.0, truth: bool = True
) -> Path:
    """A report of masks in which a share of the pixels is wrong."""
    folder.mkdir()
    rng, scene = np.random.default_rng(seed), np.random.default_rng(0)
    recording = Recording(CAMVID, OverlayVideo(folder / "v.webm", 10.0), truth, frames=True)
    sent = []
    for index in range(frames):
        label = np.repeat(scene.integers(0, 5, (12, 8), np.uint8), 2, axis=1)
        mask = np.where(rng.random(label.shape) < wrong, (label + 1) % 5, label).astype(np.uint8)
        sent_ns = 10**9 * (index + 1)
        at_ns = sent_ns + round(1e6 * (took_ms + rng.random()))
        sent.append(Sent(index, f"f{index}", index + 1, sent_ns))
        if truth:
            recording.take(Received(TRUTH, index + 1, at_ns, label))
        recording.take(Received(MASK, index + 1, at_ns, mask))
    note = "" if truth else "none"
    facts = RunFacts("m", CAMVID, "", "drive", note, None, None, 0.0, None, "cmd")
    report = build_report(facts, sent, [], recording, {"engine": folder.name})
    assert recording.frames
    add_frames(report, sent, recording.frames)
    (folder / "report.json").write_text(json.dumps(report))
    write_table(folder / "frames.csv", report, recording.frames)
    return folder


def run(*arguments: str | Path) -> int:
    return compare.main([str(argument) for argument in arguments])


def test_a_worse_model_is_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = leave_report(tmp_path / "old", 0.10, 1)
    new = leave_report(tmp_path / "new", 0.16, 2, took_ms=60.0)
    out = tmp_path / "out"
    assert run(old, new) == 0, "without a limit there is no regression"
    limits = ("--max-drop", "1", "--max-class-drop", "1", "--max-slower", "10")
    assert run(old, new, *limits, "--out", out) == 1
    error = capsys.readouterr().err
    assert "regression: mIoU fell by" in error and "regression: IoU of Sky fell by" in error
    assert "median latency rose by" in error
    found = json.loads((out / "compare.json").read_text())
    reports = [json.loads((folder / "report.json").read_text()) for folder in (old, new)]
    assert found["miou"]["first"] == pytest.approx(reports[0]["miou"], abs=0.01)
    assert found["miou"]["second"] == pytest.approx(reports[1]["miou"], abs=0.01)
    assert found["miou"]["verdict"] == "worse" and found["miou"]["high"] < 0
    assert found["latency_p50_ms"]["difference"] == pytest.approx(10.0, abs=1.0)
    assert found["latency_p50_ms"]["verdict"] == "worse"
    assert [row["class"] for row in found["iou"]] == list(CAMVID.names)
    assert found["iou"][10]["verdict"] == "not in both" and found["iou"][10]["difference"] is None
    assert found["frames"] == FRAMES and found["pairing"] == "the same frames in both"
    assert (found["first"]["engine"], found["second"]["engine"]) == ("old", "new")
    page = (out / "compare.html").read_text()
    assert "regression" in page and "Bicyclist" in page and "src=" not in page
    assert run(new, old, *limits) == 0, "the other way round it is progress"
    assert run(old / "report.json", new, "--max-drop", "60") == 0, "larger than the limit it must be"


def test_noise_is_no_regression_and_no_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (leave_report(tmp_path / name, 0.2, seed) for name, seed in (("a", 3), ("b", 4)))
    assert run(first, second, "--max-drop", "0", "--max-class-drop", "0") == 0
    assert run(second, first, "--max-drop", "0", "--max-class-drop", "0") == 0
    output = capsys.readouterr().out
    assert output.count("mIoU, %") == 2 and output.count("no difference shown") >= 10


def test_few_frames_have_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (leave_report(tmp_path / name, wrong, 1, frames=4) for name, wrong in (("a", 0.1), ("b", 0.9)))
    assert run(old, new, "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out/compare.json").read_text())
    for row in (found["miou"], found["latency_p50_ms"], *found["iou"][:5]):
        assert row["low"] is row["high"] is None and row["verdict"] == "no difference shown"
    assert "too few frames for an interval" in (tmp_path / "out/compare.html").read_text()
    assert run(old, new, "--max-drop", "1", "--max-class-drop", "1", "--max-slower", "5") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "regression" in line]
    assert "mIoU, IoU of the classes, median latency: too few frames for an interval, but a limit" in line


def test_frames_that_only_one_has_are_left_out(tmp_path: Path) -> None:
    long, short = leave_report(tmp_path / "a", 0.1, 5), leave_report(tmp_path / "b", 0.1, 5, frames=20)
    assert run(long, short, "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["frames"] == 20 and "10 that only one has are left out" in found["pairing"]
    assert found["miou"]["difference"] == 0.0


def test_reports_without_ground_truth_compare_what_they_have(tmp_path: Path) -> None:
    first, second = (
        leave_report(tmp_path / name, 0.1, seed, truth=False) for name, seed in (("a", 1), ("b", 2))
    )
    assert run(first, second, "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["miou"] is None and found["iou"] == [] and found["latency_p50_ms"]["first"] > 0
    assert "no accuracy to compare" in (tmp_path / "out" / "compare.html").read_text()
    assert run(first, second, "--max-drop", "1") == 1, "a limit that cannot be checked is not met"


def test_what_is_no_report_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = leave_report(tmp_path / "good", 0.1, 1)
    (tmp_path / "empty").mkdir()
    assert run(good, tmp_path / "empty") == 2
    assert f"{tmp_path / 'empty' / 'report.json'}: cannot be read" in capsys.readouterr().err
    for content in ("{", "{}", "[]"):
        (tmp_path / "empty" / "report.json").write_text(content)
        assert run(good, tmp_path / "empty") == 2
        assert "not a report of evaluate_bag" in capsys.readouterr().err
    other = leave_report(tmp_path / "other", 0.1, 1)
    report = json.loads((other / "report.json").read_text())
    report["classes"] = {("Street" if name == "Road" else name): c for name, c in report["classes"].items()}
    (other / "report.json").write_text(json.dumps(report))
    table = (other / "frames.csv").read_text()
    (other / "frames.csv").write_text(table.replace(" Road", " Street"))
    assert run(good, other) == 2
    assert "have different classes" in capsys.readouterr().err
