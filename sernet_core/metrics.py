"""Accuracy of masks: one confusion matrix over a whole split, never a mean of per-image figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from sernet_core.errors import InputError
from sernet_core.labels import ClassSet


class ConfusionMatrix:
    """Counts of (true class, predicted class) over every labelled pixel seen.

    Void pixels of the ground truth are left out. A predicted id that is no class (255: unlabeled) counts
    as an error of the true class, so that a model cannot gain by abstaining.
    """

    def __init__(self, classes: ClassSet) -> None:
        self.classes = classes
        # One column more than classes: predictions that are no class.
        self.counts = np.zeros((len(classes), len(classes) + 1), np.int64)

    def update(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Add one frame: two uint8 (H, W) label images of one size."""
        if truth.shape != prediction.shape:
            raise InputError(
                f"ground truth is {truth.shape}, prediction {prediction.shape}: sizes must agree"
            )
        size = len(self.classes)
        labelled = truth < size
        predicted = np.minimum(prediction[labelled], size).astype(np.int64)
        pairs = truth[labelled].astype(np.int64) * (size + 1) + predicted
        self.counts += np.bincount(pairs, minlength=size * (size + 1)).reshape(size, size + 1)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union in percent, float64 (K,); nan for a class neither true nor predicted."""
        hits = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(1) + self.counts[:, :-1].sum(0) - hits
        with np.errstate(invalid="ignore"):
            return 100.0 * hits / np.where(union > 0, union, np.nan)

    @property
    def recall(self) -> np.ndarray:
        """Share of each true class that was found, in percent, float64 (K,); nan without pixels."""
        hits = np.diagonal(self.counts).astype(np.float64)
        total = self.counts.sum(1)
        return 100.0 * hits / np.where(total > 0, total, np.nan)

    @property
    def miou(self) -> float:
        """Mean IoU in percent over the classes that occur; nan when nothing was labelled."""
        return _mean(self.iou)

    @property
    def pixel_accuracy(self) -> float:
        """Share of labelled pixels that are right, in percent."""
        total = self.counts.sum()
        return 100.0 * float(np.diagonal(self.counts).sum()) / float(total) if total else float("nan")

    @property
    def class_accuracy(self) -> float:
        """Mean recall over the classes that occur, in percent."""
        return _mean(self.recall)

    def summary(self) -> dict[str, Any]:
        """The figures as JSON-ready values: percent, `None` where a class does not occur."""
        return {
            "miou": _plain(self.miou),
            "iou": {name: _plain(value) for name, value in zip(self.classes.names, self.iou, strict=True)},
            "pixel_accuracy": _plain(self.pixel_accuracy),
            "class_accuracy": _plain(self.class_accuracy),
        }


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _plain(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
