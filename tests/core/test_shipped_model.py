"""The model that ships: there, with the figures that it was accepted for, and able to see."""

from __future__ import annotations

import numpy as np
import pytest

from sernet_core.checkpoint import SHIPPED, read_info
from sernet_core.commands.options import DEFAULT_MODEL
from sernet_core.datasets import open_dataset
from sernet_core.labels import CAMVID
from sernet_core.runtime import Segmenter

MODEL = SHIPPED / f"{DEFAULT_MODEL}.safetensors"


@pytest.mark.parametrize(("split", "least"), [("camvid/val", 70.0), ("synthetic/val", 75.0)])
def test_figures(split: str, least: float) -> None:
    info = read_info(MODEL)
    assert info.classes == CAMVID
    assert info.metrics[split]["miou"] >= least


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
