"""How well the borders of the classes are met: IoU of the bands along them.

Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, arXiv
2103.16562. For the true pixels G and the predicted pixels P of a class, and a distance d:

    boundary IoU = |(G_d & G) & (P_d & P)| / |(G_d & G) | (P_d & P)|

G_d and P_d being what lies within d of the contour of G and of P. As in the authors' code a distance is a
number of steps to one of eight neighbours, and d a share of the image's diagonal, rounded, at least a pixel.
Here the pixels are counted per class over a whole split, as the confusion matrix counts them, and the border
of the image and of void pixels is no contour: what lies beyond is unknown, so that nobody can miss it.

The band of a class that is nowhere wider than 2 d is the whole class, and its boundary IoU is its IoU.
"""

from __future__ import annotations

import cv2
import numpy as np

from sernet_core.frame_scores import iou_of, mean_iou
from sernet_core.labels import ClassSet

# The authors take 0.02 for objects in photographs. At 480x360 that is 12 pixels, more than most poles, signs
# and people of a street are wide; 0.005 is 3.
BAND = 0.005
THIN = 0.5  # share of a class that lies in the band, from which on the class counts as thin


class BoundaryIou:
    """Counts of the bands of each class over all frames seen.

    Args:
        classes: Class set of the labels.
        band: d as a share of the image's diagonal.
    """

    def __init__(self, classes: ClassSet, band: float = BAND) -> None:
        self.classes = classes
        self.band = band
        self.widths: set[int] = set()  # d in pixels of the frames seen
        self._counts = np.zeros((3, len(classes)), np.int64)  # right, true and predicted pixels of the bands
        self._whole = np.zeros(len(classes), np.int64)

    def update(self, truth: np.ndarray, mask: np.ndarray) -> None:
        """Add one frame: two uint8 (H, W) label images of one size."""
        size = len(self.classes)
        width = max(1, round(self.band * float(np.hypot(*truth.shape))))
        self.widths.add(width)
        kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        void = truth >= size
        present = np.union1d(truth[~void], mask[~void])
        for number in present[present < size]:
            true, predicted = truth == number, (mask == number) & ~void
            true_band, predicted_band = _band(true, void, kernel), _band(predicted, void, kernel)
            self._counts[:, number] += (
                np.count_nonzero(true_band & predicted_band),
                np.count_nonzero(true_band),
                np.count_nonzero(predicted_band),
            )
            self._whole[number] += np.count_nonzero(true)

    @property
    def iou(self) -> np.ndarray:
        """Boundary IoU in percent, float64 (K,); nan for a class without a border, true or predicted."""
        return iou_of(self._counts)

    @property
    def miou(self) -> float | None:
        """Mean over the classes that have a border; None when none has."""
        return mean_iou(self.iou)

    @property
    def in_band(self) -> np.ndarray:
        """Share of each true class that lies in its band, in percent, float64 (K,); nan without pixels."""
        return 100.0 * self._counts[1] / np.where(self._whole > 0, self._whole, np.nan)

    @property
    def thin(self) -> list[str]:
        """Names of the classes most of which lies in their band."""
        rows = zip(self.classes.names, self.in_band, strict=True)
        return [name for name, share in rows if share >= 100.0 * THIN]


def _band(inside: np.ndarray, void: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Pixels of a class near its contour; beyond the image, erosion meets nothing by OpenCV's default."""
    deep = cv2.erode((inside | void).view(np.uint8), kernel)
    return inside & ~deep.view(bool)
