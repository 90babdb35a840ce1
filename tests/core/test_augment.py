"""Augmentation keeps image and label together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sernet_core.augment import AugmentConfig, augment
from sernet_core.errors import ConfigError
from sernet_core.photometric import photometric

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


@pytest.mark.parametrize("scale", [0.55, 0.7, 1.3, 1.7])
def test_a_resized_label_stays_on_its_image(scale: float) -> None:
    """The centre of a bright disc, by the image's light and by the label: a pole is two pixels wide."""
    rows, columns = np.mgrid[:128, :192]
    disc = ((rows - 63.5) ** 2 + (columns - 95.5) ** 2 < 25**2).astype(np.uint8)
    image = np.repeat(disc[..., None] * 200, 3, 2)
    size = (round(192 * scale), round(128 * scale))
    config = replace(PLAIN, crop=size, scale=(scale, scale))
    image, label = augment(image, disc, config, np.random.default_rng(0))
    light = np.where(label == 255, 0, image[..., 0])  # a row beyond the frame is grey and void
    for places in np.indices(label.shape):
        by_light, by_label = np.average(places, weights=light), np.average(places, weights=label == 1)
        assert by_label == pytest.approx(by_light, abs=0.1)


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


GREY = np.full((64, 96, 3), 120, np.uint8)


@pytest.mark.parametrize(
    "switch",
    [
        {"brightness": 0.5},
        {"gamma": 1.0},
        {"white_balance": 0.5},
        {"shadow": 1.0},
        {"noise": 1.0},
    ],
    ids=lambda switch: next(iter(switch)),
)
def test_each_change_of_light_has_a_switch(switch: dict[str, float]) -> None:
    off = photometric(GREY, PLAIN, np.random.default_rng(0))
    assert (off == GREY).all()
    changed = photometric(GREY, replace(PLAIN, **switch), np.random.default_rng(0))
    assert changed.dtype == np.uint8 and changed.shape == GREY.shape and (changed != GREY).mean() > 0.1


@pytest.mark.parametrize("switch", ["contrast", "saturation", "hue", "blur", "jpeg"])
def test_each_change_of_texture_has_a_switch(switch: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    strength = 60.0 if switch == "hue" else 1.0
    off = photometric(image, PLAIN, np.random.default_rng(0))
    changed = photometric(image, replace(PLAIN, **{switch: strength}), np.random.default_rng(0))
    assert (changed != off).mean() > 0.2


def test_strengths_bound_the_changes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        tinted = photometric(GREY, replace(PLAIN, white_balance=0.25), rng)
        assert (tinted[..., 1] == 120).all() and tinted.min() >= 89 and tinted.max() <= 151
        shaded = photometric(GREY, replace(PLAIN, shadow=1.0, shadow_strength=0.5), rng)
        assert shaded.min() >= 59 and shaded.max() == 120
        assert (shaded[:10] == 120).all()  # the sky has no shadows
        noisy = photometric(GREY, replace(PLAIN, noise=1.0, noise_level=2.0), rng)
        assert 0.5 < noisy.std() < 2.5
    sharp = np.zeros((64, 96, 3), np.uint8)
    sharp[:, 48:] = 200
    edges = []
    for sigma in (0.3, 6.0):
        soft = photometric(sharp, replace(PLAIN, blur=1.0, blur_sigma=sigma), np.random.default_rng(2))
        edges.append(int(np.abs(np.diff(soft[32, :, 0].astype(int))).max()))
    assert edges[0] > 150 > edges[1]
    detail = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    errors = []
    for quality in (10, 95):
        coded = photometric(detail, replace(PLAIN, jpeg=1.0, jpeg_quality=(quality, quality)), rng)
        errors.append(np.abs(coded.astype(int) - detail).mean())
    assert errors[0] > 1.3 * errors[1]


def test_a_switch_that_is_off_draws_nothing() -> None:
    """So what is added later leaves the crops of earlier runs as they were."""
    one, two = np.random.default_rng(3), np.random.default_rng(3)
    image, label = frame()
    augment(image, label, AugmentConfig(crop=(80, 64), white_balance=0, shadow=0, jpeg=0, rare_crops=0), one)
    two.uniform()  # scale
    two.integers(0, 17)  # left; top has no choice, and draws nothing
    two.random()  # flip
    two.uniform(size=5)  # hue, saturation, gamma, contrast, brightness
    if two.random() < 0.15:
        two.uniform()
    if two.random() < 0.2:
        two.standard_normal((64, 80, 3), np.float32)
        two.uniform()
    assert one.random() == two.random()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"white_balance": 1.5}, "white_balance: must be from 0 to 1"),
        ({"jpeg_quality": (90, 30)}, "jpeg_quality: needs 1 <= low <= high"),
        ({"blur_sigma": 0.1}, "blur_sigma: must be from 0.3 to 100"),
        ({"blur_sigma": 1e5}, "blur_sigma: must be from 0.3 to 100"),
        ({"noise_level": 1e9}, "noise_level: must be from 1 to 255"),
        ({"gamma": 5000.0}, "gamma: must be from 0 to 5"),
        ({"hue": 1e6}, "hue: must be from 0 to 180"),
        ({"scale": (1e-7, 1.0)}, "scale: needs at least 0.05"),
        ({"paste_most": 0}, "paste_most: needs at least 1"),
        ({"rare_crops": 0.5}, "set rare"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(PLAIN, **setting)
