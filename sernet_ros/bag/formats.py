"""The package that knows the formats, and the message types that are used here."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from sernet_core.errors import ConfigError

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
STRING_TYPE = "std_msgs/msg/String"
BAG_SUFFIXES = (".mcap", ".db3")
PACKED = ".zstd"
METADATA = "metadata.yaml"
STORAGES = ("mcap", "sqlite3")
IMAGES = ("raw", "jpeg", "png")
"""Storages of a new recording, and how it can hold its images."""


def is_bag(path: Path) -> bool:
    """Whether a path is a recording: a file of one, or a folder that holds some."""
    if path.is_dir():
        return any(map(is_storage, path.iterdir())) or _is_described(path / METADATA)
    return path.suffix == ".bag" or is_storage(path)


def is_storage(path: Path) -> bool:
    """Whether a file has the name of a rosbag2 storage file, packed as a whole or not."""
    name = path.stem if path.suffix == PACKED else path.name
    return Path(name).suffix in BAG_SUFFIXES


def _is_described(metadata: Path) -> bool:
    return metadata.is_file() and b"rosbag2_bagfile_information" in metadata.read_bytes()


def zstd() -> Any:
    """The module for zstd: of Python itself from 3.14 on."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def require_rosbags() -> None:
    """See that `rosbags` is there.

    Raises:
        ConfigError: It is not; the message says what to install, and where.
    """
    try:
        import rosbags.rosbag2
        import rosbags.typesys  # noqa: F401
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"bags are read and written by the Python package rosbags, which cannot be imported ({error}): "
            f"{sys.executable} -m pip install -r requirements/bags.txt (from the source tree)"
        ) from error


@functools.cache
def typestore() -> Any:
    """The message types of ROS 2 Jazzy; the few that are used here are the same in every distribution."""
    require_rosbags()
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)
