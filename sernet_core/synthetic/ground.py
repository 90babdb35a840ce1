"""The ground: pixels below the horizon look up what lies where their line of sight meets the road."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sernet_core.synthetic.canvas import PAVEMENT, ROAD, TREE, Canvas, depth_codes
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import fractal

BLOCK = 32.0
PAVED, GRASS, TARMAC = range(3)

# Surfaces: road, pavement, curb, grass, coloured lane, joints.
_COLORS = np.array(
    [(92, 93, 95), (104, 101, 96), (124, 121, 115), (74, 84, 46), (116, 76, 68), (84, 83, 82)], np.float32
)
_CLASSES = np.array([ROAD, PAVEMENT, PAVEMENT, TREE, ROAD, PAVEMENT], np.uint8)


@dataclass(frozen=True)
class Plan:
    """What the ground is made of, by block along the road; side 0 is the left and 1 the right.

    Attributes:
        first: Number of the first block.
        half_road: From the middle to the curb in metres.
        lane: Lane width in metres.
        lanes: Lanes in each direction.
        parking: Width of the parking strip in metres.
        pavement: float32 (2, B): pavement width by side.
        verge: float32 (2, B): width of the grass between curb and pavement.
        beyond: uint8 (2, B): what lies behind the pavement: PAVED, GRASS or TARMAC.
        mouth: float32 (2, B): width of the side road at the start of the block; 0 for none.
        crossing: float32 (B,): where in the block a zebra crossing lies, metres; -1 for none.
        style: uint8 (B,): markings: bits 1 edge lines, 2 yellow lines at the curb, 4 hatched junction,
            8 coloured lane.
        roofline: float32 (2, metres): height of the houses along each side, a value a metre.
        curve: float32 (2, N): z and x of the road's middle.
    """

    first: int
    half_road: float
    lane: float
    lanes: int
    parking: float
    pavement: np.ndarray
    verge: np.ndarray
    beyond: np.ndarray
    mouth: np.ndarray
    crossing: np.ndarray
    style: np.ndarray
    roofline: np.ndarray
    curve: np.ndarray


def paint_ground(canvas: Canvas, light: Light, plan: Plan, seed: int, tone: float) -> None:
    """Paint road, pavements and what lies beyond, with markings and shadows of houses.

    Args:
        canvas: Where to.
        light: Its light.
        plan: What lies where.
        seed: Picks patches and wear.
        tone: Brightness of the asphalt, about 1.
    """
    camera = canvas.camera
    slant = abs(0.5 * camera.width * np.tan(camera.roll))
    top = int(np.clip(camera.horizon - slant, 0, camera.height))
    if top >= camera.height:
        return
    dx, dy, dz = camera.rays(top)
    below = dy < -1e-4
    reach = np.minimum(camera.y / np.maximum(-dy, 1e-4), 400.0)
    patch = _Patch(plan, light, camera.x + dx * reach, camera.z + dz * reach, reach, camera.focal, camera.y)
    color = patch.color(seed, tone)
    image = np.clip(color, 0, 255).astype(np.uint8)
    cv2.copyTo(image, below.astype(np.uint8), canvas.image[top:])
    tag = np.stack((np.take(_CLASSES, patch.surface), depth_codes(reach)), axis=2)
    cv2.copyTo(tag, below.astype(np.uint8), canvas.tags[top:])


class _Patch:
    """The visible ground; every array has the shape (rows, columns) of the picture below the horizon."""

    def __init__(
        self,
        plan: Plan,
        light: Light,
        x: np.ndarray,
        z: np.ndarray,
        reach: np.ndarray,
        focal: float,
        height: float,
    ) -> None:
        self.plan, self.light = plan, light
        # x is counted from the middle of the road from here on.
        self.z, self.x = z, x - _along(plan.curve, z)
        self.off = np.abs(self.x)
        self.reach = reach
        self.fine_x = reach / focal
        self.fine_z = np.minimum(reach * reach / (focal * height), 12.0)
        blocks = plan.style.shape[0]
        self.block = np.clip(np.floor(z * (1.0 / BLOCK)).astype(np.int32) - plan.first, 0, blocks - 1)
        self.local = z - (self.block + plan.first).astype(np.float32) * np.float32(BLOCK)
        self.right = (self.x > 0).astype(np.int32)
        self.cell = self.right * blocks + self.block
        self.outside = self.off - plan.half_road
        self.surface = self._surfaces()

    def _take(self, table: np.ndarray) -> np.ndarray:
        return np.take(table.ravel(), self.cell)

    def _surfaces(self) -> np.ndarray:
        plan, out = self.plan, self.outside
        width, verge, beyond = self._take(plan.pavement), self._take(plan.verge), self._take(plan.beyond)
        surface = np.where(out > 0, np.uint8(1), np.uint8(0))
        surface[(out > 0) & (out < np.maximum(0.16, 0.7 * self.fine_x))] = 2
        far = out > width
        surface[far & (beyond == GRASS)] = 3
        surface[far & (beyond == TARMAC)] = 0
        surface[(out > 0.3) & (out < verge)] = 3
        lane = (plan.half_road - plan.parking - self.off < 1.5) & (out < -plan.parking) & (self.x < 0)
        surface[lane & ((plan.style[self.block] & 8) > 0)] = 4
        mouth = self._take(plan.mouth)
        radius = 3.5
        # Round corners: within the square at the corner, the road reaches out to a circle.
        along, across = self.local - mouth, out
        corner = (mouth > 0) & (out > 0) & (along < radius) & (across < radius)
        inside = (radius - along) ** 2 + (radius - across) ** 2 > radius * radius
        rim = (radius - along) ** 2 + (radius - across) ** 2 > (radius - 0.16) ** 2
        surface[corner & rim] = 2
        surface[((self.local < mouth) & (out > 0)) | (corner & inside)] = 0
        return surface

    def color(self, seed: int, tone: float) -> np.ndarray:
        plan, _light = self.plan, self.light
        road = (self.surface == 0) | (self.surface == 4)
        color = np.take(_COLORS, self.surface, axis=0)
        gain = self._grain(seed)
        gain *= np.where(road, np.float32(tone), np.float32(1.0))
        # Wheels polish two tracks a lane; oil darkens between them.
        track = np.cos(self.x * (4.0 * np.pi / plan.lane)) * (self.off < plan.half_road - plan.parking)
        gain *= 1.0 - 0.035 * track
        slabs = (self.surface == 1) & (self.reach < 22.0)
        joint = _lines(self.z, 0.75, 0.02, self.fine_z) + _lines(self.outside, 0.6, 0.015, self.fine_x)
        gain *= 1.0 - 0.2 * slabs * np.minimum(joint, 1.0)
        drain = (self.outside < 0) & (self.outside > -0.25)
        gain *= 1.0 - 0.1 * drain
        color = color * gain[..., None]
        paint, yellow = self._markings()
        wear = 0.72 + 0.12 * np.clip(gain * 4.0 - 3.0, -1.0, 1.0)
        white = np.array((212, 211, 206), np.float32)
        amber = np.array((190, 158, 70), np.float32)
        mix = (paint * wear * road)[..., None]
        color += (white - color) * mix
        mix = (yellow * wear * road)[..., None]
        color += (amber - color) * mix
        color *= self._sunlight()[..., None]
        return color

    def _grain(self, seed: int) -> np.ndarray:
        """Brightness of the surface: stains, patches, and near the camera the grain of asphalt."""
        stains = _sample(fractal(512, 8, 5, 200 + seed % 4), self.x * 6.0, self.z * 1.5 + 31.0 * (seed % 7))
        fine = _sample(fractal(512, 128, 3, 210 + seed % 4, 0.9), self.x * 70.0, self.z * 55.0)
        near = np.clip(1.2 - self.reach / 16.0, 0.0, 1.0)
        patches = _sample(fractal(256, 8, 2, 220 + seed % 4), self.x * 3.0 + 77.0, self.z * 0.9)
        # Steps of the noise make patches of newer asphalt with sharp edges.
        return 1.0 + 0.04 * stains + 0.06 * near * fine - 0.09 * (patches > 1.2)

    def _markings(self) -> tuple[np.ndarray, np.ndarray]:
        """Coverage 0..1 of white and of yellow paint."""
        plan, fx, fz = self.plan, self.fine_x, self.fine_z
        style = plan.style[self.block]
        has_mouth = (plan.mouth[0, self.block] > 0) | (plan.mouth[1, self.block] > 0)
        width = np.maximum(plan.mouth[0], plan.mouth[1])[self.block]
        clear = ~(has_mouth & (self.local < width))
        paint = _stripe(self.x, 0.06, fx) * _dashes(self.z, 6.0, 3.2, fz) * clear
        for lane in range(1, plan.lanes):
            paint += _stripe(self.off - lane * plan.lane, 0.05, fx) * _dashes(self.z, 9.0, 2.0, fz) * clear
        edge = plan.half_road - plan.parking
        solid = ((style & 1) > 0) if plan.parking == 0 else np.ones_like(clear)
        inner = _dashes(self.z, 2.0, 1.2, fz) if plan.parking > 0 else 1.0
        paint += _stripe(self.off - edge + 0.25, 0.05, fx) * solid * inner * clear
        stop = (
            has_mouth
            & (self.local > width + 3.0)
            & (self.local < width + 3.4)
            & (self.x > 0)
            & (self.outside < 0)
        )
        stop |= (
            has_mouth
            & (self.local > BLOCK - 1.8)
            & (self.local < BLOCK - 1.4)
            & (self.x < 0)
            & (self.outside < 0)
        )
        paint += 0.9 * stop
        zebra = plan.crossing[self.block]
        walk = (zebra >= 0) & (np.abs(self.local - zebra) < 1.5) & (self.outside < -0.4)
        paint = np.where(walk, _dashes(self.x, 1.1, 0.6, fx), paint)
        yellow = np.zeros_like(paint)
        if plan.parking == 0:
            curb = (style & 2) > 0
            yellow += (
                (_stripe(self.outside + 0.3, 0.04, fx) + _stripe(self.outside + 0.5, 0.04, fx)) * curb * clear
            )
        box = has_mouth & ((style & 4) > 0) & (self.local < width) & (self.outside < -0.2)
        hatch = _lines(self.x + self.z, 1.6, 0.09, fx + fz) + _lines(self.x - self.z, 1.6, 0.09, fx + fz)
        yellow += hatch * box
        return np.minimum(paint, 1.0), np.minimum(yellow, 1.0)

    def _sunlight(self) -> np.ndarray:
        """Brightness by sun and sky; houses on the sunny side throw their shadow across the road."""
        light, plan = self.light, self.plan
        full = light.shade((0.0, 1.0, 0.0))
        if light.direct < 0.05:
            return np.full(self.x.shape, full, np.float32)
        side = 1 if light.sun[0] > 0 else 0
        slope = light.sun[1] / max(abs(light.sun[0]), 1e-3)
        gap = np.maximum(
            plan.half_road + plan.pavement[side][self.block] + (-self.x if side else self.x), 0.05
        )
        metre = self.z + gap * light.sun[2] / max(abs(light.sun[0]), 1e-3) - plan.first * BLOCK
        index = np.clip(metre.astype(np.int32), 0, plan.roofline.shape[1] - 1)
        height = plan.roofline[side][index]
        soft = 0.15 + 0.03 * gap
        dark = np.clip((height - gap * slope) / soft, 0.0, 1.0)
        return full - dark * (full - 0.9 * light.ambient)


def _along(curve: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Middle of the road at z, by linear interpolation in an evenly spaced table."""
    # Python floats, because numpy ones would make every array twice as wide.
    start, step = float(curve[0, 0]), float(curve[0, 1] - curve[0, 0])
    place = np.clip((z - start) / step, 0.0, curve.shape[1] - 1.001)
    index = place.astype(np.int32)
    table = curve[1].astype(np.float32)
    low = table[index]
    return low + (table[index + 1] - low) * (place - index.astype(np.float32))


def _wrapped(place: np.ndarray, period: float) -> np.ndarray:
    """Remainder of a division, 0 to `period`; several times as fast as numpy's own."""
    return place - np.floor(place * (1.0 / period)) * period


def _sample(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Periodic noise at pixel positions of its tile."""
    size = tile.shape[0] - 1
    return cv2.remap(
        tile, _wrapped(u, size).astype(np.float32), _wrapped(v, size).astype(np.float32), cv2.INTER_LINEAR
    )


def _stripe(distance: np.ndarray, half: float, pixel: np.ndarray) -> np.ndarray:
    """How much of a pixel, `pixel` metres wide, a stripe of this half width covers."""
    half_pixel = 0.5 * pixel
    away = np.abs(distance)
    covered = np.minimum(away + half_pixel, half) - np.maximum(away - half_pixel, -half)
    return np.clip(covered / np.maximum(pixel, 1e-6), 0.0, 1.0)


def _dashes(place: np.ndarray, period: float, length: float, pixel: np.ndarray) -> np.ndarray:
    """Coverage by dashes of this length; blends to their mean where a pixel is longer than a period."""
    phase = _wrapped(place, period)
    middle = np.abs(phase - length / 2)
    sharp = _stripe(np.minimum(middle, period - middle), length / 2, np.minimum(pixel, period))
    far = np.clip(pixel / period * 2.0 - 1.0, 0.0, 1.0)
    return sharp + (length / period - sharp) * far


def _lines(place: np.ndarray, period: float, half: float, pixel: np.ndarray) -> np.ndarray:
    """Coverage by thin lines at every period."""
    phase = np.abs(_wrapped(place, period) - period / 2)
    return _stripe(period / 2 - phase, half, pixel)
