"""Changes of light, colour, optics and coding that training frames undergo; labels stay."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sernet_core.errors import ConfigError


@dataclass(frozen=True)
class PhotometricConfig:
    """How far the look of training frames is changed; 0 switches a change off.

    Attributes:
        brightness: Largest gain or loss of light, as a share.
        contrast: Largest change of contrast about the mean, as a share.
        saturation: Largest change of saturation, as a share.
        hue: Largest turn of the hue, in degrees, 180 at most.
        gamma: Largest change of gamma, as a power of two, 5 at most.
        white_balance: Largest gain or loss of the red and the blue channel, as a share.
        shadow: Probability of the shadow of something beside the road.
        shadow_strength: Largest share of light that it takes.
        blur: Probability of a Gaussian blur.
        blur_sigma: Its largest standard deviation in pixels, 100 at most.
        noise: Probability of sensor noise.
        noise_level: Its largest standard deviation in grey levels, 255 at most.
        jpeg: Probability of artefacts of JPEG coding.
        jpeg_quality: Range of its quality, 1..100.
    """

    brightness: float = 0.35
    contrast: float = 0.35
    saturation: float = 0.4
    hue: float = 10.0
    gamma: float = 0.5
    white_balance: float = 0.0
    shadow: float = 0.0
    shadow_strength: float = 0.6
    blur: float = 0.15
    blur_sigma: float = 1.5
    noise: float = 0.2
    noise_level: float = 10.0
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (30, 90)

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: must be from 0 to 1, got {getattr(self, name)}")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: must be from {least:g} to {most:g}, got {getattr(self, name)}")
        low, high = self.jpeg_quality
        if not 1 <= low <= high <= 100:
            raise ConfigError(f"jpeg_quality: needs 1 <= low <= high <= 100, got {self.jpeg_quality}")


_SHARES = (
    "brightness",
    "contrast",
    "saturation",
    "white_balance",
    "shadow",
    "shadow_strength",
    "blur",
    "noise",
    "jpeg",
)
_LEAST_BLUR = 0.3  # pixels
_LEAST_NOISE = 1.0  # grey levels
_RANGES = {
    "hue": (0.0, 180.0),
    "gamma": (0.0, 5.0),
    "blur_sigma": (_LEAST_BLUR, 100.0),
    "noise_level": (_LEAST_NOISE, 255.0),
}


def photometric(image: np.ndarray, config: PhotometricConfig, rng: np.random.Generator) -> np.ndarray:
    """Change the look of an image, in the order light, lens, sensor, coding.

    What was added later draws nothing when it is off, so that runs of before go on with the crops they had.

    Args:
        image: uint8 (H, W, 3) RGB, contiguous.
        config: Strengths and probabilities.
        rng: Source of every random choice.

    Returns:
        uint8 (H, W, 3).
    """
    image = _colour(image, config, rng)
    if config.shadow and rng.random() < config.shadow:
        image = _shadowed(image, rng.uniform(0.2, 1.0) * config.shadow_strength, rng)
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(_LEAST_BLUR, config.blur_sigma))
    if rng.random() < config.noise:
        noise = rng.standard_normal(image.shape, np.float32)
        noise *= np.float32(rng.uniform(_LEAST_NOISE, config.noise_level))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if config.jpeg and rng.random() < config.jpeg:
        low, high = config.jpeg_quality
        image = _coded(image, int(rng.integers(low, high + 1)))
    return image


def _colour(image: np.ndarray, config: PhotometricConfig, rng: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = round(rng.uniform(-config.hue, config.hue) / 2)  # 8-bit hue counts in steps of two degrees
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 180
    stretch = 1 + rng.uniform(-config.saturation, config.saturation)
    hsv[..., 1] = cv2.convertScaleAbs(hsv[..., 1], alpha=stretch)
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    curve = _tone_curve(float(image.mean()), config, rng)
    if not config.white_balance:
        return cv2.LUT(image, curve)
    red, blue = 1 + rng.uniform(-config.white_balance, config.white_balance, 2)
    table = np.clip(curve[:, None] * np.array([red, 1.0, blue]) + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[:, None])


def _tone_curve(mean: float, config: PhotometricConfig, rng: np.random.Generator) -> np.ndarray:
    """Gamma, contrast about the mean and brightness as one look-up table, uint8 (256,)."""
    values = np.arange(256, dtype=np.float32) / 255
    values = values ** (2 ** rng.uniform(-config.gamma, config.gamma))
    pivot = mean / 255
    values = (values - pivot) * (1 + rng.uniform(-config.contrast, config.contrast)) + pivot
    values *= 1 + rng.uniform(-config.brightness, config.brightness)
    return np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)


def _shadowed(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The shadow of a wall or a tree: a slanting band over the lower part of the image, with soft edges."""
    height, width = image.shape[:2]
    far = rng.uniform(0.3, 0.8) * height
    top, bottom = rng.uniform(-0.3, 1.0, 2) * width
    spans = rng.uniform(0.2, 0.8, 2) * width
    corners = np.array([[top, far], [top + spans[0], far], [bottom + spans[1], height], [bottom, height]])
    light = np.ones((height, width), np.float32)
    cv2.fillConvexPoly(light, corners.round().astype(np.int32), 1.0 - strength)
    soft = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.5, 0.03 * width + 0.5))
    return (image * soft[..., None] + 0.5).astype(np.uint8)


def _coded(image: np.ndarray, quality: int) -> np.ndarray:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
