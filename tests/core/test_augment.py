"""Augmentation keeps image and label together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sernet_core.augment import AugmentConfig, augment

PLAIN = AugmentConfig(
    crop=(80, 64),
    scale=(1.0, 1.0),
    flip=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    gamma=0,
    blur=0,
    noise=0,
)


def frame(height: int = 64, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    label = np.random.default_rng(1).integers(0, 11, (height, width), np.uint8)
    return np.repeat(label[..., None] * 20, 3, 2), label


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_image_and_label_move_together(flip: float) -> None:
    image, label = augment(*frame(), replace(PLAIN, flip=flip), np.random.default_rng(0))
    assert image.shape == (64, 80, 3) and label.shape == (64, 80)
    assert (image[..., 0] == label * 20).all()


def test_beyond_the_frame_is_void() -> None:
    image, label = augment(*frame(20, 20), PLAIN, np.random.default_rng(0))
    assert (label == 255).sum() == 64 * 80 - 20 * 20
    assert (image[label == 255] == 124).all()


def test_one_seed_one_result() -> None:
    config = AugmentConfig(crop=(80, 64), blur=1, noise=1)
    first = augment(*frame(), config, np.random.default_rng(7))
    again = augment(*frame(), config, np.random.default_rng(7))
    other = augment(*frame(), config, np.random.default_rng(8))
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (first[0] != other[0]).any()


def test_light_changes_leave_labels() -> None:
    lit = AugmentConfig(crop=(80, 64), scale=(1.0, 1.0), flip=0, blur=1, noise=1)
    plain = augment(*frame(), PLAIN, np.random.default_rng(3))
    changed = augment(*frame(), lit, np.random.default_rng(3))
    assert (plain[1] == changed[1]).all() and (plain[0] != changed[0]).any()
    assert changed[0].dtype == np.uint8
