"""Judge a model on a recording: `ros2 launch sernet_ros evaluate_bag.launch.py bag:=~/bags/drive`.

`--show-args` explains the arguments; those that are left empty are left to the program. It starts a segmenter
of its own, unless `running` names the namespace of one. The launch ends when the report is there.
"""

import shlex
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PATIENCE = "60"  # seconds from a signal to the next, harder one

OPTIONS = {
    "out": "Folder of the results (default: out/evaluate_bag).",
    "model": "Weights: a path, the name of a model, e.g. sernet-r50-camvid, or auto.",
    "device": "Where the network runs: auto, cpu, cuda:0, ...",
    "engine": "What runs the network: auto, openvino, eager, ...",
    "precision": "Arithmetic of the network: auto, fp32, bf16, int8 or, on CUDA, fp16.",
    "rate": "source (real time; the default), lockstep, or frames a second.",
    "speed": "Factor of real time, e.g. 0.5; with rate source alone.",
    "frames": "Stop after so many frames.",
    "image_topic": "Camera topic in the recording (default: found by type).",
    "truth_topic": "Ground-truth topic in the recording (default: the one named .../ground_truth).",
    "class_map": "What the ground truth's ids are: camvid, cityscapes, or a CSV file with columns id,name.",
    "params_file": "YAML file with the parameters of the node that is started.",
    "running": "Namespace of a node that runs already and is to be judged; / stands for none.",
}

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="The recording: its folder, or one of its storage files."),
    *(DeclareLaunchArgument(name, default_value="", description=text) for name, text in OPTIONS.items()),
    DeclareLaunchArgument(
        "offline",
        default_value="false",
        choices=["true", "false", "True", "False"],
        description="Judge without ROS, as fast as the machine goes.",
    ),
    DeclareLaunchArgument(
        "args",
        default_value="",
        description="Further words for evaluate_bag, as a shell reads them; its --help lists them.",
    ),
]


def evaluation(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The program with its command line.

    Raises:
        RuntimeError: There is no such recording; launch would only log that the program has ended.
    """

    def value(argument: str) -> str:
        return LaunchConfiguration(argument).perform(context)

    bag = Path(value("bag")).expanduser()
    if not bag.exists():
        raise RuntimeError(f"bag:={bag}: no such recording")
    words = [str(bag)]
    for name in OPTIONS:
        if value(name):
            words += [f"--{name.replace('_', '-')}", value(name)]
    if value("offline").lower() == "true":
        words.append("--offline")
    return [
        Node(
            package="sernet_ros",
            executable="evaluate_bag",
            arguments=[*words, *shlex.split(value("args"))],
            # After Ctrl-C the node is ended, and a report of what there is written; launch waits 5 seconds.
            sigterm_timeout=PATIENCE,
            sigkill_timeout=PATIENCE,
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=evaluation)])
