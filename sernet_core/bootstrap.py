"""How far a figure, or a difference between two models, could be chance: bootstrap over the frames of a run.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993: frames are drawn anew, with replacement, and the
figure is computed again from the drawn ones; what most draws agree on is no accident of the frames at hand.
Of fewer than five frames, or stretches of frames, draws hardly differ; the ends of an interval are nan then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sernet_core.frame_scores import iou_of

_TAIL = 2.5  # percent on either side of an interval
_BATCH = 128
_FEW = 16  # draws of whole samples at once: each takes the room of one
_FEWEST = 5  # frames or stretches that draws are made of


@dataclass(frozen=True)
class Difference:
    """A difference (second minus first), and the interval that holds it in 95 % of the draws.

    Attributes:
        first, second: The two figures; nan where there is none.
        low, high: Ends of the interval.
    """

    first: float
    second: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.second - self.first

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out zero, so that the direction of the difference is no chance."""
        return bool(self.low > 0 or self.high < 0)


def iou_differences(
    first: np.ndarray, second: np.ndarray, paired: bool, draws: int = 4000, block: int = 1, seed: int = 0
) -> tuple[Difference, list[Difference]]:
    """Differences of mIoU and of each class's IoU, in percent points.

    The intervals of the classes hold all of them together in 95 % of the draws (Bonferroni): with eleven
    classes, one that seems to differ by chance is otherwise found in every other comparison.

    Args:
        first: Counts of the first model, int (N, 3, K): right, true and predicted pixels of each frame.
        second: Those of the second model, (M, 3, K).
        paired: Whether the frames are the same, in the same order, so that both are drawn together.
        draws: How often frames are drawn.
        block: Frames that are drawn together, because neighbours in a video look alike.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    blocks = [_in_blocks(first, block), _in_blocks(second, block)]
    found = []
    for start in range(0, draws, _BATCH):
        count = min(_BATCH, draws - start)
        weights = _draw(rng, len(blocks[0]), count)
        other = weights if paired else _draw(rng, len(blocks[1]), count)
        found.append(_figures(other, blocks[1]) - _figures(weights, blocks[0]))
    drawn = np.concatenate(found)
    classes = max(1, int(np.isfinite(drawn[:, 1:]).any(0).sum()))
    tails = [_TAIL, *[_TAIL / classes] * (drawn.shape[1] - 1)]
    low, high = _interval(drawn, tails, units=min(len(part) for part in blocks))
    whole = [_figures(np.ones((1, len(part))), part)[0] for part in blocks]
    differences = [
        Difference(float(a), float(b), float(lower), float(upper))
        for a, b, lower, upper in zip(*whole, low, high, strict=True)
    ]
    return differences[0], differences[1:]


def miou_interval(
    counts: np.ndarray, draws: int = 4000, block: int = 1, seed: int = 0
) -> tuple[float, float]:
    """Interval that holds the mIoU in 95 % of the draws, in percent; arguments as `iou_differences`."""
    rng = np.random.default_rng(seed)
    blocks = _in_blocks(counts, block)
    drawn = [
        _figures(_draw(rng, len(blocks), min(_BATCH, draws - start)), blocks)[:, :1]
        for start in range(0, draws, _BATCH)
    ]
    low, high = _interval(np.concatenate(drawn), [_TAIL], units=len(blocks))
    return float(low[0]), float(high[0])


def median_difference(
    first: np.ndarray, second: np.ndarray, draws: int = 4000, block: int = 1, seed: int = 0
) -> Difference:
    """Difference of the medians of two samples, float (N,) and (M,), such as latencies."""
    rng = np.random.default_rng(seed)
    drawn = [
        np.concatenate([_draw_medians(rng, sample, min(_FEW, draws - start), block)
                        for start in range(0, draws, _FEW)])
        for sample in (first, second)
    ]  # fmt: skip
    units = min(_units(sample, block) for sample in (first, second))
    low, high = _interval((drawn[1] - drawn[0])[:, None], [_TAIL], units)
    return Difference(float(np.median(first)), float(np.median(second)), float(low[0]), float(high[0]))


def _draw_medians(rng: np.random.Generator, sample: np.ndarray, count: int, block: int) -> np.ndarray:
    return np.median(sample[_draw_stretches(rng, len(sample), count, block)], axis=1)


def _draw_stretches(rng: np.random.Generator, size: int, draws: int, block: int) -> np.ndarray:
    """Indices (draws, size) of stretches of `block` neighbours."""
    starts = rng.integers(0, max(1, size - block + 1), (draws, -(-size // block)))
    return (starts[:, :, None] + np.arange(min(block, size))).reshape(draws, -1)[:, :size]


def _in_blocks(counts: np.ndarray, block: int) -> np.ndarray:
    """Sums of neighbouring frames, float64 (blocks, 3, K)."""
    edges = np.arange(0, len(counts), block)
    return np.add.reduceat(counts.astype(np.float64), edges, axis=0)


def _draw(rng: np.random.Generator, frames: int, draws: int) -> np.ndarray:
    """How often each frame is drawn, float64 (draws, frames)."""
    return rng.multinomial(frames, np.full(frames, 1.0 / frames), size=draws).astype(np.float64)


def _figures(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """mIoU and then the IoU of each class, (draws, 1 + K); nan where a class is absent."""
    drawn = (weights @ counts.reshape(len(counts), -1)).reshape(len(weights), *counts.shape[1:])
    iou = iou_of(drawn)
    present = np.isfinite(iou)
    with np.errstate(invalid="ignore"):
        mean = np.where(present, iou, 0.0).sum(1) / present.sum(1)
    return np.column_stack([mean, iou])


def _units(sample: np.ndarray, block: int) -> int:
    """How many stretches of `block` neighbours a sample has."""
    return -(-len(sample) // block)


def _interval(values: np.ndarray, tails: Sequence[float], units: int) -> tuple[np.ndarray, np.ndarray]:
    """What each column has between two tails, in percent, without nan; nan where nothing is left.

    Args:
        values: Of the draws, (draws, columns).
        tails: Percent on either side of the interval of each column.
        units: Frames or stretches that were drawn from.
    """
    low, high = np.full((2, values.shape[1]), np.nan)
    if units < _FEWEST:
        return low, high
    for column in range(values.shape[1]):
        finite = values[np.isfinite(values[:, column]), column]
        if len(finite):
            low[column], high[column] = np.percentile(finite, (tails[column], 100.0 - tails[column]))
    return low, high


@dataclass(frozen=True)
class Estimate:
    """A figure, and the interval that holds it in 95 % of the draws; nan where there is none."""

    value: float
    low: float
    high: float


def rank_correlation(
    first: np.ndarray, second: np.ndarray, draws: int = 4000, block: int = 1, seed: int = 0
) -> Estimate:
    """Spearman's correlation of two figures of the same frames, float (N,) each.

    It is 1 where the one rises whenever the other does, and nan where one never changes. Draws keep the ranks
    that frames have in the sample. Arguments as `iou_differences`.
    """
    ranks = [_ranks(values) for values in (first, second)]
    chosen = _draw_stretches(np.random.default_rng(seed), len(first), draws, block)
    whole = np.arange(len(first))[None]
    drawn, (value,) = (_correlations(ranks[0][rows], ranks[1][rows]) for rows in (chosen, whole))
    low, high = _interval(drawn[:, None], [_TAIL], _units(first, block))
    return Estimate(float(value), float(low[0]), float(high[0]))


def mean_estimate(values: np.ndarray, draws: int = 4000, block: int = 1, seed: int = 0) -> Estimate:
    """Mean of a figure of frames, float (N,), without nan; arguments as `iou_differences`."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Estimate(float("nan"), float("nan"), float("nan"))
    drawn = finite[_draw_stretches(np.random.default_rng(seed), len(finite), draws, block)].mean(1)
    low, high = _interval(drawn[:, None], [_TAIL], _units(finite, block))
    return Estimate(float(finite.mean()), float(low[0]), float(high[0]))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value in their order, float64 (N,); equal ones share the mean of their places."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[which]


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation row by row; nan where a row does not vary."""
    a, b = (values - values.mean(1, keepdims=True) for values in (first, second))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1) / np.where(scale > 0, scale, np.nan)
