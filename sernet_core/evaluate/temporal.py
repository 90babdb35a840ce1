"""How steady the masks of a video are where the scene is.

Between a frame and its neighbour in time, a pixel is *still* where the ground truth names the same class in
both. Of the still pixels, `flicker` is the share whose predicted class changes, and `steady_right` the share
that is right in both frames. Nothing is moved along with the camera: a still pixel shows the same class, if
not the same thing, so its mask has no reason to change. Flicker alone rewards a mask that is always wrong;
read it beside the mIoU, or read `steady_right`, which no such mask can have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from sernet_core.labels import ClassSet

# Neighbours at 15 Hz share some 95 % of their ground truth, frames a second apart some 80 %.
VIDEO = 0.9
JITTER = 1.5  # a step may be that many times the smallest one, where names are times; 2 is a frame lost
# What stands before the last number, and that number: seconds since the epoch with their fraction, or digits.
_NAME = re.compile(r"(.*?)(\d{9,10}\.\d{1,9}|\d{1,18})\D*", re.DOTALL)


def neighbours(stems: Sequence[str]) -> tuple[float, list[bool]]:
    """Which frames follow the one before them in time, by their names.

    Args:
        stems: Names in order; the last number in a name counts the frames of what stands before it, or is the
            time of the frame.

    Returns:
        The smallest step between the numbers of consecutive frames of one sequence, 0 where there is none;
        and for each frame whether it is that step, or less than half as much again, behind the one before.
    """
    places = [_NAME.fullmatch(stem) for stem in stems]
    steps = [Decimal(0)] * len(stems)
    for index in range(1, len(stems)):
        here, before = places[index], places[index - 1]
        if here and before and here[1] == before[1]:
            steps[index] = Decimal(here[2]) - Decimal(before[2])
    step = min((one for one in steps if one > 0), default=Decimal(0))
    return float(step), [0 < one < Decimal(JITTER) * step for one in steps]


class Steadiness:
    """Counts of still pixels over the pairs of neighbouring frames.

    Args:
        classes: Class set of the labels.
    """

    def __init__(self, classes: ClassSet) -> None:
        self.classes = classes
        self._still, self._changed, self._right = np.zeros((3, len(classes)), np.int64)
        self._shares: list[float] = []  # of the pixels labelled in both frames, those that are still
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def update(self, truth: np.ndarray, mask: np.ndarray, follows: bool) -> float | None:
        """Add one frame: two uint8 (H, W) label images, and whether it follows the frame before it.

        Returns:
            Flicker of this frame in percent; None without a neighbour or a still pixel.
        """
        before, self._before = self._before, (truth, mask)
        if before is None or not follows or before[0].shape != truth.shape:
            return None
        size = len(self.classes)
        both = (truth < size) & (before[0] < size)
        still = both & (truth == before[0])
        if not still.any():
            return None
        changed = still & (mask != before[1])
        right = still & (mask == truth) & ~changed
        for total, chosen in ((self._still, still), (self._changed, changed), (self._right, right)):
            total += np.bincount(truth[chosen], minlength=size)
        count = np.count_nonzero(still)
        self._shares.append(count / np.count_nonzero(both))
        return 100.0 * np.count_nonzero(changed) / count

    @property
    def pairs(self) -> int:
        """Pairs of frames seen."""
        return len(self._shares)

    @property
    def still(self) -> float | None:
        """Median over the pairs of the share of labelled pixels that are still, in percent."""
        return 100.0 * float(np.median(self._shares)) if self._shares else None

    @property
    def is_video(self) -> bool:
        """Whether the neighbours by name are neighbours in time, as far as their ground truth tells."""
        return self.still is not None and self.still >= 100.0 * VIDEO

    @property
    def flicker(self) -> float:
        """Share of the still pixels whose predicted class changes, in percent."""
        return 100.0 * float(self._changed.sum() / self._still.sum())

    @property
    def steady_right(self) -> float:
        """Share of the still pixels that are right in both frames, in percent."""
        return 100.0 * float(self._right.sum() / self._still.sum())

    @property
    def flicker_by_class(self) -> np.ndarray:
        """Flicker where a class is, in percent, float64 (K,); nan where it is never still."""
        return 100.0 * self._changed / np.where(self._still > 0, self._still, np.nan)
