"""Pedestrians and cyclists: limbs between joints in space, so that a figure can be seen from every side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sernet_core.synthetic.canvas import BICYCLIST, PEDESTRIAN, Canvas, Color, tinted
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import generator

_CLOTHES: tuple[Color, ...] = (
    (24, 25, 30), (36, 38, 44), (50, 44, 40), (30, 36, 56), (70, 66, 62), (96, 30, 32), (120, 112, 100),
    (40, 60, 50),
    (18, 18, 20), (150, 146, 140), (44, 52, 84), (110, 84, 50), (62, 40, 62), (190, 184, 172),
)  # fmt: skip
_LEGS: tuple[Color, ...] = (
    (22, 24, 32),
    (30, 36, 54),
    (40, 40, 42),
    (58, 54, 50),
    (16, 16, 18),
    (84, 78, 66),
)
_SKIN: tuple[Color, ...] = ((196, 150, 124), (170, 124, 98), (120, 84, 62), (84, 58, 44), (206, 164, 140))
_HAIR: tuple[Color, ...] = ((28, 22, 18), (60, 42, 28), (104, 82, 52), (120, 118, 116), (18, 16, 16))
_ROUND = np.linspace(-np.pi / 2, np.pi / 2, 5)

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Limb:
    """A rounded bar between two joints (right, up, forward) with a radius at each, in metres."""

    a: Point
    b: Point
    ra: float
    rb: float
    color: Color


@dataclass(frozen=True)
class Person:
    """Someone on foot or on a bicycle.

    Attributes:
        x, z: Position on the ground in metres.
        heading: 0 walks along the road, away from the camera; radians, positive to the right.
        phase: Of the stride or the pedals, radians.
        key: Picks build and clothes.
        riding: Whether on a bicycle.
        standing: Whether standing still.
    """

    x: float
    z: float
    heading: float
    phase: float
    key: int
    riding: bool = False
    standing: bool = False

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        depth = canvas.camera.depth_of(self.x, self.z)
        if depth < 1.2:
            return
        rng = generator("person", self.key)
        height = float(rng.uniform(1.5, 1.9))
        limbs = _cyclist(rng, self.phase) if self.riding else _walker(rng, self.phase, self.standing)
        cls = BICYCLIST if self.riding else PEDESTRIAN
        if self.riding:
            self._bicycle(canvas, light)
        scale = height / 1.75
        joints = np.array([p for limb in limbs for p in (limb.a, limb.b)]) * scale
        seen = canvas.camera.to_camera(self._place(joints))
        if (seen[:, 2] < 0.5).any():
            return
        pixels = canvas.camera.to_pixels(seen)
        metre = canvas.camera.focal * scale / seen[:, 2]
        shade = 0.5 * light.ambient + 0.5 * light.shade((-np.sign(self.x) * 0.7, 0.0, -0.7))
        radii = np.maximum(np.array([r for limb in limbs for r in (limb.ra, limb.rb)]) * metre, 0.5)
        bars = _bars(pixels[0::2], pixels[1::2], radii[0::2], radii[1::2])
        aside = np.array([0.3 * np.sign(light.sun[0]), 0.0]) * radii[0::2, None]
        lit = _bars(pixels[0::2] + aside, pixels[1::2] + aside, 0.55 * radii[0::2], 0.55 * radii[1::2])
        for i in np.argsort(-(seen[0::2, 2] + seen[1::2, 2])):
            color = tinted(limbs[i].color, shade)
            canvas.fill(bars[i], color, cls, depth)
            if radii[2 * i] > 4.0:
                canvas.fill(lit[i], tinted(color, 1.18))

    def shadow(self, canvas: Canvas, light: Light) -> None:
        """Darken the ground at the feet, and a long shadow in the sun."""
        if canvas.camera.depth_of(self.x, self.z) > 45.0:
            return
        r = 0.3
        ring = [(self.x + r * np.cos(a), 0.0, self.z + r * np.sin(a)) for a in np.linspace(0, 6, 8)]
        canvas.darken(np.array(ring), 0.6)
        if light.direct > 0.2:
            reach = min(1.6 * float(np.hypot(light.sun[0], light.sun[2])) / max(light.sun[1], 0.15), 5.0)
            far_x, far_z = self.x - reach * light.sun[0], self.z - reach * light.sun[2]
            quad = [
                (self.x - 0.2, 0, self.z),
                (self.x + 0.2, 0, self.z),
                (far_x + 0.2, 0, far_z),
                (far_x - 0.2, 0, far_z),
            ]
            canvas.darken(np.array(quad, float), 0.55)

    def _place(self, local: np.ndarray) -> np.ndarray:
        c, s = np.cos(self.heading), np.sin(self.heading)
        x = self.x + local[:, 0] * c + local[:, 2] * s
        z = self.z - local[:, 0] * s + local[:, 2] * c
        return np.stack((x, local[:, 1], z), axis=1)

    def _bicycle(self, canvas: Canvas, light: Light) -> None:
        """Wheels and frame; their discs belong to the label, as people label cyclists in one piece."""
        ring = np.linspace(0, 2 * np.pi, 17)
        metal = tinted((60, 64, 72), light.ambient)
        depth = canvas.camera.depth_of(self.x, self.z)
        scale = canvas.camera.focal / depth
        for axle in (-0.52, 0.52):
            wheel = np.stack([np.zeros(17), 0.34 + 0.33 * np.sin(ring), axle + 0.33 * np.cos(ring)], axis=1)
            wide = wheel + np.array((0.04, 0.0, 0.0))
            found = canvas.outline(self._place(wheel))
            rim = canvas.outline(self._place(np.concatenate((wheel[:9], wide[8:]))))
            if found is None or rim is None:
                continue
            canvas.claim(found[0], BICYCLIST, depth)
            canvas.claim(rim[0], BICYCLIST, depth)
            canvas.stroke(found[0], (20, 20, 22), 0.05 * scale)
        frame = [
            (0, 0.34, -0.52),
            (0, 0.32, 0.0),
            (0, 0.85, 0.38),
            (0, 0.9, -0.18),
            (0, 0.32, 0.0),
            (0, 0.85, 0.38),
            (0, 0.34, 0.52),
        ]
        tubes = canvas.outline(self._place(np.array(frame, float)))
        if tubes is not None and depth < 40:
            canvas.stroke(tubes[0], metal, 0.04 * scale)
            bar = canvas.outline(
                self._place(np.array([(-0.28, 1.0, 0.36), (0.28, 1.0, 0.36), (0.0, 1.0, 0.4)]))
            )
            if bar is not None:
                canvas.stroke(bar[0][:2], metal, 0.04 * scale)


def _pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    return tinted(colors[int(rng.integers(len(colors)))], float(rng.uniform(0.8, 1.2)))


def _walker(rng: np.random.Generator, phase: float, standing: bool) -> list[Limb]:
    top, legs = _pick(rng, _CLOTHES), _pick(rng, _LEGS)
    skin, hair = _pick(rng, _SKIN), _pick(rng, _HAIR)
    stout = float(rng.uniform(0.85, 1.2))
    swing = 0.0 if standing else 0.28
    coat = 0.25 if rng.uniform() < 0.35 else 0.0
    bag = rng.uniform() < 0.35
    limbs: list[Limb] = []
    for side, turn in ((-1, 0.0), (1, np.pi)):
        step = swing * float(np.sin(phase + turn))
        lift = 0.1 * max(0.0, float(np.cos(phase + turn))) * (swing > 0)
        hip, knee = (0.09 * side, 0.88, 0.0), (0.1 * side, 0.48 + lift / 2, 0.65 * step + 0.06)
        foot = (0.1 * side, 0.06 + lift, step - (0.04 if step < 0 else 0.0))
        limbs += [Limb(hip, knee, 0.095 * stout, 0.07, legs), Limb(knee, foot, 0.07, 0.05, legs)]
        limbs.append(Limb(foot, (foot[0], foot[1] - 0.02, foot[2] + 0.14), 0.05, 0.04, (20, 18, 18)))
        shoulder, elbow = (0.2 * side * stout, 1.42, 0.0), (0.25 * side * stout, 1.13, -0.5 * step)
        hand = (0.24 * side * stout, 0.88, -0.9 * step + 0.08)
        limbs += [Limb(shoulder, elbow, 0.065, 0.055, top), Limb(elbow, hand, 0.055, 0.045, top)]
        limbs.append(Limb(hand, (hand[0], hand[1] - 0.07, hand[2]), 0.04, 0.035, skin))
    limbs.append(
        Limb((0.0, 1.36, 0.0), (0.0, 0.92 - coat, 0.0), 0.185 * stout, 0.16 * stout + 0.1 * coat, top)
    )
    limbs.append(Limb((0.0, 1.5, 0.0), (0.0, 1.58, 0.02), 0.055, 0.055, skin))
    limbs.append(Limb((0.0, 1.62, 0.03), (0.0, 1.68, 0.03), 0.085, 0.095, skin))
    limbs.append(Limb((0.0, 1.66, -0.02), (0.0, 1.71, 0.0), 0.095, 0.09, hair))
    if bag:
        limbs.append(Limb((0.0, 1.35, -0.2), (0.0, 1.08, -0.22), 0.14, 0.15, _pick(rng, _CLOTHES)))
    return limbs


def _cyclist(rng: np.random.Generator, phase: float) -> list[Limb]:
    top, legs = _pick(rng, _CLOTHES), _pick(rng, _LEGS)
    if rng.uniform() < 0.2:
        top = (186, 196, 40)
    skin, hair = _pick(rng, _SKIN), _pick(rng, _HAIR)
    if rng.uniform() < 0.4:
        hair = _pick(rng, ((200, 200, 196), (30, 30, 34), (150, 30, 30), (40, 70, 130)))
    limbs: list[Limb] = []
    for side, turn in ((-1, 0.0), (1, np.pi)):
        foot = (0.1 * side, 0.32 + 0.17 * float(np.sin(phase + turn)), 0.17 * float(np.cos(phase + turn)))
        hip = (0.09 * side, 0.98, -0.16)
        knee = (0.12 * side, (hip[1] + foot[1]) / 2 + 0.08, (hip[2] + foot[2]) / 2 + 0.2)
        limbs += [Limb(hip, knee, 0.09, 0.07, legs), Limb(knee, foot, 0.065, 0.05, legs)]
        limbs.append(Limb(foot, (foot[0], foot[1] - 0.03, foot[2] + 0.12), 0.045, 0.04, (20, 18, 18)))
        shoulder, hand = (0.2 * side, 1.42, 0.12), (0.25 * side, 1.02, 0.38)
        limbs.append(Limb(shoulder, (0.27 * side, 1.18, 0.2), 0.065, 0.055, top))
        limbs.append(Limb((0.27 * side, 1.18, 0.2), hand, 0.055, 0.045, top))
    limbs.append(Limb((0.0, 1.38, 0.1), (0.0, 1.02, -0.16), 0.18, 0.16, top))
    limbs.append(Limb((0.0, 1.5, 0.16), (0.0, 1.58, 0.2), 0.055, 0.06, skin))
    limbs.append(Limb((0.0, 1.62, 0.22), (0.0, 1.68, 0.22), 0.085, 0.095, skin))
    limbs.append(Limb((0.0, 1.68, 0.17), (0.0, 1.73, 0.19), 0.1, 0.095, hair))
    return limbs


def _bars(a: np.ndarray, b: np.ndarray, ra: np.ndarray, rb: np.ndarray) -> np.ndarray:
    """Outlines (N, 10, 2) of bars with round ends between a and b (N, 2), with radii (N,), in pixels."""
    angle = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0])[:, None] + _ROUND
    ends = np.stack((np.cos(angle), np.sin(angle)), axis=2)
    return np.concatenate(
        (b[:, None] + rb[:, None, None] * ends, a[:, None] - ra[:, None, None] * ends), axis=1
    )
