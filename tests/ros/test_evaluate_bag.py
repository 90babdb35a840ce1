"""Judging a model on a recording through the live node, and what is asked of the command line."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluating import RESULTS, ROOT, SIZE, judge, report_of, run
from live import fresh_namespace

from sernet_core.datasets import open_dataset
from sernet_core.evaluate import evaluate
from sernet_core.runtime import Segmenter
from sernet_ros import evaluate_bag
from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.processes import Child
from sernet_ros.sources import Picture, Source, SyntheticOptions, open_source

pytestmark = pytest.mark.usefixtures("handlers")


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
    assert published["engine"] == segmented["engine"] == "eager"
    assert published["stages_ms"]["inference"]["p25"] > 0 and len(published["usage"]) >= 0
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
    # Six frames, a tenth of a second apart, at half the speed: later on a busy machine, never earlier. The
    # first one too may be late, by up to two periods.
    assert moments[-1] >= 0.55 and moments == sorted(moments)


def test_the_model_of_a_parameter_file_is_the_one_that_is_judged(
    model: Path, bag: Path, tmp_path: Path
) -> None:
    out, file = tmp_path / "out", tmp_path / "node.yaml"
    values = {"model": model, "device": "cpu", "threads": 1, "input_size": "96x64", "inference_timeout": 50.5}
    # What a robot's own file says of its cameras and its start does not keep it from answering.
    values |= {"cameras": ["front"], "image_transport": "compressed", "input_qos": "sensor_data"}
    values |= {"output_qos": "sensor_data", "autostart": "false", "enable": "false"}
    lines = "".join(f"    {name}: {value}\n" for name, value in values.items())
    file.write_text(f"/**:\n  ros__parameters:\n{lines}")
    code, output = run(bag, "--params-file", file, "--out", out, "--rate", "lockstep", "--frames", "2")
    assert code == 0, output
    report = report_of(out)
    assert report["model"] == "tiny" and report["notice"] == "Only for tests."
    # What the file says reaches the node, to the pixel.
    sized = tmp_path / "offline"
    assert judge(bag, "--model", model, "--out", sized, "--frames", "2", "--input-size", "96x64") == 0
    assert report["miou"] == pytest.approx(report_of(sized)["miou"], abs=0.1)
    assert judge(bag, "--model", model, "--out", sized, "--frames", "2") == 0
    assert report["confusion"] != report_of(sized)["confusion"]


def running_node(folder: Path, namespace: str, domain: str, model: Path, *parameters: str) -> Child:
    command = [sys.executable, "-m", "sernet_ros.node", "--ros-args", "-r", f"__ns:={namespace}"]
    for parameter in (f"model:={model}", "device:=cpu", "engine:=eager", *parameters):
        command += ["-p", parameter]
    command += ["-r", "image:=/front/image_raw"]
    environment = {**os.environ, "ROS_DOMAIN_ID": domain, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return Child("node", command, folder / "node.log", environment)


def test_a_running_node_with_other_ids_or_another_model_is_refused(
    model: Path, bag: Path, tmp_path: Path
) -> None:
    namespace, domain = fresh_namespace(), str(1 + (os.getpid() + 31) % 100)
    out = tmp_path / "out"
    words = (bag, "--running", namespace, "--node-image", "/front/image_raw", "--out", out)
    with running_node(tmp_path, namespace, domain, model, "label_remap:=autoware"):
        code, output = run(*words, ROS_DOMAIN_ID=domain)
        assert code == 2 and "the node has label_remap = 'autoware'" in output, output
        code, output = run(*words, "--model", "sernet-r29-camvid", ROS_DOMAIN_ID=domain)
        assert code == 2 and "not sernet-r29-camvid: leave --model away" in output, output
    assert not (out / "report.json").exists()


def test_a_running_node_is_judged_where_it_is(model: Path, bag: Path, tmp_path: Path) -> None:
    namespace, domain = fresh_namespace(), str(1 + (os.getpid() + 53) % 100)
    out = tmp_path / "out"
    with running_node(tmp_path, namespace, domain, model) as node:
        code, output = run(
            *(bag, "--running", namespace, "--node-image", "/front/image_raw", "--out", out),
            *("--rate", "lockstep", "--frames", "3", "--model", "auto"),
            ROS_DOMAIN_ID=domain,
        )
        assert node.exit_code is None, "it is the user's"
    assert code == 0, output
    report = report_of(out)
    assert report["frames"]["answered"] == report["frames"]["scored"] == 3
    assert report["model"] == "tiny" and report["usage"] == []
    assert judge(bag, "--model", model, "--out", tmp_path / "offline", "--frames", "3") == 0
    assert report["miou"] == pytest.approx(report_of(tmp_path / "offline")["miou"], abs=0.1)


@pytest.mark.parametrize("way", [("--rate", "lockstep"), ("--offline",)], ids=["live", "offline"])
def test_answers_are_recorded_beside_their_frames(
    model: Path, bag: Path, tmp_path: Path, way: tuple[str, ...]
) -> None:
    pytest.importorskip("mcap_ros2", reason="mcap-ros2-support is not installed (requirements/dev.txt)")
    new = tmp_path / "answered"
    code, output = run(
        *(bag, "--model", model, "--out", tmp_path / "out", *way, "--frames", "3"),
        *("--device", "cpu", "--record", new),
    )
    assert code == 0, output
    found = read_mcap(new / "answered.mcap")
    segmenter = Segmenter.load(model, device="cpu")
    pictures = [each for each in open_source(str(bag)).frames() if isinstance(each, Picture)][:3]
    for name in ("semantic_mask", "confidence", "color_mask/compressed", "semantic_overlay/compressed"):
        stamps = [stamp for stamp, _ in found[f"/camera/{name}"]]
        assert stamps == [picture.stamp_ns for picture in pictures], name
    assert len(found["/camera/image_raw"]) == len(found["/camera/ground_truth"]) == 6
    for index, picture in enumerate(pictures):
        answer = segmenter.segment(picture.image, confidence=True)
        for name, expected, far in (("semantic_mask", answer.mask, 0), ("confidence", answer.confidence, 3)):
            message = found[f"/camera/{name}"][index][1]
            assert message.encoding == "mono8" and message.header.frame_id == "camera"
            got = np.frombuffer(message.data, np.uint8).reshape(expected.shape)
            differs = np.abs(got.astype(int) - expected) > far
            assert np.count_nonzero(differs) <= 0.001 * expected.size, name
    assert judge(new, "--model", model, "--out", tmp_path / "again") == 0, (
        "it is a recording like the old one"
    )
    assert report_of(tmp_path / "again")["frames"]["scored"] == 6


def read_mcap(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Stamp and content of the messages of each topic with headers, by a library that is not ours."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    found: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, _, message in reader.iter_decoded_messages():
            if hasattr(message, "header"):
                stamp = message.header.stamp
                found[channel.topic].append((stamp.sec * 10**9 + stamp.nanosec, message))
    return found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "no-such-model"), "no-such-model"),
        (("--offline", "--rate", "5"), "leave --rate away"),
        (("--offline", "--speed", "1", "--params-file", "p"), "leave --params-file and --speed away"),
        (("--offline", "--running", "/a", "--param", "a:=1"), "leave --param and --running away"),
        (("--running", "/a", "--device", "cpu", "--threads", "1"), "leave --device and --threads away"),
        (
            ("--running", "/a", "--param", "a:=1", "--params-file", "p", "--precision", "fp32"),
            "leave --param, --params-file and --precision away",
        ),
        (("--running", "/a", "--input-size", "source"), "leave --input-size away"),
        (("--running", "/a", "--engine", "eager"), "leave --engine away"),
        (("--offline", "--engine", "opnvino"), "unknown engine 'opnvino'. Did you mean 'openvino'?"),
        (
            ("--offline", "--engine", "eager", "--device", "cpu", "--precision", "int8"),
            "engine eager: has no int8",
        ),
        (("--param", "model:=other"), "--param model:=other: name the checkpoint with --model"),
        (("--param", "label_remap:=autoware"), "not those of the model's classes"),
        (("--param", "sernet_segmenter:mask_scale:=0.5"), "not the size of their frames"),
        (("--param", "mask_encoding:=autoware_rle"), "no pictures of ids"),
        (("--param", "cameras:=[front]"), "a node that is started has cameras:=['']; leave it away"),
        (("--param", "autostart:=false"), "a node that is started has autostart:=true; leave it away"),
        (("--speed", "2", "--rate", "5"), "--speed 2 is a factor of the source's own rate, which --rate 5.0"),
        (("--speed", "1", "--rate", "lockstep"), "leave one of the two away"),
        (("--record", "."), "exists already"),
        (("--image-topic", "/nothing"), "unknown topic '/nothing'"),
        (("--out", "/dev/null/out"), "not a folder that can be written"),
        (("--record", "/dev/null/x/new", "--offline"), "cannot be written"),
        (("--class-map", "cityscapes", "--offline"), "map them with a CSV file"),
        (("--class-map", "/no/such.csv", "--offline"), "neither a file nor one of camvid, cityscapes"),
        (("second", "--record", "new"), "one camera of one recording at a time"),
        (("--all-cameras", "--record", "new"), "one camera of one recording at a time"),
        (("--all-cameras", "--image-topic", "/camera/image_raw"), "--all-cameras or --image-topic"),
        (("--truth-topic", "/a", "--truth-topic", "/b"), "--truth-topic: 2 for 1 cameras"),
        (("/no/such/bag", "--all-cameras"), "is no recording"),
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
