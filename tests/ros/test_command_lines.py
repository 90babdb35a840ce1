"""What the command lines accept; needs no ROS."""

from __future__ import annotations

import pytest

from sernet_ros import compare, demo, evaluate_bag, make_bag, replay

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
