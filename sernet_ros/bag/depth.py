"""Tells depth images from those of a camera, which have the same types of message."""

from __future__ import annotations

from collections.abc import Mapping

from sernet_core.errors import InputError
from sernet_ros.bag.formats import IMAGE_TYPE
from sernet_ros.bag.layout import Topic
from sernet_ros.bag.messages import decode
from sernet_ros.bag.reader import Bag
from sernet_ros.bag.storage import Break
from sernet_ros.bag.topics import cameras

_DEPTH = ("16UC1", "32FC1")


def without_depth(bag: Bag) -> Mapping[str, Topic]:
    """The topics of a recording but for depth images, by their first message.

    Where one topic alone could be the camera nothing is read: it is the camera or an error with a reason.
    """
    found = cameras(bag.topics)
    depth = {topic.name for topic in found if _is_depth(bag, topic)} if len(found) > 1 else set()
    return {name: topic for name, topic in bag.topics.items() if name not in depth}


def _is_depth(bag: Bag, topic: Topic) -> bool:
    for item in bag.messages([topic.name]):
        if isinstance(item, Break):
            continue
        try:
            message = decode(item.data, topic.type)
        except InputError:
            return False
        if topic.type == IMAGE_TYPE:
            return message.encoding in _DEPTH
        return "compressedDepth" in message.format
    return False
