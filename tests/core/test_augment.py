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


def _places(part: np.ndarray, whole: np.ndarray) -> int:
    """At how many offsets a window stands in a whole."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    return int((windows == part).all((2, 3)).sum())


def test_frames_are_enlarged_and_reduced_by_the_scale() -> None:
    source = frame(200, 240)
    label = augment(*source, replace(PLAIN, scale=(2.0, 2.0)), np.random.default_rng(0))[1]
    assert (label[::2] == label[1::2]).all() and (label[:, ::2] == label[:, 1::2]).all()
    assert _places(label[::2, ::2], source[1]) == 1
    label = augment(*source, replace(PLAIN, scale=(0.5, 0.5)), np.random.default_rng(0))[1]
    assert label.shape == (64, 80)
    halves = [source[1][y::2, x::2] for y in (0, 1) for x in (0, 1)]
    assert sum(_places(label, half) for half in halves) == 1


def test_scales_fill_their_range() -> None:
    """How large a crop is drawn shows in how much of a small frame's surroundings it holds."""
    config, rng = replace(PLAIN, scale=(0.5, 2.0)), np.random.default_rng(0)
    held = [(augment(*frame(16, 16), config, rng)[1] != 255).mean() ** 0.5 for _ in range(200)]
    factors = np.array(held) * (64 * 80) ** 0.5 / 16
    assert 0.45 < factors.min() < 0.6 and 1.8 < factors.max() < 2.1
    assert abs(np.log(factors).mean()) < 0.1  # log-uniform about 1


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
