"""What is kept of a recording that breaks off, of a run that is interrupted, of frames that are refused."""

from __future__ import annotations

import csv
import re
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from evaluating import PATIENCE, end, judge, report_of, run, start

from sernet_ros.bag.formats import IMAGE_TYPE
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.writer import BagWriter
from sernet_ros.sources import open_source

pytestmark = pytest.mark.usefixtures("handlers")


def test_a_recording_that_breaks_off_is_judged_and_labelled(model: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "bag", tmp_path / "out"
    with BagWriter(path) as writer:
        writer.add("/image", IMAGE_TYPE)
        for index in range(9):
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
