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
from sernet_ros.bag.depth import without_depth
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE, typestore
from sernet_ros.bag.layout import Topic
from sernet_ros.bag.messages import compressed_message, decode, image_message, stamp_of
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.storage import Break, Description
from sernet_ros.bag.topics import COMPRESSED, TopicChoice, choose
from sernet_ros.bag.writer import BagWriter

MASK, CONFIDENCE, LABELS = "semantic_mask", "confidence", "label_info_json"
OVERLAY, COLORS = "semantic_overlay" + COMPRESSED, "color_mask" + COMPRESSED
ANSWERS = {
    MASK: IMAGE_TYPE,
    COLORS: COMPRESSED_TYPE,
    OVERLAY: COMPRESSED_TYPE,
    CONFIDENCE: IMAGE_TYPE,
    LABELS: STRING_TYPE,
}
"""What is added below the camera's prefix, with its type; confidence where there is any."""

_QUALITY = 90  # of the overlay's JPEG


class AnswerRecorder:
    """Takes masks, overlays and confidence by the stamp of their frame; made by `record_answers`.

    Attributes:
        notes: Topics that could not be taken over, with the reason.
    """

    def __init__(
        self,
        writer: BagWriter,
        prefix: str,
        classes: ClassSet,
        received_ns: dict[int, int],
        notes: list[str],
    ) -> None:
        self.notes = notes
        self._writer = writer
        self._prefix = prefix
        self._classes = classes
        self._received_ns = received_ns
        self._announced: set[str] = set()

    def take(self, topic: str, stamp_ns: int, frame_id: str, array: np.ndarray) -> None:
        """Write an answer.

        Args:
            topic: "semantic_mask" or "confidence", which become mono8, or "semantic_overlay", for JPEG.
            stamp_ns: Of its frame.
            frame_id: Of its frame.
            array: uint8 (H, W), of the overlay (H, W, 3) RGB. A mask is written in the colours of its classes
                as well: ids are for programs, and look black.
        """
        if topic in (MASK, CONFIDENCE):
            self.write(topic, stamp_ns, image_message(array, stamp_ns, frame_id))
        if topic == MASK:
            colors = self._classes.colorize(array)
            self.write(COLORS, stamp_ns, compressed_message(colors, stamp_ns, frame_id, "png", 0))
        if f"{topic}{COMPRESSED}" == OVERLAY:
            self.write(OVERLAY, stamp_ns, compressed_message(array, stamp_ns, frame_id, "jpeg", _QUALITY))

    def write(self, name: str, stamp_ns: int, message: Any) -> None:
        """Write a message of `ANSWERS`, as if it had come with its frame: viewers then show them together."""
        if name not in self._announced:
            self._announced.add(name)
            self._writer.add(f"{self._prefix}{name}", ANSWERS[name], latched=name == LABELS)
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
    image = choose(bag.topics if choice.image else without_depth(bag), choice, source).image
    prefix = image.name.removesuffix(COMPRESSED).rpartition("/")[0] + "/"
    own = [f"{prefix}{name}" for name in ANSWERS]
    with BagWriter(out) as writer:
        tell(f"copying {source} into {out}")
        notes = [f"{name}: replaced by the new answers" for name in own if name in bag.topics]
        copied = _announce(bag, writer, [name for name in bag.topics if name not in own], notes)
        received_ns = _copy(bag, writer, copied, image, notes)
        recorder = AnswerRecorder(writer, prefix, classes, received_ns, notes)
        entries = [{"class_id": index, "class_name": name} for index, name in enumerate(classes.names)]
        labels = typestore().types[STRING_TYPE](data=json.dumps({"class_map": entries, "threshold": 0.0}))
        recorder.write(LABELS, min(received_ns.values(), default=0), labels)
        yield recorder


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
    """Copy messages as they are; returns when the image of each stamp, as it is replayed, was received."""
    received_ns: dict[int, int] = {}
    for item in bag.messages(names):
        if isinstance(item, Break):
            notes.append(item.reason)
            continue
        writer.write_bytes(item.topic, item.at_ns, item.data)
        if item.topic == image.name:
            stamp_ns = _stamp(item.data, image.type) or item.at_ns
            # By the rule of the replayer: no two frames share a stamp.
            while stamp_ns in received_ns:
                stamp_ns += 1
            received_ns[stamp_ns] = item.at_ns
    return received_ns


def _stamp(data: Any, kind: str) -> int:
    try:
        return stamp_of(decode(data, kind))
    except InputError:
        return 0
