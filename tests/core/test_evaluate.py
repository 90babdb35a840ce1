"""`sernet evaluate` and the evaluation behind it."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, read_info, save_checkpoint
from sernet_core.cli import main
from sernet_core.datasets import only, open_dataset
from sernet_core.errors import InputError
from sernet_core.evaluate import evaluate
from sernet_core.labels import CAMVID
from sernet_core.network import build_network
from sernet_core.peers.registry import PeerConfig
from sernet_core.runtime import Segmenter


def test_command_writes_the_figures(
    small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert (
        main(
            [
                "evaluate",
                "--model",
                str(small_model),
                "--data",
                str(tree),
                "--split",
                "val",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["frames"] == 3 and set(metrics) >= {"miou", "iou", "pixel_accuracy", "class_accuracy"}
    assert len(metrics["iou"]) == 11

    segmenter = Segmenter.load(small_model)
    truths, masks = [], []
    for sample in open_dataset(tree, "val"):
        truths.append(sample.label)
        masks.append(segmenter.segment(sample.image).mask)
    truth, mask = np.stack(truths), np.stack(masks)
    valid = truth != 255
    ious = [
        100 * (valid & (truth == k) & (mask == k)).sum() / (valid & ((truth == k) | (mask == k))).sum()
        for k in range(11)
    ]
    assert list(metrics["iou"].values()) == pytest.approx(ious, abs=1e-3)
    assert metrics["miou"] == pytest.approx(np.mean(ious), abs=1e-3)
    assert metrics["pixel_accuracy"] == pytest.approx(100 * (truth == mask)[valid].mean(), abs=1e-3)
    assert "mIoU" in capsys.readouterr().out

    assert evaluate(segmenter, open_dataset(tree, "val"), quiet=True).summary()["miou"] == metrics["miou"]
    assert [row["label"] for row in metrics["rows"]] == ["single scale"]
    with (out / "metrics.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert float(line["miou"]) == metrics["miou"] and float(line["iou Sky"]) == metrics["iou"]["Sky"]
    with (out / "frames.csv").open() as file:
        assert [line["frame"] for line in csv.DictReader(file)] == ["f0", "f1", "f2"]
    page = (out / "report.html").read_text()
    assert f"{metrics['miou']:.2f}" in page and "The worst frames" in page
    assert "http:" not in page and "https:" not in page and "<script" not in page
    counts = np.array(metrics["confusion"])
    assert counts.sum() == valid.sum()
    assert list(np.diag(counts)) == [(valid & (truth == k) & (mask == k)).sum() for k in range(11)]
    curve = metrics["calibration"]
    for one in (curve, curve["without_temperature"]):
        assert sum(bin["pixels"] for bin in one["bins"]) == valid.sum()
        off = sum(abs(bin["confidence"] - bin["accuracy"]) * bin["pixels"] for bin in one["bins"])
        assert one["ece"] == pytest.approx(off / valid.sum(), abs=1e-3)
    for part in ("Can the confidence be believed?", "what the pixels of each true class were taken for"):
        assert part in page
    assert "no video" in page, "random labels are no neighbours, whatever their names"
    assert (out / "worst.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_rows_of_their_own(small_model: Path, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ["evaluate", "--model", str(small_model), "--data", str(tree), "--out", str(out)]
    assert main([*given, "--flip", "--scales", "0.75", "1.5", "--worst", "0"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    rows = metrics["rows"]
    assert [row["label"] for row in rows] == [
        "single scale",
        "flip",
        "scales 0.75, 1.5",
        "scales 0.75, 1.5 + flip",
    ]
    assert rows[0]["miou"] == metrics["miou"]
    for row in rows[1:]:
        gain = row["gain"]
        assert gain["miou"] == pytest.approx(row["miou"] - metrics["miou"], abs=1e-3)
        assert gain["low"] is gain["high"] is None, "three frames are too few"
    assert "+ flip" in (out / "report.html").read_text() and not (out / "worst.jpg").exists()
    for index in range(3, 9):
        for folder in ("images", "labels"):
            source = next((tree / "val" / folder).glob(f"f{index % 3}.*"))
            shutil.copy(source, source.with_stem(f"f{index}"))
    (tree / "val.txt").write_text("".join(f"f{index}\n" for index in range(9)))
    assert main([*given, "--flip"]) == 0 and (out / "worst.jpg").exists()
    gain = json.loads((out / "metrics.json").read_text())["rows"][1]["gain"]
    assert gain["low"] <= gain["miou"] <= gain["high"]
    assert main([*given, "--worst", "0"]) == 0 and not (out / "worst.jpg").exists(), "it was of another run"


def test_rows_without_a_labelled_pixel(
    small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for path in (tree / "val/labels").iterdir():
        cv2.imwrite(str(path), np.full_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 255))
    out = tmp_path / "out"
    given = ["evaluate", "--model", str(small_model), "--data", str(tree), "--out", str(out)]
    assert main([*given, "--flip"]) == 0
    assert "flip" in capsys.readouterr().out and "flip" in (out / "report.html").read_text()
    rows = json.loads((out / "metrics.json").read_text())["rows"]
    assert [(row["miou"], row["ece"], "gain" in row) for row in rows] == [(None, None, False)] * 2


def test_the_engine_of_the_single_scale_is_named(
    small_model: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever served the other scales."""
    examine = Segmenter.examine

    def other_scales_elsewhere(self: Segmenter, image: np.ndarray, *, scale: float = 1.0) -> object:
        found = examine(self, image, scale=scale)
        if scale != 1.0:
            self.engine, self.precision = "another", "bf16"
        return found

    monkeypatch.setattr(Segmenter, "examine", other_scales_elsewhere)
    given = ["evaluate", "--model", str(small_model), "--data", str(tree), "--out", str(tmp_path / "out")]
    assert main([*given, "--scales", "1", "0.5"]) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert (metrics["engine"], metrics["precision"]) == ("eager", "fp32")


def test_a_peer_is_scored(tree: Path, tmp_path: Path) -> None:
    config = PeerConfig("unet-r18")
    info = CheckpointInfo(config, CAMVID, (96, 64))  # type: ignore[arg-type]
    save_checkpoint(tmp_path / "peer.safetensors", build_network(config), info)  # type: ignore[arg-type]
    given = ["evaluate", "--model", str(tmp_path / "peer.safetensors"), "--data", str(tree)]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/metrics.json").read_text())["miou"] is not None


def test_a_video_has_its_flicker(small_model: Path, tree: Path, tmp_path: Path) -> None:
    for index in (1, 2):
        shutil.copy(tree / "val/labels/f0.png", tree / f"val/labels/f{index}.png")
    out = tmp_path / "out"
    assert main(["evaluate", "--model", str(small_model), "--data", str(tree), "--out", str(out)]) == 0
    temporal = json.loads((out / "metrics.json").read_text())["temporal"]
    assert temporal["pairs"] == 2 and temporal["step"] == 1 and temporal["still_percent"] == 100.0
    masks = [Segmenter.load(small_model).segment(sample.image).mask for sample in open_dataset(tree, "val")]
    labelled = np.s_[4:]
    changed = np.mean([a[labelled] != b[labelled] for a, b in itertools.pairwise(masks)])
    assert temporal["flicker"] == pytest.approx(100 * changed, abs=1e-3)
    assert "still" in (out / "report.html").read_text()


@pytest.mark.timeout(3600)
@pytest.mark.skipif("SERNET_WHOLE_VAL" not in os.environ, reason="a minute: make figures")
@pytest.mark.parametrize("model", ["sernet-r50-camvid", "sernet-r29-camvid"])
@pytest.mark.parametrize("way", [[], ["--engine", "openvino", "--precision", "int8"]], ids=["fp32", "int8"])
def test_the_stated_figure(model: str, way: list[str], data_root: Path, tmp_path: Path) -> None:
    """What README says of CamVid's val, to 0.1."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (stated,) = re.findall(rf"\| `{model}` \| \d+x\d+ \| ([\d.]+)(?: \(int8 ([\d.]+)\))? \|", readme)
    if not (figure := stated[bool(way)]):
        pytest.skip(f"{model} has no int8 form")
    out = tmp_path / "out"
    camvid = str(data_root / "camvid")
    assert (
        main(["evaluate", "--model", model, "--data", camvid, "--split", "val", "--out", str(out), *way]) == 0
    )
    miou = json.loads((out / "metrics.json").read_text())["miou"]
    assert miou == pytest.approx(float(figure), abs=0.1)
    if not way:
        assert miou == pytest.approx(read_info(model).metrics["camvid/val"]["miou"], abs=0.1)


def test_training_frames_are_refused(small_model: Path, tree: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(small_model)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint.network, replace(checkpoint.info, data={"stems": ["f1"]}))
    with pytest.raises(InputError, match="1 of 3 frames are in the training list"):
        evaluate(Segmenter.load(path), open_dataset(tree, "val"), quiet=True)


@pytest.mark.parametrize("data", [
    {"synthetic_share": 0.5},
    {"synthetic_share": 0.0, "started_from": {"data": {"synthetic_share": 0.5}}},
    {"teacher": {"data": {"started_from": {"data": {"synthetic_share": 0.5}}}}},
], ids=["itself", "what it started from", "its teacher"])  # fmt: skip
def test_scenes_like_those_of_the_training_are_refused(
    data: dict[str, object], small_model: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(small_model)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint.network, replace(checkpoint.info, data=data))
    scenes = open_dataset("synthetic", "train")
    for part in (scenes, only(scenes, [scenes.stems[0]])):
        with pytest.raises(InputError, match="trained on such scenes; evaluate on synthetic:val"):
            evaluate(Segmenter.load(path), part, quiet=True)


def test_other_classes_are_refused(small_model: Path, tree: Path) -> None:
    (tree / "classes.csv").write_text("id,name,r,g,b\n0,a,1,2,3\n")
    with pytest.raises(InputError, match="knows the classes of camvid"):
        evaluate(Segmenter.load(small_model), open_dataset(tree, "val"), quiet=True)


def test_an_out_that_cannot_be_written_is_said_before_the_work(
    small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    arguments = [
        "evaluate",
        "--model",
        str(small_model),
        "--data",
        str(tree),
        "--out",
        str(tmp_path / "file/out"),
    ]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "not a folder that can be written" in captured.err and "mIoU" not in captured.out


def test_errors_are_one_line_and_exit_2(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--model", "nope", "--data", str(tree), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert "unknown model 'nope'" in error and "Traceback" not in error
