"""Temperature and reliability of the confidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sernet_core.calibration import Reliability, reliability
from sernet_core.checkpoint import load_checkpoint, save_checkpoint
from sernet_core.cli import main
from sernet_core.datasets import open_dataset
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache
from sernet_core.errors import ConfigError, EngineError
from sernet_core.runtime import Segmenter
from sernet_core.temperature import fit_temperature, sample_logits


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


def test_logits_are_those_of_the_labelled_pixels(small_model: Path, tree: Path, tmp_path: Path) -> None:
    """With all but a few pixels void, it is these whose logits and classes come."""
    places = {7: 3, 8: 9, 4000: 5}
    for index in range(3):
        label = np.full(64 * 96, 255, np.uint8)
        label[list(places)] = list(places.values())
        cv2.imwrite(str(tree / f"val/labels/f{index}.png"), label.reshape(64, 96))
    dataset, segmenter = open_dataset(tree, "val"), Segmenter.load(small_model)
    logits, labels = sample_logits(
        Source.load(small_model, EngineCache(tmp_path)), dataset, pixels=50, quiet=True
    )
    assert sorted(labels.tolist()) == sorted(3 * list(places.values()))
    for number, sample in enumerate(dataset):
        _, full = segmenter.examine(sample.image)
        ours = slice(3 * number, 3 * number + 3)
        by_class = dict(zip(labels[ours].tolist(), logits[ours], strict=True))
        for place, kind in places.items():
            torch.testing.assert_close(by_class[kind], full.flatten(1)[:, place])


def test_what_is_not_finite_is_not_calibrated(small_model: Path, tree: Path, tmp_path: Path) -> None:
    model = load_checkpoint(small_model)
    with torch.no_grad():
        for name, buffer in model.network.named_buffers():
            if name.endswith("running_var"):
                buffer.neg_()
    path = tmp_path / "broken.safetensors"
    save_checkpoint(path, model.network, model.info)
    source = Source.load(path, EngineCache(tmp_path))
    with pytest.raises(EngineError, match="not finite"):
        sample_logits(source, open_dataset(tree, "val"), pixels=50, quiet=True)


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


def test_calibrate_writes_a_copy_with_the_temperature(
    small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "calibrated.safetensors"
    command = ["calibrate", "--data", str(tree), "--split", "val", "--out", str(out), "--model"]
    before = load_checkpoint(small_model)
    assert main([*command, str(small_model)]) == 0
    after = load_checkpoint(out)
    source = Source.load(small_model, EngineCache(tmp_path))
    temperature = fit_temperature(*sample_logits(source, open_dataset(tree, "val"), quiet=True))
    assert after.info == replace(before.info, temperature=temperature) and temperature != 1.0
    for key, value in before.network.state_dict().items():
        torch.testing.assert_close(after.network.state_dict()[key], value)
    assert f"temperature {temperature:.3f}" in capsys.readouterr().out


def test_calibrate_refuses_frames_that_were_trained_on(
    small_model: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    checkpoint, seen = load_checkpoint(small_model), tmp_path / "seen.safetensors"
    stems = list(open_dataset(tree, "val").stems)
    save_checkpoint(seen, checkpoint.network, replace(checkpoint.info, data={"stems": stems[:1]}))
    out = tmp_path / "calibrated.safetensors"
    assert main(["calibrate", "--model", str(seen), "--data", str(tree), "--out", str(out)]) == 2
    assert "are in the training list of seen.safetensors" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), "warm"])
def test_a_temperature_that_makes_no_sense_is_refused(small_model: Path, temperature) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        replace(load_checkpoint(small_model).info, temperature=temperature)
