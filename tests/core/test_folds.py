"""A sequence left out of training, and scored: two commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import layout_trees as trees
import pytest
import yaml
from small_run import Frames, noise_frames

from sernet_core.checkpoint import read_info
from sernet_core.cli import main
from sernet_core.datasets import only, without
from sernet_core.errors import ConfigError

RECIPE = {
    "steps": 2,
    "network": {"depth": 18, "dbn_rates": [1, 2, 3]},
    "augment": {"crop": [96, 64]},
    "input_size": [96, 64],
    "batch_size": 2,
    "validate_every": 2,
    "notice": "test",
}


def test_a_selection_is_a_data_set_in_the_order_of_the_whole() -> None:
    whole = Frames([*noise_frames(2, "a_"), *noise_frames(3, "b_"), *noise_frames(1, "c_")])
    left = without(whole, ["b_", "c"])
    assert (left.name, left.stems, len(left)) == ("memory without b_ c", ["a_0", "a_1"], 2)
    out = only(whole, ["c", "b"])
    assert out.stems == ["b_0", "b_1", "b_2", "c_0"] and [s.stem for s in out] == out.stems
    assert out[3].stem == "c_0" and out.classes is whole.classes
    assert only(whole, []) is whole and without(whole, []) is whole


def test_prefixes_that_fit_nothing_or_everything() -> None:
    whole = Frames([*noise_frames(2, "a_"), *noise_frames(2, "b_")])
    with pytest.raises(ConfigError, match="no frame's name begins with 'x'; they begin with a, b"):
        without(whole, ["a", "x"])
    with pytest.raises(ConfigError, match="no frame is left"):
        without(whole, ["a", "b"])


@pytest.mark.usefixtures("slim")
def test_a_fold_is_two_commands(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "camvid"
    for stem in ("0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1"):
        trees.write_image(root / f"train/images/{stem}.png", (96, 64))
        trees.write_label(root / f"train/labels/{stem}.png", [0, 3], (96, 64))
    recipe, run = tmp_path / "r.yaml", tmp_path / "fold"
    recipe.write_text(yaml.safe_dump(RECIPE))
    command = ["train", "--recipe", str(recipe), "--data", str(root), "--run", f"{run}/", "--workers", "0"]
    assert main([*command, "--leave-out", "0001TP"]) == 0
    info = read_info(run / "model.safetensors")
    assert info.data["stems"] == ["0006R0_1", "0016E5_1"]
    assert info.data["train"] == "camvid/train without 0001TP"
    assert list(info.metrics) == ["camvid/train only 0001TP"]
    with (run / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    score = ["evaluate", "--model", str(run / "model.safetensors"), "--data", str(root), "--split", "train"]
    assert main([*score, "--only", "0001TP", "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["frames"] == 2 and metrics["dataset"] == "camvid/train only 0001TP"
    assert metrics["miou"] == pytest.approx(float(row["miou camvid/train only 0001TP"]), abs=1e-3)
    capsys.readouterr()
    assert main(score) == 2 and "2 of 4 frames are in the training list" in capsys.readouterr().err
    assert main([*command, "--leave-out", "0006R0"]) == 2, "another fold does not go on with this one"
    assert "another recipe, data set" in capsys.readouterr().err


def test_leaving_out_needs_data(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--recipe", "r.yaml", "--run", "r", "--leave-out", "x"]) == 2
    assert "--leave-out: there is no data set" in capsys.readouterr().err
