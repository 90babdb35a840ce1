"""Differences between variants, paired by seed: the same seed shows both the same crops in the same order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# Student's t: two-sided 95 % quantiles by degrees of freedom (e.g. Fisher and Yates, Statistical Tables).
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL95 = 1.96
ENOUGH = 3  # seeds: two that happen to agree make the interval as narrow as one likes


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (None of one value) and extremes."""
    return {
        "mean": round(statistics.fmean(values), 4),
        "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        "low": round(min(values), 4),
        "high": round(max(values), 4),
        "seeds": len(values),
    }


def t95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t.

    Beyond 30 degrees of freedom, where the table ends, it is good to 0.003 (Abramowitz and Stegun 26.7.5).

    Args:
        freedom: Degrees of freedom, from 1.
    """
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    return _NORMAL95 + (_NORMAL95**3 + _NORMAL95) / (4 * freedom)


def paired(base: Mapping[int, float], other: Mapping[int, float]) -> dict[str, Any] | None:
    """Difference of a variant from the base over the seeds that both have.

    Args:
        base: Value of the base by seed.
        other: Value of the variant by seed.

    Returns:
        Difference by seed, their mean and standard deviation, the 95 % interval of the mean by Student's t
        (None of one seed), and what that shows: "better", "worse" or "not shown", with fewer than `ENOUGH`
        seeds always the last. None without a common seed.
    """
    by_seed = {seed: other[seed] - base[seed] for seed in sorted(base.keys() & other.keys())}
    if not by_seed:
        return None
    values = list(by_seed.values())
    found = spread(values)
    mean, low, high = statistics.fmean(values), None, None
    if len(values) > 1:
        half = t95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        low, high = round(mean - half, 4), round(mean + half, 4)
    verdict = "not shown"
    if low is not None and high is not None and len(values) >= ENOUGH and (low > 0 or high < 0):
        verdict = "better" if low > 0 else "worse"
    return {
        "by_seed": {str(seed): round(value, 4) for seed, value in by_seed.items()},
        "difference": found["mean"],
        "sd": found["sd"],
        "low": low,
        "high": high,
        "verdict": verdict,
    }
