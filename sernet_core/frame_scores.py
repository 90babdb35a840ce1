"""Figures of single frames: their IoU, how much of them each class takes, and how much flickers.

The mIoU of one frame shows where a model fails; the accuracy of a run is that of the confusion matrix over
all frames (`sernet_core.metrics`), never the mean of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sernet_core.labels import ClassSet


@dataclass
class FrameScore:
    """What is kept of one mask.

    Attributes:
        share: float32 (K + 1,): part of the pixels that each class has, the unlabeled ones last.
        before: Stamp of the mask before it, None for the first.
        flicker: Part of the pixels whose class is another than in the mask before; None for the first, and
            where the size changed.
        counts: int32 (3, K): pixels of each class that are right, true and predicted, void left out; None
            without ground truth.
    """

    share: np.ndarray
    before: int | None = None
    flicker: float | None = None
    counts: np.ndarray | None = None

    @property
    def miou(self) -> float | None:
        """Mean IoU in percent over the classes that occur in this frame, true or predicted."""
        if self.counts is None:
            return None
        return mean_iou(iou_of(self.counts))


class FrameScores:
    """Scores of the masks of a run by their stamp; some hundred bytes a frame are kept.

    Args:
        classes: Class set of the masks.
    """

    def __init__(self, classes: ClassSet) -> None:
        self.classes = classes
        self.by_stamp: dict[int, FrameScore] = {}
        self._before: tuple[int, np.ndarray] | None = None

    def begin_after(self, stamp_ns: int, mask: np.ndarray) -> None:
        """Take a mask that is scored elsewhere, but that the next one is compared with."""
        self._before = stamp_ns, mask

    def see(self, stamp_ns: int, mask: np.ndarray) -> None:
        """Take the next mask, uint8 (H, W), in the order of time."""
        size = len(self.classes)
        counts = np.bincount(np.minimum(mask, size).ravel(), minlength=size + 1)
        score = FrameScore((counts / mask.size).astype(np.float32))
        if self._before is not None:
            score.before, before = self._before
            if before.shape == mask.shape:
                score.flicker = np.count_nonzero(before != mask) / mask.size
        self.by_stamp[stamp_ns] = score
        self._before = stamp_ns, mask

    def compare(self, stamp_ns: int, truth: np.ndarray, mask: np.ndarray) -> None:
        """Score a mask that was seen against its ground truth, both uint8 (H, W)."""
        self.by_stamp[stamp_ns].counts = frame_counts(truth, mask, len(self.classes))


def frame_counts(truth: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """Pixels of each of `size` classes that are right, true and predicted, void left out: int32 (3, K).

    Args:
        truth: uint8 (H, W).
        mask: uint8 (H, W).
        size: Number of classes K.
    """
    labelled = truth < size
    true, predicted = truth[labelled], np.minimum(mask[labelled], size)
    right = np.bincount(true[true == predicted], minlength=size)
    return np.stack(
        [right, np.bincount(true, minlength=size), np.bincount(predicted, minlength=size + 1)[:size]]
    ).astype(np.int32)


def iou_of(counts: np.ndarray) -> np.ndarray:
    """IoU in percent, (..., K), of the counts (..., 3, K) of a `FrameScore`; nan for an absent class."""
    right, true, predicted = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    union = true + predicted - right
    return 100.0 * right / np.where(union > 0, union, np.nan)


def mean_iou(iou: np.ndarray) -> float | None:
    """Mean over the classes that occur; None when none does."""
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else None


def flicker_between(scores: FrameScores, stamps: Iterable[int]) -> dict[int, float]:
    """Flicker in percent of those frames whose predecessor in `stamps` was answered, too."""
    found: dict[int, float] = {}
    before: int | None = None
    for stamp in stamps:
        score = scores.by_stamp.get(stamp)
        if score is not None and score.flicker is not None and score.before == before:
            found[stamp] = 100.0 * score.flicker
        before = stamp
    return found
