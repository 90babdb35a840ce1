"""Writes what a segmenter answered into a new recording, beside everything that the old one holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.errors import InputError
from sernet_core.labels import ClassSet
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.layout import Topic
from sernet_ros.bag.messages import compressed_message, decode, image_message, stamp_of
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.storage import Break, Description
from sernet_ros.bag.topics import COMPRESSED, TopicChoice, choose
from sernet_ros.bag.writer import BagWriter

MASK, OVERLAY, LABELS = "semantic_mask", "semantic_overlay" + COMPRESSED, "label_info_json"
_QUALITY = 90  # of the overlay's JPEG


class AnswerRecorder:
    """Takes masks and overlays by the stamp of their frame; made by `record_answers`.

    Attributes:
        notes: Topics that could not be taken over, with the reason.
    """

    def __init__(self, writer: BagWriter, prefix: str, received_ns: dict[int, int], notes: list[str]) -> None:
        self.notes = notes
        self._writer = writer
        self._prefix = prefix
        self._received_ns = received_ns

    def take(self, topic: str, stamp_ns: int, frame_id: str, array: np.ndarray) -> None:
        """Write a mask, uint8 (H, W), as mono8, or an overlay, uint8 (H, W, 3) RGB, as JPEG."""
        if topic == MASK:
            name, message = MASK, image_message(array, stamp_ns, frame_id)
        else:
            name, message = OVERLAY, compressed_message(array, stamp_ns, frame_id, "jpeg", _QUALITY)
        # As if it had come with its frame: viewers then show both together.
        self._writer.write(f"{self._prefix}{name}", self._received_ns.get(stamp_ns, stamp_ns), message)


@contextmanager
def record_answers(
    source: Path, choice: TopicChoice, out: Path, classes: ClassSet, tell: Callable[[str], None]
) -> Iterator[AnswerRecorder]:
    """Copy a recording and add answers to the copy, which is there when the block ends.

    Args:
        source: The recording.
        choice: Its topics.
        out: Folder of the new recording.
        classes: Of the masks; their names are written, too.
        tell: Gets words about what is done.

    Raises:
        InputError: The new recording exists or cannot be written.
        ConfigError: The topics are not clear.
    """
    bag = Bag(source)
    image = choose(bag.topics, choice, source).image
    prefix = image.name.removesuffix(COMPRESSED).rpartition("/")[0] + "/"
    own = [f"{prefix}{name}" for name in (MASK, OVERLAY, LABELS)]
    with BagWriter(out) as writer:
        tell(f"copying {source} into {out}")
        notes = [f"{name}: replaced by the new answers" for name in own if name in bag.topics]
        copied = _announce(bag, writer, [name for name in bag.topics if name not in own], notes)
        received_ns = _copy(bag, writer, copied, image, notes)
        for name, kind in zip(own, (IMAGE_TYPE, COMPRESSED_TYPE, STRING_TYPE), strict=True):
            writer.add(name, kind, latched=kind == STRING_TYPE)
        entries = [{"class_id": index, "class_name": name} for index, name in enumerate(classes.names)]
        labels = typestore().types[STRING_TYPE](data=json.dumps({"class_map": entries, "threshold": 0.0}))
        writer.write(own[2], min(received_ns.values(), default=0), labels)
        yield AnswerRecorder(writer, prefix, received_ns, notes)


def _announce(bag: Bag, writer: BagWriter, names: list[str], notes: list[str]) -> list[str]:
    """Add topics as they were recorded; those whose type nobody describes are noted and left out."""
    descriptions = bag.descriptions()
    added = []
    for name in names:
        topic = bag.topics[name]
        try:
            described = descriptions.get(name, Description())
            writer.add_as(topic.name, topic.type, described.definition, described.profiles)
        except InputError as error:
            notes.append(str(error))
        else:
            added.append(name)
    return added


def _copy(bag: Bag, writer: BagWriter, names: list[str], image: Topic, notes: list[str]) -> dict[int, int]:
    """Copy messages as they are; returns when the image of each stamp was received."""
    received_ns: dict[int, int] = {}
    for item in bag.messages(names):
        if isinstance(item, Break):
            notes.append(item.reason)
            continue
        writer.write_bytes(item.topic, item.at_ns, item.data)
        if item.topic == image.name:
            stamp_ns = _stamp(item.data, image.type) or item.at_ns
            received_ns.setdefault(stamp_ns, item.at_ns)
    return received_ns


def _stamp(data: Any, kind: str) -> int:
    try:
        return stamp_of(decode(data, kind))
    except InputError:
        return 0
