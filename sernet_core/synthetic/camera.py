"""A pinhole camera on a moving car.

World axes: x to the right, y up, z along the road, in metres. Camera axes: x right, y up, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

NEAR = 0.4


@dataclass(frozen=True)
class Camera:
    """Where the camera is and how it looks.

    Attributes:
        width, height: Image size in pixels.
        focal: Focal length in pixels.
        x, y, z: Position in metres; y is the height above the road.
        yaw, pitch, roll: Angles in radians; positive yaw looks right, positive pitch looks up.
    """

    width: int
    height: int
    focal: float
    x: float
    y: float
    z: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @cached_property
    def rotation(self) -> np.ndarray:
        """float64 (3, 3): world direction to camera direction."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        return roll @ pitch @ yaw

    @property
    def centre(self) -> tuple[float, float]:
        """Principal point in pixels."""
        return (self.width - 1) / 2.0, (self.height - 1) / 2.0

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) in camera axes, float64 (N, 3)."""
        return (points - (self.x, self.y, self.z)) @ self.rotation.T

    def to_pixels(self, seen: np.ndarray) -> np.ndarray:
        """Pixel positions (N, 2) of points (N, 3) in camera axes, all of them in front of the camera."""
        cx, cy = self.centre
        scale = self.focal / seen[:, 2]
        pixels = np.empty((len(seen), 2))
        pixels[:, 0] = cx + seen[:, 0] * scale
        pixels[:, 1] = cy - seen[:, 1] * scale
        return pixels

    def depth_of(self, x: float, z: float) -> float:
        """Distance along the viewing axis of a point on the ground, in metres."""
        row = self.rotation[2]
        return float(row[0] * (x - self.x) - row[1] * self.y + row[2] * (z - self.z))

    def rays(self, top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """World directions through the pixels of rows `top` and below.

        Returns:
            x, y, z components, each float32 (height - top, width), scaled so that the component along
            the viewing axis is 1.
        """
        cx, cy = self.centre
        across = ((np.arange(self.width, dtype=np.float32) - cx) / self.focal)[None, :]
        up = ((cy - np.arange(top, self.height, dtype=np.float32)) / self.focal)[:, None]
        turn = self.rotation.astype(np.float32)
        x, y, z = (turn[0, i] * across + turn[1, i] * up + turn[2, i] for i in range(3))
        return x, y, z

    @property
    def horizon(self) -> float:
        """Row of the horizon in the middle of the image, in pixels."""
        return self.centre[1] + self.focal * float(np.tan(self.pitch))
