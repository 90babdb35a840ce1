"""The launch file that judges a recording: on the stand-in for launch, and on the real one where it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from colcon_workspace import Workspace
from installed import save_small_model
from test_launch import STANDIN, real_launch

from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
from sernet_ros.sources import SyntheticOptions, open_source

pytest.importorskip("colcon_core", reason="colcon is not installed (requirements/dev.txt)")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.getbasetemp() / "colcon")


@pytest.fixture
def launch_file(workspace: Workspace) -> str:
    return str(workspace.share / "launch" / "evaluate_bag.launch.py")


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    source = open_source("synthetic", None, SyntheticOptions(size=(96, 64), frames=2))
    write_bag(source, RecordingOptions(), tmp_path / "bag")
    return tmp_path / "bag"


def plan(workspace: Workspace, launch_file: str, *arguments: str) -> dict[str, list]:
    command = [*STANDIN, launch_file, "--dry-run", *arguments]
    done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dry_run(workspace: Workspace, launch_file: str, *arguments: str) -> list[str]:
    (command,) = plan(workspace, launch_file, *arguments)["commands"]
    return command


def test_ctrl_c_leaves_the_program_time_for_its_report(
    workspace: Workspace, launch_file: str, bag: Path
) -> None:
    assert plan(workspace, launch_file, f"bag:={bag}")["timeouts"] == [[60.0, 60.0]]


def test_arguments_become_options(workspace: Workspace, launch_file: str, bag: Path) -> None:
    program, *words = dry_run(workspace, launch_file, f"bag:={bag}")
    assert program == str(workspace.executables / "evaluate_bag")
    assert words == [str(bag), "--ros-args"], "what is empty is left to the program"
    _, *words = dry_run(
        *(workspace, launch_file, f"bag:={bag}", "out:=/o", "model:=m", "rate:=lockstep", "running:=/front"),
        *("image_topic:=/left/image", "offline:=false", "args:=--param precision:=bf16 --min-answered '90'"),
    )
    assert words == [
        *(str(bag), "--out", "/o", "--model", "m", "--rate", "lockstep", "--image-topic", "/left/image"),
        *("--running", "/front", "--param", "precision:=bf16", "--min-answered", "90", "--ros-args"),
    ]


def test_every_option_exists(workspace: Workspace, launch_file: str, bag: Path) -> None:
    from sernet_ros.evaluate_bag import build_parser

    values = {"rate": "3", "speed": "2", "frames": "4"}
    shown = subprocess.run(
        [*STANDIN, launch_file, "--show-args"],
        env=workspace.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [block.split("'")[1] for block in shown.stdout.strip().split("\n\n")[1:]]
    options = [name for name in names if name not in ("bag", "offline", "args")]
    arguments = [f"{name}:={values.get(name, 'x')}" for name in options]
    words = dry_run(workspace, launch_file, f"bag:={bag}", *arguments, "offline:=true")[1:]
    parsed = build_parser().parse_args(words[: words.index("--ros-args")])
    assert "--offline" in dry_run(workspace, launch_file, f"bag:={bag}", "offline:=True")
    assert "--offline" not in dry_run(workspace, launch_file, f"bag:={bag}", "offline:=False")
    assert parsed.offline and parsed.frames == 4 and parsed.speed == 2.0 and parsed.class_map == "x"


def test_a_missing_recording_stops_the_launch(workspace: Workspace, launch_file: str) -> None:
    for arguments, words in ((["bag:=/no/such"], "no such recording"), ([], "'bag' was not provided")):
        command = [*STANDIN, launch_file, "--dry-run", *arguments]
        done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True)
        assert done.returncode != 0 and words in done.stderr


@pytest.mark.parametrize("launch", [pytest.param(STANDIN, id="standin"), real_launch])
def test_the_launched_program_leaves_a_report(
    workspace: Workspace, launch_file: str, bag: Path, tmp_path: Path, launch: list[str]
) -> None:
    model = save_small_model(tmp_path / "small.safetensors")
    out = tmp_path / "out"
    arguments = [f"bag:={bag}", f"out:={out}", f"model:={model}", "device:=cpu", "rate:=lockstep"]
    # The engine that is ready at once.
    arguments += ["args:=--param engine:=eager"]
    done = subprocess.run(
        [*launch, launch_file, *arguments], env=workspace.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["frames"]["scored"] == 2 and report["passed"]
