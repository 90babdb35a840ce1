"""`sernet evaluate` and the evaluation behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sernet_core.checkpoint import load_checkpoint, save_checkpoint
from sernet_core.cli import main
from sernet_core.datasets import open_dataset
from sernet_core.errors import InputError
from sernet_core.evaluate import evaluate
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


def test_training_frames_are_refused(small_model: Path, tree: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(small_model)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, checkpoint.network, replace(checkpoint.info, data={"stems": ["f1"]}))
    with pytest.raises(InputError, match="1 of 3 frames are in the training list"):
        evaluate(Segmenter.load(path), open_dataset(tree, "val"), quiet=True)


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


def test_errors_are_one_line_and_exit_2(tree: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--model", "nope", "--data", str(tree)]) == 2
    error = capsys.readouterr().err
    assert "unknown model 'nope'" in error and "Traceback" not in error
