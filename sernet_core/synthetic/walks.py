"""How people on foot move: positions as functions of time, so that any moment can be asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sernet_core.synthetic.people import Person


def _triangle(place: float) -> tuple[float, float]:
    """A to-and-fro between 0 and 1 with period 2, and the direction at that moment."""
    place %= 2.0
    return (place, 1.0) if place < 1.0 else (2.0 - place, -1.0)


def stroll(
    x: Callable[[float, float], float],
    off: float,
    home: float,
    reach: float,
    pace: float,
    phase: float,
    key: int,
    standing: bool,
) -> Callable[[float], Person]:
    """Someone who walks to and fro along the pavement, or stands there.

    Args:
        x: World x of a distance from the road's middle, at a z.
        off: Distance from the road's middle in metres.
        home: z about which the walk goes.
        reach: Length of the walk in metres.
        pace: Metres a second.
        phase: Where in the walk it begins, 0..2.
        key: Picks the looks.
        standing: Whether standing still.
    """

    def at(time: float) -> Person:
        place, way = _triangle(phase + (0.0 if standing else pace * time / reach))
        z = home + reach * (place - 0.5)
        heading = (key % 628) / 100.0 if standing else (0.0 if way > 0 else np.pi)
        return Person(x(off, z), z, heading, 4.6 * pace * time + key % 7, key, standing=standing)

    return at


def cross(middle: float, half: float, z: float, phase: float, key: int) -> Callable[[float], Person]:
    """Someone who crosses the road to and fro, `half` metres to each side of its middle."""

    def at(time: float) -> Person:
        place, way = _triangle(phase + 1.3 * time / (2 * half))
        return Person(middle + half * (2 * place - 1), z, way * np.pi / 2, 6.0 * time + key % 7, key)

    return at
