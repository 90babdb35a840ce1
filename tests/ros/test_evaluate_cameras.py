"""Several cameras of one recording in one call: each for itself, and all together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluating import SECOND, SIZE, judge, report_of, run

from sernet_ros.bag.formats import IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.messages import TruthInfo, image_message
from sernet_ros.bag.writer import BagWriter
from sernet_ros.sources import Picture, SyntheticOptions, open_source

pytestmark = pytest.mark.usefixtures("handlers")
CAMERAS = ("left", "right")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras that look at different streets at the same moments, four frames each."""
    path = tmp_path_factory.mktemp("bags") / "rig"
    sources = [
        open_source("synthetic", None, SyntheticOptions(seed=seed, size=SIZE, frames=4)) for seed in (1, 2)
    ]
    with BagWriter(path) as writer:
        for name, source in zip(CAMERAS, sources, strict=True):
            writer.add(f"/{name}/image_raw", IMAGE_TYPE)
            writer.add(f"/{name}/ground_truth", IMAGE_TYPE)
            writer.add(f"/{name}/ground_truth_info", STRING_TYPE, latched=True)
            assert source.classes
            text = TruthInfo(source.classes).to_json()
            writer.write(f"/{name}/ground_truth_info", 1, typestore().types[STRING_TYPE](data=text))
        for index, pair in enumerate(zip(*(source.frames() for source in sources), strict=True)):
            stamp = (index + 1) * SECOND
            for name, picture in zip(CAMERAS, pair, strict=True):
                assert isinstance(picture, Picture) and picture.truth is not None
                for topic, array in (("ground_truth", picture.truth), ("image_raw", picture.image)):
                    writer.write(f"/{name}/{topic}", stamp, image_message(array, stamp, name))
    return path


def summary_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def test_every_camera_has_its_report_and_all_have_a_summary(model: Path, rig: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert judge(rig, "--model", model, "--out", out, "--all-cameras") == 0
    summary = summary_of(out)
    assert [row["recording"] for row in summary["recordings"]] == [
        "rig/left/image_raw",
        "rig/right/image_raw",
    ]
    reports = [report_of(out / f"rig_{name}_image_raw") for name in CAMERAS]
    counts = [np.array(report["confusion"]) for report in reports]
    assert (counts[0] != counts[1]).any() and summary["confusion"] == (counts[0] + counts[1]).tolist()
    assert summary["frames"]["scored"] == 8
    # One camera by its name gives just the same, under the same name.
    alone = tmp_path / "alone"
    assert judge(rig, "--model", model, "--out", alone, "--image-topic", "/right/image_raw") == 0
    assert report_of(alone)["confusion"] == reports[1]["confusion"]
    assert report_of(alone)["source"]["name"] == "rig/right/image_raw"


def test_cameras_and_their_ground_truth_are_chosen_by_name(model: Path, rig: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [word for name in reversed(CAMERAS) for word in ("--image-topic", f"/{name}/image_raw")]
    swapped = [word for name in CAMERAS for word in ("--truth-topic", f"/{name}/ground_truth")]
    assert judge(rig, "--model", model, "--out", out, *words) == 0
    right = report_of(out / "rig_right_image_raw")
    assert judge(rig, "--model", model, "--out", out, *words, *swapped) == 0
    assert report_of(out / "rig_right_image_raw")["confusion"] != right["confusion"]
    assert judge(rig, "--model", model, "--out", out, *words, "--truth-topic", "") == 0
    assert summary_of(out)["miou"] is None
    assert [row["scored"] for row in summary_of(out)["recordings"]] == [0, 0]


def test_cameras_with_the_same_stamps_go_through_one_node(model: Path, rig: Path, tmp_path: Path) -> None:
    live, offline = tmp_path / "live", tmp_path / "offline"
    words = ("--model", model, "--all-cameras", "--device", "cpu")
    code, output = run(rig, *words, "--out", live, "--rate", "lockstep")
    assert code == 0, output
    assert not list(live.glob("*/node.log")), "one node for both"
    first, second = (report_of(live / f"rig_{name}_image_raw") for name in CAMERAS)
    assert first["stages_ms"]["inference"] and "answered" in first["node"] and not first["notes"]
    # The node's figures go on from camera to camera: those of the first must not pass for the second's.
    assert not second["stages_ms"] and not {"answered", "received", "dropped"} & second["node"].keys()
    assert second["node"]["state"] == "active" and "would contain" in second["notes"][0]
    assert judge(rig, *words, "--out", offline) == 0
    for name in CAMERAS:
        report = report_of(live / f"rig_{name}_image_raw")
        assert report["frames"]["answered"] == report["frames"]["scored"] == 4
        assert report["frames"]["duplicates"] == report["frames"]["unmatched"] == 0
        assert report["miou"] == pytest.approx(report_of(offline / f"rig_{name}_image_raw")["miou"], abs=0.1)
    assert summary_of(live)["miou"] == pytest.approx(summary_of(offline)["miou"], abs=0.1)


def test_a_recording_of_depth_does_not_end_the_live_call(model: Path, bag: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad", tmp_path / "out"
    with BagWriter(bad) as writer:
        writer.add("/image", IMAGE_TYPE)
        message = image_message(np.zeros((*SIZE[::-1], 3), np.uint8), SECOND, "")
        message.encoding = "32FC1"
        writer.write("/image", SECOND, message)
    words = ("--model", model, "--device", "cpu", "--rate", "lockstep", "--frames", "2")
    code, output = run(bad, bag, "--out", out, *words)
    assert code == 1 and "evaluate_bag: error: bad: " in output, output
    assert [row["recording"] for row in summary_of(out)["recordings"]] == ["street"]
    assert report_of(out / "street")["frames"]["answered"] == 2
