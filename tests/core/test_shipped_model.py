"""The model that ships: there, with the figures that it was accepted for, and able to see."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sernet_core.checkpoint import SHIPPED, read_info
from sernet_core.commands.options import DEFAULT_MODEL
from sernet_core.datasets import open_dataset
from sernet_core.engines.quantised import read_quantised
from sernet_core.labels import CAMVID
from sernet_core.metrics import ConfusionMatrix
from sernet_core.runtime import Segmenter

MODEL = SHIPPED / f"{DEFAULT_MODEL}.safetensors"


SHIPPED_MODELS = sorted(SHIPPED.glob("*.safetensors"))
each = pytest.mark.parametrize("path", SHIPPED_MODELS, ids=lambda path: path.stem)


@each
def test_the_pages_state_its_figures(path: Path) -> None:
    """README's table and the one of classes, against what the file of the model says of itself."""
    info, root = read_info(path), Path(__file__).parents[2]
    assert info.classes == CAMVID
    scores, (width, height) = info.metrics["camvid/val"], info.input_size
    row = rf"\| `{path.stem}` \| {width}x{height} \| ([\d.]+) (?:\(int8 ([\d.]+)\) )?\|"
    ((stated, stated_int8),) = re.findall(row, (root / "README.md").read_text())
    assert stated == f"{scores['miou']:.2f}"
    int8 = read_quantised(path)
    assert stated_int8 == (f"{int8.scores['int8']:.2f}" if int8 is not None else "")
    classes = " \\| ".join(f"{iou:.1f}" for iou in scores["iou"].values())
    assert re.search(rf"\| `{path.stem}` \| {classes} \|", (root / "docs/training.md").read_text())


def test_they_are_small_enough_to_ship() -> None:
    files = [path for path in SHIPPED.iterdir() if path.suffix in (".safetensors", ".bin", ".xml")]
    assert sum(path.stat().st_size for path in files) <= 75e6


@each
def test_its_confidence_is_calibrated(path: Path) -> None:
    assert read_info(path).temperature != 1.0


@each
def test_its_figures_are_its_own(path: Path, data_root: Path) -> None:
    """A ninth of the frames, so to some points; `sernet evaluate` scores them all."""
    dataset, segmenter = open_dataset(data_root / "camvid", "val"), Segmenter.load(path, device="cpu")
    matrix = ConfusionMatrix(dataset.classes)
    for index in range(0, len(dataset), 9):
        sample = dataset[index]
        assert sample.label is not None
        matrix.update(sample.label, segmenter.segment(sample.image).mask)
    assert matrix.miou == pytest.approx(read_info(path).metrics["camvid/val"]["miou"], abs=3.0)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load(MODEL, device="cpu")


@pytest.mark.parametrize("index", [0, 30, 60], ids=["day", "dusk", "rain"])
def test_it_sees_streets(segmenter: Segmenter, index: int) -> None:
    sample = open_dataset("synthetic", "val")[index]
    assert sample.label is not None
    labelled = sample.label != 255
    right = segmenter.segment(sample.image).mask[labelled] == sample.label[labelled]
    assert np.mean(right) > 0.8
