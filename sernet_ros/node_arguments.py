"""The command line of `segment`: ROS's own arguments, and help for whoever looks for others."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from sernet_ros.settings import FIELDS

_ROS, _ROS_END = "--ros-args", "--"
_SHOWN = (
    "model",
    "device",
    "engine",
    "precision",
    "input_size",
    "cameras",
    "image_transport",
    "mask_scale",
    "label_remap",
    "confidence_threshold",
    "publish_confidence",
)
_EPILOG = """\
examples:
  segment --ros-args -r image:=/camera/image_raw                      the camera's topic
  segment --ros-args -r image:=/camera/image_raw -p model:=auto -p device:=cpu
  segment --ros-args -r __ns:=/front --params-file my.yaml            parameters from a file, below /front
  ros2 launch sernet_ros segment.launch.py image:=/camera/image_raw   the same by a launch file
  ros2 launch sernet_ros segment.launch.py --show-args                where each parameter is an argument, too

the main parameters (with their defaults):
{parameters}

All of them, and all topics: docs/node.md and config/segment.yaml; of a node that runs:
ros2 param describe /sernet_segmenter NAME.
"""


def check_arguments(words: Sequence[str]) -> None:
    """Refuse what is not ROS's, which rclpy would ignore or take for a remapping; --help is answered.

    Args:
        words: Command line without the program's name.

    Raises:
        SystemExit: 0 after --help, 2 after anything else.
    """
    parser = build_parser()
    _, strange = parser.parse_known_args(_not_for_ros(words))
    if strange:
        parser.error(
            f"not understood: {' '.join(strange)}. Parameters (-p NAME:=VALUE) and topics (-r NAME:=TOPIC) "
            "are arguments of ROS: write --ros-args before -p and -r (--help shows examples)"
        )


def build_parser() -> argparse.ArgumentParser:
    """The command line beside ROS's own arguments: only --help."""
    return argparse.ArgumentParser(
        prog="segment",
        usage="segment [--help] [--ros-args -p NAME:=VALUE ... -r NAME:=TOPIC ... --params-file FILE]",
        description="Run the segmentation node: camera images in, class masks out.\n"
        "Parameters, topics and the namespace are given behind --ros-args.",
        epilog=_EPILOG.format(parameters="\n".join(map(_words, _SHOWN))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _not_for_ros(words: Sequence[str]) -> list[str]:
    """The words outside of --ros-args ... --, as rcl tells them apart."""
    own, in_ros = [], False
    for word in words:
        if word == _ROS:
            in_ros = True
        elif in_ros and word == _ROS_END:
            in_ros = False
        elif not in_ros:
            own.append(word)
    return own


def _words(name: str) -> str:
    entry = FIELDS[name]
    default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    text = f"{entry.metadata['description']} ({shown or 'empty'})"
    return textwrap.fill(text, 105, initial_indent=f"  {name:<22}", subsequent_indent=" " * 24)
