"""The benchmark's rounds: whose turn it is, who leaves, and the statistics of the times."""

from __future__ import annotations

import pytest

from sernet_core.benchmark.timing import SLOW_REPEATS, WARM_UP, interleave, speedup, summary, timed


class Clock:
    """Time that passes only where a task lets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tasks_take_turns_on_the_same_frames() -> None:
    clock, order = Clock(), []

    def task(name: str, seconds: float):
        def work(frame: int) -> None:
            order.append((name, frame))
            clock.now += seconds

        return work

    times = interleave({"a": task("a", 0.1), "b": task("b", 0.02)}, 3, 4, clock=clock)
    # Each one twice in its turn: what another task leaves behind does not count.
    assert order[:8:2] == order[1:8:2] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert len(order) == 2 * 2 * (4 + WARM_UP)
    assert times["a"] == pytest.approx([0.1] * 4) and times["b"] == pytest.approx([0.02] * 4)


def test_a_slow_task_leaves_and_the_others_go_on() -> None:
    clock, calls = Clock(), []

    def task(name: str, seconds: float):
        def work(_: int) -> None:
            calls.append(name)
            clock.now += seconds

        return work

    tasks = {"slow": task("slow", 0.4), "quick": task("quick", 0.01), "other": task("other", 0.02)}
    times = interleave(tasks, 1, 30, clock=clock)
    assert {name: len(values) for name, values in times.items()} == {
        "slow": SLOW_REPEATS,
        "quick": 30,
        "other": 30,
    }
    assert calls.count("slow") == 2 * (SLOW_REPEATS + WARM_UP) and calls.count("quick") == 2 * (30 + WARM_UP)
    after = calls[3 * 2 * (SLOW_REPEATS + WARM_UP) :]
    assert after[:8:2] in (["quick", "other", "other", "quick"], ["other", "quick", "quick", "other"])
    assert len(interleave({"slow": task("slow", 0.4)}, 1, 5, clock=clock)["slow"]) == 5


def test_one_slow_call_makes_no_slow_task() -> None:
    """The warm-up least of all, in which a library may still build something."""
    clock, calls = Clock(), []

    def work(_: int) -> None:
        calls.append(1)
        clock.now += 9.0 if len(calls) < 6 else 0.01

    assert len(interleave({"a": work}, 1, 30, clock=clock)["a"]) == 30


def test_a_ratio_is_of_the_rounds_that_both_have_had() -> None:
    # The first task left after two rounds; what the other did later belongs to no pair.
    found = {"median": 2.0, "p25": 2.0, "p75": 2.0, "rounds": 2}
    assert speedup([1.0, 8.0], [0.5, 4.0, 50.0]) == speedup([1.0, 8.0, 50.0], [0.5, 4.0]) == found
    assert summary([0.5, 4.0, 50.0])["runs"] == 3


def test_a_task_that_fails_is_dropped_and_the_others_go_on() -> None:
    order: list[str] = []
    failed: dict[str, str] = {}

    def breaks(_: int) -> None:
        order.append("breaks")
        if len(order) > 6:
            raise RuntimeError("out of memory")

    tasks = {"a": lambda _: order.append("a"), "breaks": breaks, "b": lambda _: order.append("b")}
    times = interleave(tasks, 1, 5, on_failure=lambda name, error: failed.update({name: str(error)}))
    assert failed == {"breaks": "out of memory"} and times.keys() == {"a", "b"}
    assert [len(values) for values in times.values()] == [5, 5]
    with pytest.raises(RuntimeError, match="out of memory"):
        interleave(tasks, 1, 5)
    assert interleave({}, 1, 5) == {}


def test_statistics_against_hand_arithmetic() -> None:
    values = summary([0.001 * number for number in range(1, 102)])
    assert values["runs"] == 101 and values["median_ms"] == 51 and values["p95_ms"] == 96
    assert (values["p25_ms"], values["p75_ms"], values["p99_ms"]) == (26, 76, 100)
    assert (values["min_ms"], values["max_ms"]) == (1, 101)
    # Round by round: a busy second round slows both and changes no ratio.
    assert speedup([1.0, 9.0, 1.0], [0.5, 4.5, 0.25]) == {
        "median": 2.0,
        "p25": 2.0,
        "p75": 3.0,
        "rounds": 3,
    }
    assert speedup([1.0], [0.5]) == {"median": 2.0, "p25": 2.0, "p75": 2.0, "rounds": 1}


def test_what_a_task_notes_belongs_to_the_times() -> None:
    clock, noted = Clock(), []

    def task(_: int) -> None:
        noted.append(0.01 * (len(noted) + 1))
        clock.now += noted[-1]

    times = interleave({"a": task}, 1, 3, clock=clock)["a"]
    assert timed(noted) == pytest.approx(times) and len(times) == 3
