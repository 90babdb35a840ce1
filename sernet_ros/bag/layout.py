"""Which files a recording consists of, in what order, and what its metadata.yaml says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import yaml

from sernet_core.errors import InputError
from sernet_ros.bag.formats import BAG_SUFFIXES, METADATA, PACKED, is_storage


@dataclass(frozen=True)
class Topic:
    """A topic of a recording; the type is written as package/msg/Name."""

    name: str
    type: str
    count: int


@dataclass(frozen=True)
class Layout:
    """Where a recording lies.

    Attributes:
        files: Storage files in the order in which they were written.
        packed_messages: Whether each message is compressed for itself (with zstd).
        topics: As metadata.yaml has them; None where the files must be asked.
        duration_ns: From the first message to the last; as metadata.yaml has it.
        notes: What is unusual about it, for people.
    """

    files: tuple[Path, ...]
    packed_messages: bool = False
    topics: Mapping[str, Topic] | None = None
    duration_ns: int = 0
    notes: list[str] = field(default_factory=list)


def find_files(path: Path) -> Layout:
    """Find the files of a recording.

    Args:
        path: Folder of the recording, or one of its storage files.

    Raises:
        InputError: There is no recording, or a part of it is missing; the message says what to do.
    """
    if path.suffix == ".bag":
        raise InputError(
            f"{path}: a ROS 1 bag; convert it first: rosbags-convert --src {path.name} --dst {path.stem}"
        )
    if path.is_file():
        return _single(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    metadata = path / METADATA
    note = f"{path}: {METADATA} is missing"
    if metadata.is_file():
        try:
            return _described(path, _read(metadata))
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            note = f"{metadata} is not understood ({_first_line(error)})"
    files = sorted((each for each in path.iterdir() if is_storage(each)), key=_by_number)
    if not files:
        raise InputError(f"{path}: no storage file here ({', '.join(BAG_SUFFIXES)}), so this is no recording")
    return Layout(
        tuple(files), notes=[f"{note}: read {', '.join(each.name for each in files)} in this order"]
    )


def _single(path: Path) -> Layout:
    if not is_storage(path):
        raise InputError(f"{path}: not a storage file of a recording ({', '.join(BAG_SUFFIXES)})")
    try:
        # Only there it says whether messages are compressed.
        described = _described(path.parent, _read(path.parent / METADATA))
    except (OSError, InputError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return Layout((path,))
    return Layout((path,), described.packed_messages if path in described.files else False)


def _read(path: Path) -> Mapping[str, Any]:
    return yaml.safe_load(path.read_text())["rosbag2_bagfile_information"]


def _described(folder: Path, information: Mapping[str, Any]) -> Layout:
    # Until version 4 the paths began with the folder's name.
    files = tuple(folder / PurePath(name).name for name in information["relative_file_paths"])
    missing = [each.name for each in files if not each.is_file()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(files)} files that {METADATA} names are missing: "
            f"{', '.join(missing)}; put them there, or take {METADATA} away to read what there is"
        )
    if not files:
        raise InputError(f"{folder / METADATA}: names no file")
    mode = (information.get("compression_mode") or "").lower()
    kind = information.get("compression_format") or ""
    if mode in ("file", "message") and kind != "zstd":
        raise InputError(
            f"{folder}: compressed with '{kind}', which rosbags does not know; rewrite it with "
            f"`ros2 bag convert` and without compression"
        )
    topics: dict[str, Topic] = {}
    for entry in information["topics_with_message_count"]:
        name, kind = str(entry["topic_metadata"]["name"]), str(entry["topic_metadata"]["type"])
        earlier = topics[name].count if name in topics else 0
        topics[name] = Topic(name, kind, int(entry["message_count"]) + earlier)
    return Layout(files, mode == "message", topics, int(information["duration"]["nanoseconds"]))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Parts are numbered without leading zeros: name_2 comes before name_10."""
    name = path.stem if path.suffix == PACKED else path.name
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
