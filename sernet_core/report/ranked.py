"""The worst frames of a run and some near its median, kept while their scores come in one by one."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from sernet_core.report.sheet import Exhibit, shrink


@dataclass(frozen=True)
class _Ranked:
    score: float
    exhibit: Exhibit


class RankedExhibits:
    """Keeps the frames with the lowest scores, and those nearest to the median of the scores so far.

    The median is known at the end alone; as it settles early in a run, what is near it then is kept.

    Args:
        wanted: How many of either kind are shown.
    """

    def __init__(self, wanted: int = 3) -> None:
        self._wanted = wanted
        self._scores: list[float] = []
        self._worst: list[_Ranked] = []
        self._middle: list[_Ranked] = []

    def offer(self, exhibit: Exhibit, score: float) -> None:
        """Take a frame with its score, or leave it."""
        bisect.insort(self._scores, score)
        ranked = None
        if len(self._worst) < self._wanted or score < self._worst[-1].score:
            ranked = _Ranked(score, shrink(exhibit))
            self._worst = sorted([*self._worst, ranked], key=lambda one: one.score)[: self._wanted]
        # More than are shown: the median still moves.
        room = 4 * self._wanted
        if len(self._middle) < room or self._distance(score) < self._distance(self._middle[-1].score):
            ranked = ranked or _Ranked(score, shrink(exhibit))
            nearest = sorted([*self._middle, ranked], key=lambda one: self._distance(one.score))
            self._middle = nearest[:room]

    def merge(self, other: RankedExhibits) -> None:
        """Take in what was kept of another part of the run."""
        self._scores = sorted([*self._scores, *other._scores])
        worst = sorted([*self._worst, *other._worst], key=lambda one: one.score)
        self._worst = worst[: self._wanted]
        middle = [*self._middle, *other._middle]
        self._middle = sorted(middle, key=lambda one: self._distance(one.score))[: 4 * self._wanted]

    def worst(self) -> list[Exhibit]:
        """The worst frames, the worst one first."""
        return [one.exhibit for one in self._worst]

    def median(self) -> list[Exhibit]:
        """Frames near the median, the nearest one first."""
        ranked = sorted(self._middle, key=lambda one: self._distance(one.score))
        return [one.exhibit for one in ranked[: self._wanted]]

    def _distance(self, score: float) -> float:
        return abs(score - self._scores[len(self._scores) // 2])
