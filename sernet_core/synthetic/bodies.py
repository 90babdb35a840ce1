"""The shapes of cars, vans, lorries and buses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Body:
    """Shape of a kind of vehicle in metres.

    Profiles run from the tail's foot over the roof to the nose's foot.

    Attributes:
        profile: Points (along, up), along counts from the tail.
        glass: Numbers of the profile's sections that are windows.
        windows: Side windows, each a polygon of (along, up).
        belt: Height above which the sides lean inwards.
        width: Overall width.
        wheels: Positions of the axles.
        wheel: Wheel radius.
        lean: Width at the roof as a share of the whole.
    """

    profile: tuple[tuple[float, float], ...]
    glass: tuple[int, ...]
    windows: tuple[tuple[tuple[float, float], ...], ...]
    belt: float
    width: float
    wheels: tuple[float, ...]
    wheel: float
    lean: float

    @property
    def length(self) -> float:
        """Metres from tail to nose."""
        return self.profile[-1][0]


def _pane(along: float) -> tuple[tuple[float, float], ...]:
    """A window in the side of a bus."""
    return (along, 1.35), (along, 2.4), (along + 1.25, 2.4), (along + 1.25, 1.35)


BODIES: dict[str, Body] = {
    "hatchback": Body(
        profile=(
            (0.05, 0.28), (0, 0.62), (0.08, 0.95), (0.5, 1.4), (0.95, 1.47), (2.1, 1.45),
            (2.9, 0.98), (3.7, 0.82), (3.88, 0.6), (3.85, 0.28),
        ),
        glass=(2, 5),
        windows=(
            ((0.5, 0.98), (0.8, 1.36), (1.45, 1.39), (1.45, 0.96)),
            ((1.52, 0.96), (1.52, 1.39), (2.08, 1.37), (2.72, 0.97)),
        ),
        belt=0.95, width=1.68, wheels=(0.68, 3.1), wheel=0.3, lean=0.78,
    ),
    "saloon": Body(
        profile=(
            (0.05, 0.28), (0, 0.66), (0.08, 0.96), (0.75, 1), (1.35, 1.4), (1.8, 1.44),
            (2.6, 1.42), (3.3, 0.98), (4.3, 0.8), (4.48, 0.6), (4.45, 0.28),
        ),
        glass=(3, 6),
        windows=(
            ((1.2, 0.99), (1.5, 1.34), (2.05, 1.37), (2.05, 0.96)),
            ((2.12, 0.96), (2.12, 1.37), (2.6, 1.35), (3.12, 0.97)),
        ),
        belt=0.97, width=1.74, wheels=(0.85, 3.55), wheel=0.31, lean=0.76,
    ),
    "estate": Body(
        profile=(
            (0.05, 0.28), (0, 0.66), (0.06, 0.98), (0.35, 1.42), (0.6, 1.48), (2.6, 1.46),
            (3.35, 0.98), (4.3, 0.82), (4.5, 0.62), (4.47, 0.28),
        ),
        glass=(2, 5),
        windows=(
            ((0.35, 1), (0.55, 1.38), (1.2, 1.4), (1.2, 0.98)),
            ((1.27, 0.98), (1.27, 1.4), (2, 1.4), (2, 0.97)),
            ((2.07, 0.97), (2.07, 1.4), (2.58, 1.38), (3.18, 0.97)),
        ),
        belt=0.97, width=1.74, wheels=(0.85, 3.6), wheel=0.31, lean=0.8,
    ),
    "tall": Body(
        profile=(
            (0.05, 0.34), (0, 0.75), (0.06, 1.08), (0.3, 1.65), (0.6, 1.72), (2.5, 1.7),
            (3.3, 1.12), (4.15, 0.98), (4.35, 0.7), (4.32, 0.34),
        ),
        glass=(2, 5),
        windows=(
            ((0.38, 1.12), (0.55, 1.6), (1.25, 1.63), (1.25, 1.1)),
            ((1.32, 1.1), (1.32, 1.63), (1.95, 1.63), (1.95, 1.1)),
            ((2.02, 1.1), (2.02, 1.63), (2.48, 1.61), (3.12, 1.1)),
        ),
        belt=1.08, width=1.8, wheels=(0.8, 3.5), wheel=0.35, lean=0.84,
    ),
    "van": Body(
        profile=(
            (0.05, 0.4), (0, 0.8), (0, 2.3), (0.1, 2.4), (3.6, 2.4), (4.05, 2.15),
            (4.6, 1.3), (5.2, 1.1), (5.3, 0.7), (5.28, 0.38),
        ),
        glass=(5,),
        windows=(
            ((3.35, 1.25), (3.35, 1.9), (3.95, 1.9), (4.4, 1.25)),
        ),
        belt=1.2, width=1.95, wheels=(0.95, 4.35), wheel=0.35, lean=0.92,
    ),
    "lorry": Body(
        profile=(
            (0.05, 0.6), (0, 0.9), (0, 3.3), (5.4, 3.3), (5.45, 2.6),
            (6.4, 2.6), (6.75, 1.5), (6.8, 0.9), (6.75, 0.45),
        ),
        glass=(5,),
        windows=(
            ((5.6, 1.5), (5.6, 2.3), (6.3, 2.3), (6.5, 1.5)),
        ),
        belt=2.6, width=2.4, wheels=(1.3, 5.7), wheel=0.48, lean=1,
    ),
    "bus": Body(
        profile=(
            (0.05, 0.4), (0, 0.9), (0, 1.6), (0.05, 2.6), (0.15, 3.1),
            (9.6, 3.1), (9.95, 2.75), (10, 1.2), (10, 0.4),
        ),
        glass=(2, 6),
        windows=tuple(_pane(0.4 + 1.35 * i) for i in range(7)),
        belt=2.6, width=2.5, wheels=(2.3, 7.6), wheel=0.5, lean=0.96,
    ),
}  # fmt: skip

KINDS: tuple[str, ...] = tuple(BODIES)
KIND_WEIGHTS = (0.34, 0.2, 0.14, 0.16, 0.09, 0.03, 0.04)
