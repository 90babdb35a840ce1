"""The shipped real-time model on CamVid's frames: engines give eager's masks, int8 costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sernet_core.checkpoint import SHIPPED
from sernet_core.datasets import Sample, open_dataset
from sernet_core.engines.base import missing_packages
from sernet_core.engines.processor import int8_doubt
from sernet_core.engines.registry import engine_class
from sernet_core.labels import CAMVID
from sernet_core.metrics import ConfusionMatrix
from sernet_core.runtime import Segmenter

# Tracing and converting take long on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)

MODEL = SHIPPED / "sernet-r29-camvid.safetensors"
AGREEMENT = 0.995  # of each frame's pixels
# Points of mIoU on these frames: 0.09 on an AMD EPYC with AVX-512 VNNI; 0.5 is the most that int8 may cost on
# all of val. What lies between is for processors that round otherwise.
LOST = 0.3


@pytest.fixture(scope="module")
def samples(data_root: Path) -> list[Sample]:
    """Every third labelled frame that no model was trained on."""
    dataset = open_dataset(data_root / "camvid", "val")
    return [dataset[index] for index in range(0, len(dataset), 3)]


@pytest.fixture(scope="module")
def eagers(samples: list[Sample]) -> list[np.ndarray]:
    """Eager's masks of every twelfth of them."""
    return masks(samples[::12], "eager")


def masks(samples: Sequence[Sample], engine: str, precision: str = "fp32") -> list[np.ndarray]:
    segmenter = Segmenter.load(MODEL, device="cpu", engine=engine, precision=precision, threads=1)
    found = [segmenter.segment(sample.image).mask for sample in samples]
    assert (segmenter.engine, segmenter.precision) == (engine, precision)
    return found


def miou(samples: Sequence[Sample], found: Sequence[np.ndarray]) -> float:
    matrix = ConfusionMatrix(CAMVID)
    for sample, mask in zip(samples, found, strict=True):
        assert sample.label is not None
        matrix.update(sample.label, mask)
    return matrix.miou


@pytest.mark.parametrize("engine", ["openvino", "onnx"])  # compile takes a minute to build for this model
def test_masks_are_eagers(engine: str, samples: list[Sample], eagers: list[np.ndarray]) -> None:
    if obstacle := engine_class(engine).obstacle("cpu", "fp32"):
        pytest.skip(f"engine {engine}: {obstacle}")
    pairs = zip(masks(samples[::12], engine), eagers, strict=True)
    assert min((found == wanted).mean() for found, wanted in pairs) >= AGREEMENT


def test_int8_costs_next_to_nothing(samples: list[Sample]) -> None:
    if fault := missing_packages(("openvino",)) or int8_doubt():
        pytest.skip(fault)
    exact, coarse = (masks(samples, "openvino", precision) for precision in ("fp32", "int8"))
    assert any((one != other).any() for one, other in zip(exact, coarse, strict=True))  # it was int8 that ran
    assert miou(samples, exact) > 70.0
    assert miou(samples, coarse) >= miou(samples, exact) - LOST
