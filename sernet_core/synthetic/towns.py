"""The towns: how wide their roads are, what stands along them, and in which colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sernet_core.errors import ConfigError, unknown_name

Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Town:
    """The character of a town.

    Attributes:
        name: Its name.
        lanes: Lanes in each direction.
        lane: Lane width in metres.
        parking: Width of the strip for parked cars on each side in metres; 0 for none.
        pavement: Width of the pavements in metres.
        storeys: Lowest and highest number of storeys.
        blocks: Weight of each kind of block: terrace, houses, park, carpark, works.
        walls: Wall colours.
        style: Architecture: "brick", "stone", "render" or "modern".
        roofs: Share of pitched roofs.
        shops: Share of terrace buildings with a shop on the ground floor.
        street_trees: Trees on the pavement, per 10 m and side.
        leafy: Share of trees with leaves; the others are bare, as in winter.
        people: Pedestrians per 10 m and side.
        parked: Share of the parking places that are taken.
        junctions: Share of blocks that begin with a side road.
    """

    name: str
    lanes: int
    lane: float
    parking: float
    pavement: float
    storeys: tuple[int, int]
    blocks: Mapping[str, float]
    walls: Palette
    style: str
    roofs: float
    shops: float
    street_trees: float
    leafy: float
    people: float
    parked: float
    junctions: float

    @property
    def half_road(self) -> float:
        """From the middle of the road to the curb, in metres."""
        return self.lanes * self.lane + self.parking


_TOWNS = (
    Town(
        "brickford", 1, 3.2, 2.0, 2.2, (2, 4),
        {"terrace": 7, "houses": 2, "park": 1, "carpark": 0.5, "works": 0.5},
        ((132, 92, 76), (150, 112, 84), (172, 148, 112), (118, 84, 74), (188, 176, 156), (104, 78, 70)),
        "brick", 0.8, 0.45, 0.08, 0.15, 0.9, 0.6, 0.35,
    ),
    Town(
        "stonebridge", 1, 3.4, 0.0, 2.8, (2, 5),
        {"terrace": 5, "houses": 1, "park": 3, "carpark": 0.3, "works": 0.5},
        ((150, 142, 124), (126, 118, 104), (170, 160, 136), (108, 104, 98), (190, 182, 164)),
        "stone", 0.7, 0.4, 0.12, 0.1, 1.3, 0.3, 0.4,
    ),
    Town(
        "limewood", 1, 3.4, 1.9, 2.6, (2, 2),
        {"terrace": 1, "houses": 7, "park": 3, "carpark": 0.5, "works": 0.3},
        ((160, 110, 86), (196, 186, 166), (180, 140, 108), (206, 200, 186), (140, 98, 80)),
        "render", 1.0, 0.1, 0.25, 0.5, 0.4, 0.5, 0.3,
    ),
    Town(
        "harbourside", 2, 3.3, 0.0, 3.6, (3, 8),
        {"terrace": 5, "houses": 0.5, "park": 2, "carpark": 3, "works": 1.5},
        ((168, 170, 172), (128, 136, 146), (186, 180, 170), (110, 104, 100), (150, 122, 104)),
        "modern", 0.1, 0.4, 0.12, 0.2, 0.8, 0.2, 0.45,
    ),
    Town(
        "marketcross", 1, 3.1, 1.9, 3.2, (2, 4),
        {"terrace": 9, "houses": 0.7, "park": 0.8, "carpark": 0.4, "works": 0.4},
        ((204, 196, 180), (166, 126, 98), (180, 164, 134), (140, 104, 86), (214, 208, 196), (120, 112, 104)),
        "render", 0.75, 0.8, 0.06, 0.15, 2.0, 0.55, 0.4,
    ),
    Town(
        "whitmere", 1, 3.3, 2.0, 2.6, (2, 4),
        {"terrace": 4, "houses": 3, "park": 2, "carpark": 0.8, "works": 0.7},
        ((208, 200, 182), (156, 116, 92), (184, 168, 146), (142, 134, 122), (198, 178, 148)),
        "brick", 0.75, 0.45, 0.12, 0.25, 0.9, 0.5, 0.35,
    ),
)  # fmt: skip

TOWNS: tuple[str, ...] = tuple(town.name for town in _TOWNS)
HELD_OUT_TOWN = "whitmere"
TRAINING_TOWNS: tuple[str, ...] = tuple(name for name in TOWNS if name != HELD_OUT_TOWN)


def town_of(name: str) -> Town:
    """The town of a name.

    Raises:
        ConfigError: There is no such town; the message lists those that exist.
    """
    for town in _TOWNS:
        if town.name == name:
            return town
    raise ConfigError(unknown_name("town", name, TOWNS))
