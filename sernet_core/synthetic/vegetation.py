"""Trees, bushes and hedges: a bank of pictures drawn once a process, tinted and mirrored where they stand."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from sernet_core.synthetic.canvas import TREE, Canvas, Texture
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import fractal, generator

SIDE = 448
BARE, LEAFY, CONIFER, BUSH = "bare", "leafy", "conifer", "bush"
VARIANTS = {BARE: 8, LEAFY: 6, CONIFER: 3, BUSH: 4}


@lru_cache(maxsize=64)
def tree_texture(kind: str, variant: int) -> Texture:
    """A tree that fills a square picture, its foot in the middle of the lower edge.

    Args:
        kind: BARE, LEAFY, CONIFER or BUSH.
        variant: 0 to `VARIANTS[kind]` - 1.
    """
    rng = generator("tree", kind, variant)
    if kind == BARE:
        return _bare(rng)
    return _foliage(kind, rng, variant)


def draw_tree(
    canvas: Canvas, light: Light, x: float, z: float, height: float, kind: str, variant: int, look: float
) -> None:
    """Stand a tree on the ground.

    Args:
        canvas: Where to.
        light: Its light.
        x, z: Foot in metres.
        height: Metres.
        kind: See `tree_texture`.
        variant: Any number; it picks the picture and whether it is mirrored.
        look: 0..1, picks the tint.
    """
    found = canvas.anchor(x, z)
    if found is None or found[3] < 2.0:
        return
    u, v, scale, depth = found
    half = 0.5 * height * scale * (0.9 + 0.25 * look)
    if kind == BUSH:
        half *= 1.5
    if variant & 64:
        half = -half
    shade = light.ambient * 0.75 + light.direct * (0.45 - 0.25 * light.sun[2])
    if kind == BARE:
        shade *= 1.25
        gains = (shade * (0.95 + 0.2 * look), shade * 0.98, shade * (1.0 - 0.12 * look))
    else:
        gains = (shade * (0.75 + 0.45 * look), shade, shade * (0.8 + 0.1 * look))
    box = (u - half, v - height * scale, u + half, v + 0.02 * height * scale)
    canvas.sprite(tree_texture(kind, variant % VARIANTS[kind]), box, gains, TREE, depth)


@lru_cache(maxsize=4)
def leaves(variant: int) -> Texture:
    """A wall of leaves for hedges and ivy, uint8 (128, 256, 3)."""
    rng = generator("leaves", variant)
    coarse = fractal(256, 8, 5, 40 + variant, 0.8)[:128]
    tone = np.array([(62, 76, 42), (84, 84, 50), (50, 66, 44), (88, 78, 58)][variant % 4], np.float32)
    color = tone * (1.0 + 0.38 * coarse[..., None]) + rng.normal(0, 5, (128, 256, 1))
    color *= np.linspace(1.15, 0.6, 128, dtype=np.float32)[:, None, None]
    return Texture(np.clip(color, 0, 255).astype(np.uint8))


def _bare(rng: np.random.Generator) -> Texture:
    """Trunk and twigs of a winter tree; the label is the crown as a whole, as people label it."""
    big = SIDE * 2
    branches = _branches(rng)
    # The tree fills the picture: its height or twice its reach to the side, whichever is more.
    reach = max(branches[:, 3].max(), 2.0 * np.abs(branches[:, [0, 2]]).max()) * 1.03
    scale = big / reach
    alpha: np.ndarray = np.zeros((big, big), np.uint8)
    shade: np.ndarray = np.full((big, big), 64, np.uint8)
    for x0, y0, x1, y1, width, tone in branches.tolist():
        ends = (
            (round(big / 2 + x0 * scale), round(big - y0 * scale)), (round(big / 2 + x1 * scale),
            round(big - y1 * scale)),
        )  # fmt: skip
        thick = max(1, round(width * scale))
        cv2.line(alpha, *ends, 255 if thick > 1 else 200, thick, cv2.LINE_AA)
        cv2.line(shade, *ends, round(tone), thick, cv2.LINE_AA)
    alpha, shade = _halved(alpha), _halved(shade)
    crown = cv2.GaussianBlur(alpha, (0, 0), SIDE * 0.012)
    shape = np.maximum(np.where(crown > 30, 255, 0), np.where(alpha > 90, 255, 0)).astype(np.uint8)
    # Twigs too fine for the picture still darken the sky a little.
    haze = np.minimum(cv2.GaussianBlur(alpha, (0, 0), SIDE * 0.008), 80)
    color = np.stack([shade * 1.06, shade * 0.98, shade * 0.9], axis=2)
    return Texture(np.clip(color, 0, 255).astype(np.uint8), np.maximum(alpha, haze), shape)


def _halved(layer: np.ndarray) -> np.ndarray:
    return cv2.resize(layer, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _branches(rng: np.random.Generator) -> np.ndarray:
    """Branches of a tree about 1 high, float64 (N, 6): from x, y to x, y, thickness, grey level."""
    found = []
    stack = [(0.0, 0.0, np.pi / 2 + rng.normal(0, 0.04), rng.uniform(0.2, 0.27), 0.03, 0)]
    while stack:
        x, y, angle, length, width, level = stack.pop()
        ex, ey = x + length * np.cos(angle), y + length * np.sin(angle)
        found.append((x, y, ex, ey, width, 52 + 8 * level + rng.integers(0, 14)))
        if level >= 7 or length < 0.012:
            continue
        for spread in _forks(level, rng):
            turn = angle + spread + 0.1 * (np.pi / 2 - angle)
            stack.append(
                (ex, ey, turn, length * rng.uniform(0.64, 0.84), width * rng.uniform(0.55, 0.72), level + 1)
            )
    return np.array(found)


def _forks(level: int, rng: np.random.Generator) -> np.ndarray:
    count = 3 if level < 3 else 2 + int(rng.uniform() < 0.3)
    return np.linspace(-0.55, 0.55, count) * rng.uniform(0.75, 1.15) + rng.normal(0, 0.16, count)


def _foliage(kind: str, rng: np.random.Generator, variant: int) -> Texture:
    """A crown heaped up from clumps of leaves that are lighter on top, with a ragged edge."""
    color = np.zeros((SIDE, SIDE, 3), np.float32)
    color[...] = (40, 44, 28)
    cover = np.zeros((SIDE, SIDE), np.uint8)
    if kind != BUSH:
        trunk = SIDE * (0.03 if kind == LEAFY else 0.02)
        points = np.array(
            [(0.5 * SIDE - trunk, SIDE), (0.5 * SIDE + trunk, SIDE), (0.5 * SIDE, SIDE * 0.3)], np.int32
        )
        cv2.fillPoly(cover, [points], 255)
        cv2.fillPoly(color, [points], (58, 50, 40))
    tone = np.array(
        [(64, 84, 40), (78, 88, 46), (52, 72, 40), (92, 92, 54), (70, 78, 50)][variant % 5], np.float32
    )
    if kind == CONIFER:
        tone *= np.array((0.62, 0.72, 0.8), np.float32)
    for x, y, radius in _clumps(kind, rng):
        lift = 0.62 + 0.75 * (1.0 - y) + rng.normal(0, 0.1)
        at = (round(x * SIDE), round(y * SIDE))
        cv2.circle(cover, at, round(radius * SIDE), 255, -1)
        cv2.circle(color, at, round(radius * SIDE), (tone * lift).tolist(), -1)
        rim = (at[0], at[1] - round(radius * SIDE * 0.35))
        cv2.circle(color, rim, round(radius * SIDE * 0.55), (tone * lift * 1.22).tolist(), -1)
    rough = np.tile(fractal(256, 16, 4, 60 + variant, 0.8), (2, 2))[:SIDE, :SIDE]
    edge = cv2.GaussianBlur(cover, (0, 0), 6).astype(np.float32) + 34.0 * rough
    ragged = np.where(edge > 128, 255, 0).astype(np.uint8)
    if kind != BUSH:
        cv2.fillPoly(ragged, [points], 255)
    soft = cv2.GaussianBlur(color, (0, 0), 2.0) * (1.0 + 0.3 * rough[..., None])
    shape = cv2.morphologyEx(ragged, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return Texture(np.clip(soft, 0, 255).astype(np.uint8), cv2.GaussianBlur(ragged, (3, 3), 0), shape)


def _clumps(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Centres and radii of clumps, float64 (N, 3), as shares of the picture's side; lower ones first."""
    count = 130
    if kind == CONIFER:
        y = rng.uniform(0.06, 0.94, count)
        x = 0.5 + rng.normal(0, 0.36, count).clip(-1, 1) * 0.34 * y
        radius = 0.025 + 0.035 * y
    elif kind == BUSH:
        x = rng.uniform(0.1, 0.9, count)
        y = 1.0 - rng.uniform(0.02, 0.85, count) * (1.0 - (2.0 * x - 1.0) ** 2 * 0.7)
        radius = rng.uniform(0.04, 0.09, count)
    else:
        angle, reach = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
        lobes = 1.0 + 0.16 * np.sin(3 * angle + rng.uniform(0, 6))
        x = 0.5 + 0.38 * reach * lobes * np.cos(angle)
        y = 0.42 - 0.33 * reach * lobes * np.sin(angle)
        radius = rng.uniform(0.035, 0.085, count)
    order = np.argsort(-y)
    return np.stack((x, y, radius), axis=1)[order]
