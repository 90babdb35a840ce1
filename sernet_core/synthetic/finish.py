"""From painted surfaces to a photograph: fog, lamps, wet roads, the lens and the sensor."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from sernet_core.synthetic.canvas import PAVEMENT, ROAD, Canvas, code_depth
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import generator, grain

_PIVOT = 70.0


def develop(canvas: Canvas, light: Light, *keys: int | str) -> np.ndarray:
    """Turn a canvas into the camera's picture.

    Args:
        canvas: What was painted.
        light: The light that it was painted in.
        keys: What the sensor noise and the rain depend on.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    rng = generator("develop", *keys)
    image = _air(canvas, light)
    if light.wet > 0:
        _reflect(image, canvas, light)
    if canvas.glow is not None:
        _lamps(image, canvas, light)
    if light.condition == "rain":
        _streaks(image, rng)
    return _sensor(image, light, rng)


def _air(canvas: Canvas, light: Light) -> np.ndarray:
    """Exposure, tint and fog in one look-up by depth, float32 (H, W, 3)."""
    depth = code_depth()
    passed = np.exp(-light.fog * depth)
    passed[255] = 1.0
    gain = light.exposure * passed
    if light.condition == "night":
        # Head lamps reach about thirty metres.
        gain = gain + 0.55 * passed * np.exp(-((depth / 18.0) ** 1.3)) * (1 - np.exp(-depth / 3.0))
    gain[255] = 1.0
    code = canvas.tags[..., 1]
    if (
        light.condition == "fog"
    ):  # a smooth edge counts as sky in half of its pixels, and would stand out unveiled
        code = np.where(code == 255, cv2.erode(code, np.ones((3, 3), np.uint8)), code)
    haze = np.array(light.haze, np.float32) * np.array(light.tint, np.float32)
    gains = (gain[:, None] * np.array(light.tint, np.float32)).astype(np.float32)
    gains[255] = 1.0
    veil = ((1.0 - passed)[:, None] * haze).astype(np.float32)
    image = canvas.image.astype(np.float32)
    image *= np.take(gains, code, axis=0)
    image += np.take(veil, code, axis=0)
    if light.condition == "night":
        image *= _cone(canvas.camera.width, canvas.camera.height)
    return image


@lru_cache(maxsize=4)
def _cone(width: int, height: int) -> np.ndarray:
    """Head lamps light the middle more than the edges, float32 (H, W, 1)."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    return (0.5 + 0.7 * np.exp(-1.6 * x**2 - 1.2 * (y - 0.25) ** 2)).astype(np.float32)


def _reflect(image: np.ndarray, canvas: Canvas, light: Light) -> None:
    """A wet road mirrors what stands beyond it, drawn out downwards."""
    height = canvas.camera.height
    horizon = int(np.clip(canvas.camera.horizon, 1, height - 1))
    rows = height - horizon
    mirror = image[max(0, horizon - rows) : horizon][::-1]
    if canvas.glow is not None:
        mirror = mirror + 0.8 * canvas.glow[max(0, horizon - rows) : horizon][::-1]
    # Where the picture ends above, its uppermost row goes on.
    mirror = np.pad(mirror, ((0, rows - len(mirror)), (0, 0), (0, 0)), mode="edge")
    small = cv2.resize(
        mirror, (max(2, mirror.shape[1] // 4), max(2, rows // 8)), interpolation=cv2.INTER_AREA
    )
    mirror = cv2.resize(cv2.blur(small, (1, 3)), (mirror.shape[1], rows))
    ground = canvas.tags[horizon : horizon + rows, :, 0]
    weight = np.where(ground == ROAD, 0.42 * light.wet, np.where(ground == PAVEMENT, 0.22 * light.wet, 0.0))
    weight = weight.astype(np.float32)[..., None]
    part = image[horizon : horizon + rows]
    part *= 1.0 - 0.55 * weight
    part += weight * mirror


def _lamps(image: np.ndarray, canvas: Canvas, light: Light) -> None:
    """Add what lamps give off, the shine around them, and at night their light on things nearby."""
    glow = canvas.glow
    assert glow is not None and canvas.pools is not None
    height, width = glow.shape[:2]
    strength = {"night": 1.0, "dusk": 0.75, "rain": 0.5, "fog": 0.5}[light.condition]
    size = (width // 4, height // 4)
    small = cv2.resize(glow, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    shine = cv2.GaussianBlur(small, (0, 0), width / 480 * 1.5) * 0.8
    shine += cv2.GaussianBlur(small, (0, 0), width / 480 * 6.0) * 0.9
    image += strength * glow
    image += strength * cv2.resize(shine, (width, height))
    if light.condition == "night":
        pools = cv2.GaussianBlur(canvas.pools, (0, 0), width / 480 * 4.0).astype(np.float32)
        lit = cv2.resize(pools, (width, height)) * (0.55 / 255.0)
        lit[canvas.tags[..., 1] == 255] = 0.0
        image += canvas.image * lit[..., None] * np.array((1.0, 0.84, 0.6), np.float32)


def _streaks(image: np.ndarray, rng: np.random.Generator) -> None:
    """Falling drops, blurred by the exposure."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    slant = rng.uniform(-0.15, 0.15)
    for x, y, size in zip(
        rng.uniform(0, width, 90), rng.uniform(0, height, 90), rng.uniform(0.3, 1.0, 90), strict=True
    ):
        length = 0.06 * height * size
        ends = (round(x), round(y)), (round(x + slant * length), round(y + length))
        cv2.line(layer, *ends, int(90 * size), 1, cv2.LINE_AA)
    weight = cv2.GaussianBlur(layer, (3, 3), 0).astype(np.float32)[..., None] * (0.35 / 255.0)
    image += (215.0 - image) * weight


def _sensor(image: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Lens blur, vignette, white balance, contrast curve and noise."""
    height, width = image.shape[:2]
    sigma = float(rng.uniform(0.35, 0.55)) * max(1.0, width / 960)
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    image *= _vignette(width, height)
    tile = grain()
    y, x = (int(v) for v in rng.integers(0, 512, 2))
    reach_y, reach_x = min(height, 512), min(width, 512)
    noise: np.ndarray = tile[y : y + reach_y, x : x + reach_x]
    if noise.shape[:2] != (height, width):
        noise = np.tile(noise, (height // reach_y + 1, width // reach_x + 1, 1))[:height, :width]
    image = image * (light.contrast * np.array(light.balance, np.float32))
    # The response turns about a dark grey: shadows sink, highlights burn out.
    level = (1.0 - light.contrast) * _PIVOT
    return np.clip(image + (light.noise * noise + level), 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _vignette(width: int, height: int) -> np.ndarray:
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    return (1.0 - 0.11 * (x * x + y * y)).astype(np.float32)
