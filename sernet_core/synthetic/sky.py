"""The sky, and the skyline where the street ends."""

from __future__ import annotations

import cv2
import numpy as np

from sernet_core.synthetic.canvas import BUILDING, SKY, TREE, Canvas, Color
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import fractal, generator

FAR = 230.0


def paint_sky(canvas: Canvas, light: Light, drift: float, seed: int) -> None:
    """Fill everything with sky: a gradient, clouds that drift, the sun's glare.

    Args:
        canvas: Where to.
        light: The colours.
        drift: How far the clouds have moved, radians.
        seed: Which clouds.
    """
    camera = canvas.camera
    rows = min(camera.height, int(camera.horizon) + 2 + abs(int(0.5 * camera.width * camera.roll)))
    canvas.tags[:] = (SKY, 255)
    if rows <= 0:
        return
    # Clouds vary slowly: a third of the resolution is plenty.
    small_w, small_h = max(8, camera.width // 3), max(8, rows // 3)
    across = (np.linspace(-0.5, 0.5, small_w, dtype=np.float32) * camera.width / camera.focal)[None, :]
    up = (camera.horizon - np.linspace(0, rows, small_h, dtype=np.float32))[:, None] / camera.focal
    height = np.maximum(up, 0.02)
    noise = fractal(512, 4, 7, 300 + seed % 5, 0.6)
    # A flat layer of clouds overhead, seen in perspective.
    u = (across + camera.yaw + drift) / (height + 0.18) * 60.0 + 37.0 * (seed % 11)
    v = np.broadcast_to(60.0 / (height + 0.18), u.shape) + 100.0 * drift
    cloud = cv2.remap(noise, (u % 511).astype(np.float32), (v % 511).astype(np.float32), cv2.INTER_LINEAR)
    cover = np.clip((cloud - 1.3 + 2.6 * light.clouds) * 0.7, 0.0, 1.0)[..., None]
    blend = np.clip(up / 0.55, 0.0, 1.0)[..., None] ** 0.7
    haze, zenith = np.array(light.haze, np.float32), np.array(light.zenith, np.float32)
    clear = haze + (zenith - haze) * blend
    lit = np.minimum(haze * 1.05 + 6.0, 255.0) * (
        1.0 - 0.1 * np.clip(cloud[..., None], -1, 1.5) * light.clouds
    )
    sky = clear + (lit - clear) * cover
    sky = np.clip(sky, 0, 255).astype(np.uint8)
    canvas.image[:rows] = cv2.resize(sky, (camera.width, rows), interpolation=cv2.INTER_LINEAR)
    canvas.image[rows:] = np.clip(light.haze, 0, 255)


def paint_skyline(canvas: Canvas, light: Light, middle: float, seed: int, leafy: float) -> None:
    """Trees and houses far away, where the street is lost in the distance.

    Args:
        canvas: Where to.
        light: The light.
        middle: Where the street lies at that distance, metres to the right.
        seed: Which skyline.
        leafy: Share of green among the trees.
    """
    camera = canvas.camera
    rng = generator("skyline", seed)
    reach = 260
    x = np.arange(-reach, reach + 1, 2.0)
    wave = fractal(512, 16, 5, 310 + seed % 4, 0.7)[seed % 512][: len(x)]
    shade = light.ambient * 0.8
    green = (56 + 8 * leafy, 60 + 14 * leafy, 52)
    houses = np.repeat(rng.uniform(4.0, 13.0, len(x) // 8 + 1), 8)[: len(x)]
    for heights, color, cls in ((houses, (96, 90, 86), BUILDING), (7.5 + 3.2 * wave, green, TREE)):
        tops = np.stack((x + middle, np.maximum(heights, 0.5), np.full(len(x), camera.z + FAR)), axis=1)
        feet = np.array([(tops[-1, 0], -1.0, camera.z + FAR), (tops[0, 0], -1.0, camera.z + FAR)])
        canvas.face(np.concatenate((tops, feet)), _lit(color, shade), cls)


def _lit(color: Color, shade: float) -> Color:
    return color[0] * shade, color[1] * shade, color[2] * shade
