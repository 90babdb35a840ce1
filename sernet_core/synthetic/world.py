"""A street without end: each block is drawn up from the town, the seed and its number alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sernet_core.synthetic.block import Block, draw_up
from sernet_core.synthetic.bodies import KIND_WEIGHTS, KINDS
from sernet_core.synthetic.canvas import Canvas
from sernet_core.synthetic.ground import BLOCK, Plan
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import generator
from sernet_core.synthetic.people import Person
from sernet_core.synthetic.towns import Town, town_of
from sernet_core.synthetic.vehicles import Vehicle

VIEW = 165.0
_MOVING = 120.0


@dataclass(frozen=True)
class Item:
    """Something to paint.

    Attributes:
        key: Depth by which things are painted, far ones first, in metres.
        draw: Paints it.
        shadow: Paints its shadow on the ground, or None.
    """

    key: float
    draw: Callable[[Canvas, Light], None]
    shadow: Callable[[Canvas, Light], None] | None = None


@dataclass
class World:
    """The street of one town and seed.

    Attributes:
        town: The town.
        seed: Which of its streets.
        bends: (amplitude, wave length, phase) of each bend.
        speed: Mean speed of the ego car, m/s.
        busy: Density of the traffic, 0.4 to 1.
    """

    town: Town
    seed: int
    bends: list[tuple[float, float, float]]
    speed: float
    busy: float
    _blocks: dict[int, Block] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, town_name: str, seed: int) -> World:
        """The street of a town's name and a seed."""
        rng = generator("world", town_name, seed)
        bends = [
            (float(rng.uniform(0.5, 4.0)), float(rng.uniform(190, 300)), float(rng.uniform(0, 6.3))),
            (float(rng.uniform(0.0, 1.2)), float(rng.uniform(90, 140)), float(rng.uniform(0, 6.3))),
        ]
        return cls(
            town_of(town_name), seed, bends, float(rng.uniform(6.0, 10.0)), float(rng.uniform(0.4, 1.0))
        )

    def middle(self, z: float) -> float:
        """x of the road's middle at z, metres."""
        return sum(a * math.sin(2 * math.pi * z / length + phase) for a, length, phase in self.bends)

    def slope(self, z: float) -> float:
        """Direction of the road at z, radians to the right."""
        return math.atan(self.middle(z + 0.5) - self.middle(z - 0.5))

    def lane_offset(self) -> float:
        """Where the ego car drives, metres to the right of the road's middle: the outer lane on the left."""
        return -(self.town.lanes - 0.5) * self.town.lane

    def progress(self, time: float) -> float:
        """z of the ego car after `time` seconds; it speeds up and slows down a little."""
        start = 64.0 * (self.seed % 977)
        return start + self.speed * (time + 1.2 * float(np.sin(0.35 * time + self.seed % 6)))

    def block(self, number: int) -> Block:
        """A block, drawn up when it is first wanted."""
        if number not in self._blocks:
            if len(self._blocks) > 64:
                self._blocks.clear()
            self._blocks[number] = draw_up(self.town, self.seed, number, self.middle)
        return self._blocks[number]

    def blocks_ahead(self, z: float) -> list[int]:
        """Numbers of the blocks in view from z."""
        first = int(np.floor((z - 12.0) / BLOCK))
        return list(range(first, int((z + VIEW) // BLOCK) + 1))

    def plan(self, z: float) -> Plan:
        """The ground in view from z."""
        numbers = self.blocks_ahead(z)
        blocks = [self.block(n) for n in numbers]
        town = self.town
        table = np.arange(z - 20.0, z + 420.0, 2.0)
        first = np.array([[b.sides[s].mouth for b in blocks] for s in (0, 1)], np.float32)
        return Plan(
            numbers[0], town.half_road, town.lane, town.lanes, town.parking,
            np.array([[b.sides[s].pavement for b in blocks] for s in (0, 1)], np.float32),
            np.array([[b.sides[s].verge for b in blocks] for s in (0, 1)], np.float32),
            np.array([[b.sides[s].beyond for b in blocks] for s in (0, 1)], np.uint8),
            first,
            np.array([b.crossing for b in blocks], np.float32),
            np.array([b.style for b in blocks], np.uint8),
            np.array([np.concatenate([b.sides[s].roofline for b in blocks]) for s in (0, 1)], np.float32),
            np.stack((table, [self.middle(place) for place in table.tolist()])),
        )  # fmt: skip

    def items(self, z: float, time: float, lamps: bool) -> list[Item]:
        """Everything that stands or moves in view from z, in no order.

        Args:
            z: Where the camera is.
            time: Seconds.
            lamps: Whether vehicles have their lamps on.
        """
        found: list[Item] = []
        for number in self.blocks_ahead(z):
            block = self.block(number)
            found += [Item(at + bias, thing.draw) for at, bias, thing in block.things if at > z - 8.0]
            for light in block.signals:
                post = light(time)
                found.append(Item(post.z, post.draw))
            people = [walk(time) for walk in block.walkers]
            found += [Item(p.z, p.draw, p.shadow) for p in people if p.z < z + 90.0]
            found += [Item(v.z, v.draw, v.shadow) for v in block.parked if v.z > z - 3.0]
        vehicles = self._leading(z, time, lamps) + self._oncoming(z, time, lamps)
        found += [Item(v.z, v.draw, v.shadow) for v in vehicles]
        found += [Item(p.z, p.draw, p.shadow) for p in self._cyclists(z, time)]
        return found

    def _vehicle(
        self, keys: tuple[int | str, ...], z: float, offset: float, oncoming: bool, lamps: bool
    ) -> Vehicle:
        rng = generator("vehicle", self.seed, *keys)
        kind = str(rng.choice(KINDS, p=KIND_WEIGHTS))
        heading = self.slope(z) + (np.pi if oncoming else 0.0)
        braking = bool(rng.uniform() < 0.35)
        x = self.middle(z) + offset + float(rng.uniform(-0.15, 0.15))
        return Vehicle(kind, x, z, heading, float(rng.uniform()), lamps or rng.uniform() < 0.12, braking)

    def _leading(self, z: float, time: float, lamps: bool) -> list[Vehicle]:
        """Vehicles ahead that go our way; their gaps breathe slowly."""
        rng = generator("leading", self.seed)
        found, ahead = [], float(rng.uniform(9.0, 42.0) / self.busy)
        for number in range(10):
            lane = int(rng.integers(self.town.lanes))
            place = z + ahead + 3.0 * float(np.sin(0.25 * time + rng.uniform(0, 6)))
            ahead += float(rng.uniform(9.0, 40.0) / self.busy)
            if place < z + _MOVING:
                found.append(
                    self._vehicle(("leading", number), place, -(lane + 0.5) * self.town.lane, False, lamps)
                )
        return found

    def _oncoming(self, z: float, time: float, lamps: bool) -> list[Vehicle]:
        """Vehicles that come towards us, an endless row in each lane."""
        found = []
        for lane in range(self.town.lanes):
            gap = (20.0 + 9.0 * lane) / self.busy
            moved = (7.5 + 1.5 * lane) * time
            first = int(np.ceil((z + 1.0 + moved) / gap))
            for number in range(first, int((z + _MOVING + moved) / gap) + 1):
                jitter = float(generator("oncoming", self.seed, lane, number).uniform(-0.3, 0.3))
                place = (number + jitter) * gap - moved
                if generator("gap", self.seed, lane, number).uniform() < 0.65:
                    offset = (lane + 0.5) * self.town.lane
                    found.append(self._vehicle(("oncoming", lane, number), place, offset, True, lamps))
        return found

    def _cyclists(self, z: float, time: float) -> list[Person]:
        """Cyclists along both edges of the road."""
        found = []
        edge = self.town.lanes * self.town.lane - 0.55
        for side, gap, pace in ((-1, 22.0, 4.4), (1, 34.0, -4.8)):
            moved = pace * time
            for number in range(int((z + 3.0 - moved) // gap), int((z + 80.0 - moved) // gap) + 1):
                rng = generator("cyclist", self.seed, side, number)
                place = (number + float(rng.uniform(0.1, 0.9))) * gap + moved
                key = int(rng.integers(1 << 30))
                if rng.uniform() < 0.6 and place > z + 3.0:
                    x = self.middle(place) + side * (edge + float(rng.uniform(-0.1, 0.2)))
                    heading = self.slope(place) + (0.0 if pace > 0 else np.pi)
                    found.append(Person(x, place, heading, 5.0 * time + key % 7, key, riding=True))
        return found
