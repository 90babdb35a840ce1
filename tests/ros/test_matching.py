"""Bookkeeping of a replay; needs no ROS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sernet_core.errors import InputError
from sernet_ros.matching import (
    Sent,
    StampPairs,
    account,
    percentile,
    rate_of,
    read_log,
    throughput,
)

STAMPS = st.lists(st.integers(0, 40), unique=True, max_size=20)


def sent_frames(stamps: list[int]) -> list[Sent]:
    return [Sent(index, f"f{index}", stamp, 1_000_000 * index) for index, stamp in enumerate(stamps)]


@given(STAMPS, st.lists(st.integers(0, 60), max_size=60))
def test_every_answer_is_accounted_for_once(stamps: list[int], answers: list[int]) -> None:
    books = account(sent_frames(stamps), [(stamp, 10**9 + at) for at, stamp in enumerate(answers)])
    assert books.sent == len(stamps)
    assert books.answered == len(set(stamps) & set(answers))
    assert books.dropped == len(set(stamps) - set(answers))
    assert books.unmatched == len(set(answers) - set(stamps))
    assert books.answered + books.unmatched + books.duplicates == len(answers)
    assert books.latency_ms.keys() == set(stamps) & set(answers)
    assert 0.0 <= books.answered_percent <= 100.0


def test_latency_is_that_of_the_first_answer() -> None:
    books = account(
        [Sent(0, "a", 7, 1_000_000), Sent(1, "b", 8, 2_000_000)],
        [(8, 9_000_000), (7, 4_500_000), (8, 5_000_000)],
    )
    assert list(books.latency_ms.items()) == [(7, 3.5), (8, 3.0)]
    assert (books.answered, books.duplicates, books.unmatched) == (2, 1, 0)


def test_nothing_sent_is_nothing_answered() -> None:
    books = account([], [])
    assert (books.sent, books.dropped, books.answered_percent) == (0, 0, 0.0)


@given(st.permutations([(stamp, kind) for stamp in range(8) for kind in ("mask", "truth")]))
def test_pairs_are_found_in_any_order(events: list[tuple[int, str]]) -> None:
    pairs: StampPairs[str] = StampPairs(("mask", "truth"))
    found = [(stamp, whole) for stamp, kind in events if (whole := pairs.add(stamp, kind, f"{kind}{stamp}"))]
    assert sorted(stamp for stamp, _ in found) == list(range(8))
    assert all(whole == {"mask": f"mask{stamp}", "truth": f"truth{stamp}"} for stamp, whole in found)
    assert len(pairs) == 0


def test_pairs_forget_the_oldest_first() -> None:
    pairs: StampPairs[int] = StampPairs(("mask", "truth"), limit=3)
    for stamp in range(10):
        assert pairs.add(stamp, "truth", stamp) is None
        assert len(pairs) <= 3
    assert pairs.add(0, "mask", 0) is None
    assert pairs.add(9, "mask", 99) == {"truth": 9, "mask": 99}
    with pytest.raises(KeyError):
        pairs.add(9, "overlay", 1)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([0.0, 50.0, 95.0, 99.0, 100.0])
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_figures_of_nothing_are_none() -> None:
    assert percentile([], 50.0) is None
    assert rate_of([]) is None and rate_of([5]) is None and rate_of([5, 5]) is None
    assert rate_of([0, 10**9, 2 * 10**9]) == 1.0


def test_throughput_is_that_of_the_slower_answers() -> None:
    took = [100_000_000] * 3 + [500_000_000] * 3
    trial = [Sent(i, "f", i, 0, answered_ns) for i, answered_ns in enumerate(took)] + [Sent(6, "f", 6, 0)]
    assert throughput(trial) == pytest.approx(2.0)
    assert throughput([Sent(0, "f", 0, 0)]) is None


def test_log_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path).sent == ()
    frames = sent_frames([3, 5])
    bad = json.dumps({"unreadable": "x.png", "reason": "broken"})
    path.write_text("\n".join([frames[0].to_json(), bad, frames[1].to_json()]) + '\n{"index": 2, "na')
    log = read_log(path)
    assert log.sent == tuple(frames)
    assert log.unreadable == ("x.png: broken",)
    path.write_text('{"index": 2}\n')
    with pytest.raises(InputError, match="line 1"):
        read_log(path)
