"""Recorded messages to arrays, and arrays to messages to record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sernet_core.errors import InputError
from sernet_core.labels import IGNORE, ClassSet, class_set
from sernet_ros.bag.formats import COMPRESSED_TYPE, IMAGE_TYPE, typestore
from sernet_ros.compressed_codec import compress, compressed_to_ids, compressed_to_rgb
from sernet_ros.image_codec import to_rgb

_LABEL_ENCODINGS = ("mono8", "8UC1")


def decode(data: bytes | memoryview, kind: str) -> Any:
    """A message of its CDR bytes.

    Raises:
        InputError: They are no such message.
    """
    from rosbags.serde import SerdeError

    try:
        return typestore().deserialize_cdr(data, kind)
    except (SerdeError, ValueError, IndexError) as error:
        raise InputError(f"not a {kind}: {error}") from error


def stamp_of(message: Any) -> int:
    """The header's stamp in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def picture_of(message: Any, kind: str) -> np.ndarray:
    """The image of a message, uint8 (H, W, 3) RGB.

    Raises:
        InputError: It has none that can be read.
    """
    if kind == IMAGE_TYPE:
        # Writable, as all other sources give it: what was read is not.
        return np.require(to_rgb(message), requirements=["C", "W"])
    return compressed_to_rgb(message)


def label_of(message: Any, kind: str) -> np.ndarray:
    """The class ids of a message, uint8 (H, W).

    Raises:
        InputError: It is not one channel of 8 bits, or not lossless.
    """
    if kind == IMAGE_TYPE:
        if message.encoding not in _LABEL_ENCODINGS:
            raise InputError(f"ground truth is mono8 with class ids, this is '{message.encoding}'")
        return np.ascontiguousarray(to_rgb(message)[:, :, 0])
    return compressed_to_ids(message)


@dataclass(frozen=True)
class TruthInfo:
    """What a recording says of its ground truth.

    Attributes:
        classes: Class set of the ids.
        source: What was recorded, e.g. "camvid/val".
        frames: Names of the frames in their source, where it is a data set.
    """

    classes: ClassSet
    source: str = ""
    frames: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As it is recorded: the content of vision_msgs/LabelInfo, as the node publishes it, and more."""
        entries = [{"class_id": index, "class_name": name} for index, name in enumerate(self.classes.names)]
        content = {"class_map": entries, "threshold": 0.0, "class_set": self.classes.name}
        content |= {"palette": [list(color) for color in self.classes.palette]}
        return json.dumps({**content, "source": self.source, "frames": list(self.frames)})


def truth_info(text: str) -> TruthInfo:
    """What a JSON text with a `class_map` says.

    Raises:
        InputError: It is not understood.
    """
    try:
        content = json.loads(text)
        entries = label_entries(content)
        if [index for index, _ in entries] != list(range(len(entries))):
            raise ValueError("the ids do not run from 0 without a gap")
        classes = named_classes(
            str(content.get("class_set", "recorded")), [name for _, name in entries], content.get("palette")
        )
        frames = tuple(map(str, content.get("frames", ())))
        return TruthInfo(classes, str(content.get("source", "")), frames)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the class names of the ground truth are not understood: {error!r}") from error


def label_entries(content: Any) -> list[tuple[int, str]]:
    """Ids and names of the classes in a decoded JSON text with a `class_map`, by id and without void."""
    entries = sorted((int(each["class_id"]), str(each["class_name"])) for each in content["class_map"])
    return [entry for entry in entries if entry[0] != IGNORE]


def named_classes(
    name: str, names: Sequence[str], palette: Sequence[Sequence[int]] | None = None
) -> ClassSet:
    """A class set of recorded names: a known one of just these names, or one of its own."""
    for known in ("camvid", "cityscapes", "autoware"):
        if class_set(known).names == tuple(names):
            return class_set(known)
    # Hues that follow the golden ratio stay apart however many there are.
    hues = (np.arange(len(names)) * 0.618034 % 1.0 * 180).astype(np.uint8)
    hsv = np.stack([hues, np.full_like(hues, 170), np.full_like(hues, 200)], axis=1)[None]
    spread = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0] if len(names) else []
    red_green_blue = [(int(r), int(g), int(b)) for r, g, b in (palette or spread)]
    return ClassSet(name, tuple(names), tuple(red_green_blue))


# To record


def header(stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header."""
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def image_message(image: np.ndarray, stamp_ns: int, frame_id: str) -> Any:
    """A sensor_msgs/Image: mono8 of uint8 (H, W), rgb8 of uint8 (H, W, 3) RGB."""
    return typestore().types[IMAGE_TYPE](
        header=header(stamp_ns, frame_id),
        height=image.shape[0],
        width=image.shape[1],
        encoding="mono8" if image.ndim == 2 else "rgb8",
        is_bigendian=0,
        step=image[0].nbytes,
        data=np.ascontiguousarray(image).reshape(-1),
    )


def compressed_message(image: np.ndarray, stamp_ns: int, frame_id: str, kind: str, quality: int) -> Any:
    """A sensor_msgs/CompressedImage, "jpeg" or "png", as image_transport writes it.

    Args:
        image: uint8 (H, W, 3) RGB, or (H, W).
        stamp_ns: Stamp of the header.
        frame_id: Of the header.
        kind: "jpeg" or "png".
        quality: Of JPEG, 1 to 100.
    """
    words, data = compress(image, kind, quality)
    return typestore().types[COMPRESSED_TYPE](header=header(stamp_ns, frame_id), format=words, data=data)
