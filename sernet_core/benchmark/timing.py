"""Timing several tasks in turns, so that whatever else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

WARM_UP = 1  # rounds
CALLS = 2  # of a task in its turn
SLOW_S, SLOW_REPEATS = 0.3, 10

Task = Callable[[int], object]
Times = dict[str, list[float]]
T = TypeVar("T")


def interleave(
    tasks: Mapping[str, Task],
    frames: int,
    repeats: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_round: Callable[[], object] = lambda: None,
) -> Times:
    """Seconds of each task, round by round: every task with the same frame, another one first each time.

    In its turn a task runs twice, and the second time counts: in use it follows itself, not another network
    that has taken its memory and its caches. Where the slowest takes over 0.3 s, ten rounds are enough.

    Args:
        tasks: By name; each is given the number of a frame.
        frames: How many there are; they are taken in turn.
        repeats: Rounds after the one that warms up.
        clock: Monotonic seconds.
        on_round: Called after each round.
    """
    names = list(tasks)
    times: Times = {name: [] for name in names}
    total = repeats + WARM_UP
    number = 0
    while number < total:
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for _ in range(CALLS - 1):
                tasks[name](number % frames)
            start = clock()
            tasks[name](number % frames)
            times[name].append(clock() - start)
        number += 1
        on_round()
        if number == WARM_UP and max(values[-1] for values in times.values()) > SLOW_S:
            total = WARM_UP + min(repeats, SLOW_REPEATS)
    return {name: values[WARM_UP:] for name, values in times.items()}


def timed(noted: Sequence[T]) -> list[T]:
    """Of what a task noted at each of its calls, those whose times `interleave` gives, in the same order."""
    return list(noted[CALLS - 1 :: CALLS][WARM_UP:])


def summary(times: Sequence[float]) -> dict[str, Any]:
    """Milliseconds: median, percentiles, extremes; and how many runs they are of."""
    values = 1000 * np.asarray(times)
    p25, p50, p75, p95, p99 = np.percentile(values, (25, 50, 75, 95, 99))
    return {
        "runs": len(times),
        "median_ms": round(float(p50), 3),
        "p25_ms": round(float(p25), 3),
        "p75_ms": round(float(p75), 3),
        "p95_ms": round(float(p95), 3),
        "p99_ms": round(float(p99), 3),
        "min_ms": round(float(values.min()), 3),
        "max_ms": round(float(values.max()), 3),
    }


def speedup(reference: Sequence[float], times: Sequence[float]) -> dict[str, float]:
    """How many times faster than a reference in the same rounds: median and quartiles over the rounds."""
    ratios = [base / value for base, value in zip(reference, times, strict=True)]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    )
    return {"median": round(middle, 3), "p25": round(low, 3), "p75": round(high, 3)}
