"""Small recordings for the tests of the reader: each image has a shade of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sernet_ros.bag.formats import IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.topics import TopicChoice
from sernet_ros.bag.writer import BagWriter
from sernet_ros.sources import Picture, Unreadable, open_source

SECOND = 10**9


def shade(index: int, size: tuple[int, int] = (16, 12)) -> np.ndarray:
    return np.full((size[1], size[0], 3), index, np.uint8)


def write(
    path: Path,
    stamps: list[int],
    truths: dict[int, int] | None = None,
    storage: str = "mcap",
    size: tuple[int, int] = (16, 12),
    **options: Any,
) -> Path:
    """A recording: image i has the shade i; truths: position of an image to the class of its ground truth."""
    with BagWriter(path, storage, **options) as writer:
        writer.add("/cam/image_raw", IMAGE_TYPE)
        if truths is not None:
            writer.add("/cam/ground_truth", IMAGE_TYPE)
        for index, stamp in enumerate(stamps):
            at_ns = (index + 1) * SECOND
            writer.write("/cam/image_raw", at_ns, image_message(shade(index, size), stamp, "cam"))
            if truths and index in truths:
                label = np.full((size[1], size[0]), truths[index], np.uint8)
                writer.write("/cam/ground_truth", at_ns + 1, image_message(label, stamp, "cam"))
    return path


def seconds(count: int) -> list[int]:
    return [(index + 1) * SECOND for index in range(count)]


def read(path: Path, **choice: str | None) -> list[Picture | Unreadable]:
    return list(open_source(str(path), topics=TopicChoice(**choice)).frames())


def shades(items: list[Picture | Unreadable]) -> list[int]:
    return [int(item.image[0, 0, 0]) for item in items if isinstance(item, Picture)]


def storage_file(path: Path) -> Path:
    (found,) = (each for each in path.iterdir() if each.suffix in (".mcap", ".db3"))
    return found


def split(tmp_path: Path, storage: str, parts: int, metadata: bool) -> Path:
    """A recording in parts, three images each; the camera is silent in the first."""
    bag = tmp_path / "split"
    bag.mkdir()
    topics: dict[str, Any] = {}
    names = []
    for part in range(parts):
        piece = tmp_path / f"split_{part}"
        with BagWriter(piece, storage) as writer:
            writer.add("/chatter", STRING_TYPE)
            writer.write("/chatter", part * SECOND, typestore().types[STRING_TYPE](data="hello"))
            if part:
                writer.add("/cam/image_raw", IMAGE_TYPE)
            for index in range(3 if part else 0):
                at_ns = part * SECOND + index
                message = image_message(shade(10 * part + index), at_ns, "cam")
                writer.write("/cam/image_raw", at_ns, message)
        names.append(storage_file(piece).name)
        information = yaml.safe_load((piece / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        for entry in information["topics_with_message_count"]:
            name = entry["topic_metadata"]["name"]
            entry["message_count"] += topics[name]["message_count"] if name in topics else 0
            topics[name] = entry
        shutil.move(storage_file(piece), bag)
    if metadata:
        information |= {"relative_file_paths": names, "topics_with_message_count": list(topics.values())}
        (bag / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": information}))
    return bag
