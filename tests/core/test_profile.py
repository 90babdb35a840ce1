"""Costs against hand arithmetic, published figures and torch's own counter."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sernet_core.cli import main
from sernet_core.commands import profile as command
from sernet_core.errors import InputError
from sernet_core.network import NetworkConfig, build_network
from sernet_core.profile import Profile, StageCost, latency, profile
from sernet_core.trunk import steps


def stage(result: Profile, name: str) -> StageCost:
    return next(stage for stage in result.stages if stage.name == name)


def test_stages_against_hand_arithmetic() -> None:
    result = profile(NetworkConfig(), 960, 720)
    quarter, sixteenth = 240 * 180, 60 * 45
    assert stage(result, "stem").macs == 480 * 360 * 64 * 3 * 49
    assert stage(result, "stem").parameters == 64 * 3 * 49 + 2 * 64 + 1
    assert stage(result, "stem").output == (64, 360, 480)
    dbn = 2048 * 256 + 3 * (9 * 256 + 256 * 256)
    assert stage(result, "DbN").macs == sixteenth * dbn
    assert stage(result, "DbN").parameters == dbn + 4 * 2 * 256
    assert stage(result, "AfN1").macs == quarter * (256 * 64 + 3 * 9 * 64 * 64)
    # The projection is on DbN's grid, before the upsampling; the convolutions are at H/8, H/16 and H/16.
    small = (quarter // 4 + quarter // 16 + quarter // 16) * 9 * 64 * 64
    assert stage(result, "AfN2").macs == sixteenth * 256 * 64 + small
    assert stage(result, "head").macs == quarter * (9 * 128 * 128 + 128 * 11)
    assert stage(result, "head").parameters == 9 * 128 * 128 + 2 * 128 + 128 * 11 + 11
    assert stage(result, "layer4").output == (2048, 45, 60) and stage(result, "head").output == (11, 180, 240)
    # Last stage at output stride 16, a grid of 45x60: one strided-no-more shortcut, three bottlenecks.
    layer4 = 1024 * 2048 + 1024 * 512 + 2 * 2048 * 512 + 3 * (9 * 512 * 512 + 512 * 2048)
    assert stage(result, "layer4").macs == sixteenth * layer4


# He et al., arXiv 1512.03385, table 1: multiply-adds of the whole classifier at 224x224, in 10^9. Parameters:
# the widely used implementations', without the 1000-way classifier.
@pytest.mark.parametrize(
    ("depth", "parameters", "published"),
    [(18, 11_176_512, 1.8), (34, 21_284_672, 3.6), (50, 23_508_032, 3.8), (101, 42_500_160, 7.6)],
)
def test_plain_trunk_has_the_published_cost(depth: int, parameters: int, published: float) -> None:
    result = profile(NetworkConfig(depth=depth, output_stride=32, abm=False), 224, 224)
    trunk = result.stages[:5]
    assert sum(stage.parameters for stage in trunk) == parameters
    macs = sum(stage.macs for stage in trunk) + 1000 * (512 if depth < 50 else 2048)
    assert macs / 1e9 == pytest.approx(published, abs=0.1)


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(depth=18, output_stride=8, fusion="gated", dbn_separable=False),
        NetworkConfig(depth=34, output_stride=32, abm=False, dbn=False, afn2=False, fusion="add"),
        NetworkConfig(depth=50, afn1=False, gate="fixed", classes=19, dbn_channels=96, afn_channels=48),
    ],
)
def test_totals_equal_other_counters(config: NetworkConfig) -> None:
    result = profile(config, 500, 333)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build_network(config).eval()
        network(torch.empty(1, 3, 333, 500))
    assert 2 * result.macs == counter.get_total_flops()  # that counts a multiply-accumulate as two
    assert result.parameters == sum(parameter.numel() for parameter in network.parameters())


def test_cost_is_that_of_the_padded_size() -> None:
    config = NetworkConfig(depth=18)
    exact, odd = profile(config, 496, 336), profile(config, 481, 333)
    assert odd.size == (481, 333) and odd.padded == exact.padded == (496, 336)
    assert odd.stages == exact.stages


def test_too_small() -> None:
    with pytest.raises(InputError, match="64x64"):
        profile(NetworkConfig(), 960, 60)


def test_latency_is_a_time() -> None:
    assert latency(NetworkConfig(depth=18), 64, 64, threads=1, runs=1) > 0


def test_command_prints_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--depth", "18", "--size", "481x360", "--no-abm", "--rates", "6,8,9"]) == 0
    text = capsys.readouterr().out
    result = profile(NetworkConfig(depth=18, abm=False, dbn_rates=(6, 8, 9)), 481, 360)
    assert "without AbM" in text and "DbN rates 6, 8, 9" in text
    assert "input 481x360, padded to 496x368" in text
    for name, value in (("total", result), ("DbN", stage(result, "DbN"))):
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert line.endswith(f"{value.parameters:,}{value.macs / 1e9:>10.3f}")


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--depth", "18", "--size", "64x64", "--json", "--time", "--runs", "1", "--threads", "1"]
    assert main(["profile", *arguments]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["network"]["depth"] == 18 and values["size"] == [64, 64] and len(values["stages"]) == 9
    assert values["macs"] == sum(stage["macs"] for stage in values["stages"])
    assert values["latency"]["milliseconds"] > 0 and "1 thread" in values["latency"]["conditions"]


# The cost table of docs/network.md.
COSTS = {
    (18, 16): (11_679_318, 54.3), (18, 8): (11_679_318, 140.3),
    (29, 16): (7_376_214, 44.0), (29, 8): (7_376_214, 93.9),
    (34, 16): (21_787_478, 89.3), (34, 8): (21_787_478, 251.7),
    (50, 16): (24_642_006, 97.9), (50, 8): (24_642_006, 282.3),
    (101, 16): (43_634_134, 149.0), (101, 8): (43_634_134, 486.8),
}  # fmt: skip


def test_command_goes_through_all_depths(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--all", "--json"]) == 0
    found = {
        (values["network"]["depth"], values["network"]["output_stride"]): (
            values["parameters"],
            round(values["macs"] / 1e9, 1),
        )
        for values in json.loads(capsys.readouterr().out)
    }
    assert found == COSTS
    assert main(["profile", "--all", "--size", "64x64"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [(int(row[0]), int(row[1])) for row in rows] == list(COSTS)


def test_command_takes_a_model(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--model", str(small_model), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["size"] == [96, 64] and values["network"]["dbn_rates"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--depth 19", "depth: 19 is not one of"),
        ("--size 10x10", "at least 64x64"),
        ("--model nowhere", "unknown model 'nowhere'"),
        ("--model nowhere --depth 18", "leave out --all and the options of the variant"),
        ("--model nowhere --all", "leave out --all"),
        ("--all --output-stride 8", "leave out --depth and --output-stride"),
        ("--depth 18 --size 64x64 --time --runs 0", "runs >= 1"),
    ],
)
def test_command_refuses(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *arguments.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["--size 960", "--size 960x", "--rates 6,,9", "--rates wide"])
def test_command_explains_what_a_value_looks_like(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["profile", *arguments.split()])
    assert "e.g." in capsys.readouterr().err


def test_every_choice_of_the_network_has_an_option() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = {action.dest for action in parser._actions}
    assert set(NetworkConfig.__dataclass_fields__) <= options


def test_from_the_trunk_to_the_whole_part_by_part() -> None:
    config = NetworkConfig(depth=18)
    found = steps(config, 96, 64)
    names = [step.name for step in found]
    assert names == [
        "plain trunk, output stride 32", "plain trunk, output stride 16", "with projections and head",
        "and DbN", "and AfN2", "and AfN1", "and AbM",
    ]  # fmt: skip
    whole = profile(config, 96, 64)
    assert (found[-1].parameters, found[-1].macs) == (whole.parameters, whole.macs)
    assert found[-1].parameters - found[-2].parameters == 5 and found[-1].macs == found[-2].macs
    # He et al.'s ResNet-18 without its classifier of 512 x 1000 weights and 1000 biases.
    assert found[0].parameters == found[1].parameters == 11_689_512 - 513_000
    assert found[0].macs < found[1].macs
    assert sum(p.numel() for p in found[1].build().parameters()) == found[1].parameters
    shorter = steps(NetworkConfig(depth=18, output_stride=32, afn1=False), 96, 64)
    assert [step.name for step in shorter][-2:] == ["and AfN2", "and AbM"] and len(shorter) == 5


def test_the_trunk_on_the_command_line(capsys: pytest.CaptureFixture) -> None:
    given = ["profile", "--trunk", "--depth", "18", "--size", "96x64"]
    assert main([*given, "--time", "--runs", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[1]["times_trunk"]["median"] == 1.0 and all(row["median_ms"] > 0 for row in rows)
    assert main(given) == 0
    assert "and AbM" in capsys.readouterr().out
    assert main(["profile", "--trunk", "--all"]) == 2 and "--trunk" in capsys.readouterr().err
