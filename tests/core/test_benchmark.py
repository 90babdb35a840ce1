"""The benchmark's command: what is written, and what is said of what cannot be timed."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

import numpy as np
import pytest
from benchmark_settings import settings_of
from safetensors import safe_open
from safetensors.torch import save_file

from sernet_core.benchmark import gather as gathering
from sernet_core.benchmark import memory
from sernet_core.benchmark import run as module
from sernet_core.benchmark.cases import PARTS, Entry
from sernet_core.benchmark.page import node_stages
from sernet_core.benchmark.run import run
from sernet_core.benchmark.settings import Settings
from sernet_core.benchmark.timing import WARM_UP
from sernet_core.checkpoint import load_checkpoint
from sernet_core.cli import main
from sernet_core.commands import benchmark as command
from sernet_core.engines.base import Source
from sernet_core.engines.plan import Plan
from sernet_core.errors import ConfigError, EngineError, InputError
from sernet_core.peers.registry import PEERS, cost


def test_command_writes_all_three(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(small_model), "--engines", "eager:bf16", "openvino:fp16", "--sizes", "96x64"]
    out = tmp_path / "out"
    assert main(["benchmark", *arguments, "--threads", "1", "--repeats", "1", "--out", str(out)]) == 1
    report = json.loads((out / "benchmark.json").read_text())
    text = capsys.readouterr().out
    assert f"written: {out / 'benchmark.html'}" in text and "1.00x" in text
    assert {row["precision"] for row in report["rows"]} == {"fp32", "bf16"}
    assert "has no fp16 on cpu" in report["faults"][f"{small_model} openvino:fp16"]
    assert text.splitlines()[-1].startswith(f"not timed: {small_model} openvino:fp16: ")
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
        assert report["left_out"]["segformer-b0"] == fault and not report["faults"]
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


@pytest.mark.parametrize("level", ["network", "mask"])
def test_what_fails_in_its_turn_costs_no_other(
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    level: str,
) -> None:
    real = gathering.levels_of

    def broken(engine, *args):
        tasks, calls = dict(real(engine, *args)), []
        work = tasks[level]

        def breaks(number: int) -> object:
            calls.append(number)
            if len(calls) == 4:
                raise EngineError("the network's output is not finite")
            return work(number)

        return {**tasks, level: breaks} if engine.precision == "fp32" else tasks

    monkeypatch.setattr(gathering, "levels_of", broken)
    arguments = ["--model", str(small_model), "--engines", "eager:bf16", "--sizes", "96x64", "--repeats", "2"]
    assert main(["benchmark", *arguments, "--out", str(tmp_path)]) == 1
    reason = "failed while it was timed: the network's output is not finite"
    name = f"small eager fp32 {level}, 96x64"
    assert capsys.readouterr().out.splitlines()[-1] == f"not timed: {name}: {reason}"
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert report["faults"] == {name: reason} and report["done"] == [[96, 64]]
    rows = {(row["precision"], row["level"]): row for row in report["rows"] if row["engine"] == "eager"}
    assert ("fp32", level) not in rows and {("fp32", "overlay"), ("bf16", level)} <= rows.keys()
    # Beside an eager that failed there is no ratio; nothing takes its place.
    assert not {"speedup", "over_first"} & rows["bf16", level].keys() and rows["bf16", level]["runs"] == 2
    assert rows["bf16", "overlay"]["speedup"]["rounds"] == 2
    assert ("over_network" in rows["fp32", "overlay"]) == (level != "network")
    assert escape(f"not timed: {name}: {reason}") in (tmp_path / "benchmark.html").read_text()


def test_page_and_table_say_how_many_runs_a_figure_has(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network is slow and leaves early; frame to mask has more runs, and its ratios those of both."""
    real = module.interleave

    def shortened(tasks, frames: int, repeats: int, **options):
        times = real(tasks, frames, repeats, **options)
        return {name: values[:2] if name.endswith(" network") else values for name, values in times.items()}

    monkeypatch.setattr(module, "interleave", shortened)
    report = run(settings_of(small_model, sizes=((96, 64),), repeats=3), tmp_path, quiet=True)
    rows = {row["level"]: row for row in report["rows"] if row["engine"] == "eager"}
    assert (rows["network"]["runs"], rows["mask"]["runs"]) == (2, 3)
    assert rows["mask"]["speedup"]["rounds"] == 3 and rows["mask"]["over_network"]["rounds"] == 2
    page = (tmp_path / "benchmark.html").read_text()
    assert "; 2)</td>" in page and "; 3)</td>" in page and "<td>2 to 3</td>" in page
    with (tmp_path / "benchmark.csv").open() as file:
        line = next(line for line in csv.DictReader(file) if line["level"] == "mask")
    assert (line["runs"], line["speedup_rounds"], line["over_network_rounds"]) == ("3", "3", "2")
    command.tell(report, tmp_path)
    head, line, *_ = capsys.readouterr().out.splitlines()
    assert head.split()[6] == "runs" and line.split()[8] == "2"


def test_further_tasks_take_turns_and_tell_their_stages(small_model: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    @contextmanager
    def extra(
        settings: Settings, entries: Sequence[Entry], frames: Sequence[np.ndarray], faults: dict[str, str]
    ):
        faults["slow steam message"] = "its node does not answer"
        eager = next(entry for entry in entries if entry.level == "mask")
        half = {"decode": [0.002, 0.004], "network": [0.25, 0.5], "inference": [0.5, 1.0]}
        yield [Entry(eager.case, "message", asked.append, process_mb=12.34, stages=lambda: half)]
        asked.append(-1)

    report = run(settings_of(small_model, sizes=((96, 64),), nodes=True), tmp_path, extra, quiet=True)
    assert len(asked) == 2 * (2 + WARM_UP) + 1 and asked[-1] == -1
    rows = {row["level"]: row for row in report["rows"] if row["engine"] == "eager"}
    row = rows["message"]
    assert row["stages_ms"] == {"decode": 3.0, "network": 375.0, "inference": 750.0}
    # Compared with the network and the inference of its own process, not with those that ran in this one.
    assert row["over_network"]["median"] < 0.1 and row["beyond_network_ms"] < -200
    assert row["over_inference"]["median"] < 0.1 and row["beyond_inference_ms"] < -400
    # Two meanings of memory are two columns.
    assert row["process_memory_mb"] == 12.3 and "built_memory_mb" not in row
    assert "built_memory_mb" in rows["mask"] and "process_memory_mb" not in rows["mask"]
    stages = node_stages(row)
    assert stages["of it network"] == 375.0 and stages["message to mask"] == row["median_ms"]
    page = (tmp_path / "benchmark.html").read_text()
    assert "375.00" in page and "not timed: slow steam message: its node does not answer" in page
    assert "<th>whole process, MB</th>" in page and "<th>grown at building, MB</th>" in page
    with pytest.raises(InputError, match="other settings"):  # without nodes it is another run
        run(settings_of(small_model, sizes=((96, 64),)), tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--peers unet-r51", "Did you mean 'unet-r50'"),
        ("--engines steam", "unknown engine 'steam'"),
        ("--model nowhere", "unknown model"),
        ("--model sernet-r29-camvid sernet-r29-camvid", "a model is named twice"),
    ],
)
def test_refusals(tmp_path: Path, arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *arguments.split(), "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["--repeats 0", "--repeats -1", "--threads -1", "--repeats many"])
def test_numbers_are_checked_at_once(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", *arguments.split()])
    assert ended.value.code == 2 and "is not a whole number of at least" in capsys.readouterr().err


def test_auto_shows_what_it_chose(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_any = gathering.build

    def build_chosen(name: str, source: Source, plan: Plan):
        return build_any("eager" if name == "auto" else name, source, plan)

    monkeypatch.setattr(gathering, "build", build_chosen)
    arguments = ["--model", str(small_model), "--engines", "auto", "--sizes", "96x64", "--repeats", "1"]
    assert main(["benchmark", *arguments, "--peers", "unet-r18", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "benchmark.json").read_text())
    rows = [row for row in report["rows"] if row["level"] == "mask"]
    assert [(row["asked"], row["engine"]) for row in rows] == [("eager", "eager"), ("auto", "eager")]
    assert "auto: eager fp32" in capsys.readouterr().out
    assert "auto: eager fp32" in (tmp_path / "benchmark.html").read_text()
    # A peer's weights are random: there is no parity to be checked.
    assert [row["asked"] for row in report["rows"] if row["model"] == "unet-r18"] == ["eager"]


def test_default_engines_hold_int8_where_a_model_has_it(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sernet_core.engines import choose

    monkeypatch.setattr(choose, "contenders", lambda *_: ["openvino"])
    assert command._default_engines("cpu", ["sernet-r29-camvid", str(small_model)]) == [
        "openvino",
        "openvino:int8",
    ]
    assert command._default_engines("cpu", [str(small_model)]) == ["openvino"]


def test_only_what_was_named_is_a_fault(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sernet_core.peers import registry

    real = registry.missing_packages
    monkeypatch.setattr(registry, "missing_packages", lambda names, remedy: "gone" if names else real(names))
    arguments = ["benchmark", "--model", str(small_model), "--engines", "eager", "--sizes", "96x64"]
    arguments += ["--repeats", "1"]
    monkeypatch.setattr(
        registry, "PEERS", {name: registry.PEERS[name] for name in ("unet-r18", "segformer-b0")}
    )
    assert main([*arguments, "--peers", "--out", str(tmp_path / "all")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "left out: segformer-b0: gone"
    named = [*arguments, "--peers", "segformer-b0", "--out", str(tmp_path / "named")]
    for _ in range(2):  # what is kept of the first run says so, too
        assert main(named) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "not timed: segformer-b0: gone"


def test_a_model_that_cannot_be_loaded_costs_no_other(small_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    with safe_open(small_model, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in list(file.keys())[1:]}
        save_file(tensors, broken, file.metadata())
    models = (str(broken), str(small_model))
    settings = settings_of(small_model, models=models, named=models, sizes=((96, 64),), repeats=1)
    report = run(settings, tmp_path / "out", quiet=True)
    assert "missing" in report["faults"][str(broken)] and {r["model"] for r in report["rows"]} == {"small"}
    alone = dataclasses.replace(settings, models=(str(broken),))
    assert run(alone, tmp_path / "alone", quiet=True)["rows"] == []


def test_memory_is_looked_at_before_anything_is_built(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(small_model, engines=("openvino", "openvino:int8"), peers=("unet-r18",))
    sizes = {"small": 10_000_000, "unet-r18": 20_000_000}
    need = memory.needed(settings, sizes, settings.peers)
    pixels = memory.BYTES_A_PIXEL * 96 * 64
    assert need == 3 * (pixels + memory.BYTES_A_PARAMETER * 10e6) + 2 * (
        pixels + memory.BYTES_A_PARAMETER * 20e6
    )
    with_nodes = memory.needed(dataclasses.replace(settings, nodes=True), sizes, settings.peers)
    assert with_nodes == need + 3 * (memory.NODE_BYTES + pixels + memory.BYTES_A_PARAMETER * 10e6)
    monkeypatch.setattr(memory, "available", lambda: 1e6)
    monkeypatch.setattr(module, "gather", lambda *_: pytest.fail("something was built"))
    with pytest.raises(ConfigError, match=r"about 0\.\d GB for this, and 0\.0 GB are available. Take fewer"):
        run(settings_of(small_model), tmp_path, quiet=True)


def test_a_container_limits_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = memory.available()
    assert whole > 1e6
    for name, text in (
        ("max", "3000000\n"),
        ("current", "2500000\n"),
        ("stat", "anon 1\ninactive_file 100\n"),
    ):
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory.available() == 500_100
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 1e6
