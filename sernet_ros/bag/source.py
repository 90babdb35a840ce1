"""A recording as a source of frames: images joined with the ground truth of exactly their stamp."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sernet_core.errors import InputError
from sernet_ros.bag.depth import without_depth
from sernet_ros.bag.messages import TruthInfo, decode, label_of, picture_of, stamp_of, truth_info
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.storage import Break, Message
from sernet_ros.bag.topics import BagTopics, TopicChoice, cameras, choose
from sernet_ros.sources import DEFAULT_RATE, Picture, Source, Unreadable

_AHEAD = 8
"""Images that wait for a ground truth which was recorded after them."""
_TRUTHS = 64
"""Ground truths that wait for their image."""


def open_bag(path: Path, choice: TopicChoice) -> Source:
    """Open one camera of a recording.

    Args:
        path: Folder of the recording, or one of its storage files.
        choice: The topics, where they are not to be found by type.

    Raises:
        InputError: Nothing can be read.
        ConfigError: The topics are not clear, or `rosbags` is not installed.
    """
    bag = Bag(path)
    found = without_depth(bag)
    # Who names a depth image is told why it cannot be shown.
    topics = choose(bag.topics if choice.image else found, choice, path)
    info = _truth_info(bag, topics)
    seconds = bag.duration_ns / 1e9
    rate = (topics.image.count - 1) / seconds if seconds and topics.image.count > 1 else 0.0
    notes = list(bag.notes)
    if info is None and topics.truth:
        notes.append(f"{path}: says not what the ids of {topics.truth.name} mean")
    return Source(
        # Reports of several cameras must tell which one they are about.
        name=bag.name + (topics.image.name if len(cameras(found)) > 1 else ""),
        rate=rate if 0.01 <= rate <= 1000.0 else DEFAULT_RATE,
        length=topics.image.count,
        classes=info.classes if info else None,
        frames=lambda: _Frames(bag, topics).read(),
        stems=info.frames if info else (),
        recorded=True,
        with_truth=topics.truth is not None,
        notes=tuple(notes),
    )


def _truth_info(bag: Bag, topics: BagTopics) -> TruthInfo | None:
    if topics.info is None:
        return None
    for item in bag.messages([topics.info.name]):
        if isinstance(item, Break):
            return None
        try:
            return truth_info(decode(item.data, topics.info.type).data)
        except InputError as error:
            raise InputError(f"{bag.path}: {topics.info.name}: {error}") from error
    return None


@dataclass
class _Waiting:
    """An image before it is decoded, and its ground truth once it is there."""

    index: int
    at_ns: int
    stamp_ns: int
    message: Any
    truth: Any = None


class _Frames:
    """One reading of a recording."""

    def __init__(self, bag: Bag, topics: BagTopics) -> None:
        self._bag = bag
        self._topics = topics
        self._count = 0
        self._images: deque[_Waiting] = deque()
        self._truths: OrderedDict[int, Any] = OrderedDict()

    def read(self) -> Iterator[Picture | Unreadable]:
        names = [topic.name for topic in (self._topics.image, self._topics.truth) if topic]
        for item in self._bag.messages(names):
            if isinstance(item, Break):
                yield from self._ready(everything=True)
                yield Unreadable(item.file, item.reason, breaks_off=True)
            elif item.topic == self._topics.image.name:
                yield from self._take_image(item)
            else:
                yield from self._take_truth(item)
            yield from self._ready()
        yield from self._ready(everything=True)

    def _take_image(self, item: Message) -> Iterator[Unreadable]:
        index, self._count = self._count, self._count + 1
        try:
            message = decode(item.data, self._topics.image.type)
        except InputError as error:
            yield Unreadable(self._name(index), f"{self._topics.image.name}: {error}")
            return
        # Some drivers leave the stamp at zero: what is left is the time of reception.
        waiting = _Waiting(index, item.at_ns, stamp_of(message) or item.at_ns, message)
        waiting.truth = self._truths.pop(waiting.stamp_ns, None)
        self._images.append(waiting)

    def _take_truth(self, item: Message) -> Iterator[Unreadable]:
        assert self._topics.truth
        try:
            message = decode(item.data, self._topics.truth.type)
        except InputError as error:
            yield Unreadable(f"ground truth at {item.at_ns}", f"{self._topics.truth.name}: {error}")
            return
        stamp_ns = stamp_of(message) or item.at_ns
        for waiting in self._images:
            if waiting.stamp_ns == stamp_ns and waiting.truth is None:
                waiting.truth = message
                return
        self._truths[stamp_ns] = message
        if len(self._truths) > _TRUTHS:
            self._truths.popitem(last=False)

    def _ready(self, everything: bool = False) -> Iterator[Picture | Unreadable]:
        """Frames, in order, that have nothing to wait for any more."""
        room = _AHEAD if self._topics.truth and not everything else 0
        while self._images and (self._images[0].truth is not None or len(self._images) > room):
            yield self._decoded(self._images.popleft())

    def _decoded(self, waiting: _Waiting) -> Picture | Unreadable:
        name = self._name(waiting.index)
        try:
            image = picture_of(waiting.message, self._topics.image.type)
        except InputError as error:
            return Unreadable(name, f"{self._topics.image.name}: {error}")
        truth: np.ndarray | None = None
        if waiting.truth is not None:
            assert self._topics.truth
            try:
                truth = label_of(waiting.truth, self._topics.truth.type)
                if truth.shape != image.shape[:2]:
                    raise InputError(
                        f"ground truth of {truth.shape[1]}x{truth.shape[0]} for an image of "
                        f"{image.shape[1]}x{image.shape[0]}"
                    )
            except InputError as error:
                return Unreadable(name, f"{self._topics.truth.name}: {error}")
        frame_id = waiting.message.header.frame_id
        return Picture(name, image, truth, waiting.stamp_ns, waiting.at_ns, frame_id)

    def _name(self, index: int) -> str:
        return f"{self._bag.name}_{index:06d}"
