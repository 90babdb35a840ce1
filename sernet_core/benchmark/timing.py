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
    on_failure: Callable[[str, Exception], object] | None = None,
) -> Times:
    """Seconds of each task, round by round: every task with the same frame, another one first each time.

    In its turn a task runs twice, and the second time counts: in use it follows itself, not another network
    that has taken its memory and its caches. A task whose median is over 0.3 s leaves after ten rounds; the
    others go on, so that the times of any two tasks are of the same rounds as far as the shorter list goes.

    Args:
        tasks: By name; each is given the number of a frame.
        frames: How many there are; they are taken in turn.
        repeats: Rounds after the one that warms up.
        clock: Monotonic seconds.
        on_round: Called after each round.
        on_failure: Called with the name of a task that raises, and the error; the task is dropped with its
            times, and the others go on. Without it the error is raised.
    """
    times: Times = {name: [] for name in tasks}
    ahead = list(tasks)
    for number in range(WARM_UP + repeats):
        if number == WARM_UP + SLOW_REPEATS:
            ahead = [name for name in ahead if statistics.median(times[name][WARM_UP:]) <= SLOW_S]
        if not ahead:
            break
        turn = number % len(ahead)
        for name in ahead[turn:] + ahead[:turn]:
            try:
                for _ in range(CALLS - 1):
                    tasks[name](number % frames)
                start = clock()
                tasks[name](number % frames)
                times[name].append(clock() - start)
            except Exception as error:  # whatever an engine's library raises
                if on_failure is None:
                    raise
                on_failure(name, error)
                ahead.remove(name)
                del times[name]
        on_round()
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


def paired(first: Sequence[float], second: Sequence[float]) -> list[tuple[float, float]]:
    """Times of two tasks of `interleave` in the rounds that both have had: the first ones."""
    return list(zip(first, second, strict=False))


def speedup(reference: Sequence[float], times: Sequence[float]) -> dict[str, float]:
    """How many times faster than a reference: median and quartiles over the rounds of both, and how many."""
    ratios = [base / value for base, value in paired(reference, times)]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    )
    return {
        "median": round(middle, 3),
        "p25": round(low, 3),
        "p75": round(high, 3),
        "rounds": len(ratios),
    }
