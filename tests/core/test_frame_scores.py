"""Figures of single frames."""

from __future__ import annotations

import numpy as np
import pytest

from sernet_core.frame_scores import FrameScores, flicker_between, iou_of, mean_iou
from sernet_core.labels import CAMVID
from sernet_core.metrics import ConfusionMatrix


def test_counts_agree_with_the_confusion_matrix() -> None:
    rng = np.random.default_rng(3)
    scores, matrix = FrameScores(CAMVID), ConfusionMatrix(CAMVID)
    for stamp in range(5):
        truth = rng.integers(0, 12, (9, 7), np.uint8)
        truth[truth == 11] = 255
        mask = rng.integers(0, 13, (9, 7), np.uint8)
        scores.see(stamp, mask)
        scores.compare(stamp, truth, mask)
        matrix.update(truth, mask)
        alone = ConfusionMatrix(CAMVID)
        alone.update(truth, mask)
        assert scores.by_stamp[stamp].miou == pytest.approx(alone.miou)
    counts = np.sum([score.counts for score in scores.by_stamp.values() if score.counts is not None], axis=0)
    np.testing.assert_allclose(iou_of(counts), matrix.iou)
    assert mean_iou(iou_of(counts)) == pytest.approx(matrix.miou)


def test_absent_classes_are_left_out() -> None:
    scores = FrameScores(CAMVID)
    mask = np.full((4, 4), 3, np.uint8)
    scores.see(1, mask)
    assert scores.by_stamp[1].miou is None
    scores.compare(1, np.full((4, 4), 255, np.uint8), mask)
    # Void alone: a predicted class that no pixel of the truth can confirm does not count either.
    assert scores.by_stamp[1].miou is None
    scores.compare(1, np.repeat(np.array([[3], [3], [5], [255]], np.uint8), 4, axis=1), mask)
    assert scores.by_stamp[1].miou == pytest.approx((100 * 8 / 12 + 0.0) / 2)


def test_flicker_counts_between_neighbours_alone() -> None:
    scores = FrameScores(CAMVID)
    for stamp, value in ((10, 0), (20, 0), (40, 1), (50, 1)):
        mask = np.zeros((2, 5), np.uint8)
        mask[0] = value
        scores.see(stamp, mask)
    scores.see(60, np.zeros((3, 3), np.uint8))
    assert scores.by_stamp[40].flicker == 0.5
    # 30 was dropped: what lies between 20 and 40 is no flicker of one step. 60 has another size.
    assert flicker_between(scores, [10, 20, 30, 40, 50, 60]) == {20: 0.0, 50: 0.0}
    assert flicker_between(scores, [10, 20, 40, 50]) == {20: 0.0, 40: 50.0, 50: 0.0}
