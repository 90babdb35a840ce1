"""The confusion matrix against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sernet_core.errors import InputError
from sernet_core.labels import ClassSet
from sernet_core.metrics import ConfusionMatrix

THREE = ClassSet("three", ("a", "b", "c"), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def test_by_hand() -> None:
    matrix = ConfusionMatrix(THREE)
    truth = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
    guess = np.array([[0, 0, 1, 1], [1, 255, 0, 2]], np.uint8)
    matrix.update(truth, guess)
    # a: 2 hits of 3, never guessed wrongly; b: 2 hits, 1 missed as unlabeled, 1 false; c: absent.
    assert matrix.iou[:2] == pytest.approx([100 * 2 / 3, 100 * 2 / 4])
    assert np.isnan(matrix.iou[2])
    assert matrix.miou == pytest.approx((66.6667 + 50) / 2, abs=1e-3)
    assert matrix.pixel_accuracy == pytest.approx(100 * 4 / 6)
    assert matrix.class_accuracy == pytest.approx(100 * 2 / 3)
    assert matrix.summary()["iou"]["c"] is None


def test_one_matrix_over_frames_is_not_the_mean_of_frames() -> None:
    matrix = ConfusionMatrix(THREE)
    matrix.update(np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.uint8))
    matrix.update(np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8))
    assert matrix.iou[0] == pytest.approx(90)


def test_nothing_labelled() -> None:
    matrix = ConfusionMatrix(THREE)
    matrix.update(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert np.isnan(matrix.miou) and matrix.summary()["miou"] is None


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="sizes must agree"):
        ConfusionMatrix(THREE).update(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
