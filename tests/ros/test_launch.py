"""The launch file: on a stand-in for launch everywhere, and on the real one where it is installed."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import rclpy
import yaml
from colcon_workspace import Workspace
from installed import ask, save_small_model
from live import fresh_domain

from sernet_ros.processes import Child
from sernet_ros.settings import FIELDS

pytest.importorskip("colcon_core", reason="colcon is not installed (requirements/dev.txt)")

STANDIN = [sys.executable, str(Path(__file__).parent / "launch_standin")]
TOPICS = {
    "image",
    "camera_info",
    "mask",
    "overlay",
    "color_mask",
    "confidence",
    "label_info",
    "mask_camera_info",
}
PARAMETERS = {*FIELDS, "use_sim_time"}
ARGUMENTS = {*TOPICS, *PARAMETERS, "params_file", "namespace", "name"}
UNCHANGED = {
    name: name
    for name in (
        *("semantic_mask", "semantic_mask/compressed", "semantic_overlay", "color_mask", "confidence"),
        *("label_info", "label_info_json", "semantic_mask/camera_info"),
    )
}


def has_real_launch() -> bool:
    # This repository's own folder launch/ can be imported too, as an empty namespace.
    return hasattr(importlib.import_module("launch"), "LaunchService") and bool(shutil.which("ros2"))


real_launch = pytest.param(
    ["ros2", "launch"],
    id="real",
    marks=pytest.mark.skipif(not has_real_launch(), reason="launch is not installed: no ROS 2 installation"),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.getbasetemp() / "colcon")


@pytest.fixture
def launch_file(workspace: Workspace) -> str:
    return str(workspace.share / "launch" / "segment.launch.py")


@pytest.fixture
def dry_run(workspace: Workspace, launch_file: str):
    """Runs the launch file with arguments; returns the argument vector and the dictionaries of parameters."""

    def run(*arguments: str) -> tuple[list[str], list[dict]]:
        (command,), dictionaries = commands(workspace, launch_file, *arguments)
        return command, dictionaries

    return run


def commands(workspace: Workspace, launch_file: str, *arguments: str) -> tuple[list[list[str]], list[dict]]:
    """What a launch file would start, and the dictionaries of parameters."""
    command = [*STANDIN, launch_file, "--dry-run", *arguments]
    done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return result["commands"], [yaml.safe_load(text) for text in result["files"].values()]


def remappings(command: list[str]) -> dict[str, str]:
    return dict(value.split(":=") for flag, value in pairwise(command) if flag == "-r")


def test_defaults_leave_everything_to_the_parameters_file(workspace: Workspace, dry_run) -> None:
    command, dictionaries = dry_run()
    assert command[0] == str(workspace.executables / "segment")
    assert dictionaries == []
    assert command.count("--params-file") == 1
    assert command[command.index("--params-file") + 1] == str(workspace.share / "config" / "segment.yaml")
    assert remappings(command) == {
        "__node": "sernet_segmenter",
        "__ns": "/",
        "image": "camera/image_raw",
        "image/camera_info": "camera/camera_info",
        **UNCHANGED,
    }


def test_arguments_win_over_the_parameters_file(dry_run, tmp_path: Path) -> None:
    params_file = tmp_path / "mine.yaml"
    params_file.write_text("/**:\n  ros__parameters: {model: other}\n")
    command, dictionaries = dry_run(
        f"params_file:={params_file}",
        *("model:=18", "device:=cpu", "autostart:=false", "namespace:=front", "name:=eyes"),
        *("image:=/cam/image", "mask:=/mask", "overlay:=colours"),
    )
    assert str(params_file) in command
    # Under the full name, which counts for more than a wildcard; a model named 18 stays a text.
    assert dictionaries == [
        {"/front/eyes": {"ros__parameters": {"model": "18", "device": "cpu", "autostart": False}}}
    ]
    assert command.index(str(params_file)) < command.index("--params-file", command.index(str(params_file)))
    assert remappings(command) == {
        "__node": "eyes",
        "__ns": "/front",
        "image": "/cam/image",
        "image/camera_info": "/cam/camera_info",
        **UNCHANGED,
        "semantic_mask": "/mask",
        "semantic_mask/compressed": "/mask/compressed",
        "semantic_mask/camera_info": "/mask/camera_info",
        "semantic_overlay": "colours",
    }


def test_values_arrive_in_their_types(dry_run) -> None:
    given = {
        "threads": 2,
        "mask_scale": 0.5,
        "publish_confidence": True,
        "use_sim_time": False,
        "label_remap": "autoware",
        "input_size": "640x480",
        "roi": [0, 120, 640, 360],
        "color_palette": [8404992, 255],
        "input_qos": "sensor_data",
        "inference_timeout": 0.5,
    }
    _, dictionaries = dry_run(*(f"{name}:={str(value).lower()}" for name, value in given.items()))
    assert dictionaries == [{"/sernet_segmenter": {"ros__parameters": given}}]


def test_truth_may_be_written_as_python_writes_it(dry_run) -> None:
    booleans = [name for name, entry in FIELDS.items() if isinstance(entry.default, bool)]
    given = {name: index % 2 == 0 for index, name in enumerate([*booleans, "use_sim_time"])}
    _, dictionaries = dry_run(*(f"{name}:={value}" for name, value in given.items()))
    assert dictionaries == [{"/sernet_segmenter": {"ros__parameters": given}}]


def test_a_parameter_is_converted_only_from_a_substitution() -> None:
    """As in launch_ros, where a text is not of another type."""
    script = (
        "from launch.substitutions import LaunchConfiguration as Value\n"
        "from launch import LaunchContext\n"
        "from launch_ros.parameter_descriptions import ParameterValue\n"
        "ParameterValue('18', value_type=str)\n"
        "context = LaunchContext({'n': '2'}, None)\n"
        "assert ParameterValue(Value('n'), value_type=int).evaluate(context) == 2\n"
        "ParameterValue('2', value_type=int)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=STANDIN[1], capture_output=True, text=True)
    assert done.returncode != 0 and "TypeError: value='2' is not an instance of" in done.stderr


def test_lists_may_have_one_element_and_texts_may_look_like_numbers(dry_run) -> None:
    given = ("cameras:=[front]", "color_palette:=[0x804080]", "label_remap:=1.5", "device:=")
    command, dictionaries = dry_run(*given, "ignore_mask:=on", "mask_scale:=1")
    assert dictionaries[0]["/sernet_segmenter"]["ros__parameters"] == {
        "cameras": ["front"],
        "color_palette": [0x804080],
        "label_remap": "1.5",
        "ignore_mask": "on",
        "mask_scale": 1.0,
    }
    assert remappings(command)["front/image"] == "front/image_raw"


def test_several_cameras_have_their_topics_under_their_prefixes(dry_run) -> None:
    command, dictionaries = dry_run("cameras:=[front, rear]", "mask:=labels")
    assert dictionaries[0]["/sernet_segmenter"]["ros__parameters"] == {"cameras": ["front", "rear"]}
    targets = remappings(command)
    assert targets["front/image"] == "front/image_raw" and targets["rear/image"] == "rear/image_raw"
    assert targets["front/image/camera_info"] == "front/camera_info"
    assert targets["rear/semantic_mask"] == "rear/labels"
    assert targets["rear/semantic_mask/camera_info"] == "rear/labels/camera_info"
    assert "image" not in targets


@pytest.mark.parametrize(
    "arguments", [(), ("cameras:=[front, rear]",), ("namespace:=front", "image:=image_raw")]
)
def test_the_calibration_of_the_mask_stays_off_the_cameras_topic(dry_run, arguments: tuple[str, ...]) -> None:
    command, _ = dry_run(*arguments)
    targets = remappings(command)
    own = {to for name, to in targets.items() if name.endswith("image/camera_info")}
    published = {to for name, to in targets.items() if name.endswith("semantic_mask/camera_info")}
    assert own and published and not own & published
    command, _ = dry_run(*arguments, "mask_camera_info:=scaled")
    assert all(
        to.endswith("scaled") for name, to in remappings(command).items() if name.endswith("mask/camera_info")
    )


OWN = "eyes: {ros__parameters: {cameras: [own]}}"
ALL = "/**: {ros__parameters: {cameras: [front, rear]}}"


@pytest.mark.parametrize(
    ("text", "namespace", "cameras"),
    [
        (ALL, "", ["front", "rear"]),
        (ALL, "car", ["front", "rear"]),
        (OWN, "", ["own"]),
        (OWN, "car", []),
        (f"{ALL}\n{OWN}", "", ["own"]),
        (f"{OWN}\n{ALL}", "", ["front", "rear"]),
        ("/**: {ros__parameters: {cameras: [one]}}\neyes: {ros__parameters: {threads: 2}}", "", ["one"]),
        ("/car/eyes: {ros__parameters: {cameras: [left]}}", "car", ["left"]),
        ("car: {eyes: {ros__parameters: {cameras: [left]}}}", "/car", ["left"]),
        ("/*: {ros__parameters: {cameras: [left]}}", "", ["left"]),
        ("/*: {ros__parameters: {cameras: [left]}}", "car", []),
        ("/*/eyes: {ros__parameters: {cameras: [left]}}", "car", ["left"]),
        ("/**/eyes: {ros__parameters: {cameras: [left]}}", "", ["left"]),
        ("/**: {ros__parameters: {cameras: ['']}}", "", []),
    ],
)
def test_the_cameras_of_the_parameters_file_have_their_topics_too(
    dry_run, tmp_path: Path, text: str, namespace: str, cameras: list[str]
) -> None:
    params_file = tmp_path / "mine.yaml"
    params_file.write_text(text)
    assert cameras_of_a_node(params_file, namespace or "/", "eyes") == (cameras or [""])
    arguments = ["name:=eyes", f"namespace:={namespace}", "overlay:=colours"]
    command, _ = dry_run(f"params_file:={params_file}", *arguments)
    assert sources(command) == (
        {f"{camera}/image": f"{camera}/image_raw" for camera in cameras} or {"image": "camera/image_raw"}
    )
    assert all(remappings(command)[f"{one}/semantic_overlay"] == f"{one}/colours" for one in cameras)


def cameras_of_a_node(params_file: Path, namespace: str, name: str) -> list[str]:
    """What ROS makes of a parameters file."""
    context = rclpy.Context()
    rclpy.init(context=context, args=["--ros-args", "--params-file", str(params_file)])
    node = rclpy.create_node(name, namespace=namespace, context=context)
    try:
        return list(node.declare_parameter("cameras", [""]).value)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def sources(command: list[str]) -> dict[str, str]:
    """Where the images come from."""
    return {name: to for name, to in remappings(command).items() if re.fullmatch("(.+/)?image", name)}


def test_the_argument_wins_over_the_cameras_of_the_file(dry_run, tmp_path: Path) -> None:
    params_file = tmp_path / "mine.yaml"
    params_file.write_text(ALL)
    for argument, expected in (
        ("cameras:=[left]", {"left/image": "left/image_raw"}),
        ("cameras:=['']", {"image": "camera/image_raw"}),
    ):
        command, _ = dry_run(f"params_file:={params_file}", argument)
        assert sources(command) == expected


def test_in_a_group_the_nodes_full_name_has_the_groups_namespace(dry_run, tmp_path: Path) -> None:
    params_file = tmp_path / "mine.yaml"
    params_file.write_text("/car/sernet_segmenter: {ros__parameters: {cameras: [left]}}")
    # What PushRosNamespace sets.
    command, _ = dry_run(f"params_file:={params_file}", "ros_namespace:=/car")
    assert remappings(command)["left/image"] == "left/image_raw"


def test_a_bad_parameters_file_stops_the_launch(
    workspace: Workspace, launch_file: str, tmp_path: Path
) -> None:
    params_file = tmp_path / "mine.yaml"
    for content, arguments, words in (
        ("/**: [", (), "mine.yaml is not YAML"),
        ("/**: {ros__parameters: {cameras: [a, b]}}", ("mask:=/mask",), "one topic of 2 cameras"),
    ):
        params_file.write_text(content)
        command = [*STANDIN, launch_file, "--dry-run", f"params_file:={params_file}", *arguments]
        done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True)
        assert done.returncode != 0 and words in done.stderr


def test_the_example_in_the_docs_starts_a_node_in_each_cameras_namespace(
    workspace: Workspace, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "node.md").read_text()
    _, _, section = text.partition("## In a launch file of your own")
    mine = tmp_path / "mine.launch.py"
    mine.write_text(section.partition("```python\n")[2].partition("```")[0])
    started, dictionaries = commands(workspace, str(mine))
    assert [command[0] for command in started] == [str(workspace.executables / "segment")] * 2
    for command, parameters, camera in zip(started, dictionaries, ("front", "rear"), strict=True):
        targets = remappings(command)
        assert targets.pop("__ns") == f"/{camera}" and targets.pop("__node") == "sernet_segmenter"
        # Relative: under the namespace.
        assert targets == {"image": "image_raw", "image/camera_info": "camera_info", **UNCHANGED}
        assert parameters == {f"/{camera}/sernet_segmenter": {"ros__parameters": {"device": "auto"}}}


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("params_file:=/no/such.yaml", "is not a file"),
        ("autostart:=yes", "autostart"),
        ("threads:=many", "many"),
        ("threads:=2.0", "2.0"),
        ("publish_overlay:=1", "publish_overlay"),
        ("roi:=[1, a]", "[1, a]"),
        ("cameras:=front", "cameras:=front is not a list of names"),
        ("cameras:=[1, 2]", "is not a list of names"),
        ("cameras:=[front", "is not a list of names"),
        ("cameras:=[front, rear] mask:=/mask", "one topic of 2 cameras"),
    ],
)
def test_a_bad_argument_stops_the_launch(
    workspace: Workspace, launch_file: str, argument: str, words: str
) -> None:
    command = [*STANDIN, launch_file, "--dry-run", *re.split(r" (?=\w+:=)", argument)]
    done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("launch", [pytest.param(STANDIN, id="standin"), real_launch])
def test_show_args_explains_each_argument(workspace: Workspace, launch_file: str, launch: list[str]) -> None:
    command = [*launch, launch_file, "--show-args"]
    done = subprocess.run(command, env=workspace.environment, capture_output=True, text=True, check=True)
    blocks = done.stdout.strip().split("\n\n")[1:]
    shown = {block.split("'")[1]: block for block in blocks}
    assert set(shown) == ARGUMENTS
    assert all(len(block.splitlines()[1].split()) > 3 for block in blocks), "each has a description"


@pytest.mark.parametrize("launch", [pytest.param(STANDIN, id="standin"), real_launch])
def test_the_launched_node_answers(
    workspace: Workspace, launch_file: str, launch: list[str], tmp_path: Path
) -> None:
    model = save_small_model(tmp_path / "small.safetensors")
    arguments = ["namespace:=front", "image:=/cam/image", f"model:={model}", "device:=cpu"]
    environment = {**workspace.environment, "ROS_DOMAIN_ID": str(fresh_domain())}
    log = tmp_path / "launch.log"
    with Child("launch", [*launch, launch_file, *arguments], log, environment) as process:
        image, mask = ask(
            "/cam/image",
            "/front/semantic_mask",
            lambda: None if process.exit_code is None else process.last_words(),
        )
    # Ended by SIGINT twice: from the terminal's group, and passed on by launch.
    assert process.exit_code == 0, process.last_words()
    assert "Traceback" not in log.read_text()
    assert mask.header == image.header
    assert (mask.width, mask.height) == (image.width, image.height)
