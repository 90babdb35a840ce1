"""Things that stand along a road: poles, signs, traffic lights, fences, hedges, walls, bins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sernet_core.synthetic.canvas import (
    BUILDING,
    FENCE,
    POLE,
    SIGN,
    TREE,
    VOID,
    Canvas,
    Color,
    Texture,
    tinted,
)
from sernet_core.synthetic.facades import GREY, plain_wall
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import generator
from sernet_core.synthetic.vegetation import leaves

_DISC = np.stack([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 17)[:-1]])
_METAL: tuple[Color, ...] = ((84, 88, 88), (52, 56, 56), (120, 122, 118), (34, 40, 38), (140, 140, 134))
_BOARDS: tuple[tuple[Color, Color], ...] = (
    ((20, 80, 150), (230, 232, 230)), ((30, 96, 60), (230, 220, 120)), ((216, 216, 210), (40, 40, 44)),
    ((140, 26, 30), (235, 228, 215)), ((224, 186, 40), (30, 30, 30)), ((30, 44, 90), (220, 226, 235)),
    ((206, 96, 36), (240, 240, 235)), ((36, 36, 40), (200, 200, 196)),
)  # fmt: skip


@dataclass(frozen=True)
class Post:
    """A pole with what hangs on it.

    Attributes:
        kind: "lamp", "bollard", "sign", "board", "lights",
        "plain" or "shop" (a board that sticks out of a house).
        x, z: Foot in metres.
        side: -1 on the left of the road, +1 on the right.
        height: Metres.
        key: Picks colours and pictures.
        green: Share of the time 0..1 within the cycle of traffic lights.
    """

    kind: str
    x: float
    z: float
    side: int
    height: float
    key: int
    green: float = 0.0

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        found = canvas.anchor(self.x, self.z)
        if found is None or found[3] < 1.0:
            return
        _Post(self, canvas, light, found).draw()


class _Post:
    """One post while it is being painted; lengths come in metres from its foot, to the right and up."""

    def __init__(
        self, post: Post, canvas: Canvas, light: Light, found: tuple[float, float, float, float]
    ) -> None:
        self.post, self.canvas = post, canvas
        self.u, self.v, self.scale, self.depth = found
        self.rng = generator("post", post.key)
        self.shade = 0.5 * light.shade((0.0, 0.0, -1.0)) + 0.5 * light.shade((-float(post.side), 0.0, 0.0))
        self.metal = tinted(_METAL[int(self.rng.integers(len(_METAL)))], self.shade)

    def at(self, points: list[tuple[float, float]] | np.ndarray) -> np.ndarray:
        return np.array([(self.u + self.scale * x, self.v - self.scale * y) for x, y in points])

    def fill(self, points: list[tuple[float, float]] | np.ndarray, color: Color, cls: int | None) -> None:
        self.canvas.fill(self.at(points), color, cls, self.depth)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color, cls: int | None) -> None:
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, cls)

    def pole(self, height: float, radius: float) -> None:
        # Nothing thinner than a pixel and a bit: a real lens spreads it that far, and people label it so.
        wide = max(radius, 0.65 / self.scale)
        color = self.metal
        self.box(-wide, 0.0, wide, height, color, POLE)
        if self.scale * wide > 2.0:
            self.box(-wide, 0.0, -0.3 * wide, height, tinted(color, 0.7), None)

    def draw(self) -> None:
        getattr(self, "_" + self.post.kind)()

    def _plain(self) -> None:
        self.pole(self.post.height, 0.06)

    def _lamp(self) -> None:
        height, toward = self.post.height, -self.post.side
        self.pole(height, 0.08)
        thin = max(0.05, 0.6 / self.scale)
        reach = toward * 1.3
        arm = [
            (0.0, height - thin),
            (reach, height + 0.25 - thin),
            (reach, height + 0.25 + thin),
            (0.0, height + thin),
        ]
        self.fill(arm, self.metal, POLE)
        head = [
            (reach - 0.35 * toward, height + 0.1),
            (reach + 0.4 * toward, height + 0.16),
            (reach + 0.4 * toward, height + 0.34),
            (reach - 0.35 * toward, height + 0.34),
        ]
        self.fill(head, self.metal, POLE)
        bulb = [
            (reach - 0.3 * toward, height + 0.02),
            (reach + 0.35 * toward, height + 0.08),
            (reach + 0.35 * toward, height + 0.2),
            (reach - 0.3 * toward, height + 0.2),
        ]
        self.canvas.shine(self.at(bulb), (255, 206, 130))
        if self.depth < 70.0:
            self._pool(reach, height)

    def _pool(self, reach: float, height: float) -> None:
        """The light below the lamp and on the houses behind it."""
        for radius, strength in ((9.0, 110), (5.0, 220)):
            self.canvas.lighten(
                self.at(np.array((reach, 0.55 * height)) + _DISC * (0.45 * radius, 0.6 * height)),
                strength // 2,
            )
            ring = [(self.post.x + reach + radius * x, 0.0, self.post.z + radius * y) for x, y in _DISC]
            found = self.canvas.outline(np.array(ring))
            if found is not None:
                self.canvas.lighten(found[0], strength)

    def _bollard(self) -> None:
        self.pole(self.post.height, 0.07)
        self.box(
            -0.09,
            0.8 * self.post.height,
            0.09,
            0.88 * self.post.height,
            tinted((190, 188, 180), self.shade),
            None,
        )

    def _sign(self) -> None:
        height = self.post.height
        self.pole(height, 0.035)
        self._plate(height - 0.35, 0.34 + 0.14 * float(self.rng.uniform()))
        if self.rng.uniform() < 0.35:
            self.box(-0.3, height - 1.1, 0.3, height - 0.78, tinted((214, 214, 208), self.shade), SIGN)

    def _plate(self, y: float, r: float) -> None:
        """A round, three-cornered or square sign."""
        look = float(self.rng.uniform())
        white, red, blue = (tinted(c, self.shade) for c in ((226, 226, 222), (176, 28, 32), (24, 72, 150)))
        middle = np.array((0.0, y))
        if self.rng.uniform() < 0.25:
            self.fill(middle + r * _DISC, tinted((110, 112, 112), self.shade), SIGN)
        elif look < 0.4:
            self.fill(middle + r * _DISC, red, SIGN)
            self.fill(middle + 0.74 * r * _DISC, white, None)
            self.box(-0.4 * r, y - 0.3 * r, 0.4 * r, y + 0.3 * r, (30, 30, 30), None)
        elif look < 0.6:
            self.fill(middle + r * _DISC, blue, SIGN)
            self.fill(
                [
                    (-0.1 * r, y - 0.6 * r),
                    (0.1 * r, y - 0.6 * r),
                    (0.1 * r, y + 0.6 * r),
                    (-0.1 * r, y + 0.6 * r),
                ],
                white,
                None,
            )
        elif look < 0.8:
            self.fill([(-1.1 * r, y - 0.8 * r), (1.1 * r, y - 0.8 * r), (0.0, y + 1.1 * r)], red, SIGN)
            self.fill([(-0.75 * r, y - 0.6 * r), (0.75 * r, y - 0.6 * r), (0.0, y + 0.7 * r)], white, None)
            self.box(-0.08 * r, y - 0.4 * r, 0.08 * r, y + 0.25 * r, (24, 24, 24), None)
        else:
            self.box(-r, y - r, r, y + r, blue, SIGN)
            self.box(-0.5 * r, y - 0.6 * r, 0.1 * r, y + 0.6 * r, white, None)

    def _board(self) -> None:
        """A big board on two legs or one, for directions or advertising."""
        width, tall = float(self.rng.uniform(0.9, 2.6)), float(self.rng.uniform(0.8, 2.2))
        back, ink = _BOARDS[int(self.rng.integers(len(_BOARDS)))]
        low = max(0.3, self.post.height - tall)
        for x in (-0.35 * width, 0.35 * width):
            thick = max(0.04, 0.6 / self.scale)
            self.box(x - thick, 0.0, x + thick, low, self.metal, POLE)
        self._panel(-width / 2, low, width / 2, low + tall, tinted(back, self.shade), tinted(ink, self.shade))

    def _shop(self) -> None:
        back, ink = _BOARDS[int(self.rng.integers(len(_BOARDS)))]
        width, height = 0.7, self.post.height
        out = -self.post.side
        x0, x1 = sorted((0.1 * out, (0.1 + width) * out))
        self._panel(x0, height, x1, height + 0.7, tinted(back, self.shade), tinted(ink, self.shade))

    def _panel(self, x0: float, y0: float, x1: float, y1: float, back: Color, ink: Color) -> None:
        self.box(x0, y0, x1, y1, back, SIGN)
        if self.scale * (y1 - y0) < 5:
            return
        lines = int(self.rng.integers(2, 5))
        for i in range(lines):
            y = y0 + (y1 - y0) * (i + 0.3) / lines
            end = x0 + (x1 - x0) * float(self.rng.uniform(0.5, 0.9))
            self.box(x0 + 0.1 * (x1 - x0), y, end, y + 0.4 * (y1 - y0) / lines, ink, None)
        glow = tinted(back, 0.5) if self.rng.uniform() < 0.4 else (0, 0, 0)
        self.canvas.shine(self.at([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), glow)

    def _lights(self) -> None:
        """Traffic lights towards the camera."""
        height = self.post.height
        self.pole(height, 0.06)
        self.box(-0.2, height - 1.0, 0.2, height + 0.05, (16, 17, 18), SIGN)
        on = 2 if self.post.green < 0.5 else 1 if self.post.green < 0.58 else 0
        colors: tuple[Color, ...] = ((236, 44, 36), (240, 160, 30), (60, 230, 150))
        for i, color in enumerate(colors):
            disc = (0.0, height - 0.17 - 0.3 * i) + 0.105 * _DISC
            if i == on:
                self.canvas.fill(self.at(disc), color)
                self.canvas.shine(self.at(disc), color)
            else:
                self.canvas.fill(self.at(disc), tinted(color, 0.16))

    def _bin(self) -> None:
        """A litter bin or a box for cables: no class of its own."""
        color = tinted(
            ((30, 44, 38), (60, 64, 66), (24, 25, 28), (46, 70, 52))[int(self.rng.integers(4))], self.shade
        )
        half, height = 0.28, self.post.height
        self.box(-half, 0.0, half, height, color, VOID)
        self.box(-half, 0.85 * height, half, height, tinted(color, 1.35), None)


@dataclass(frozen=True)
class Barrier:
    """A stretch of fence, hedge or garden wall.

    Attributes:
        kind: "railing", "boards", "mesh", "hoarding" (all of them Fence), "hedge" (Tree) or "wall" (Building,
            the class into which CamVid's walls went).
        x0, z0, x1, z1: Near and far end, in metres.
        side: -1 on the left of the road, +1 on the right.
        height: Metres.
        look: Picks the variant.
    """

    kind: str
    x0: float
    z0: float
    x1: float
    z1: float
    side: int
    height: float
    look: int

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        corners = np.array([
            (self.x0, 0.0, self.z0), (self.x1, 0.0, self.z1),
            (self.x1, self.height, self.z1), (self.x0, self.height, self.z0),
        ])  # fmt: skip
        shade = light.shade((-float(self.side), 0.0, 0.0))
        gains = (shade, shade, shade)
        if self.kind == "hedge":
            top = corners[[3, 2, 2, 3]] + np.array(
                [(0, 0, 0), (0, 0, 0), (self.side, 0, 0), (self.side, 0, 0)]
            )
            end = corners[[0, 0, 3, 3]] + np.array(
                [(self.side, 0, 0), (0, 0, 0), (0, 0, 0), (self.side, 0, 0)]
            )
            canvas.face(end, tinted((52, 62, 36), shade), TREE)
            canvas.face(top, tinted((76, 84, 48), light.shade((0.0, 1.0, 0.0))), TREE)
            canvas.sheet(corners, leaves(self.look % 4), gains, TREE)
        elif self.kind == "wall":
            tone: Color = ((120, 92, 76), (128, 122, 108), (150, 140, 124))[self.look % 3]
            lit = [shade * t / GREY for t in tone]
            canvas.sheet(corners, plain_wall(("brick", "stone")[self.look % 2], self.look % 3), lit, BUILDING)
        else:
            canvas.sheet(corners, fence_texture(self.kind, self.look % 4), gains, FENCE)


@lru_cache(maxsize=32)
def fence_texture(kind: str, look: int) -> Texture:
    """Four metres of fence; the label holds for the gaps between the bars as well, as people label fences."""
    width, height = 256, 96
    rng = generator("fence", kind, look)
    if kind == "railing":
        color, alpha = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        color[...] = ((30, 32, 34), (64, 70, 70), (150, 152, 150), (34, 56, 46))[look]
        alpha[8:14] = alpha[-14:-8] = 255
        step = (8, 10, 14, 8)[look]
        for x in range(0, width, step):
            alpha[4:, x : x + 3] = 255
        alpha[2:, ::128] = alpha[2:, 1::128] = alpha[2:, 2::128] = alpha[2:, 3::128] = 255
        return Texture(color, alpha, np.full((height, width), 255, np.uint8))
    if kind == "mesh":
        color, alpha = np.zeros((height, width, 3), np.uint8), np.full((height, width), 60, np.uint8)
        color[...] = ((110, 114, 112), (60, 84, 66), (130, 132, 130), (80, 84, 84))[look]
        for x in range(-height, width, 8):
            cv2.line(alpha, (x, 0), (x + height, height), 190, 1, cv2.LINE_AA)
            cv2.line(alpha, (x + height, 0), (x, height), 190, 1, cv2.LINE_AA)
        alpha[:4] = 255
        alpha[:, ::64] = alpha[:, 1::64] = alpha[:, 2::64] = 255
        return Texture(color, alpha, np.full((height, width), 255, np.uint8))
    tones = ((112, 92, 68), (96, 84, 72), (134, 112, 84), (74, 66, 58))
    if kind == "hoarding":
        tones = ((44, 78, 120), (200, 200, 194), (70, 92, 84), (150, 146, 60))
    image = np.empty((height, width, 3), np.float32)
    image[...] = tones[look]
    step = 10 if kind == "boards" else 64
    image *= np.repeat(rng.normal(1.0, 0.09, width // step + 1), step)[None, :width, None]
    image[:, ::step] *= 0.6
    image[:, 1::step] *= 0.8
    image[:6] *= 1.15
    image[-10:] *= 0.75
    image *= 1.0 + rng.normal(0, 0.03, (height, width, 1))
    return Texture(np.clip(image, 0, 255).astype(np.uint8))
