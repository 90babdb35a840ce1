"""Training augmentation of an image and its label: geometry for both, light and optics for the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sernet_core.errors import ConfigError
from sernet_core.labels import IGNORE
from sernet_core.network import MIN_SIZE


@dataclass(frozen=True)
class AugmentConfig:
    """How far training frames are changed; ranges are (low, high), probabilities 0..1.

    Attributes:
        crop: Width and height of the training crop in pixels.
        scale: Range of the resize before the crop, drawn log-uniformly.
        flip: Probability of a mirror image.
        brightness: Largest gain or loss of light, as a share.
        contrast: Largest change of contrast about the mean, as a share.
        saturation: Largest change of saturation, as a share.
        hue: Largest turn of the hue, in degrees.
        gamma: Largest change of gamma, as a power of two.
        blur: Probability of a Gaussian blur of up to 1.5 pixels.
        noise: Probability of sensor noise of up to 10 grey levels.
    """

    crop: tuple[int, int] = (384, 288)
    scale: tuple[float, float] = (0.6, 1.8)
    flip: float = 0.5
    brightness: float = 0.35
    contrast: float = 0.35
    saturation: float = 0.4
    hue: float = 10.0
    gamma: float = 0.5
    blur: float = 0.15
    noise: float = 0.2

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ConfigError(f"scale: needs 0 < low <= high, got {self.scale}")
        if min(self.crop) < MIN_SIZE:
            raise ConfigError(f"crop: needs at least {MIN_SIZE}x{MIN_SIZE} pixels, got {self.crop}")
        for name in ("flip", "blur", "noise", "brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be from 0 to 1, got {getattr(self, name)}")
        for name in ("hue", "gamma"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: must not be negative, got {getattr(self, name)}")


def augment(
    image: np.ndarray, label: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One random training crop.

    Args:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W).
        config: Ranges and probabilities.
        rng: Source of every random choice: one state, one result.

    Returns:
        uint8 (h, w, 3) and uint8 (h, w) of the configured crop; where the crop reaches beyond the resized
        frame the image is grey and the label void.
    """
    image, label = _scale_and_crop(image, label, config, rng)
    if rng.random() < config.flip:
        image, label = image[:, ::-1], label[:, ::-1]
    return _photometric(np.ascontiguousarray(image), config, rng), np.ascontiguousarray(label)


def _scale_and_crop(
    image: np.ndarray, label: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    width, height = config.crop
    factor = float(np.exp(rng.uniform(*np.log(config.scale))))
    # The crop is cut in the source first, so that only what is kept gets resized.
    source_w, source_h = round(width / factor), round(height / factor)
    left = _offset(image.shape[1], source_w, rng)
    top = _offset(image.shape[0], source_h, rng)
    box_image = np.full((source_h, source_w, 3), 124, np.uint8)
    box_label = np.full((source_h, source_w), IGNORE, np.uint8)
    y0, y1 = max(top, 0), min(top + source_h, image.shape[0])
    x0, x1 = max(left, 0), min(left + source_w, image.shape[1])
    box_image[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    box_label[y0 - top : y1 - top, x0 - left : x1 - left] = label[y0:y1, x0:x1]
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return (
        cv2.resize(box_image, (width, height), interpolation=kind),
        cv2.resize(box_label, (width, height), interpolation=cv2.INTER_NEAREST),
    )


def _offset(have: int, want: int, rng: np.random.Generator) -> int:
    """First pixel of a window of `want` in `have`; negative when the window is the larger one."""
    low, high = sorted((0, have - want))
    return int(rng.integers(low, high + 1))


def _photometric(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = round(rng.uniform(-config.hue, config.hue) / 2)  # 8-bit hue counts in steps of two degrees
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 180
    stretch = 1 + rng.uniform(-config.saturation, config.saturation)
    hsv[..., 1] = cv2.convertScaleAbs(hsv[..., 1], alpha=stretch)
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    image = cv2.LUT(image, _tone_curve(float(image.mean()), config, rng))
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < config.noise:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 10))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def _tone_curve(mean: float, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Gamma, contrast about the mean and brightness as one look-up table, uint8 (256,)."""
    values = np.arange(256, dtype=np.float32) / 255
    values = values ** (2 ** rng.uniform(-config.gamma, config.gamma))
    pivot = mean / 255
    values = (values - pivot) * (1 + rng.uniform(-config.contrast, config.contrast)) + pivot
    values *= 1 + rng.uniform(-config.brightness, config.brightness)
    return np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
