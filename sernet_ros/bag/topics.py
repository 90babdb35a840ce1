"""Which topics of a recording are the camera, its ground truth and the names of the classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sernet_core.errors import ConfigError, unknown_name
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE, STRING_TYPE
from sernet_ros.bag.layout import Topic

IMAGE, TRUTH, INFO, CAMERA_INFO = "image", "ground_truth", "ground_truth_info", "camera_info"
"""Names under which recordings are written, below the camera's prefix."""

COMPRESSED = "/compressed"
_NOT_A_CAMERA = {TRUTH, "semantic_mask", "semantic_overlay", "color_mask", "confidence", "compressedDepth"}
_PICTURES = (IMAGE_TYPE, COMPRESSED_TYPE)


@dataclass(frozen=True)
class TopicChoice:
    """Topics by the names that a user gave; None: to be found by type. An empty `truth`: leave it out."""

    image: str | None = None
    truth: str | None = None


@dataclass(frozen=True)
class BagTopics:
    """Topics of a recording: the images, the ground truth if there is any, and its class names if given."""

    image: Topic
    truth: Topic | None = None
    info: Topic | None = None


def choose(topics: Mapping[str, Topic], choice: TopicChoice, where: Path) -> BagTopics:
    """Find the topics of one camera.

    Args:
        topics: Of the recording.
        choice: What the user wants.
        where: The recording, for messages.

    Raises:
        ConfigError: A topic is not there, holds no images, or several could be meant; all are listed.
    """
    image = _image(topics, choice.image, where)
    truth = _truth(topics, choice.truth, image, where)
    info = topics.get(_base(truth.name).removesuffix(TRUTH) + INFO) if truth else None
    return BagTopics(image, truth, info if info and info.type == STRING_TYPE else None)


def cameras(topics: Mapping[str, Topic]) -> list[Topic]:
    """The topics that hold camera images; of a camera that was recorded twice what needs no decoding."""
    found = [
        topic
        for topic in topics.values()
        if topic.type in _PICTURES and topic.count and _last(topic.name) not in _NOT_A_CAMERA
    ]
    raw = {topic.name for topic in found if topic.type == IMAGE_TYPE}
    return [topic for topic in found if topic.name in raw or topic.name.removesuffix(COMPRESSED) not in raw]


def _image(topics: Mapping[str, Topic], wanted: str | None, where: Path) -> Topic:
    if wanted is not None:
        return _named(topics, wanted, "--image-topic", where)
    candidates = cameras(topics)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise ConfigError(f"{where}: holds no camera images. Its topics:{listing(topics.values())}")
    raise ConfigError(
        f"{where}: {len(candidates)} topics could be the camera: choose one with --image-topic "
        "(evaluate_bag takes several, or --all-cameras)"
        f"{listing(candidates)}"
    )


def _truth(topics: Mapping[str, Topic], wanted: str | None, image: Topic, where: Path) -> Topic | None:
    if wanted is not None:
        return _named(topics, wanted, "--truth-topic", where) if wanted else None
    candidates = [
        topic
        for topic in topics.values()
        if topic.type in _PICTURES and topic.count and _last(topic.name) == TRUTH
    ]
    if len(candidates) > 1:
        # Of several cameras that of the same prefix.
        prefix = _base(image.name).rpartition("/")[0]
        candidates = [topic for topic in candidates if _base(topic.name).rpartition("/")[0] == prefix]
        if len(candidates) != 1:
            raise ConfigError(
                f"{where}: which ground truth belongs to {image.name}? Choose with --truth-topic"
                + listing(topic for topic in topics.values() if _last(topic.name) == TRUTH)
            )
    return candidates[0] if candidates else None


def _named(topics: Mapping[str, Topic], name: str, option: str, where: Path) -> Topic:
    topic = topics.get(name) or topics.get(f"/{name}")
    if topic is None:
        raise ConfigError(f"{option}: {where}: {unknown_name('topic', name, topics)}")
    if topic.type not in _PICTURES:
        pictures = (each for each in topics.values() if each.type in _PICTURES)
        raise ConfigError(f"{option}: {topic.name} is {topic.type}, no image; images are:{listing(pictures)}")
    return topic


def listing(topics: Iterable[Topic]) -> str:
    """Topics as indented lines."""
    lines = [f"\n  {topic.name}  {topic.type}  {topic.count} messages" for topic in topics]
    return "".join(lines) or " none"


def _base(name: str) -> str:
    return name.removesuffix(COMPRESSED)


def _last(name: str) -> str:
    return _base(name).rpartition("/")[2]
