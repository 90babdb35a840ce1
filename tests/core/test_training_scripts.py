"""The scripts around training: what ships a model, and what measures the loader."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import layout_trees as trees
import pytest
from small_run import Frames, noise_frames

from sernet_core.checkpoint import load_checkpoint, read_info, save_checkpoint

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> ModuleType:
    """A script as a module, with its command line."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    return module


def shipping(monkeypatch: pytest.MonkeyPatch, target: Path, *arguments: object) -> ModuleType:
    """`ship_model` on a few frames in memory; it writes into a folder of the test."""
    module = script("ship_model", monkeypatch, *arguments)
    monkeypatch.setenv("SERNET_DATA", "/data")
    monkeypatch.setattr(module, "SHIPPED", target)

    def opened(root: Any, split: str) -> Frames:
        return Frames(noise_frames(2, f"{split}_"), f"{Path(root).name}/{split}")

    monkeypatch.setattr(module, "open_dataset", opened)
    return module


def test_a_shipped_model_has_the_figures_of_its_own_weights(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shipping(monkeypatch, tmp_path, small_model, "mine").main()
    info, before = read_info(tmp_path / "mine.safetensors"), read_info(small_model)
    assert set(info.metrics) == {"camvid/val", "synthetic/val", "synthetic/demo"}
    assert all(scores["precision"] == "fp32" for scores in info.metrics.values())
    assert info.temperature != 1.0 and info.network == before.network and info.notice == before.notice
    shown = capsys.readouterr().out
    assert f"camvid/val: {info.metrics['camvid/val']['miou']:.2f} mIoU" in shown
    assert f"temperature {info.temperature:.3f}" in shown


def test_a_model_that_val_was_not_kept_from_has_no_figure_there(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    checkpoint = load_checkpoint(small_model)
    final = tmp_path / "final.safetensors"
    info = replace(checkpoint.info, data={"train": "camvid/train", "parts": ["train", "val"]})
    save_checkpoint(final, checkpoint.network, info)
    for model, more in ((final, ()), (small_model, ("--temperature", 1.2))):
        with pytest.raises(SystemExit):
            shipping(monkeypatch, tmp_path, model, "mine", *more).main()
        assert "val was not kept from" in capsys.readouterr().err
    shipping(monkeypatch, tmp_path, final, "mine", "--temperature", 1.2).main()
    info = read_info(tmp_path / "mine.safetensors")
    assert set(info.metrics) == {"synthetic/val", "synthetic/demo"} and info.temperature == 1.2


def test_the_loader_is_measured_beside_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for stem in ("a_1", "a_2"):
        trees.write_image(tmp_path / f"camvid/train/images/{stem}.png", (96, 64))
        trees.write_label(tmp_path / f"camvid/train/labels/{stem}.png", [0, 3], (96, 64))
    recipe = tmp_path / "recipe.yaml"
    settings = {"network": {"depth": 18, "dbn_rates": [1, 2, 3]}, "augment": {"crop": [96, 64]}}
    recipe.write_text(json.dumps(settings | {"steps": 2, "input_size": [96, 64], "batch_size": 2}))
    given = ["--recipe", recipe, "--data", tmp_path / "camvid", "--device", "cpu", "--batches", 3]
    script("measure_loader", monkeypatch, *given, "--steps", 1, "--workers", 0, 1).main()
    shown = capsys.readouterr().out
    assert (
        "step on cpu" in shown and "loader with 0 worker(s)" in shown and "loader with 1 worker(s)" in shown
    )
    assert shown.count("times the step's") == 2
    with pytest.raises(SystemExit, match=r"measure_loader: .*no such"):
        script("measure_loader", monkeypatch, *given[:2], "--data", tmp_path / "no such").main()
