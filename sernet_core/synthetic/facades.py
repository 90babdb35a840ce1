"""House fronts as textures: walls of brick, stone, render or panels, with windows, doors and shops.

A front is drawn once a process for each town and number, at `SCALE` pixels a metre.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sernet_core.synthetic.canvas import Color, Texture, tinted
from sernet_core.synthetic.noise import fractal, generator
from sernet_core.synthetic.towns import Town, town_of

SCALE = 32
FRONTS = 24
GREY = 160.0
_GLASS: tuple[Color, ...] = ((34, 38, 44), (52, 60, 70), (24, 26, 30), (90, 102, 116), (64, 62, 58))
_SHOPS: tuple[Color, ...] = (
    (24, 52, 38), (120, 24, 28), (22, 30, 66), (30, 30, 32), (178, 140, 40), (196, 190, 180), (20, 90,
    100), (96, 30, 70),
)  # fmt: skip


@dataclass(frozen=True)
class Front:
    """A house front.

    Attributes:
        texture: Its picture, with the light of its windows.
        width, height: Metres.
        wall: Mean wall colour, RGB, for the sides.
        shop: Whether there is a shop on the ground floor.
    """

    texture: Texture
    width: float
    height: float
    wall: Color
    shop: bool


@lru_cache(maxsize=256)
def front_of(town_name: str, number: int) -> Front:
    """House front of a town; numbers from 0 to FRONTS - 1."""
    town = town_of(town_name)
    rng = generator("front", town_name, number)
    storeys = int(rng.integers(town.storeys[0], town.storeys[1] + 1))
    rise = float(rng.uniform(2.7, 3.4))
    width = float(rng.uniform(5.5, 9.0) if town.style != "modern" else rng.uniform(9.0, 16.0))
    ground = rise + 0.5
    height = ground + (storeys - 1) * rise + 0.5
    shop = bool(rng.uniform() < town.shops)
    tone = float(rng.uniform(0.8, 1.12))
    wall = tuple(
        c * tone * float(rng.uniform(0.96, 1.04)) for c in town.walls[int(rng.integers(len(town.walls)))]
    )
    painter = _Painter(round(width * SCALE), round(height * SCALE), town, wall, rng)  # type: ignore[arg-type]
    painter.wall()
    for storey in range(1, storeys):
        painter.storey(height - ground - storey * rise, rise)
    if shop:
        painter.shop(height - ground, ground)
    else:
        painter.entrance(height - ground, ground)
    painter.trim()
    texture = Texture(np.clip(painter.image, 0, 255).astype(np.uint8), glow=painter.glow)
    return Front(texture, width, height, wall, shop)  # type: ignore[arg-type]


@lru_cache(maxsize=32)
def plain_wall(style: str, seed: int) -> Texture:
    """A wall without windows, 8 x 8 m, in a grey of `GREY`, for the sides of houses and for garden walls."""
    image = wall_surface(style, (GREY, GREY, GREY), 8 * 16, 8 * 16, seed, 16)
    return Texture(np.clip(image, 0, 255).astype(np.uint8))


@lru_cache(maxsize=16)
def roof_tiles(variant: int) -> Texture:
    """Rows of slates or clay tiles, uint8 (64, 128, 3)."""
    tone = np.array([(70, 70, 76), (98, 66, 52), (84, 62, 54), (60, 62, 66)][variant % 4], np.float32)
    image = tone * (1.0 + 0.12 * fractal(128, 16, 3, 90 + variant)[:64, :, None])
    image[::8] *= 0.75
    return Texture(np.clip(image, 0, 255).astype(np.uint8))


def wall_surface(style: str, color: Color, width: int, height: int, seed: int, scale: int) -> np.ndarray:
    """Wall material, float32 (height, width, 3)."""
    stains = np.tile(fractal(256, 4, 4, 100 + seed % 5), (1 + height // 256, 1 + width // 256))[
        :height, :width
    ]
    fine = np.tile(fractal(256, 64, 3, 105 + seed % 3), (1 + height // 256, 1 + width // 256))[
        :height, :width
    ]
    image = np.empty((height, width, 3), np.float32)
    image[...] = color
    course = {"brick": max(2, scale // 10), "stone": max(3, scale // 3)}.get(style, 0)
    if course:
        rows = np.arange(height) // course
        cols = (np.arange(width)[None, :] + (rows[:, None] % 2) * course) // (2 * course + course // 2)
        tone = generator("bricks", seed % 7).normal(0, 1, 4096).astype(np.float32)
        image *= (
            1.0
            + (0.09 if style == "brick" else 0.11) * tone[(rows[:, None] * 61 + cols * 7) % 4096][..., None]
        )
        image[np.arange(height) % course == 0] *= 0.9 if style == "brick" else 0.8
    image *= 1.0 + 0.07 * stains[..., None] + 0.05 * fine[..., None]
    return image


class _Painter:
    """Draws one front; rows count from the top, lengths come in metres."""

    def __init__(self, width: int, height: int, town: Town, wall: Color, rng: np.random.Generator) -> None:
        self.town, self.color, self.rng = town, wall, rng
        self.width, self.height = width, height
        self.image = np.zeros((height, width, 3), np.float32)
        self.glow = np.zeros((height, width, 3), np.uint8)
        pale: tuple[Color, ...] = ((214, 210, 200), (190, 186, 176), (70, 66, 62), (112, 96, 84))
        self.frame = pale[int(rng.integers(len(pale)))]
        self.columns = max(2, round(width / SCALE / rng.uniform(1.9, 3.0)))
        self.window = (float(rng.uniform(0.45, 0.62)), float(rng.uniform(0.5, 0.66)))
        self.bars = int(rng.integers(0, 3))
        self.banded = town.style == "modern" and bool(rng.uniform() < 0.6)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
        corners = (round(x0 * SCALE), round(y0 * SCALE)), (round(x1 * SCALE) - 1, round(y1 * SCALE) - 1)
        cv2.rectangle(self.image, *corners, color, -1)

    def wall(self) -> None:
        style = "render" if self.town.style == "modern" else self.town.style
        self.image = wall_surface(
            style, self.color, self.width, self.height, int(self.rng.integers(1000)), SCALE
        )

    def storey(self, top: float, rise: float) -> None:
        """A row of windows, or one band of glass."""
        width = self.width / SCALE
        if self.banded:
            self.pane(0.0, top + 0.25 * rise, width, top + 0.9 * rise, round(width / 1.4))
            return
        step = width / self.columns
        for i in range(self.columns):
            middle, half = (i + 0.5) * step, 0.5 * self.window[0] * step
            low = top + 0.86 * rise
            high = low - self.window[1] * rise
            self.box(middle - half - 0.12, high - 0.2, middle + half + 0.12, high, tinted(self.color, 1.25))
            self.box(middle - half - 0.15, low, middle + half + 0.15, low + 0.14, tinted(self.color, 1.3))
            self.pane(middle - half, high, middle + half, low, 1 + self.bars)

    def pane(self, x0: float, y0: float, x1: float, y1: float, parts: int) -> None:
        """Glass with a frame, reflections, perhaps curtains, and sometimes light inside."""
        glass = _GLASS[int(self.rng.integers(len(_GLASS)))]
        self.box(x0, y0, x1, y1, self.frame)
        self.box(x0 + 0.07, y0 + 0.07, x1 - 0.07, y1 - 0.07, glass)
        if self.rng.uniform() < 0.5:
            self.box(x0 + 0.07, y0 + 0.07, x1 - 0.07, y0 + 0.45 * (y1 - y0), tinted(glass, 1.5))
        if self.rng.uniform() < 0.3:
            self.box(x0 + 0.07, y0 + 0.07, x0 + 0.3 * (x1 - x0), y1 - 0.07, (150, 144, 134))
        for i in range(1, parts):
            at = x0 + (x1 - x0) * i / parts
            self.box(at - 0.035, y0, at + 0.035, y1, self.frame)
        if self.bars and not self.banded:
            self.box(x0, (y0 + y1) / 2 - 0.035, x1, (y0 + y1) / 2 + 0.035, self.frame)
        if self.rng.uniform() < 0.3:
            light = [(255, 196, 116), (255, 222, 160), (220, 226, 235)][int(self.rng.integers(3))]
            corners = (round(x0 * SCALE), round(y0 * SCALE)), (round(x1 * SCALE), round(y1 * SCALE))
            cv2.rectangle(self.glow, *corners, tinted(light, self.rng.uniform(0.35, 0.9)), -1)

    def shop(self, top: float, rise: float) -> None:
        """Shop windows under a name board, perhaps with an awning."""
        width = self.width / SCALE
        color = _SHOPS[int(self.rng.integers(len(_SHOPS)))]
        self.box(0.15, top + 0.2, width - 0.15, top + rise, tinted(color, 0.8))
        self.box(0.1, top + 0.25, width - 0.1, top + 0.95, color)
        ink = (235, 230, 215) if sum(color) < 330 else (30, 30, 34)
        at = 0.2 * width
        while at < 0.8 * width:
            step = float(self.rng.uniform(0.12, 0.3))
            self.box(at, top + 0.45, at + step, top + 0.75, ink)
            at += step + 0.1
        doors = int(self.rng.integers(0, 2))
        panes = max(2, round(width / 2.2))
        for i in range(panes):
            x0, x1 = 0.3 + (width - 0.6) * i / panes, 0.3 + (width - 0.6) * (i + 1) / panes
            sill = 0.1 if i == doors else 0.55
            self.box(x0 + 0.06, top + 1.1, x1 - 0.06, top + rise - sill, (40, 42, 46))
            self.goods(x0 + 0.1, top + 1.2, x1 - 0.1, top + rise - sill - 0.05)
        if self.rng.uniform() < 0.35:
            cloth = _SHOPS[int(self.rng.integers(len(_SHOPS)))]
            for i in range(round(width / 0.5)):
                stripe = cloth if i % 2 else tinted(cloth, 1.7)
                self.box(i * 0.5, top + 0.95, (i + 1) * 0.5, top + 1.6, stripe)
        corners = (round(0.3 * SCALE), round((top + 1.1) * SCALE)), (self.width - 10, self.height - 20)
        cv2.rectangle(self.glow, *corners, tinted((255, 226, 176), self.rng.uniform(0.1, 0.9)), -1)

    def goods(self, x0: float, y0: float, x1: float, y1: float) -> None:
        for _ in range(6):
            x, y = self.rng.uniform(x0, max(x0, x1 - 0.3)), self.rng.uniform(y0, max(y0, y1 - 0.4))
            tone = tuple(float(c) for c in self.rng.uniform(30, 170, 3))
            self.box(x, y, min(x1, x + 0.4), min(y1, y + 0.5), tone)  # type: ignore[arg-type]

    def entrance(self, top: float, rise: float) -> None:
        """A door and windows."""
        width = self.width / SCALE
        self.storey(top + 0.2, rise - 0.4)
        if self.banded:
            return
        door = [(40, 60, 90), (120, 30, 30), (30, 60, 44), (36, 34, 34), (150, 140, 120)][
            int(self.rng.integers(5))
        ]
        step = width / self.columns
        middle = (int(self.rng.integers(self.columns)) + 0.5) * step
        self.box(middle - step / 2 + 0.05, top + 0.35, middle + step / 2 - 0.05, top + rise - 0.1, self.color)
        self.box(middle - 0.65, top + 0.5, middle + 0.65, top + rise, self.frame)
        self.box(middle - 0.5, top + 0.95, middle + 0.5, top + rise, door)
        self.box(middle - 0.5, top + 0.6, middle + 0.5, top + 0.9, (60, 66, 74))

    def trim(self) -> None:
        """Eaves, a dirty foot, a drain pipe, and the dark line between neighbours."""
        height = self.height / SCALE
        self.box(0, 0, self.width / SCALE, 0.25, tinted(self.color, 0.62))
        self.image[-round(0.35 * SCALE) :] *= 0.75
        if self.town.style != "modern":
            self.box(0.05, 0.3, 0.15, height, tinted(self.color, 0.45))
        self.image[:, :2] *= 0.6
