"""What the command lines of demo and replayer accept; needs no ROS."""

from __future__ import annotations

import pytest

from sernet_ros import demo, replay


@pytest.mark.parametrize(
    ("build", "option", "good", "bad"),
    [
        (demo.build_parser, "--seconds", "0.5", ("nan", "inf", "0", "-1", "soon")),
        (demo.build_parser, "--min-answered", "0", ("nan", "-0.1", "100.1")),
        (demo.build_parser, "--ready-timeout", "5", ("nan", "-1")),
        (replay.build_parser, "--answer-timeout", "0.2", ("nan", "-1", "inf")),
        (replay.build_parser, "--wait-timeout", "1", ("nan", "-1")),
        (replay.build_parser, "--rate", "15", ("nan", "0", "fast")),
    ],
)
def test_numbers_on_the_command_line_are_checked(build, option, good, bad, capsys) -> None:
    source = ["synthetic"] if build is replay.build_parser else []
    options = build().parse_args([*source, option, good])
    assert getattr(options, option[2:].replace("-", "_")) == float(good)
    for value in bad:
        with pytest.raises(SystemExit) as ended:
            build().parse_args([*source, f"{option}={value}"])
        assert ended.value.code == 2 and f"'{value}'" in capsys.readouterr().err
