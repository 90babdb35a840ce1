"""The ablation: its rows, what differences show, resuming, and what is written."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import SMALL, Frames, noise_frames

from sernet_core.ablation import runs as module
from sernet_core.ablation.differences import paired, spread, t95
from sernet_core.ablation.plan import Plan
from sernet_core.ablation.rows import BASE, choose, rows_of
from sernet_core.ablation.run import PAGE, RESULT, TABLE, run
from sernet_core.ablation.runs import LOCK, RUN
from sernet_core.ablation.table import as_text
from sernet_core.cli import main
from sernet_core.errors import ConfigError, DivergedError, InputError
from sernet_core.labels import IGNORE
from sernet_core.network import NetworkConfig, build_network
from sernet_core.storage import claim
from sernet_core.train import load_recipe
from sernet_core.train.state import TrainingState

pytestmark = pytest.mark.usefixtures("slim")

NETWORK = NetworkConfig(depth=18, dbn_rates=(3, 4, 5))
RECIPE = replace(SMALL, steps=1, synthetic_share=0.0, validate_every=1)


def test_rows_are_the_network_and_what_differs_from_it() -> None:
    rows = {row.name: row for row in rows_of(NETWORK)}
    networks = [row.network(NETWORK) for row in rows.values()]
    assert rows[BASE].network(NETWORK) == NETWORK and len(set(networks)) == len(networks)
    assert not rows["no afn2"].network(NETWORK).afn2 and rows["no afn2"].network(NETWORK).afn1
    none = rows["none of them"].network(NETWORK)
    assert not any((none.abm, none.dbn, none.afn1, none.afn2))
    assert rows["stride 8"].network(NETWORK).dbn_rates == (6, 8, 10)
    assert "fusion concat" not in rows and "rates 3 4 5" not in rows, "they are the network itself"
    assert "fusion concat" in {row.name for row in rows_of(replace(NETWORK, fusion="add"))}


def test_peers_of_the_same_depth_stand_beside() -> None:
    def peers(depth: int) -> list[str]:
        return [row.name for row in choose(rows_of(replace(NETWORK, depth=depth)), ["peers"])]

    assert peers(18) == [BASE, "deeplabv3plus-r18", "unet-r18"]
    assert peers(50) == [BASE, "deeplabv3plus-r50", "unet-r50"]
    with pytest.raises(ConfigError, match="peers"):
        peers(29)
    assert {row.group for row in rows_of(NETWORK) if row.peer} == {"peers"}
    deeplab = next(row for row in rows_of(NETWORK) if row.name == "deeplabv3plus-r18").network(NETWORK)
    with torch.device("meta"):
        pyramid = build_network(deeplab).pyramid  # type: ignore[call-overload]
    rates = [module.dilation[0] for module in pyramid.modules() if isinstance(module, torch.nn.Conv2d)]
    assert sorted(rate for rate in rates if rate > 1) == [2, 3, 5], "(6, 12, 18) as DbN's (12, 16, 18) shrink"


def test_rows_are_chosen_by_name_or_group_beside_the_base() -> None:
    rows = rows_of(NETWORK)
    assert [row.name for row in choose(rows, ["gate fixed"])] == [BASE, "gate fixed"]
    assert [row.name for row in choose(rows, ["fusion"])] == [BASE, "fusion add", "fusion gated"]
    alone = choose(rows, ["gate fixed, no abm"])
    assert [row.name for row in alone] == [BASE, "gate fixed", "gate fixed, no abm"], (
        "what it differs from too"
    )
    assert alone[2].against == "gate fixed"
    assert "gate fixed, no abm" not in {row.name for row in rows_of(replace(NETWORK, gate="fixed"))}
    with pytest.raises(ConfigError, match="Did you mean 'no afn1'"):
        choose(rows, ["no anf1"])


def test_differences_are_paired_by_seed() -> None:
    base, other = {0: 50.0, 1: 60.0, 2: 70.0, 9: 1.0}, {0: 49.0, 1: 58.5, 2: 69.5, 8: 99.0}
    found = paired(base, other)
    assert found is not None
    assert found["by_seed"] == {"0": -1.0, "1": -1.5, "2": -0.5}
    assert (found["difference"], found["sd"], found["verdict"]) == (-1.0, 0.5, "not shown")
    # Student's t with two degrees of freedom at 97.5 %: 4.303.
    assert found["low"] == pytest.approx(-1 - 4.303 * 0.5 / math.sqrt(3), abs=1e-3)
    steady = paired({0: 50.0, 1: 60.0, 2: 70.0}, {0: 49.0, 1: 58.9, 2: 69.1})
    assert steady is not None and steady["verdict"] == "worse" and steady["high"] < 0
    two = paired({0: 50.0, 1: 60.0}, {0: 49.5, 1: 59.48})
    assert two is not None and two["high"] < 0 and two["verdict"] == "not shown", (
        "two seeds that agree by chance"
    )
    single = paired({0: 50.0}, {0: 40.0})
    assert single is not None and single["low"] is None and single["verdict"] == "not shown"
    assert paired({0: 1.0}, {1: 1.0}) is None
    assert spread([1.0, 3.0]) == {"mean": 2.0, "sd": 1.4142, "low": 1.0, "high": 3.0, "seeds": 2}


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (9, 2.262), (10, 2.228), (20, 2.086), (30, 2.042), (60, 2.000)]
)
def test_quantiles_of_students_t(freedom: int, quantile: float) -> None:
    assert t95(freedom) == pytest.approx(quantile, abs=0.003)
    assert t95(freedom) > t95(freedom + 1) > 1.96


def plan_of(rows: list[str], **more: Any) -> Plan:
    return Plan(
        RECIPE,
        choose(rows_of(RECIPE.network), rows),
        Frames(noise_frames(4), "camvid/train"),
        Frames(noise_frames(2, "v"), "camvid/val"),
        **{"workers": 0, "repeats": 1, "seeds": 1, **more},
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Folder and seed of each run that is trained."""
    found: list[tuple[str, int]] = []
    train = module.train

    def watched(recipe: Any, dataset: Any, validation: Any, folder: Path, **more: Any) -> bool:
        found.append((folder.name, recipe.seed))
        return train(recipe, dataset, validation, folder, **more)

    monkeypatch.setattr(module, "train", watched)
    yield found


def test_what_is_done_is_kept_and_more_may_follow(tmp_path: Path, trained: list[tuple[str, int]]) -> None:
    told: list[str] = []
    report = run(plan_of(["no afn1"]), tmp_path, tell=told.append)
    assert report is not None and trained == [("all_seed0", 0), ("no-afn1_seed0", 0)]
    assert [row["row"] for row in report["rows"]] == [BASE, "no afn1"] and not report["missing"]
    run(plan_of(["no afn1"]), tmp_path, tell=told.append)
    assert len(trained) == 2 and "timing all variants in turns" in told
    report = run(plan_of(["no afn1"], seeds=2), tmp_path, tell=told.append)
    report = run(plan_of(["fusion add"]), tmp_path, tell=told.append)
    assert trained[2:] == [("all_seed1", 1), ("no-afn1_seed1", 1), ("fusion-add_seed0", 0)]
    assert report is not None, "and rows that an earlier call asked for stay"
    assert report == json.loads((tmp_path / RESULT).read_text())
    rows = {row["row"]: row for row in report["rows"]}
    assert set(rows[BASE]["runs"]) == {"0", "1"} and set(rows["fusion add"]["runs"]) == {"0"}
    differences = rows["no afn1"]["against"]
    for seed in ("0", "1"):
        step = rows["no afn1"]["runs"][seed] - rows[BASE]["runs"][seed]
        assert differences["by_seed"][seed] == pytest.approx(step, abs=1e-3)
    assert rows["no afn1"]["parameters"] < rows[BASE]["parameters"]
    assert rows["no afn1"]["gmac"] < rows[BASE]["gmac"]
    assert (
        all(row["latency"]["median_ms"] > 0 for row in rows.values()) and rows[BASE]["latency"]["ratio"] == 1
    )
    with (tmp_path / TABLE).open() as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == list(rows)
    assert float(lines[1]["difference"]) == differences["difference"]
    page = (tmp_path / PAGE).read_text()
    assert "no afn1" in page and "one seed: no spread" in page and "http" not in page
    for name in ("state", "best"):
        assert not list(tmp_path.rglob(f"{name}.safetensors")), "a finished run needs none"


def test_a_peer_is_trained_under_the_same_budget(tmp_path: Path, trained: list[tuple[str, int]]) -> None:
    report = run(plan_of(["unet-r18"], seeds=2), tmp_path, tell=lambda _: None)
    assert report is not None and trained[1::2] == [("unet-r18_seed0", 0), ("unet-r18_seed1", 1)]
    peer = report["rows"][1]
    assert peer["row"] == "unet-r18" and set(peer["against"]["by_seed"]) == {"0", "1"}
    assert (
        peer["parameters"] > report["rows"][0]["parameters"]
        and peer["gmac"] > 0
        and peer["latency"]["median_ms"] > 0
    )


def test_variants_start_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever two networks have the same weights, those are the same before the first step."""
    first: dict[str, dict[str, torch.Tensor]] = {}
    reset = TrainingState.reset_average

    def watched(state: TrainingState) -> None:
        reset(state)
        config = state.recipe.network
        name = getattr(config, "name", f"dbn {getattr(config, 'dbn', '')}")
        first[name] = {key: value.clone() for key, value in state.model.state_dict().items()}

    monkeypatch.setattr(TrainingState, "reset_average", watched)
    run(plan_of(["no dbn", "unet-r18"]), tmp_path, tell=lambda _: None)
    base = first["dbn True"]
    for other, least in ((first["dbn False"], 100), (first["unet-r18"], 60)):
        common = [key for key in base if key in other and base[key].shape == other[key].shape]
        assert len(common) > least and all(torch.equal(base[key], other[key]) for key in common)
        assert any("auxiliary" in key for key in common)


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = module.train
    monkeypatch.setattr(module, "train", lambda *_, **__: False)
    assert run(plan_of(["no dbn"]), tmp_path, tell=lambda _: None) is None
    monkeypatch.setattr(module, "train", train)
    assert run(plan_of(["no dbn"]), tmp_path, tell=lambda _: None) is not None


def test_a_run_that_fails_costs_no_other(
    tmp_path: Path, trained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = module.train

    def diverging(recipe: Any, *rest: Any, **more: Any) -> bool:
        if not recipe.network.dbn:
            raise DivergedError("step 3: loss nan")
        return watched(recipe, *rest, **more)

    monkeypatch.setattr(module, "train", diverging)
    report = run(plan_of(["no dbn", "no afn1"]), tmp_path, tell=lambda _: None)
    assert report is not None and report["failed"] == {"no dbn, seed 0": "step 3: loss nan"}
    assert [row["row"] for row in report["rows"]] == [BASE, "no afn1"] and report["timing"]["rows"]
    assert "no dbn, seed 0: step 3: loss nan" in (tmp_path / PAGE).read_text()
    assert report["timing"]["rows"].keys() == {BASE, "no afn1"}
    # Another process, which finds this run taken by one that fails, tells and times it all the same.
    (tmp_path / RESULT).unlink()
    (held,) = (job.folder(tmp_path) for job in plan_of(["no dbn"]).jobs() if job.row.name == "no dbn")
    with claim(held, LOCK):
        report = run(plan_of(["no dbn", "no afn1"]), tmp_path, tell=lambda _: None)
    assert report is not None and list(report["failed"]) == ["no dbn, seed 0"] and report["timing"]
    monkeypatch.setattr(module, "train", watched)
    report = run(plan_of(["no dbn", "no afn1"]), tmp_path, tell=lambda _: None)
    assert report is not None and not report["failed"] and not report["missing"], "and it is tried again"


def test_two_processes_share_the_runs(tmp_path: Path, trained: list[tuple[str, int]]) -> None:
    """One holds a run: the other takes the rest, and leaves the timing to who finishes last."""
    plan = plan_of(["no afn1"])
    held = plan.jobs()[0].folder(tmp_path)
    told: list[str] = []
    with claim(held, LOCK) as mine:
        assert mine
        report = run(plan, tmp_path, tell=told.append)
    assert trained == [("no-afn1_seed0", 0)] and "run 1 of 2: all, seed 0: another process has it" in told
    assert report is not None and report["missing"] == ["all, seed 0"] and not report["timing"]
    assert "no afn1" in as_text(report), "without latency too"
    report = run(plan, tmp_path, tell=told.append)
    assert trained[1:] == [("all_seed0", 0)] and report is not None and len(report["timing"]["rows"]) == 2


def test_timing_again(tmp_path: Path) -> None:
    first = run(plan_of(["no afn1"]), tmp_path, tell=lambda _: None)
    again = run(plan_of(["no afn1"], repeats=2), tmp_path, tell=lambda _: None)
    assert first is not None and again is not None and again["timing"] == first["timing"]
    again = run(plan_of(["no afn1"], repeats=2), tmp_path, time_again=True, tell=lambda _: None)
    assert again is not None and again["timing"]["rows"][BASE]["runs"] == 2
    assert again["timing"]["threads"] == torch.get_num_threads() and "load_before" in again["timing"]
    assert again["rows"][0]["latency"] == again["timing"]["rows"][BASE]


def test_a_folder_of_another_ablation_is_refused(tmp_path: Path) -> None:
    run(plan_of(["no dbn"]), tmp_path, tell=lambda _: None)
    other = replace(plan_of(["no dbn"]), recipe=replace(RECIPE, steps=2, validate_every=2))
    with pytest.raises(InputError, match=r"other settings or data \(recipe.steps, recipe.validate_every\)"):
        run(other, tmp_path)
    for name, changed in (("train", "stems_sha256"), ("val", "validation_sha256")):
        field = {"train": "dataset", "val": "validation"}[name]
        frames = {field: Frames(noise_frames(4, "other"), f"camvid/{name}")}
        with pytest.raises(InputError, match=rf"other settings or data \(.*{changed}"):
            run(replace(plan_of(["no dbn"]), **frames), tmp_path)
    city, other_city = (Frames(noise_frames(2, prefix), "city/val") for prefix in "cd")
    run(plan_of(["no dbn"], also=[city], seeds=2), tmp_path, tell=lambda _: None)
    with pytest.raises(InputError, match=r"other settings or data \(frames of city/val\)"):
        run(plan_of(["no dbn"], also=[other_city]), tmp_path)
    (tmp_path / RESULT).unlink()
    with pytest.raises(InputError, match=r"result\.json: of an ablation with other settings"):
        run(other, tmp_path)
    # A setting that an older version did not know had its default.
    path = plan_of([]).jobs()[0].folder(tmp_path) / RUN
    result = json.loads(path.read_text())
    assert result["settings"]["recipe"].pop("region_weight") == RECIPE.region_weight
    path.write_text(json.dumps(result))
    assert run(plan_of(["no dbn"]), tmp_path, tell=lambda _: None) is not None
    path.write_text("{}")
    with pytest.raises(InputError, match="not the result of an ablation's run"):
        run(plan_of(["no dbn"]), tmp_path)
    (tmp_path / RESULT).write_text("{}")
    with pytest.raises(InputError, match="not an ablation's result"):
        run(plan_of(["no dbn"]), tmp_path)
    with pytest.raises(ConfigError, match="seeds: needs at least 1"):
        plan_of([], seeds=0)


def test_a_further_split_without_labels_has_no_scores(tmp_path: Path) -> None:
    blank = [replace(one, label=np.full_like(one.label, IGNORE)) for one in noise_frames(2, "b")]  # type: ignore[arg-type]
    report = run(plan_of([BASE], also=[Frames(blank, "city/val")]), tmp_path, tell=lambda _: None)
    assert report is not None and report["rows"][0]["also"] == {} and report["rows"][0]["miou"]["mean"] >= 0
    assert "city/val" in as_text(report) and "Every run on city/val" not in (tmp_path / PAGE).read_text()


@pytest.mark.parametrize("name", ["ablation", "ablation_r50"])
def test_recipes_that_ship(name: str) -> None:
    recipe = load_recipe(Path(f"config/{name}.yaml"))
    assert {"peers", "components"} <= {row.group for row in rows_of(recipe.network)}


def test_the_command_lists_its_rows_and_wants_data(capsys: pytest.CaptureFixture) -> None:
    assert main(["ablate", "--list"]) == 0
    assert "none of them              components" in capsys.readouterr().out
    assert main(["ablate"]) == 2
    assert "--data: which data set" in capsys.readouterr().err


def test_the_command_warns_of_bfloat16(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sernet_core.ablation.run.run", lambda *_, **__: None)
    for doubt in ("no AMX", ""):
        monkeypatch.setattr("sernet_core.engines.processor.bf16_doubt", lambda doubt=doubt: doubt)
        assert main(["ablate", "--data", "synthetic", "--device", "cpu"]) == 130
        assert ("bf16 may be slower than fp32 here: no AMX" in capsys.readouterr().out) == bool(doubt)
