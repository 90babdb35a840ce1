"""What the command lines accept; needs no ROS."""

from __future__ import annotations

import pytest

from sernet_ros import compare, demo, evaluate_bag, make_bag, node, replay
from sernet_ros.node_arguments import check_arguments

REQUIRED = {
    replay.build_parser: ["synthetic"],
    evaluate_bag.build_parser: ["drive"],
    compare.build_parser: ["a", "b"],
    make_bag.build_parser: ["synthetic", "--out", "bag"],
}


@pytest.mark.parametrize(
    ("build", "option", "good", "bad"),
    [
        (demo.build_parser, "--seconds", "0.5", ("nan", "inf", "0", "-1", "soon")),
        (demo.build_parser, "--min-answered", "0", ("nan", "-0.1", "100.1")),
        (demo.build_parser, "--ready-timeout", "5", ("nan", "-1")),
        (replay.build_parser, "--answer-timeout", "0.2", ("nan", "-1", "inf")),
        (replay.build_parser, "--wait-timeout", "1", ("nan", "-1")),
        (replay.build_parser, "--rate", "15", ("nan", "0", "fast")),
        (replay.build_parser, "--speed", "0.5", ("nan", "0", "inf")),
        (evaluate_bag.build_parser, "--answer-timeout", "0.2", ("nan", "-1")),
        (evaluate_bag.build_parser, "--min-answered", "90", ("nan", "100.1")),
        (evaluate_bag.build_parser, "--ready-timeout", "5", ("nan", "-1", "inf")),
        (compare.build_parser, "--max-drop", "0.5", ("nan", "-1", "101")),
        (compare.build_parser, "--max-class-drop", "2", ("nan", "-1")),
        (compare.build_parser, "--max-slower", "200", ("nan", "-1", "inf")),
        (make_bag.build_parser, "--start", "100", ("nan", "-1", "1e10")),
    ],
)
def test_numbers_on_the_command_line_are_checked(build, option, good, bad, capsys) -> None:
    options = build().parse_args([*REQUIRED.get(build, []), option, good])
    assert getattr(options, option[2:].replace("-", "_")) == float(good)
    for value in bad:
        with pytest.raises(SystemExit) as ended:
            build().parse_args([*REQUIRED.get(build, []), f"{option}={value}"])
        assert ended.value.code == 2 and f"'{value}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("build", "option"),
    [
        (evaluate_bag.build_parser, "--out"),
        (evaluate_bag.build_parser, "--params-file"),
        (evaluate_bag.build_parser, "--record"),
        (demo.build_parser, "--out"),
        (demo.build_parser, "--params-file"),
        (replay.build_parser, "--log"),
        (make_bag.build_parser, "--out"),
        (compare.build_parser, "--out"),
    ],
)
def test_the_home_needs_no_shell(build, option, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/mine")
    words = REQUIRED.get(build, [])
    options = build().parse_args([*words, f"{option}=~/there"])
    assert str(vars(options)[option[2:].replace("-", "_")]) == "/home/of/mine/there"


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "modl:=x"],
        ["-p", "model:=x", "--ros-args", "-r", "image:=/camera"],
        ["model:=x"],  # rcl would take it for a remapping
        ["--bogus"],
        ["--hel"],
        ["--ros-args", "-p", "model:=x", "--", "stray"],
    ],
)
@pytest.mark.usefixtures("handlers")
def test_segment_refuses_what_is_not_for_ros(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        node.main(["segment", *words])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and "write --ros-args before -p" in err, err
    assert ("stray" if "stray" in words else words[0]) in err


def test_segment_takes_what_launch_gives_it() -> None:
    check_arguments([])
    check_arguments(["--ros-args", "-r", "__node:=one", "--params-file", "/tmp/x", "-r", "image:=/camera"])
    check_arguments(["--ros-args", "-p", "model:=x", "--", "--ros-args", "--log-level", "debug"])


@pytest.mark.usefixtures("handlers")
def test_the_help_of_segment_teaches(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        node.main(["segment", "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    for words in ("--ros-args -r image:=", "-p NAME:=VALUE", "segment.launch.py", "model ", "(auto)"):
        assert words in told
    assert max(map(len, told.splitlines())) <= 110
