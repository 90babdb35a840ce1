"""What a run's command line gives its node, checked before a process is started that would end of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sernet_core.errors import ConfigError
from sernet_ros.settings import unknown_overrides


def check_given(words: Sequence[str], file: Path | None) -> None:
    """Refuse parameters that are not written as ROS reads them, or that the node does not have.

    Args:
        words: Of --param, NAME:=VALUE each.
        file: Of --params-file.

    Raises:
        ConfigError: The first of them that is bad, and what to do.
    """
    for word in words:
        name, sign, value = word.partition(":=")
        if not (sign and value) or _fault("-p", word):
            raise ConfigError(f"--param {word}: must be NAME:=VALUE, in YAML, such as engine:=eager")
        # What is for a node of another name is none of this one's.
        if ":" not in name and (strange := unknown_overrides([name])):
            raise ConfigError(f"--param {word}: {strange[0]}")
    if file is None:
        return
    if not file.is_file():
        raise ConfigError(f"--params-file {file}: there is no such file")
    if fault := _fault("--params-file", str(file)):
        raise ConfigError(
            f"--params-file {file}: ROS cannot read it ({fault}); config/segment.yaml is a file of parameters"
        )


def _fault(*words: str) -> str:
    """What ROS itself has against arguments, in its words; empty when nothing."""
    from rclpy.utilities import remove_ros_args

    try:
        remove_ros_args(["segment", "--ros-args", *words])
    except Exception as error:  # rclpy keeps the type to itself
        told = str(error).partition("Error: ")[2] or str(error)
        return told.partition(", at ")[0].strip()
    return ""
