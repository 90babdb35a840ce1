"""Joins masks with the ground truth of their stamp, however long a mask takes to come."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_PLAIN = 16  # ground truths that wait as they are: most are met at once
_LIMIT = 4096  # that wait at all; packed, they take a few kB each
_MASKS = 64  # masks that came before their ground truth


class TruthPairs:
    """Takes masks and ground truths, uint8 (H, W), in whatever order they come.

    Ground truth arrives in the order of the frames, and a node never goes back to an older frame than the one
    that it has answered: what came before the ground truth of a mask is forgotten with it.
    """

    def __init__(self) -> None:
        self._plain: OrderedDict[int, np.ndarray] = OrderedDict()
        self._packed: OrderedDict[int, tuple[bytes, tuple[int, ...]]] = OrderedDict()
        self._masks: OrderedDict[int, np.ndarray] = OrderedDict()

    def add_truth(self, stamp_ns: int, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Add a ground truth; returns it with its mask where that is there already."""
        if (mask := self._masks.pop(stamp_ns, None)) is not None:
            return truth, mask
        self._plain[stamp_ns] = truth
        if len(self._plain) > _PLAIN:
            stamp, oldest = self._plain.popitem(last=False)
            self._packed[stamp] = (zlib.compress(oldest.tobytes(), 1), oldest.shape)
        if len(self._packed) > _LIMIT:
            self._packed.popitem(last=False)
        return None

    def add_mask(self, stamp_ns: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Add a mask; returns its ground truth and itself where that is there already."""
        if stamp_ns in self._plain:
            self._packed.clear()
            return _take(self._plain, stamp_ns), mask
        if stamp_ns in self._packed:
            data, shape = _take(self._packed, stamp_ns)
            return np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape), mask
        self._masks[stamp_ns] = mask
        if len(self._masks) > _MASKS:
            self._masks.popitem(last=False)
        return None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._plain) + len(self._packed) + len(self._masks)


def _take(waiting: OrderedDict[int, T], stamp_ns: int) -> T:
    """What waits with a stamp; what came before it is forgotten."""
    while True:
        stamp, value = waiting.popitem(last=False)
        if stamp == stamp_ns:
            return value
