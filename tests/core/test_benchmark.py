"""The benchmark: turns, statistics, resuming, and what is written."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sernet_core.benchmark import run as module
from sernet_core.benchmark.cases import PARTS, TUTORIAL, Entry, levels_of, tutorial
from sernet_core.benchmark.gather import Settings
from sernet_core.benchmark.page import _accuracy, stages_of
from sernet_core.benchmark.run import run
from sernet_core.benchmark.timing import SLOW_REPEATS, WARM_UP, interleave, speedup, summary
from sernet_core.checkpoint import load_checkpoint
from sernet_core.cli import main
from sernet_core.engines.base import Source
from sernet_core.engines.cache import EngineCache
from sernet_core.engines.choose import build
from sernet_core.engines.eager import Eager
from sernet_core.engines.parity import street_frames
from sernet_core.engines.plan import Plan
from sernet_core.errors import InputError
from sernet_core.labels import overlay
from sernet_core.peers.registry import PEERS, cost


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


def test_slow_tasks_are_repeated_less() -> None:
    clock, calls = Clock(), []

    def slow(_: int) -> None:
        calls.append(1)
        clock.now += 0.4

    assert len(interleave({"slow": slow}, 1, 30, clock=clock)["slow"]) == SLOW_REPEATS
    assert len(calls) == 2 * (SLOW_REPEATS + WARM_UP)
    assert len(interleave({"slow": slow}, 1, 5, clock=clock)["slow"]) == 5


def test_statistics_against_hand_arithmetic() -> None:
    values = summary([0.001 * number for number in range(1, 102)])
    assert values["runs"] == 101 and values["median_ms"] == 51 and values["p95_ms"] == 96
    assert (values["p25_ms"], values["p75_ms"], values["p99_ms"]) == (26, 76, 100)
    assert (values["min_ms"], values["max_ms"]) == (1, 101)
    # Round by round: a busy second round slows both and changes no ratio.
    assert speedup([1.0, 9.0, 1.0], [0.5, 4.5, 0.25]) == {"median": 2.0, "p25": 2.0, "p75": 3.0}
    assert speedup([1.0], [0.5]) == {"median": 2.0, "p25": 2.0, "p75": 2.0}


def test_tutorial_pipeline_gives_the_same_overlay(small_model: Path) -> None:
    source = Source.load(small_model, EngineCache(Path("unused")))
    plan = Plan((64, 96), (64, 96), 16)
    frames = street_frames(64, 96, 1)
    mask = build("eager", source, plan).segment(frames[0]).mask
    wanted = overlay(frames[0], mask, source.info.classes, 0.5)
    found = tutorial(source, plan, frames)(0)
    assert np.mean(np.abs(found.astype(int) - wanted).max(-1) <= 1) > 0.999


class OneLaunch(Eager):
    """Frame and mask are one launch, which cannot be taken apart."""

    def segment_batch(self, images, *, confidence: bool = False):
        return super().segment_batch(images, confidence=confidence)


def test_what_is_one_launch_has_no_parts(small_model: Path) -> None:
    source, frames = Source.load(small_model, EngineCache(Path("unused"))), street_frames(64, 96, 1)
    plan = Plan((64, 96), (64, 96), 16)
    assert set(PARTS) <= levels_of(Eager(source, plan), source.info.classes, frames).keys()
    assert not set(PARTS) & levels_of(OneLaunch(source, plan), source.info.classes, frames).keys()


def test_accuracy_is_shown_at_the_size_that_it_was_scored_at() -> None:
    row = {
        "engine": "eager",
        "precision": "fp32",
        "level": "mask",
        "width": 480,
        "height": 360,
        "median_ms": 9.0,
    }
    report = {
        "rows": [row | {"model": name} for name in ("right", "other", "silent")],
        "done": [[480, 360]],
        "accuracy": {
            "right": {"camvid/val": {"miou": 70.1, "input_size": [640, 480]}},
            "other": {"camvid/val": {"miou": 60.2, "input_size": [640, 480]}},
            "silent": {"camvid/val": {"miou": 50.3}},
        },
        "network_sizes": {
            "right": {"480x360": [640, 480]},
            "other": {"480x360": [480, 360]},
            "silent": {"480x360": [480, 360]},
        },
    }
    chart, _, words = _accuracy(report).partition("Left out")
    assert "right, eager fp32" in chart and "other" not in chart and "silent" not in chart
    assert "other, eager fp32 (ran at 480x360, scored at 640x480)" in words
    assert "silent, eager fp32 (ran at 480x360, scored at an unknown size)" in words


def settings_of(model: Path, **changes) -> Settings:
    settings = Settings((str(model),), (), ((96, 64), (64, 64)), "source", "cpu", 1, 2)
    return dataclasses.replace(settings, **changes)


def test_results_are_kept_and_gone_on_with(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = module._measured

    def interrupted(settings: Settings, width: int, height: int, extra, *, quiet: bool):
        if (width, height) == (64, 64):
            raise KeyboardInterrupt
        return measured(settings, width, height, extra, quiet=quiet)

    monkeypatch.setattr(module, "_measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(settings_of(small_model), tmp_path, quiet=True)
    first = json.loads((tmp_path / "benchmark.json").read_text())
    assert (
        first["done"] == [[96, 64]] and "not measured yet: 64x64" in (tmp_path / "benchmark.html").read_text()
    )

    monkeypatch.setattr(module, "_measured", measured)
    report = run(settings_of(small_model), tmp_path, quiet=True)
    assert report["done"] == [[96, 64], [64, 64]]
    assert report["rows"][: len(first["rows"])] == first["rows"]  # not measured again
    assert [(row["engine"], row["level"]) for row in first["rows"]] == [
        *(("eager", level) for level in ("network", "mask", "overlay", *PARTS)),
        (TUTORIAL, "overlay"),
    ]
    eager = next(row for row in report["rows"] if row["engine"] == "eager")
    assert eager["speedup"]["median"] == 1.0 and eager["runs"] == 2 and eager["median_ms"] > 0
    mask = next(row for row in report["rows"] if row["level"] == "mask")
    assert mask["over_network"]["median"] > 0 and "beyond_network_ms" in mask
    with pytest.raises(InputError, match="other settings, machine or versions"):
        run(settings_of(small_model, repeats=3), tmp_path, quiet=True)


def test_command_writes_all_three(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(small_model), "--engines", "eager:bf16", "openvino:fp16", "--sizes", "96x64"]
    out = tmp_path / "out"
    assert main(["benchmark", *arguments, "--threads", "1", "--repeats", "1", "--out", str(out)]) == 0
    report = json.loads((out / "benchmark.json").read_text())
    text = capsys.readouterr().out
    assert f"written: {out / 'benchmark.html'}" in text and "1.00x" in text
    assert {row["precision"] for row in report["rows"]} == {"fp32", "bf16"}
    assert "has no fp16 on cpu" in report["faults"][f"{small_model} openvino:fp16"]
    with (out / "benchmark.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(report["rows"])
    assert [float(line["median_ms"]) for line in lines] == [row["median_ms"] for row in report["rows"]]
    assert [float(line["speedup_p75"]) for line in lines] == [row["speedup"]["p75"] for row in report["rows"]]
    page = (out / "benchmark.html").read_text()
    assert "has no fp16 on cpu" in page and "96x64" in page and "<script" not in page
    for row in report["rows"]:
        assert row["level"] in PARTS or f"{row['speedup']['median']:.2f}x" in page


def test_peers_stand_beside_and_what_is_missing_says_so(small_model: Path, tmp_path: Path) -> None:
    settings = settings_of(small_model, sizes=((96, 64),), peers=("unet-r18", "segformer-b0"), repeats=1)
    report = run(settings, tmp_path, quiet=True)
    of_peers = [row for row in report["rows"] if row["model"] == "unet-r18"]
    assert [(row["engine"], row["level"]) for row in of_peers] == [("eager", "network")]
    if fault := PEERS["segformer-b0"].obstacle():
        assert report["faults"]["segformer-b0"] == fault
        assert "segformer-b0" not in report["costs"]
    assert report["costs"]["unet-r18"]["parameters"] == 14_329_659
    assert report["costs"]["small"]["gmac"]["96x64"] == pytest.approx(
        cost(load_checkpoint(small_model).info.network, 96, 64)[1] / 1e9, abs=0.01
    )
    page = (tmp_path / "benchmark.html").read_text()
    assert "unet-r18, eager fp32" in page and "14.33 M" in page and "the first model's eager" in page
    first = next(row for row in report["rows"] if row["level"] == "network")
    assert first["over_first"]["median"] == of_peers[0]["speedup"]["median"] == 1.0
    assert f"{of_peers[0]['over_first']['median']:.2f}x" in page


def test_further_tasks_take_turns_and_tell_their_stages(small_model: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    @contextmanager
    def extra(
        settings: Settings, entries: Sequence[Entry], frames: Sequence[np.ndarray], faults: dict[str, str]
    ):
        faults["slow steam message"] = "its node does not answer"
        eager = next(entry for entry in entries if entry.level == "mask")
        yield [Entry(eager.case, "message", asked.append, 12.34, lambda: {"decode": 1.5, "total": 0.001})]
        asked.append(-1)

    report = run(settings_of(small_model, sizes=((96, 64),), nodes=True), tmp_path, extra, quiet=True)
    assert len(asked) == 2 * (2 + WARM_UP) + 1 and asked[-1] == -1
    row = next(row for row in report["rows"] if row["level"] == "message")
    assert row["split_ms"] == {"decode": 1.5, "total": 0.001} and row["built_memory_mb"] == 12.3
    stages = stages_of([*report["rows"][:-2], row])
    assert set(stages) >= {"prepare", "network", "upsample", "node: decode", "delivery", "message to mask"}
    assert stages["delivery"] == pytest.approx(row["median_ms"] - 0.001)
    page = (tmp_path / "benchmark.html").read_text()
    assert "1.50" in page and "slow steam message: its node does not answer" in page
    with pytest.raises(InputError, match="other settings"):  # without nodes it is another run
        run(settings_of(small_model, sizes=((96, 64),)), tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--peers unet-r51", "Did you mean 'unet-r50'"),
        ("--engines steam", "unknown engine 'steam'"),
        ("--repeats -1", "repeats >= 1"),
        ("--model nowhere", "unknown model"),
    ],
)
def test_refusals(tmp_path: Path, arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *arguments.split(), "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_result(small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text("[]")
    with pytest.raises(InputError, match="not a benchmark's result"):
        run(settings_of(small_model), tmp_path, quiet=True)
