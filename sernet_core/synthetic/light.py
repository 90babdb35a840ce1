"""Light and weather: what the sun, the sky and the camera's exposure are like in a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sernet_core.errors import ConfigError, unknown_name
from sernet_core.synthetic.canvas import Color
from sernet_core.synthetic.noise import generator

CONDITIONS: tuple[str, ...] = ("day", "dusk", "rain", "night")  # that training frames are drawn from
EVALUATION_CONDITIONS: tuple[str, ...] = (*CONDITIONS, "fog")  # and one more, to see what a model makes of it


@dataclass(frozen=True)
class Light:
    """The light of one sequence.

    Attributes:
        condition: One of `EVALUATION_CONDITIONS`.
        sun: Unit vector towards the sun (x right, y up, z along the road).
        direct: Strength of the sun on a surface that faces it.
        ambient: Strength of the light from the whole sky.
        tint: Factors for red, green and blue of the whole picture.
        zenith, haze: Sky colours overhead and at the horizon, RGB.
        clouds: 0 (clear) to 1 (overcast).
        fog: Share of light lost in a metre of air.
        wet: 0 (dry road) to 1 (mirror).
        glowing: Whether lamps are lit.
        noise: Standard deviation of the sensor noise in grey levels.
        exposure: Gain of the picture, the sky left out.
        contrast: Steepness of the camera's response.
        balance: Error of the camera's white balance, factors for red, green and blue.
    """

    condition: str
    sun: tuple[float, float, float]
    direct: float
    ambient: float
    tint: Color
    zenith: Color
    haze: Color
    clouds: float
    fog: float
    wet: float
    glowing: bool
    noise: float
    exposure: float
    contrast: float = 1.0
    balance: Color = (1.0, 1.0, 1.0)

    def shade(self, normal: tuple[float, float, float]) -> float:
        """Brightness of a surface with this outward unit normal."""
        facing = sum(n * s for n, s in zip(normal, self.sun, strict=True))
        return self.ambient * (0.8 + 0.2 * normal[1]) + self.direct * max(0.0, facing)


def light_of(condition: str, *keys: int | str) -> Light:
    """Draw a light for a condition.

    Args:
        condition: One of `EVALUATION_CONDITIONS`.
        keys: What the draw depends on.

    Raises:
        ConfigError: There is no such condition; the message lists those that exist.
    """
    if condition not in EVALUATION_CONDITIONS:
        raise ConfigError(unknown_name("condition", condition, EVALUATION_CONDITIONS))
    rng = generator("light", condition, *keys)
    red, green, blue = (float(g) for g in rng.normal(1.0, 0.025, 3))
    steep = float(rng.uniform(1.0, 1.3)) if condition == "day" else 1.0
    return replace(_weather(condition, rng), contrast=steep, balance=(red, green, blue))


def _weather(condition: str, rng: np.random.Generator) -> Light:
    height = {"day": rng.uniform(0.35, 0.9), "dusk": rng.uniform(0.12, 0.3)}.get(condition, 0.8)
    angle = rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1.0 - height**2)
    sun = (float(flat * np.sin(angle)), float(height), float(flat * np.cos(angle)))
    spread = float(rng.uniform())
    if condition == "day":
        return _day(sun, spread, rng)
    if condition == "dusk":
        return Light(
            condition, sun, 0.55, 0.62, (1.06, 0.97, 0.9), (92, 112, 150), (236, 206, 172),
            0.35 + 0.5 * spread,
            0.004, 0.0, True, 3.0, 0.62 + 0.16 * float(rng.uniform()),
        )  # fmt: skip
    if condition == "rain":
        grey = 150.0 + 50.0 * spread
        return Light(
            condition, sun, 0.0, 0.86, (0.95, 0.99, 1.04), (grey - 24, grey - 20, grey - 12), (grey,
            grey + 3, grey + 6),
            0.95, 0.008 + 0.006 * spread, 0.7, True, 3.0, 0.66 + 0.12 * float(rng.uniform()),
        )  # fmt: skip
    if condition == "fog":
        grey = 176.0 + 40.0 * spread
        return Light(
            condition, sun, 0.0, 0.95, (1.0, 1.0, 1.0), (grey, grey, grey), (grey, grey, grey),
            1.0, 0.022 + 0.014 * float(rng.uniform()), 0.1, True, 3.0, 0.72 + 0.12 * float(rng.uniform()),
        )  # fmt: skip
    return Light(
        condition, sun, 0.0, 0.9, (0.8, 0.9, 1.15), (14, 16, 28), (44, 40, 48), 0.5, 0.004,
        0.15 + 0.3 * spread, True,
        5.0, 0.34 + 0.08 * float(rng.uniform()),
    )  # fmt: skip


def _day(sun: tuple[float, float, float], spread: float, rng: np.random.Generator) -> Light:
    """Sunny to overcast; the sky is mostly brighter than the sensor can tell apart."""
    overcast = float(np.clip(1.4 * spread - 0.3, 0.0, 1.0))
    white = 242.0 + 13.0 * float(rng.uniform())
    blue = float(rng.uniform(0.0, 1.0)) * (1.0 - overcast)
    exposure = 0.85 + 0.35 * float(rng.uniform())
    return Light(
        "day", sun, 1.05 * (1.0 - overcast), 0.5 + 0.4 * overcast, (1.0, 1.0, 1.0),
        (white - 80 * blue, white - 42 * blue, white - 8 * blue), (white, white, white), 0.3 + 0.7 * overcast,
        0.0012 + 0.002 * overcast, 0.0, False, 2.0, exposure,
    )  # fmt: skip
