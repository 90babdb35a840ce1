"""Loss and class weights against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sernet_core.losses import class_weights, segmentation_loss


def test_median_frequency() -> None:
    pixels, images = np.array([10, 40, 0, 90]), np.array([100, 100, 0, 100])
    assert class_weights(pixels, images, "median").tolist() == pytest.approx([4, 1, 1, 40 / 90])
    assert class_weights(pixels, images, "sqrt_median").tolist() == pytest.approx([2, 1, 1, (40 / 90) ** 0.5])
    assert class_weights(pixels, images, "none").tolist() == [1, 1, 1, 1]


def test_loss_ignores_void_and_weighs_classes() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5))
    target[0, 0] = 255
    weights = torch.tensor([0.5, 1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(logits, target, weights, ignore_index=255)
    assert torch.allclose(segmentation_loss(logits, target, weights), expected)


def test_nothing_labelled_is_no_nan() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 4, 4), 255), torch.ones(3))
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(logits.grad).all()


def test_small_logits_are_resized() -> None:
    loss = segmentation_loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 8, 8, dtype=torch.int64), torch.ones(4))
    assert loss.item() == pytest.approx(np.log(4))
