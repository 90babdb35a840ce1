"""Houses: a front with its texture, the sides, the roof and the chimneys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sernet_core.synthetic.canvas import BUILDING, Canvas, tinted
from sernet_core.synthetic.facades import GREY, front_of, plain_wall, roof_tiles
from sernet_core.synthetic.light import Light


@dataclass(frozen=True)
class House:
    """A house beside the road.

    Attributes:
        town: Name of the town that the front belongs to.
        front: Number of the front.
        x0, z0, x1, z1: Near and far end of the front's foot, in metres.
        side: -1 on the left of the road, +1 on the right.
        height: Metres to the eaves.
        roof: Metres from the eaves to the ridge; 0 for a flat roof.
        deep: Metres from front to back.
        look: 0..1, picks roof and chimneys.
        gains: Factors for red, green and blue of the walls.
    """

    town: str
    front: int
    x0: float
    z0: float
    x1: float
    z1: float
    side: int
    height: float
    roof: float
    deep: float
    look: float
    gains: tuple[float, float, float]

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        front = front_of(self.town, self.front)
        lit = light.shade((-float(self.side), 0.0, 0.0))
        end_lit = light.shade((0.0, 0.0, -1.0))
        style = "brick" if self.look < 0.6 else "render"
        wall = plain_wall(style, int(self.look * 8))
        out = self.side * self.deep
        end = np.array([
            (self.x0 + out, 0.0, self.z0), (self.x0, 0.0, self.z0),
            (self.x0, self.height, self.z0), (self.x0 + out, self.height, self.z0),
        ])  # fmt: skip
        lit_wall = [g * w / GREY for g, w in zip(self._lit(end_lit), front.wall, strict=True)]
        canvas.sheet(end, wall, lit_wall, BUILDING)
        if self.roof > 0:
            self._pitched(canvas, light, lit, end_lit, front.wall)
        facade = np.array([
            (self.x0, 0.0, self.z0), (self.x1, 0.0, self.z1),
            (self.x1, self.height, self.z1), (self.x0, self.height, self.z0),
        ])  # fmt: skip
        canvas.sheet(facade, front.texture, self._lit(lit), BUILDING)

    def _pitched(self, canvas: Canvas, light: Light, lit: float, end_lit: float, wall: tuple) -> None:
        half = self.side * self.deep / 2
        top = self.height + self.roof
        gable = np.array([
            (self.x0, self.height, self.z0), (self.x0 + 2 * half, self.height, self.z0), (self.x0 + half,
            top, self.z0),
        ])  # fmt: skip
        canvas.face(
            gable, tinted([w * g for w, g in zip(wall, self.gains, strict=True)], 0.95 * end_lit), BUILDING
        )
        slope = np.array([
            (self.x0, self.height, self.z0), (self.x1, self.height, self.z1),
            (self.x1 + half, top, self.z1), (self.x0 + half, top, self.z0),
        ])  # fmt: skip
        # From below, a roof shows only where the line of sight is flatter than its slope.
        reach = abs(self.x0 - canvas.camera.x)
        if self.roof / (self.deep / 2) > (self.height - canvas.camera.y) / max(reach, 1.0):
            shade = light.shade((-0.6 * self.side, 0.8, 0.0))
            canvas.sheet(slope, roof_tiles(int(self.look * 4)), (shade, shade, shade), BUILDING)
        if self.look > 0.35:
            self._chimney(canvas, half, top, lit, end_lit)

    def _chimney(self, canvas: Canvas, half: float, top: float, lit: float, end_lit: float) -> None:
        x, z = self.x0 + half - self.side * 0.4, self.z0 + 0.3
        color = (112, 84, 72)
        for width, low, high in ((0.9, top - 1.0, top + 1.1), (0.25, top + 1.1, top + 1.5)):
            a, b = x - width / 2, x + width / 2
            canvas.face(
                np.array([(a, low, z), (b, low, z), (b, high, z), (a, high, z)]),
                tinted(color, end_lit),
                BUILDING,
            )
            color = (140, 96, 72)
        x -= self.side * 0.45
        side = np.array(
            [(x, top - 1.0, z), (x, top - 1.0, z + 1.2), (x, top + 1.1, z + 1.2), (x, top + 1.1, z)]
        )
        canvas.face(side, tinted((112, 84, 72), lit), BUILDING)

    def _lit(self, shade: float) -> tuple[float, float, float]:
        r, g, b = self.gains
        return r * shade, g * shade, b * shade
