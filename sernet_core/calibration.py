"""How far a model's confidence can be believed.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: the expected calibration error
(ECE) over equal bins of confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sernet_core.labels import ClassSet

BINS = 15
LEVELS = 256  # of the confidence as it is published


@dataclass(frozen=True)
class Reliability:
    """Confidence beside accuracy, by bins of confidence; percent but for the counts.

    Attributes:
        confidence: Mean confidence of each bin.
        accuracy: Share of right pixels in each bin.
        count: Pixels in each bin.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    count: tuple[int, ...]

    @property
    def ece(self) -> float:
        """Expected calibration error in percent: mean distance of confidence and accuracy over all pixels.

        It is nan where there are none.
        """
        rows = zip(self.confidence, self.accuracy, self.count, strict=True)
        off = sum(abs(sure - right) * count for sure, right, count in rows)
        return off / pixels if (pixels := sum(self.count)) else float("nan")


def reliability(logits: Tensor, labels: Tensor, temperature: float, bins: int = BINS) -> Reliability:
    """Confidence beside accuracy of pixels at a temperature.

    Args:
        logits: (N, K).
        labels: int64 (N,).
        temperature: Divides the logits.
        bins: Of equal width between 0 and 1.
    """
    best = (logits / temperature).softmax(1).max(1)
    right = (best.indices == labels).double()
    index = (best.values * bins).long().clamp(max=bins - 1)
    count = torch.bincount(index, minlength=bins)

    def mean(values: Tensor) -> tuple[float, ...]:
        sums = torch.zeros(bins, dtype=torch.double).index_add_(0, index, values.double())
        return tuple((100 * sums / count.clamp(min=1)).tolist())

    return Reliability(mean(best.values), mean(right), tuple(count.tolist()))


class ConfidenceCounts:
    """Right and wrong pixels by published confidence (0..255) and predicted class, over all frames seen.

    Args:
        classes: Class set of the masks.
    """

    def __init__(self, classes: ClassSet) -> None:
        self.classes = classes
        self._counts = np.zeros((len(classes), LEVELS, 2), np.int64)  # the last axis: wrong, right

    def update(self, truth: np.ndarray, mask: np.ndarray, confidence: np.ndarray) -> None:
        """Add one frame, all uint8 (H, W): ground truth, mask, and 255 times the confidence.

        Void pixels and pixels without a predicted class are left out.
        """
        size = len(self.classes)
        known = (truth < size) & (mask < size)
        chosen, right = mask[known].astype(np.int64), truth[known] == mask[known]
        cells = (chosen * LEVELS + confidence[known]) * 2 + right
        self._counts += np.bincount(cells, minlength=self._counts.size).reshape(self._counts.shape)

    def reliability(self, bins: int = BINS) -> Reliability:
        """Confidence beside accuracy over all classes."""
        return _binned(self._counts.sum(0), bins)

    def by_class(self) -> Reliability:
        """Confidence beside accuracy of each predicted class, one "bin" a class."""
        return _means(self._counts, np.arange(LEVELS) / (LEVELS - 1))


def _binned(counts: np.ndarray, bins: int) -> Reliability:
    values = np.arange(LEVELS) / (LEVELS - 1)
    index = np.minimum((values * bins).astype(int), bins - 1)
    binned = np.zeros((bins, LEVELS, 2), np.int64)
    binned[index, np.arange(LEVELS)] = counts
    return _means(binned, values)


def _means(counts: np.ndarray, values: np.ndarray) -> Reliability:
    """Of counts (N, levels, 2) of wrong and right pixels, whose confidence is `values`."""
    total = counts.sum((1, 2))
    share = 100.0 / np.maximum(total, 1)
    confidence = (counts.sum(2) * values).sum(1) * share
    accuracy = counts[..., 1].sum(1) * share
    return Reliability(tuple(confidence.tolist()), tuple(accuracy.tolist()), tuple(total.tolist()))
