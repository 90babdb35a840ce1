"""Everything that is counted of the masks of one row, in memory that does not grow but for a line a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sernet_core.calibration import ConfidenceCounts
from sernet_core.evaluate.boundary import BoundaryIou
from sernet_core.evaluate.rows import Prediction, Row
from sernet_core.evaluate.temporal import Steadiness
from sernet_core.frame_scores import frame_counts, iou_of, mean_iou
from sernet_core.labels import ClassSet
from sernet_core.metrics import ConfusionMatrix


@dataclass(frozen=True)
class FrameLine:
    """Figures of one frame.

    Attributes:
        stem: Its name.
        counts: int32 (3, K), see `frame_counts`.
        flicker: In percent, see `temporal`; None without a neighbour in time.
    """

    stem: str
    counts: np.ndarray
    flicker: float | None

    @property
    def miou(self) -> float | None:
        """Mean IoU in percent over the classes that are in the frame, true or predicted."""
        return mean_iou(iou_of(self.counts))

    @property
    def pixel_accuracy(self) -> float | None:
        """Share of the labelled pixels that are right, in percent."""
        labelled = int(self.counts[1].sum())
        return 100.0 * int(self.counts[0].sum()) / labelled if labelled else None


class Tally:
    """Counts of one row.

    Args:
        row: Whose masks they are.
        classes: Class set of labels and masks.
        band: Width of the band of the boundary IoU as a share of the image's diagonal.
    """

    def __init__(self, row: Row, classes: ClassSet, band: float) -> None:
        self.row = row
        self.classes = classes
        self.matrix = ConfusionMatrix(classes)
        self.boundary = BoundaryIou(classes, band)
        self.confidence = ConfidenceCounts(classes)
        self.unscaled = ConfidenceCounts(classes)
        self.steadiness = Steadiness(classes)
        self.frames: list[FrameLine] = []

    def update(self, stem: str, truth: np.ndarray, prediction: Prediction, follows: bool) -> FrameLine:
        """Add a frame.

        Args:
            stem: Its name.
            truth: uint8 (H, W), 255 = void.
            prediction: What the row says of it.
            follows: Whether it follows the frame before it in time.
        """
        mask = prediction.mask
        self.matrix.update(truth, mask)
        self.boundary.update(truth, mask)
        self.confidence.update(truth, mask, prediction.confidence)
        if prediction.unscaled is not None:
            self.unscaled.update(truth, mask, prediction.unscaled)
        flicker = self.steadiness.update(truth, mask, follows)
        line = FrameLine(stem, frame_counts(truth, mask, len(self.classes)), flicker)
        self.frames.append(line)
        return line
