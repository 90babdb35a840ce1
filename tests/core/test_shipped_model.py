"""The model that ships: there, with the figures that it was accepted for, and able to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sernet_core.checkpoint import SHIPPED, read_info
from sernet_core.commands.options import DEFAULT_MODEL
from sernet_core.datasets import open_dataset
from sernet_core.labels import CAMVID
from sernet_core.metrics import ConfusionMatrix
from sernet_core.runtime import Segmenter

MODEL = SHIPPED / f"{DEFAULT_MODEL}.safetensors"


@pytest.mark.parametrize(("split", "least"), [("camvid/val", 70.0), ("synthetic/val", 75.0)])
def test_figures(split: str, least: float) -> None:
    info = read_info(MODEL)
    assert info.classes == CAMVID
    assert info.metrics[split]["miou"] >= least


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda path: path.stem)
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
