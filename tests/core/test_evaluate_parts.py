"""Boundary IoU, steadiness and the rows of an evaluation, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sernet_core.calibration import ConfidenceCounts
from sernet_core.checkpoint import load_checkpoint, save_checkpoint
from sernet_core.datasets import open_dataset
from sernet_core.errors import ConfigError
from sernet_core.evaluate.boundary import BoundaryIou
from sernet_core.evaluate.rows import make_rows, predict_rows
from sernet_core.evaluate.run import error_picture, evaluate_rows
from sernet_core.evaluate.temporal import Steadiness, neighbours
from sernet_core.labels import ClassSet
from sernet_core.runtime import Segmenter

TWO = ClassSet("two", ("a", "b"), ((1, 0, 0), (0, 1, 0)))
BAND = 2 / np.hypot(20, 30)  # two pixels at the size below


def halves(column: int) -> np.ndarray:
    """Class a to the left of a column, class b from it on."""
    image = np.zeros((20, 30), np.uint8)
    image[:, column:] = 1
    return image


def test_boundary_iou_by_hand() -> None:
    boundary = BoundaryIou(TWO, BAND)
    boundary.update(halves(10), halves(11))
    # Bands of a: columns 8, 9 and 9, 10; of b: 10, 11 and 11, 12. The image's border is no contour.
    assert boundary.iou == pytest.approx([100 / 3, 100 / 3]) and boundary.miou == pytest.approx(100 / 3)
    assert boundary.widths == {2} and boundary.in_band == pytest.approx([20.0, 10.0])
    assert boundary.thin == []


def test_a_class_inside_its_band_is_thin_and_has_its_iou() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[:, 10:13] = 1
    boundary = BoundaryIou(TWO, BAND)
    boundary.update(truth, np.roll(truth, 1, 1))
    assert boundary.thin == ["b"] and boundary.iou[1] == pytest.approx(100 * 2 / 4)


def test_void_has_no_border() -> None:
    truth = halves(10)
    truth[:, 5:15] = 255
    boundary = BoundaryIou(TWO, BAND)
    boundary.update(truth, halves(10))
    assert np.isnan(boundary.iou).all() and boundary.miou is None
    boundary.update(np.full_like(truth, 255), halves(3))
    assert boundary.miou is None


def test_neighbours_by_name() -> None:
    assert neighbours(["a_01", "a_03", "a_05", "a_09", "b_11", "b_13"]) == (
        2,
        [False, True, True, False, False, True],
    )
    assert neighbours(["x", "x1y", "y2"]) == (0, [False] * 3)
    assert neighbours(["f2", "f1"]) == (0, [False, False])
    assert neighbours([]) == (0, [])


def test_neighbours_by_time() -> None:
    """At 15 Hz with a little jitter; the last but one frame is lost."""
    times = [0.0, 0.0667, 0.1331, 0.2003, 0.3336, 0.4]
    follows = [False, True, True, True, False, True]
    for stems in (
        [f"cam_{1403636579_763000000 + round(time * 1e9)}" for time in times],
        [f"{1403636579.763 + time:.6f}" for time in times],
    ):
        step, found = neighbours(stems)
        assert found == follows and step in (pytest.approx(0.0664, abs=1e-4), pytest.approx(66.4e6, rel=1e-3))


def test_steadiness_by_hand() -> None:
    steady = Steadiness(TWO)
    truth = np.array([[0, 0, 0, 1, 1, 255]], np.uint8)
    moved = np.array([[0, 0, 0, 0, 1, 1]], np.uint8)
    assert steady.update(truth, np.array([[0, 1, 1, 1, 1, 0]], np.uint8), follows=False) is None
    # Still: four of five pixels labelled in both; of these the second changes, the third is steadily wrong.
    assert steady.update(moved, np.array([[0, 0, 1, 0, 1, 1]], np.uint8), follows=True) == 25.0
    assert steady.pairs == 1 and steady.still == pytest.approx(80) and not steady.is_video
    assert steady.flicker == 25.0 and steady.steady_right == 50.0
    assert steady.flicker_by_class == pytest.approx([100 / 3, 0])
    assert steady.update(moved[:, :3], moved[:, :3], follows=True) is None
    assert steady.update(truth, moved, follows=False) is None and steady.pairs == 1


def test_confidence_is_counted_where_there_is_truth() -> None:
    counts = ConfidenceCounts(TWO)
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    counts.update(truth, np.array([[0, 1, 1, 1]], np.uint8), np.array([[255, 51, 102, 9]], np.uint8))
    curve = counts.reliability(bins=5)
    assert curve.count == (0, 1, 1, 0, 1) and curve.accuracy[1:3] == (0.0, 100.0)
    assert curve.confidence[1:3] == pytest.approx((20.0, 40.0))
    assert curve.ece == pytest.approx((20 + 60 + 0) / 3)
    by_class = counts.by_class()
    assert by_class.count == (1, 2) and by_class.accuracy == pytest.approx((100.0, 50.0))
    assert by_class.confidence == pytest.approx((100.0, 30.0))


def test_rows_asked_for() -> None:
    assert [row.label for row in make_rows()] == ["single scale"]
    rows = make_rows(flip=True, scales=[0.75, 1, 1.25, 1])
    assert [len(row.views) for row in rows] == [1, 2, 3, 6]
    assert rows[3].label == "scales 0.75, 1, 1.25 + flip"
    assert len(make_rows(scales=[1.0])) == 1
    for scale in (0.0, -1.0, float("nan"), 9.0):
        with pytest.raises(ConfigError, match="--scales"):
            make_rows(scales=[scale])


def test_rows_average_what_the_views_say(small_model: Path, tmp_path: Path) -> None:
    checkpoint, path = load_checkpoint(small_model), tmp_path / "warm.safetensors"
    save_checkpoint(path, checkpoint.network, replace(checkpoint.info, temperature=2.0))
    segmenter = Segmenter.load(path)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    single, flip, _, both = predict_rows(segmenter, image, make_rows(flip=True, scales=[1.0, 2.0]))
    published = segmenter.segment(image, confidence=True)
    np.testing.assert_array_equal(single.mask, published.mask)
    assert single.engine == ("eager", "fp32") and flip.engine is None
    np.testing.assert_array_equal(single.confidence, published.confidence)

    def probabilities(picture: np.ndarray, scale: float) -> torch.Tensor:
        _, logits = segmenter.examine(picture, scale=scale)
        assert logits.shape == (11, 64, 96)
        return (logits / 2.0).softmax(0)

    mirror = np.ascontiguousarray(image[:, ::-1])
    views = [probabilities(image, 1), probabilities(mirror, 1).flip(-1)]
    best = torch.stack(views).mean(0).max(0)
    np.testing.assert_array_equal(flip.mask, best.indices.numpy())
    np.testing.assert_allclose(flip.confidence, best.values.numpy() * 255, atol=0.51)
    views += [probabilities(image, 2), probabilities(mirror, 2).flip(-1)]
    np.testing.assert_array_equal(both.mask, torch.stack(views).mean(0).argmax(0).numpy())
    assert (both.mask != flip.mask).any()


def test_a_band_that_makes_no_sense(small_model: Path, tree: Path) -> None:
    for band in (0.0, 0.5, float("nan")):
        with pytest.raises(ConfigError, match="--band"):
            evaluate_rows(Segmenter.load(small_model), open_dataset(tree, "val"), band=band, quiet=True)


def test_errors_are_red_and_void_is_not() -> None:
    truth = np.array([[0, 1, 255]], np.uint8)
    picture = error_picture(np.full((1, 3, 3), 200, np.uint8), truth, np.array([[0, 0, 0]], np.uint8), 2)
    assert picture[0, 0].tolist() == [90, 90, 90]
    assert picture[0, 1, 0] > 200 > picture[0, 1, 1] and picture[0, 2, 2] > picture[0, 2, 0]
