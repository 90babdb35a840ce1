"""One picture of a world: what the camera of the ego car sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sernet_core.synthetic.camera import Camera
from sernet_core.synthetic.canvas import VOID, Canvas
from sernet_core.synthetic.finish import develop
from sernet_core.synthetic.ground import paint_ground
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.sky import FAR, paint_sky, paint_skyline
from sernet_core.synthetic.world import World


@dataclass(frozen=True)
class View:
    """How the camera sits in the car, and where the car is.

    Attributes:
        z: Place along the road in metres.
        offset: Metres to the right of the road's middle.
        time: Seconds, for everything that moves.
        height: Camera height in metres.
        focal: Focal length as a share of the image width.
        yaw, pitch, roll: Radians, against the direction of the road.
        bonnet: How much of the picture's height the ego car's bonnet hides, 0 for none.
    """

    z: float
    offset: float
    time: float
    height: float = 1.35
    focal: float = 0.92
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    bonnet: float = 0.0


def render(
    world: World, light: Light, view: View, size: tuple[int, int], *keys: int | str
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a view.

    Args:
        world: The street.
        light: Its light.
        view: Where from.
        size: Width and height in pixels.
        keys: What the noise of this picture depends on.

    Returns:
        Picture uint8 (H, W, 3) RGB and label uint8 (H, W): ids 0..10 and 255.
    """
    width, height = size
    # The focal length goes with the width, so that wide pictures show the same street;
    # tall ones would show mostly sky and bonnet, so there the height counts.
    focal = view.focal * max(width, height)
    x = world.middle(view.z) + view.offset
    heading = world.slope(view.z + 4.0) + view.yaw
    camera = Camera(width, height, focal, x, view.height, view.z, heading, view.pitch, view.roll)
    canvas = Canvas(camera, light.glowing)
    paint_sky(canvas, light, 0.004 * view.time, world.seed)
    paint_skyline(canvas, light, world.middle(view.z + FAR), world.seed, world.town.leafy)
    tone = 0.85 + 0.3 * ((world.seed * 7919) % 101) / 100.0
    paint_ground(canvas, light, world.plan(view.z), world.seed, tone * (1.0 - 0.3 * light.wet))
    items = sorted(world.items(view.z, view.time, light.glowing), key=lambda item: -item.key)
    for item in items:
        if item.shadow is not None:
            item.shadow(canvas, light)
    for item in items:
        item.draw(canvas, light)
    if view.bonnet > 0:
        _paint_bonnet(canvas, light, view.bonnet)
    return develop(canvas, light, world.town.name, world.seed, *keys), np.ascontiguousarray(
        canvas.tags[..., 0]
    )


def _paint_bonnet(canvas: Canvas, light: Light, share: float) -> None:
    """The ego car's own bonnet at the lower edge: no class."""
    width, height = canvas.camera.width, canvas.camera.height
    across = np.linspace(-0.05, 1.05, 24)
    rise = share * height * (1.0 - (2.0 * across - 1.1) ** 2 * 0.75)
    top = np.stack((across * width, height - rise), axis=1)
    feet = np.array([(1.05 * width, height + 4.0), (-0.05 * width, height + 4.0)])
    shade = light.ambient
    canvas.fill(np.concatenate((top, feet)), (22 * shade, 24 * shade, 28 * shade), VOID, 1.0)
    gleam = np.concatenate((top[4:20], top[4:20][::-1] + np.array((0.0, 0.012 * height))))
    canvas.fill(gleam, (120 * shade, 126 * shade, 134 * shade))
