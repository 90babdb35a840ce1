"""The least time that a device could need for a network, and where the benchmark shows it."""

from __future__ import annotations

from pathlib import Path

from sernet_core.benchmark import cases
from sernet_core.benchmark import run as module
from sernet_core.benchmark.cases import Entry
from sernet_core.benchmark.floor import Rates, Work, measure, work_of
from sernet_core.benchmark.page import _tables
from sernet_core.checkpoint import load_checkpoint
from sernet_core.peers.registry import cost


def test_floor_against_hand_arithmetic(small_model: Path) -> None:
    config = load_checkpoint(small_model).info.network
    work = work_of(config, 96, 64)
    parameters, macs = cost(config, 96, 64)
    assert work.operations == 2 * macs and work.values > parameters + 3 * 96 * 64
    assert Work(6_000, 10).floor_ms(Rates(1e6, 1e6)) == 6.0  # 6,000 operations at 10^6 a second
    assert Work(6, 10_000).floor_ms(Rates(1e6, 1e6)) == 20.0  # 20,000 bytes at 10^6 a second


def test_rates_against_hand_arithmetic() -> None:
    ticks = iter(range(1000))
    rates = measure("cpu", side=16, copied=1000, clock=lambda: float(next(ticks)))
    assert rates == Rates(2 * 16**3, 2000)


def test_floor_stands_beside_the_network(small_model: Path, tmp_path: Path) -> None:
    case = cases.Case("small", "cudagraph", "fp16", 96, 64)
    entries = [Entry(case, "network", lambda _: None, work=Work(2_000_000, 10)), Entry(case, "mask", print)]
    times = {entry.name: [0.004, 0.004] for entry in entries}
    rows = [module._row(entry, entries, times, Rates(1e9, 1e9), {}) for entry in entries]
    assert rows[0]["floor_ms"] == 2.0 and rows[0]["over_floor"] == 2.0 and "floor_ms" not in rows[1]
    assert "floor_ms" not in module._row(entries[0], entries, times, None, {})
    page = _tables("network", rows[:1], "speedup")
    assert "<th>floor, ms</th>" in page and "over network" not in page
