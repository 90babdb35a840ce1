"""Temperature and reliability of the confidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sernet_core.calibration import Reliability, fit_temperature, reliability, sample_logits
from sernet_core.checkpoint import load_checkpoint, save_checkpoint
from sernet_core.datasets import open_dataset
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache
from sernet_core.errors import ConfigError
from sernet_core.runtime import Segmenter


def drawn(temperature: float, count: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and classes drawn with the probabilities that these have at a temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 5, generator=generator)
    labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)[:, 0]
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_draw_is_found(temperature: float) -> None:
    logits, labels = drawn(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)
    assert reliability(logits, labels, temperature).ece < 1.0
    if temperature != 1.0:
        assert reliability(logits, labels, 1.0).ece > 5.0


def test_ece_is_the_mean_distance_over_pixels() -> None:
    assert Reliability((50.0, 90.0), (40.0, 95.0), (1, 3)).ece == pytest.approx((10 + 3 * 5) / 4)
    logits = torch.tensor([[0.0, 0.0], [100.0, 0.0], [100.0, 0.0]])
    found = reliability(logits, torch.tensor([0, 0, 1]), 1.0, bins=2)
    assert found.count == (0, 3) and found.accuracy[1] == pytest.approx(200 / 3)
    assert found.confidence[1] == pytest.approx(100 * 2.5 / 3)


def test_pixels_are_drawn_from_the_labelled_ones(small_model: Path, tree: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tree, "val")
    source = Source.load(small_model, EngineCache(tmp_path))
    logits, labels = sample_logits(source, dataset, pixels=50, quiet=True)
    again, _ = sample_logits(source, dataset, pixels=50, quiet=True)
    assert torch.equal(logits, again)
    assert logits.shape == (50 * len(dataset), 11) and int(labels.max()) < 11
    segmenter = Segmenter.load(small_model)
    predicted = np.concatenate([segmenter.segment(sample.image).mask.ravel() for sample in dataset])
    share = np.bincount(predicted, minlength=11) / predicted.size
    drawn_share = torch.bincount(logits.argmax(1), minlength=11).numpy() / len(logits)
    assert np.abs(share - drawn_share).max() < 0.25


def test_the_temperature_moves_the_confidence_and_not_the_mask(small_model: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(small_model)
    hot = tmp_path / "hot.safetensors"
    save_checkpoint(hot, checkpoint.network, replace(checkpoint.info, temperature=3.0))
    assert load_checkpoint(hot).info.temperature == 3.0
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    plain, heated = (Segmenter.load(path).segment(image, confidence=True) for path in (small_model, hot))
    np.testing.assert_array_equal(plain.mask, heated.mask)
    assert plain.confidence is not None and heated.confidence is not None
    assert heated.confidence.mean() < plain.confidence.mean() - 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), "warm"])
def test_a_temperature_that_makes_no_sense_is_refused(small_model: Path, temperature) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        replace(load_checkpoint(small_model).info, temperature=temperature)
