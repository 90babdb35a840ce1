"""What is wrong with a run's own command line is told before a node is started, or where none is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from live import fresh_domain

from sernet_core.errors import ConfigError
from sernet_ros import demo, evaluate_bag
from sernet_ros.given_parameters import check_given
from sernet_ros.judged_node import DEMANDED, check_values

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("word", ["foo", "threads:=", "a b:=3", "roi:=[0, 0", ":=3"])
def test_what_ros_does_not_read_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"--param .*: must be NAME:=VALUE"):
        check_given([word], None)


def test_a_parameter_that_the_node_does_not_have_is_refused() -> None:
    check_given(["engine:=eager", "roi:=[0, 0, 8, 8]", "use_sim_time:=true", "other_node:foo:=1"], None)
    with pytest.raises(ConfigError, match=r"--param modl:=x: .*Did you mean 'model'"):
        check_given(["engine:=eager", "modl:=x"], None)


@pytest.mark.parametrize("text", ["a: [1", "a: 1\n", "\0"])
def test_a_file_that_holds_no_parameters_is_refused(tmp_path: Path, text: str) -> None:
    check_given([], ROOT / "config" / "autoware.yaml")
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"mine.yaml: ROS cannot read it \(.+\); config/segment.yaml"):
        check_given([], file)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_transport", "compressed", r"raw images .*\. Set it to 'raw', once the node is deact"),
        ("output_qos", "sensor_data", r"received reliably\. Set it to 'auto', once the node is"),
        ("mask_scale", 0.5, r"not the size of their frames\. Set it to 1.0$"),
    ],
)
def test_a_running_node_that_cannot_be_judged_is_refused_with_the_remedy(
    name: str, value: object, words: str
) -> None:
    fit = {other: wanted[-1] for other, wanted in DEMANDED.items()}
    check_values(fit)
    with pytest.raises(ConfigError, match=f"the node has {name} = {value!r}: .*{words}"):
        check_values({**fit, name: value})


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("words", [("--param", "foo"), ("--params-file", "nix.yaml")])
def test_runs_refuse_with_one_line(tmp_path: Path, capsys, words: tuple[str, str]) -> None:
    for program, source in ((demo, ["--source", "synthetic"]), (evaluate_bag, [str(tmp_path)])):
        assert program.main([*source, "--out", str(tmp_path / "out"), *words]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and f"error: {' '.join(words)}: " in told
        assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("handlers")
def test_where_no_node_runs_it_is_told_what_to_check(bag: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(fresh_domain()))
    words = ["--running", "/nobody", "--ready-timeout", "1", "--out", str(tmp_path / "out")]
    assert evaluate_bag.main([str(bag), *words]) == 1
    told = capsys.readouterr()
    assert f"no sernet_segmenter is found in /nobody on ROS_DOMAIN_ID {fresh_domain()}" in told.err
    assert "ros2 node list" in told.err and "waiting for sernet_segmenter in /nobody" in told.out
