"""What is chance in the difference of two models, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from sernet_core.bootstrap import (
    iou_differences,
    mean_estimate,
    median_difference,
    miou_interval,
    rank_correlation,
)
from sernet_core.frame_scores import iou_of

CLASSES = 3


def counts(frames: int, quality: float, seed: int, spread: float = 0.1) -> np.ndarray:
    """Counts of frames whose pixels are right with a probability that varies from frame to frame."""
    rng = np.random.default_rng(seed)
    true = rng.integers(500, 1500, (frames, CLASSES))
    rate = np.clip(quality + spread * rng.standard_normal((frames, 1)), 0.01, 0.99)
    right = rng.binomial(true, rate)
    wrong = true - right
    return np.stack([right, true, right + np.roll(wrong, 1, axis=1)], axis=1)


def test_a_model_does_not_differ_from_itself() -> None:
    sample = counts(20, 0.8, 1)
    miou, classes = iou_differences(sample, sample, paired=True, draws=200)
    for one in (miou, *classes):
        assert (one.value, one.low, one.high, one.certain) == (0.0, 0.0, 0.0, False)
    assert miou.first == pytest.approx(np.mean(iou_of(sample.sum(0))))
    assert [one.second for one in classes] == pytest.approx(iou_of(sample.sum(0)))


def test_the_same_frames_show_what_two_samples_of_frames_do_not() -> None:
    first = counts(40, 0.7, 2, spread=0.2)
    second = first.copy()
    second[:, 0] += 10  # a little better on every single frame
    together, _ = iou_differences(first, second, paired=True)
    apart, _ = iou_differences(first, second, paired=False)
    assert together.certain and together.low > 0
    assert not apart.certain
    assert together.low <= together.value <= together.high


def test_the_interval_holds_nothing_where_there_is_nothing() -> None:
    held = 0
    for trial in range(80):
        first, second = counts(30, 0.75, 100 + trial), counts(30, 0.75, 1000 + trial)
        miou, _ = iou_differences(first, second, paired=False, draws=300, seed=trial)
        held += not miou.certain
    # 95 % in the long run, and somewhat less for few frames.
    assert 0.84 * 80 <= held < 80


def test_neighbours_that_are_alike_widen_the_interval() -> None:
    first, second = (np.repeat(counts(12, 0.7, seed, spread=0.2), 10, axis=0) for seed in (5, 6))
    one_by_one, _ = iou_differences(first, second, paired=True)
    in_blocks, _ = iou_differences(first, second, paired=True, block=10)
    assert in_blocks.value == one_by_one.value
    assert in_blocks.high - in_blocks.low > 2 * (one_by_one.high - one_by_one.low)


def test_a_class_that_nobody_has_stays_without_figures() -> None:
    sample = counts(10, 0.8, 7)
    sample[:, :, 2] = 0
    miou, classes = iou_differences(sample, counts(10, 0.6, 8) * [[[1], [1], [1]]], paired=True, draws=200)
    assert np.isnan(classes[2].first) and not classes[2].certain
    assert np.isfinite(miou.value) and miou.certain


def test_medians() -> None:
    rng = np.random.default_rng(0)
    fast, slow = 10 + rng.random(200), 12 + rng.random(200)
    difference = median_difference(fast, slow, draws=100)
    assert difference.value == pytest.approx(2.0, abs=0.15) and difference.certain
    assert difference.low < difference.value < difference.high
    assert not median_difference(fast, 10 + rng.random(200), draws=100, block=10).low > 0.1


def test_an_interval_holds_the_miou_and_narrows_with_frames() -> None:
    few, many = counts(10, 0.8, 5), counts(400, 0.8, 5)
    spans = []
    for sample in (few, many):
        low, high = miou_interval(sample, draws=500)
        assert low < np.mean(iou_of(sample.sum(0))) < high
        spans.append(high - low)
    assert spans[1] < spans[0] / 3


def test_few_frames_or_stretches_have_no_interval() -> None:
    few, more = counts(4, 0.8, 5), counts(5, 0.8, 5)
    assert np.isnan(miou_interval(few, draws=50)).all() and np.isfinite(miou_interval(more, draws=50)).all()
    assert np.isnan(miou_interval(counts(40, 0.8, 5), draws=50, block=10)).all()
    for pair in ((few, more), (more, few)):
        miou, classes = iou_differences(*pair, paired=False, draws=50)
        assert np.isfinite(miou.value) and not miou.certain
        assert np.isnan([miou.low, *(one.high for one in classes)]).all()
    latency = median_difference(np.arange(4.0), np.arange(90.0), draws=50)
    assert latency.value == 43.0 and not latency.certain
    assert np.isnan(mean_estimate(np.arange(4.0), draws=50).low)


def test_equal_values_share_a_rank() -> None:
    rising = np.arange(60.0)
    assert np.isnan(rank_correlation(np.zeros(60), rising, draws=50).value), "it never changes"
    halves = (rising >= 30).astype(float)
    for order in (slice(None), slice(None, None, -1)):  # whichever of the equal ones comes first
        found = rank_correlation(halves[order], rising[order], draws=50)
        assert found.value == pytest.approx(spearman(halves, rising))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """By the definition: Pearson's correlation of ranks, those of equal values averaged."""
    ranks = [[(one < each).sum() + ((one == each).sum() - 1) / 2 for each in one] for one in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])
