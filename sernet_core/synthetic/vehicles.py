"""Cars, vans, lorries and buses: a side profile drawn out to the width of the vehicle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sernet_core.synthetic.bodies import BODIES
from sernet_core.synthetic.canvas import CAR, Canvas, Color, tinted
from sernet_core.synthetic.light import Light

PAINTS: tuple[Color, ...] = (
    (150, 152, 156), (172, 174, 176), (28, 29, 32), (40, 44, 56), (62, 66, 72), (206, 206, 204), (20, 34, 70),
    (120, 20, 24), (90, 96, 104), (30, 60, 50), (26, 27, 30), (110, 124, 140), (140, 30, 26), (104, 92, 70),
)  # fmt: skip
_BUS: tuple[Color, ...] = ((150, 26, 28), (196, 190, 170), (30, 70, 130), (40, 100, 80))
_CIRCLE = np.stack([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 15)[:-1]])


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on the ground.

    Attributes:
        kind: Key of `BODIES`.
        x, z: Its middle on the ground, in metres.
        heading: Angle of its nose: 0 looks along the road, as the ego car does; radians, positive to
            the right.
        paint: 0..1, picks the colour.
        lamps: Whether its lamps are on.
        braking: Whether its brake lights are on.
    """

    kind: str
    x: float
    z: float
    heading: float
    paint: float
    lamps: bool = False
    braking: bool = False

    @property
    def color(self) -> Color:
        """Its paint."""
        paints = _BUS if self.kind == "bus" else PAINTS[:6] if self.kind in ("van", "lorry") else PAINTS
        return paints[min(int(self.paint * len(paints)), len(paints) - 1)]

    def shadow(self, canvas: Canvas, light: Light) -> None:
        """Darken the road below it."""
        if canvas.camera.depth_of(self.x, self.z) > 60.0:
            return
        body = BODIES[self.kind]
        length, half = body.length / 2 + 0.15, body.width / 2 + 0.12
        offset = (-0.5 * light.sun[0], -0.5 * light.sun[2]) if light.direct > 0.2 else (0.0, 0.0)
        corners = [(-length, -half), (length, -half), (length, half), (-length, half)]
        points = self.place(np.array([(a, 0.0, c) for a, c in corners]))
        canvas.darken(points, 0.38)
        if light.direct > 0.2:
            canvas.darken(points + np.array((offset[0], 0.0, offset[1])), 0.5)

    def place(self, local: np.ndarray) -> np.ndarray:
        """World positions (N, 3) of (along from the middle, up, to the right)."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        x = self.x + local[:, 0] * s + local[:, 2] * c
        z = self.z + local[:, 0] * c - local[:, 2] * s
        placed = np.empty_like(local)
        placed[:, 0], placed[:, 1], placed[:, 2] = x, local[:, 1], z
        return placed

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        reach = 0.6 * BODIES[self.kind].length + 1.0
        seen = canvas.camera.to_camera(np.array([(self.x, 1.0, self.z)]))[0]
        # Half the picture's width at that distance, and the vehicle's own size on top.
        wide = 0.5 * canvas.camera.width / canvas.camera.focal * max(seen[2] + reach, 0.0) + 1.2 * reach
        if seen[2] > -reach and abs(seen[0]) < wide:
            _Drawing(self, canvas, light).draw()


class _Drawing:
    """One vehicle while it is being painted; local axes: along from the middle, up, to the right."""

    def __init__(self, vehicle: Vehicle, canvas: Canvas, light: Light) -> None:
        self.vehicle, self.canvas, self.light = vehicle, canvas, light
        self.body = BODIES[vehicle.kind]
        camera = canvas.camera
        c, s = np.cos(vehicle.heading), np.sin(vehicle.heading)
        dx, dz = camera.x - vehicle.x, camera.z - vehicle.z
        self.eye = (dx * s + dz * c, camera.y, dx * c - dz * s)
        self.middle = self.body.length / 2
        self.top = max(p[1] for p in self.body.profile)
        self.distance = float(np.hypot(dx, dz))
        self.faces: list[tuple[list[tuple[float, float, float]], Color, bool, bool]] = []

    def half(self, along: float, up: float) -> float:
        """Half the width at a height; tail and nose are rounded a little in plan."""
        body = self.body
        share = min(max((up - body.belt) / max(self.top - body.belt, 1e-3), 0.0), 1.0)
        end = min(along, body.length - along)
        taper = 0.93 if end < 0.06 else 0.97 if end < 0.2 else 1.0
        return 0.5 * body.width * (1.0 - (1.0 - body.lean) * float(share)) * taper

    def face(
        self, local: list[tuple[float, float, float]], color: Color, tag: bool = True, lamp: bool = False
    ) -> None:
        """Note a face; all of them are projected in one go at the end."""
        self.faces.append((local, color, tag, lamp))

    def lit(self, normal: tuple[float, float, float]) -> float:
        """Brightness for a normal in local axes."""
        c, s = np.cos(self.vehicle.heading), np.sin(self.vehicle.heading)
        world = (normal[0] * s + normal[2] * c, normal[1], normal[0] * c - normal[2] * s)
        return self.light.shade(world)

    def draw(self) -> None:
        self.underside()
        profile = self.body.profile
        sections = [i for i in range(len(profile) - 1) if self._sees(profile[i], profile[i + 1])]
        sections.sort(key=lambda i: -abs((profile[i][0] + profile[i + 1][0]) / 2 - self.middle - self.eye[0]))
        for i in sections:
            self.strip(profile[i], profile[i + 1], i in self.body.glass)
        side = 1.0 if self.eye[2] > 0 else -1.0
        if abs(self.eye[2]) > 0.5 * self.body.width * self.body.lean:
            self.flank(side)
        self.ends()
        self._paint()

    def _paint(self) -> None:
        canvas = self.canvas
        seen = canvas.camera.to_camera(
            self.vehicle.place(np.array([p for face in self.faces for p in face[0]]))
        )
        start = 0
        for local, color, tag, lamp in self.faces:
            found = canvas.outline_seen(seen[start : start + len(local)])
            start += len(local)
            if found is not None:
                canvas.fill(found[0], color, CAR if tag else None, found[1])
                if lamp:
                    canvas.shine(found[0], color)

    def _sees(self, a: tuple[float, float], b: tuple[float, float]) -> bool:
        eye = (self.eye[0] + self.middle - a[0], self.eye[1] - a[1])
        return (b[0] - a[0]) * eye[1] - (b[1] - a[1]) * eye[0] > 0

    def underside(self) -> None:
        """Darkness below the body, and tyres seen from the end."""
        half, tyre = 0.5 * self.body.width - 0.04, 0.2 if self.body.wheel < 0.4 else 0.3
        low, end = self.body.profile[0][1] + 0.1, 0.25
        at = -self.middle + end if self.eye[0] < 0 else self.middle - end
        self.face([(at, 0.12, -half), (at, 0.12, half), (at, low, half), (at, low, -half)], (9, 9, 10))
        for inner, outer in ((-half, tyre - half), (half - tyre, half)):
            self.face([(at, 0.0, inner), (at, 0.0, outer), (at, low, outer), (at, low, inner)], (16, 16, 17))

    def strip(self, a: tuple[float, float], b: tuple[float, float], glass: bool) -> None:
        """A section of the profile across the whole width."""
        ha, hb = self.half(*a), self.half(*b)
        x0, x1 = a[0] - self.middle, b[0] - self.middle
        quad = [(x0, a[1], -ha), (x0, a[1], ha), (x1, b[1], hb), (x1, b[1], -hb)]
        along, up = b[0] - a[0], b[1] - a[1]
        norm = max(float(np.hypot(along, up)), 1e-6)
        shade = self.lit((-up / norm, along / norm, 0.0))
        if a[1] <= 0.45 and b[1] <= 0.85:
            shade *= 0.8
        self.face(quad, tinted(self.vehicle.color, shade * (1.12 if along > abs(up) else 0.95)))
        if not glass or self.distance > 75:
            return
        inset = [(0.08, 0.06), (0.08, 0.94), (0.9, 0.93), (0.9, 0.07)]
        self.face([_mix(quad, t, w) for t, w in inset], self._glass(1.0), False)
        lower = [(0.08, 0.06), (0.08, 0.94), (0.55, 0.93), (0.5, 0.07)]
        self.face([_mix(quad, t, w) for t, w in lower], self._glass(0.6), False)

    def _glass(self, factor: float) -> Color:
        """Windows reflect a little of the sky."""
        return tinted((58, 64, 70), (0.5 + 0.5 * self.light.ambient) * factor)

    def flank(self, side: float) -> None:
        """The side that the camera sees, with windows and wheels."""

        def at(points: tuple[tuple[float, float], ...], out: float = 0.0) -> list[tuple[float, float, float]]:
            return [(x - self.middle, y, side * (self.half(x, y) + out)) for x, y in points]

        shade = self.lit((0.0, 0.0, side))
        color = self.vehicle.color
        body = self.body
        self.face(at(body.profile), tinted(color, shade))
        if self.distance < 80:
            low = (
                (0.05, body.profile[0][1]),
                (0.02, 0.62),
                (body.length - 0.05, 0.62),
                (body.length - 0.05, body.profile[0][1]),
            )
            if self.vehicle.kind not in ("bus", "lorry"):
                self.face(at(low), tinted(color, 0.82 * shade), False)
            for window in body.windows:
                self.face(at(window, 0.005), self._glass(0.8), False)
        rings = (
            (body.wheel + 0.05, (10, 10, 11)),
            (body.wheel, (22, 22, 23)),
            (0.62 * body.wheel, (104, 106, 110)),
        )
        for axle in body.wheels:
            for radius, tone in rings if self.distance < 35 else rings[1:2]:
                ring = [
                    (axle - self.middle + radius * c, body.wheel + radius * s, side * (body.width / 2 + 0.01))
                    for c, s in _CIRCLE
                ]
                if radius > body.wheel:
                    ring = [(x, max(y, body.wheel - 0.1), z) for x, y, z in ring]
                self.face(ring, tinted(tone, 0.5 + 0.5 * shade), radius <= body.wheel)

    def ends(self) -> None:
        """Lamps, number plate, grille or bumper at the end that the camera sees."""
        if self.distance > 55:
            return
        if self.eye[0] < -self.middle:
            self._end(-self.middle - 0.01, (150, 16, 18), (228, 190, 40), (255, 40, 30))
        elif self.eye[0] > self.middle:
            self._end(self.middle + 0.01, (206, 208, 206), (222, 222, 216), (255, 250, 225))

    def _end(self, along: float, lamp: Color, plate: Color, light: Color) -> None:
        half, shade = 0.5 * self.body.width, self.lit((float(np.sign(along)), 0.0, 0.0))
        big = self.vehicle.kind in ("bus", "lorry", "van")
        level = 0.75 if big else 0.72
        tall = 0.3 if along < 0 else 0.16
        front = along > 0

        def box(z0: float, z1: float, y0: float, y1: float) -> list[tuple[float, float, float]]:
            return [(along, y0, z0), (along, y0, z1), (along, y1, z1), (along, y1, z0)]

        low = self.body.profile[0][1]
        self.face(
            box(-half + 0.04, half - 0.04, low, low + 0.2), tinted(self.vehicle.color, 0.6 * shade), False
        )
        if front:
            self.face(box(-0.5 * half, 0.5 * half, 0.55, 0.72), (18, 18, 20), False)
        self.face(
            box(-0.26, 0.26, 0.42, 0.53) if front else box(-0.26, 0.26, 0.56, 0.67),
            tinted(plate, shade),
            False,
        )
        on = self.vehicle.lamps or (self.vehicle.braking and not front)
        for z0, z1 in ((-half + 0.05, -half + 0.32), (half - 0.32, half - 0.05)):
            quad = box(z0, z1, level - 0.06, level - 0.06 + tall)
            self.face(quad, light if on else tinted(lamp, 0.4 + 0.6 * shade), False, lamp=on)


def _mix(quad: list[tuple[float, float, float]], t: float, w: float) -> tuple[float, float, float]:
    """A point on a quad: t from the first edge to the opposite one, w from left to right."""
    shares = ((1 - t) * (1 - w), (1 - t) * w, t * w, t * (1 - w))
    x, y, z = (sum(share * corner[i] for share, corner in zip(shares, quad, strict=True)) for i in range(3))
    return x, y, z
