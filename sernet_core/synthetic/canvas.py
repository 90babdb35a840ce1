"""What a scene is painted on, far things first: the picture, the labels and the depth stay in step.

Every silhouette goes into the picture (smooth edges) and, unless it is mere decoration, into the labels (hard
edges) with the same points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from sernet_core.labels import IGNORE
from sernet_core.synthetic.camera import NEAR, Camera

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = IGNORE

Color = tuple[float, float, float]

_SHIFT = 4
_LIMIT = 30000.0


def depth_code(depth: float) -> int:
    """Depth in metres in 8 bits, finer near the camera; 255 is the sky and everything beyond 250 m."""
    return min(int(16.0 * math.sqrt(max(depth, 0.0))), 255)


def depth_codes(depth: np.ndarray) -> np.ndarray:
    """`depth_code` of an array, uint8."""
    return np.minimum(16.0 * np.sqrt(np.maximum(depth, 0.0)), 255.0).astype(np.uint8)


def code_depth() -> np.ndarray:
    """Depth in metres of each code, float32 (256,)."""
    return (np.arange(256, dtype=np.float32) / 16.0) ** 2


def tinted(color: Sequence[float], factor: float) -> Color:
    """A colour made lighter or darker, kept within 0..255."""
    r, g, b = (min(255.0, max(0.0, c * factor)) for c in color)
    return r, g, b


def clip_near(seen: np.ndarray) -> np.ndarray:
    """The part of a polygon (N, 3) in camera axes that lies in front of the near plane; may be empty."""
    if seen[:, 2].min() >= NEAR:
        return seen
    inside = seen[:, 2] >= NEAR
    if not inside.any():
        return seen[:0]
    kept = []
    for i in range(len(seen)):
        j = (i + 1) % len(seen)
        if inside[i]:
            kept.append(seen[i])
        if inside[i] != inside[j]:
            t = (NEAR - seen[i, 2]) / (seen[j, 2] - seen[i, 2])
            kept.append(seen[i] + t * (seen[j] - seen[i]))
    return np.array(kept)


@dataclass
class Texture:
    """An image for a flat surface, with smaller copies made when they are first wanted.

    Attributes:
        color: uint8 (H, W, 3) RGB.
        alpha: uint8 (H, W) coverage, or None for a solid surface.
        shape: uint8 (H, W), above 127 where the label holds; None where it holds all over.
        glow: uint8 (H, W, 3) light that it gives off at night, or None.
    """

    color: np.ndarray
    alpha: np.ndarray | None = None
    shape: np.ndarray | None = None
    glow: np.ndarray | None = None
    _smaller: dict[tuple[int, int], Texture] = field(default_factory=dict, repr=False)

    def shrunk(self, across: int, down: int) -> Texture:
        """A copy with the width halved `across` times and the height `down` times."""
        if across == 0 and down == 0:
            return self
        if (across, down) not in self._smaller:
            height, width = self.color.shape[:2]
            size = (max(1, width >> across), max(1, height >> down))

            def shrink(layer: np.ndarray) -> np.ndarray:
                return cv2.resize(layer, size, interpolation=cv2.INTER_AREA)

            self._smaller[across, down] = Texture(
                shrink(self.color),
                None if self.alpha is None else shrink(self.alpha),
                None if self.shape is None else shrink(self.shape),
                None if self.glow is None else shrink(self.glow),
            )
        return self._smaller[across, down]

    def fitted(self, width: float, height: float) -> Texture:
        """The smallest copy that still has a pixel for each of `width` x `height` pixels on the screen."""
        rows, cols = self.color.shape[:2]
        across = min(int(math.log2(max(cols / max(width, 1.0), 1.0))), 6)
        down = min(int(math.log2(max(rows / max(height, 1.0), 1.0))), 6)
        return self.shrunk(across, down)


class Canvas:
    """Picture, labels, depth and night glow of one frame.

    Attributes:
        camera: The view.
        image: uint8 (H, W, 3) RGB.
        tags: uint8 (H, W, 2): class id, depth code.
        glow: uint8 (H, W, 3) light given off by lamps, or None by day.
        pools: uint8 (H / 4, W / 4) light that street lamps throw on things, or None by day.
    """

    def __init__(self, camera: Camera, glowing: bool) -> None:
        shape = (camera.height, camera.width)
        self.camera = camera
        self.image = np.zeros((*shape, 3), np.uint8)
        self.tags = np.zeros((*shape, 2), np.uint8)
        self.tags[..., 1] = 255
        self.glow = np.zeros((*shape, 3), np.uint8) if glowing else None
        self.pools = np.zeros((shape[0] // 4, shape[1] // 4), np.uint8) if glowing else None

    # -- flat shapes, in pixels

    def fill(
        self, points: np.ndarray, color: Sequence[float], cls: int | None = None, depth: float = 0.0
    ) -> None:
        """Fill a polygon (N, 2) in pixels; with a class it also takes over the label and the depth."""
        corners = [_fixed(points)]
        cv2.fillPoly(self.image, corners, color, cv2.LINE_AA, _SHIFT)
        if cls is not None:
            self._tag(corners, cls, depth)

    def claim(self, points: np.ndarray, cls: int, depth: float) -> None:
        """Give a polygon (N, 2) in pixels a class without painting it."""
        self._tag([_fixed(points)], cls, depth)

    def shine(self, points: np.ndarray, color: Sequence[float]) -> None:
        """Let a polygon (N, 2) in pixels give off light."""
        if self.glow is not None:
            cv2.fillPoly(self.glow, [_fixed(points)], color, cv2.LINE_AA, _SHIFT)

    def lighten(self, points: np.ndarray, strength: int) -> None:
        """Let a street lamp shine on a polygon (N, 2) in pixels."""
        if self.pools is not None:
            cv2.fillPoly(self.pools, [_fixed(points * 0.25)], strength, cv2.LINE_8, _SHIFT)

    def stroke(self, points: np.ndarray, color: Sequence[float], thickness: float) -> None:
        """Draw a line through points (N, 2) in pixels; decoration only."""
        width = max(1, round(thickness))
        cv2.polylines(self.image, [_fixed(points)], False, color, width, cv2.LINE_AA, _SHIFT)

    def _tag(self, corners: list[np.ndarray], cls: int, depth: float) -> None:
        cv2.fillPoly(self.tags, corners, (cls, depth_code(depth)), cv2.LINE_8, _SHIFT)
        if self.glow is not None:
            cv2.fillPoly(self.glow, corners, (0, 0, 0), cv2.LINE_8, _SHIFT)

    # -- shapes in the world

    def outline(self, points: np.ndarray) -> tuple[np.ndarray, float] | None:
        """Pixels (M, 2) and mean depth of a world polygon (N, 3), or None where nothing of it is in view."""
        return self.outline_seen(self.camera.to_camera(points))

    def outline_seen(self, seen: np.ndarray) -> tuple[np.ndarray, float] | None:
        """`outline` of points that are in camera axes already."""
        seen = clip_near(seen)
        if len(seen) < 3:
            return None
        pixels = self.camera.to_pixels(seen)
        low_x, low_y = pixels.min(axis=0)
        high_x, high_y = pixels.max(axis=0)
        if high_x < 0 or high_y < 0 or low_x >= self.camera.width or low_y >= self.camera.height:
            return None
        return pixels, float(seen[:, 2].sum()) / len(seen)

    def face(self, points: np.ndarray, color: Sequence[float], cls: int | None = None) -> None:
        """Fill a world polygon (N, 3)."""
        found = self.outline(points)
        if found is not None:
            self.fill(found[0], color, cls, found[1])

    def darken(self, points: np.ndarray, factor: float) -> None:
        """Cast a shadow on a world polygon (N, 3): the picture is multiplied by `factor`."""
        found = self.outline(points)
        if found is None:
            return
        box = self._box(found[0])
        if box is None:
            return
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [_fixed(found[0] - (x0, y0))], 255, cv2.LINE_AA, _SHIFT)
        soft = max(1, (y1 - y0) // 6) | 1
        smooth = cv2.GaussianBlur(mask, (soft, soft), 0)
        keep = cv2.cvtColor(cv2.convertScaleAbs(smooth, alpha=factor - 1.0 + 1e-9), cv2.COLOR_GRAY2RGB)
        region = self.image[y0:y1, x0:x1]
        region[...] = cv2.multiply(region, 255 - keep, scale=1.0 / 255.0)

    def anchor(self, x: float, z: float, y: float = 0.0) -> tuple[float, float, float, float] | None:
        """Pixel column, pixel row, pixels a metre and depth of a world point; None behind the near plane."""
        seen = self.camera.to_camera(np.array([[x, y, z]]))
        if seen[0, 2] < NEAR:
            return None
        u, v = self.camera.to_pixels(seen)[0]
        return float(u), float(v), self.camera.focal / float(seen[0, 2]), float(seen[0, 2])

    def sheet(
        self, corners: np.ndarray, texture: Texture, gains: Sequence[float], cls: int, split: float = 7.0
    ) -> None:
        """Stretch a texture over a flat world quad.

        Args:
            corners: (4, 3): bottom start, bottom end, top end, top start.
            texture: What to show; its left edge lies at the start.
            gains: Factors for red, green and blue.
            cls: Class id.
            split: Longest piece in metres that is warped in one go, so that near and far parts each get a
                fitting copy of the texture.
        """
        seen = self.camera.to_camera(corners)
        first, last = _visible_range(seen)
        if last - first < 1e-3:
            return
        length = float(np.linalg.norm(corners[1] - corners[0])) * (last - first)
        near = min(seen[0, 2], seen[1, 2]) < 30.0
        pieces = max(1, int(np.ceil(length / split))) if near else 1
        cuts = np.linspace(first, last, pieces + 1)
        order = range(pieces) if seen[0, 2] > seen[1, 2] else range(pieces - 1, -1, -1)
        for i in order:
            a, b = cuts[i], cuts[i + 1]
            bottom, top = seen[1] - seen[0], seen[2] - seen[3]
            part = np.array(
                [seen[0] + a * bottom, seen[0] + b * bottom, seen[3] + b * top, seen[3] + a * top]
            )
            self._warp(part, texture, (a, b), gains, cls)

    def _warp(
        self, seen: np.ndarray, texture: Texture, span: tuple[float, float], gains: Sequence[float], cls: int
    ) -> None:
        pixels = self.camera.to_pixels(seen)
        box = self._box(pixels)
        if box is None:
            return
        x0, y0, x1, y1 = box
        extent = (pixels.max(axis=0) - pixels.min(axis=0)) * (1.0 / max(span[1] - span[0], 1e-3), 1.0)
        texture = texture.fitted(float(extent[0]), float(extent[1]))
        rows, cols = texture.color.shape[:2]
        source = np.array(
            [(span[0] * cols, rows), (span[1] * cols, rows), (span[1] * cols, 0), (span[0] * cols, 0)]
        )
        move = cv2.getPerspectiveTransform(
            (source - 0.5).astype(np.float32), (pixels - (x0, y0)).astype(np.float32)
        )
        size = (x1 - x0, y1 - y0)
        depth = float(seen[:, 2].mean())
        mask = np.zeros((size[1], size[0]), np.uint8)
        corners = [_fixed(pixels - (x0, y0))]
        cv2.fillPoly(mask, corners, 255, cv2.LINE_8, _SHIFT)

        def warped(layer: np.ndarray) -> np.ndarray:
            return cv2.warpPerspective(
                layer, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )

        color = _gained(warped(texture.color), gains)
        cover: np.ndarray = mask
        if texture.alpha is not None:
            cover = cv2.bitwise_and(warped(texture.alpha), mask)
        shape = mask if texture.shape is None else cv2.bitwise_and(_hard(warped(texture.shape)), mask)
        glow = None if texture.glow is None or self.glow is None else warped(texture.glow)
        self._put(box, color, cover, shape, glow, cls, depth)

    def sprite(
        self,
        texture: Texture,
        box: tuple[float, float, float, float],
        gains: Sequence[float],
        cls: int,
        depth: float,
    ) -> None:
        """Show an upright texture that faces the camera.

        Args:
            texture: What to show; it needs `alpha` and `shape`.
            box: Left, top, right, bottom in pixels; left beyond right mirrors the texture.
            gains: Factors for red, green and blue.
            cls: Class id.
            depth: Metres.
        """
        left, top, right, bottom = box
        region = self._box(np.array([(left, top), (right, bottom)]))
        if region is None or texture.alpha is None or texture.shape is None:
            return
        x0, y0, x1, y1 = region
        texture = texture.fitted(abs(right - left), bottom - top)
        rows, cols = texture.color.shape[:2]
        sx, sy = cols / (right - left), rows / (bottom - top)
        move = np.array([[sx, 0, (x0 + 0.5 - left) * sx - 0.5], [0, sy, (y0 + 0.5 - top) * sy - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        assert texture.alpha is not None and texture.shape is not None
        color, cover, shape = (
            cv2.warpAffine(layer, move, (x1 - x0, y1 - y0), flags=flags)
            for layer in (texture.color, texture.alpha, texture.shape)
        )
        self._put(region, _gained(color, gains), cover, _hard(shape), None, cls, depth)

    def _put(
        self,
        box: tuple[int, int, int, int],
        color: np.ndarray,
        cover: np.ndarray,
        shape: np.ndarray,
        glow: np.ndarray | None,
        cls: int,
        depth: float,
    ) -> None:
        x0, y0, x1, y1 = box
        region = self.image[y0:y1, x0:x1]
        if cover is shape:
            cv2.copyTo(color, cover, region)
        else:
            weight = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB)
            front = cv2.multiply(color, weight, scale=1.0 / 255.0)
            region[...] = cv2.add(front, cv2.multiply(region, 255 - weight, scale=1.0 / 255.0))
        tag = np.empty((*shape.shape, 2), np.uint8)
        tag[...] = (cls, depth_code(depth))
        cv2.copyTo(tag, shape, self.tags[y0:y1, x0:x1])
        if self.glow is not None:
            light = np.zeros_like(color) if glow is None else glow
            cv2.copyTo(light, shape, self.glow[y0:y1, x0:x1])

    def _box(self, pixels: np.ndarray) -> tuple[int, int, int, int] | None:
        low = np.floor(pixels.min(axis=0))
        high = np.ceil(pixels.max(axis=0)) + 1
        x0, y0 = max(0, int(max(low[0], -1))), max(0, int(max(low[1], -1)))
        x1, y1 = int(min(high[0], self.camera.width)), int(min(high[1], self.camera.height))
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points for cv2 with sub-pixel parts; far outside they are pulled in, where nothing of them shows."""
    return np.rint(np.minimum(np.maximum(points, -_LIMIT), _LIMIT) * (1 << _SHIFT)).astype(np.int32)


def _gained(color: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """Multiply red, green and blue of a picture by a factor each."""
    # cv2 wants four factors, whatever the number of channels.
    return cv2.multiply(color, np.array([*gains, 0.0]))


def _hard(mask: np.ndarray) -> np.ndarray:
    return cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1]


def _visible_range(seen: np.ndarray) -> tuple[float, float]:
    """The part 0..1, from start to end, of a quad (4, 3) in camera axes that is in front of the camera."""
    first, last = 0.0, 1.0
    for start, end in ((seen[0, 2], seen[1, 2]), (seen[3, 2], seen[2, 2])):
        if start < NEAR and end < NEAR:
            return 0.0, 0.0
        if start < NEAR:
            first = max(first, (NEAR - start) / (end - start))
        elif end < NEAR:
            last = min(last, (NEAR - start) / (end - start))
    return first, last
