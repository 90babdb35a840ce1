"""One block of a street: what stands on its two sides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from sernet_core.synthetic.bodies import KIND_WEIGHTS, KINDS
from sernet_core.synthetic.buildings import House
from sernet_core.synthetic.canvas import Canvas
from sernet_core.synthetic.facades import FRONTS, front_of
from sernet_core.synthetic.furniture import Barrier, Post
from sernet_core.synthetic.ground import BLOCK, GRASS, PAVED, TARMAC
from sernet_core.synthetic.light import Light
from sernet_core.synthetic.noise import generator
from sernet_core.synthetic.people import Person
from sernet_core.synthetic.towns import Town
from sernet_core.synthetic.vegetation import BARE, BUSH, CONIFER, LEAFY, draw_tree
from sernet_core.synthetic.vehicles import Vehicle
from sernet_core.synthetic.walks import cross, stroll

Middle = Callable[[float], float]


class Thing(Protocol):
    """What can be painted."""

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""


@dataclass(frozen=True)
class Tree:
    """A tree; see `draw_tree`."""

    x: float
    z: float
    height: float
    kind: str
    variant: int
    look: float

    def draw(self, canvas: Canvas, light: Light) -> None:
        """Paint it."""
        draw_tree(canvas, light, self.x, self.z, self.height, self.kind, self.variant, self.look)


@dataclass
class Side:
    """One side of a block; see `ground.Plan` for the lengths."""

    pavement: float
    verge: float
    beyond: int
    mouth: float
    roofline: np.ndarray


@dataclass
class Block:
    """A block; things come with their z and a bias for the order of painting.

    Attributes:
        sides: Left and right.
        crossing: Place of a zebra crossing in metres, or -1.
        style: See `ground.Plan`.
        things: (z, bias, thing) that never move.
        parked: Vehicles that stand.
        walkers: Each gives a person at a time in seconds.
        signals: Each gives a traffic light at a time in seconds.
    """

    sides: tuple[Side, Side]
    crossing: float
    style: int
    things: list[tuple[float, float, Thing]] = field(default_factory=list)
    parked: list[Vehicle] = field(default_factory=list)
    walkers: list[Callable[[float], Person]] = field(default_factory=list)
    signals: list[Callable[[float], Post]] = field(default_factory=list)


def draw_up(town: Town, seed: int, number: int, middle: Middle) -> Block:
    """Draw up a block.

    Args:
        town: Its town.
        seed: Which street of the town.
        number: Which block; any integer.
        middle: x of the road's middle at z.
    """
    rng = generator("block", town.name, seed, number)
    style = int(rng.integers(0, 16))
    if rng.uniform() > 0.15:
        style &= ~8
    if rng.uniform() > 0.3:
        style &= ~4
    crossing = float(rng.uniform(16.0, 26.0)) if rng.uniform() < 0.18 else -1.0
    block = Block((_side(town, rng), _side(town, rng)), crossing, style)
    for index, side in ((0, -1), (1, 1)):
        _Builder(
            block, town, number, middle, index, side, generator("side", town.name, seed, number, side)
        ).build()
    return block


def _side(town: Town, rng: np.random.Generator) -> Side:
    mouth = float(rng.uniform(5.5, 9.0)) if rng.uniform() < town.junctions else 0.0
    verge = float(rng.uniform(0.8, 1.6)) if rng.uniform() < 0.25 * town.street_trees / 0.12 * 0.5 else 0.0
    return Side(town.pavement + verge, verge, PAVED, mouth, np.zeros(int(BLOCK), np.float32))


class _Builder:
    """Fills one side of a block."""

    def __init__(
        self,
        block: Block,
        town: Town,
        number: int,
        middle: Middle,
        index: int,
        side: int,
        rng: np.random.Generator,
    ) -> None:
        self.block, self.town, self.middle, self.side, self.rng = block, town, middle, side, rng
        self.plan = block.sides[index]
        self.start, self.end = number * BLOCK, (number + 1) * BLOCK
        self.first = self.start + self.plan.mouth
        self.curb = town.half_road
        self.edge = town.half_road + self.plan.pavement

    def x(self, off: float, z: float) -> float:
        """World x of a distance from the road's middle, on this side."""
        return self.middle(z) + self.side * off

    def put(self, z: float, thing: Thing, bias: float = 0.0) -> None:
        self.block.things.append((z, bias, thing))

    def build(self) -> None:
        kinds = list(self.town.blocks)
        weights = np.array([self.town.blocks[k] for k in kinds])
        kind = kinds[int(self.rng.choice(len(kinds), p=weights / weights.sum()))]
        getattr(self, "_" + kind)()
        self._pavement()
        self._junction()
        self._parking()
        self._walkers()

    # -- what lies behind the pavement

    def _terrace(self) -> None:
        z = self.first
        back = float(self.rng.choice((0.0, 0.0, 0.6)))
        while z < self.end - 0.5:
            z = self.house(z, min(self.end, self.end), self.edge + back, 0.0)

    def house(self, z: float, limit: float, off: float, gap: float) -> float:
        """Build a house at z and return where the next one may begin."""
        rng, town = self.rng, self.town
        number = int(rng.integers(FRONTS))
        front = front_of(town.name, number)
        width = min(front.width * float(rng.uniform(0.9, 1.1)), limit - z)
        if limit - z - width < 3.0:
            width = limit - z
        height = front.height * float(rng.uniform(0.95, 1.05))
        if width < 0.45 * front.width:
            height *= 0.8
        roof = float(rng.uniform(1.8, 3.6)) if rng.uniform() < town.roofs else 0.0
        far = z + width
        tone = rng.uniform(0.85, 1.12)
        gains = tuple(float(tone * g) for g in rng.uniform(0.95, 1.05, 3))
        house = House(
            town.name, number, self.x(off, z), z, self.x(off, far), far, self.side, height, roof,
            float(rng.uniform(7.0, 10.0)), float(rng.uniform()), gains,  # type: ignore[arg-type]
        )  # fmt: skip
        self.put(far, house, 1.0 + off - self.edge)
        span = slice(int(z - self.start), int(np.ceil(far - self.start)))
        self.plan.roofline[span] = height * (1.0 if off < self.edge + 2.0 else 0.4)
        if front.shop and rng.uniform() < 0.8:
            at = z + float(rng.uniform(0.5, max(0.6, width - 0.5)))
            self.put(
                at,
                Post(
                    "shop",
                    self.x(off, at),
                    at,
                    self.side,
                    float(rng.uniform(2.6, 4.0)),
                    int(rng.integers(1 << 30)),
                ),
            )
        return far + gap

    def _houses(self) -> None:
        self.plan.beyond = GRASS if self.rng.uniform() < 0.7 else PAVED
        self.barrier(("hedge", "wall", "boards", "railing"), (0.35, 0.25, 0.2, 0.2), (0.8, 1.7))
        back = float(self.rng.uniform(4.0, 8.0))
        z = self.first + float(self.rng.uniform(0.0, 3.0))
        while z < self.end - 6.0:
            z = self.house(z, self.end, self.edge + back, float(self.rng.uniform(1.5, 4.0)))
        for _ in range(int(self.rng.poisson(1.8))):
            self.tree(self.edge + float(self.rng.uniform(1.0, back)), 4.0, 9.0, 8.0, True)

    def _park(self) -> None:
        self.plan.beyond = GRASS
        self.plan.roofline[:] = float(self.rng.uniform(0.0, 4.0))
        self.barrier(("railing", "hedge", "wall", "mesh"), (0.5, 0.15, 0.2, 0.15), (1.0, 1.9))
        for _ in range(int(self.rng.integers(3, 8))):
            self.tree(self.edge + float(self.rng.uniform(1.5, 9.0)), 7.0, 15.0, 9.0, True)
        for _ in range(int(self.rng.integers(3, 6))):
            self.tree(self.edge + float(self.rng.uniform(10.0, 26.0)), 7.0, 13.0, 24.0, False)

    def _carpark(self) -> None:
        self.plan.beyond = TARMAC
        self.barrier(("railing", "mesh", "wall", "boards"), (0.45, 0.2, 0.2, 0.15), (0.7, 1.2))
        for row in (3.0, 9.0, 16.0):
            z = self.first + 2.0
            while z < self.end - 1.0:
                if self.rng.uniform() < 0.65:
                    heading = float(self.side * np.pi / 2 * self.rng.choice((-1, 1)))
                    self.vehicle(self.edge + row + 1.5, z, heading, 5, row + 6.0)
                z += 2.7
        self.house(self.start, self.end, self.edge + 26.0, 0.0)
        for _ in range(int(self.rng.integers(1, 5))):
            self.tree(self.edge + float(self.rng.uniform(2.0, 22.0)), 6.0, 11.0, 14.0, True)

    def _works(self) -> None:
        self.barrier(("hoarding", "mesh", "boards"), (0.5, 0.3, 0.2), (1.9, 2.4))
        if self.rng.uniform() < 0.6:
            self.house(self.first + 3.0, self.end - 2.0, self.edge + 3.0, 0.0)
        for _ in range(int(self.rng.integers(0, 3))):
            self.tree(self.edge + float(self.rng.uniform(3.0, 9.0)), 6.0, 12.0, 9.0, True)

    def barrier(
        self,
        kinds: tuple[str, ...],
        weights: tuple[float, ...],
        heights: tuple[float, float],
        off: float | None = None,
        end: float | None = None,
    ) -> None:
        """Put up a fence of one of these kinds, behind the pavement and all along unless told otherwise."""
        kind = str(self.rng.choice(kinds, p=np.array(weights) / sum(weights)))
        height, look = float(self.rng.uniform(*heights)), int(self.rng.integers(12))
        off, end = self.edge if off is None else off, self.end if end is None else end
        start = self.first if off >= self.edge else self.first + 3.5
        for a in np.arange(start, end - 0.1, 4.0):
            b = min(a + 4.0, end)
            self.put(b, Barrier(kind, self.x(off, a), a, self.x(off, b), b, self.side, height, look), 0.3)

    def tree(self, off: float, low: float, high: float, bias: float, bushes: bool) -> None:
        rng = self.rng
        z = float(rng.uniform(self.first + 1.0, self.end))
        kind, height = BARE, float(rng.uniform(low, high))
        if rng.uniform() < self.town.leafy:
            kind = CONIFER if rng.uniform() < 0.25 else LEAFY
        elif bushes and rng.uniform() < 0.25:
            kind, height = BUSH, float(rng.uniform(1.2, 3.0))
        tree = Tree(self.x(off, z), z, height, kind, int(rng.integers(1 << 20)), float(rng.uniform()))
        self.put(z, tree, bias)

    # -- what stands on the pavement and the road

    def post(self, kind: str, off: float, z: float, height: float) -> None:
        self.put(z, Post(kind, self.x(off, z), z, self.side, height, int(self.rng.integers(1 << 30))))

    def _pavement(self) -> None:
        rng, near = self.rng, self.curb + 0.45
        self.post("lamp", near, self.start + (11.0 if self.side < 0 else 25.0), float(rng.uniform(5.5, 9.0)))
        for kind, rate, low, high in (
            ("sign", 1.0, 2.1, 3.0), ("plain", 0.5, 2.5, 6.0), ("board", 0.35, 1.8, 3.4), ("bin", 0.4, 0.9,
            1.3),
        ):  # fmt: skip
            for _ in range(int(rng.poisson(rate))):
                off = near if kind != "board" else self.edge - 0.4
                self.post(
                    kind, off, float(rng.uniform(self.first + 1.0, self.end)), float(rng.uniform(low, high))
                )
        if rng.uniform() < 0.3:
            z = float(rng.uniform(self.first, self.end - 8.0))
            for i in range(int(rng.integers(3, 8))):
                self.post("bollard", near - 0.1, z + 1.6 * i, 1.0)
        for _ in range(int(rng.poisson(self.town.street_trees * BLOCK / 10.0))):
            tree_z = float(rng.uniform(self.first + 3.0, self.end))
            kind = LEAFY if rng.uniform() < self.town.leafy else BARE
            off = self.curb + 0.9
            tree = Tree(
                self.x(off, tree_z),
                tree_z,
                float(rng.uniform(5, 10)),
                kind,
                int(rng.integers(1 << 20)),
                float(rng.uniform()),
            )
            self.put(tree_z, tree)

    def _junction(self) -> None:
        if self.plan.mouth == 0.0:
            return
        rng = self.rng
        if rng.uniform() < 0.55:
            phase, off = float(rng.uniform()), self.curb + 0.5
            for z in (self.start - 1.5, self.first + 1.0):
                height, key = float(rng.uniform(2.9, 3.6)), int(rng.integers(1 << 30))
                post = Post("lights", self.x(off, z), z, self.side, height, key)
                self.block.signals.append(_signal(post, phase))
        if rng.uniform() < 0.45:
            self.barrier(("railing",), (1.0,), (0.95, 1.1), self.curb + 0.25, self.first + 12.0)
        if rng.uniform() < 0.6:
            z = self.start + self.plan.mouth * 0.3
            self.vehicle(self.curb + float(rng.uniform(3.5, 6.0)), z, -self.side * np.pi / 2, 7, 0.0)

    def _parking(self) -> None:
        if self.town.parking <= 0:
            return
        z = self.first + 5.0
        while z < self.end - 1.0:
            clear = self.block.crossing < 0 or abs(z - self.start - self.block.crossing) > 5.0
            if clear and self.rng.uniform() < self.town.parked:
                turned = np.pi if (self.rng.uniform() < 0.15) != (self.side > 0) else 0.0
                self.vehicle(self.curb - 1.0, z, turned, 5, 0.0)
            z += float(self.rng.uniform(5.2, 6.2))

    def vehicle(self, off: float, z: float, turn: float, kinds: int, bias: float) -> None:
        """Park a vehicle of one of the first `kinds` kinds."""
        weights = np.array(KIND_WEIGHTS[:kinds])
        kind = str(self.rng.choice(KINDS[:kinds], p=weights / weights.sum()))
        slope = math.atan(self.middle(z + 0.5) - self.middle(z - 0.5))
        vehicle = Vehicle(
            kind, self.x(off, z), z, slope + turn + float(self.rng.normal(0, 0.02)), float(self.rng.uniform())
        )
        if bias:
            self.put(z, vehicle, bias)
        else:
            self.block.parked.append(vehicle)

    def _walkers(self) -> None:
        rng = self.rng
        for _ in range(int(rng.poisson(self.town.people * BLOCK / 10.0))):
            off = float(rng.uniform(self.curb + self.plan.verge + 0.4, self.edge - 0.4))
            home, reach = float(rng.uniform(self.first, self.end)), float(rng.uniform(6.0, 20.0))
            pace, phase, key = (
                float(rng.uniform(1.0, 1.6)),
                float(rng.uniform(0, 2)),
                int(rng.integers(1 << 30)),
            )
            standing = bool(rng.uniform() < 0.2)
            self.block.walkers.append(stroll(self.x, off, home, reach, pace, phase, key, standing))
            if rng.uniform() < 0.3:
                near = off + (0.55 if off + 0.9 < self.edge else -0.55)
                self.block.walkers.append(
                    stroll(self.x, near, home + 0.2, reach, pace, phase, key + 1, standing)
                )
        crossing = self.block.crossing
        if self.side < 0 and (crossing >= 0 or rng.uniform() < 0.25):
            z = self.start + (crossing if crossing >= 0 else float(rng.uniform(10, 28)))
            for i in range(int(rng.integers(1, 4))):
                key, phase = int(rng.integers(1 << 30)), float(rng.uniform(0, 2))
                self.block.walkers.append(cross(self.middle(z), self.curb + 1.0, z + 0.7 * i, phase, key))


def _signal(post: Post, phase: float) -> Callable[[float], Post]:
    def at(time: float) -> Post:
        return replace(post, green=(time / 24.0 + phase) % 1.0)

    return at
