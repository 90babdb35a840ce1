"""Everything that the node publishes about a camera's images."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from sernet_core.relabel import Labeling
from sernet_ros import camera_info, rle
from sernet_ros.compressed_codec import fill_compressed
from sernet_ros.finish import Finish
from sernet_ros.image_codec import fill, fill_bytes
from sernet_ros.qos import LATCHED, output_profile, publisher_events
from sernet_ros.settings import Settings

MASK, OVERLAY, LABELS = "semantic_mask", "semantic_overlay", "label_info"
COLOR_MASK, CONFIDENCE, COMPRESSED, INFO = (
    "color_mask",
    "confidence",
    "semantic_mask/compressed",
    "semantic_mask/camera_info",
)

# Topics that are there only while a parameter asks for them: one that never speaks would puzzle people.
_OPTIONAL: Mapping[str, tuple[type, Callable[[Settings], bool]]] = {
    OVERLAY: (Image, lambda settings: settings.publish_overlay),
    COLOR_MASK: (Image, lambda settings: settings.publish_color_mask),
    CONFIDENCE: (Image, lambda settings: settings.publish_confidence),
    COMPRESSED: (CompressedImage, lambda settings: settings.publish_compressed_mask),
    INFO: (CameraInfo, lambda settings: settings.mask_scale < 1),
}


class Publishers:
    """The outputs of one camera; they publish while the node is active.

    Messages are published on the worker's thread, topics come and go on the executor's, under one lock.

    Args:
        node: The lifecycle node that publishes.
        prefix: What the topic names begin with, e.g. "front/".
        settings: Which topics there are.
    """

    def __init__(self, node: LifecycleNode, prefix: str, settings: Settings) -> None:
        self._node = node
        self._prefix = prefix
        self._profile = output_profile(settings.output_qos)
        self._lock = threading.Lock()
        message_type, name, self._label_message = label_info_format()
        self._by_name: dict[str, Any] = {
            MASK: self._create(Image, MASK, self._profile),
            LABELS: self._create(message_type, name, LATCHED),
        }
        self.choose(settings)

    def choose(self, settings: Settings) -> None:
        """Have the topics that the settings ask for, and no others."""
        with self._lock:
            for name, (message_type, wanted) in _OPTIONAL.items():
                if wanted(settings) and name not in self._by_name:
                    self._by_name[name] = self._create(message_type, name, self._profile)
                elif not wanted(settings) and name in self._by_name:
                    self._node.destroy_lifecycle_publisher(self._by_name.pop(name))

    def wanted(self, name: str) -> bool:
        """Whether there is such a topic, and somebody listens."""
        publisher = self._by_name.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def publish_labels(self, labeling: Labeling, threshold: float) -> None:
        """Publish the ids and names of the classes; they reach subscribers that come later too."""
        with self._lock:
            if LABELS in self._by_name:
                self._by_name[LABELS].publish(self._label_message(labeling.names, threshold))

    def publish_mask(self, header: Any, mask: np.ndarray, encoding: str) -> None:
        """Publish a mask.

        Args:
            header: Header of its image.
            mask: uint8 (h, w) published ids, at the published size.
            encoding: raw or autoware_rle.
        """
        message = mask_message(mask, header, encoding)
        with self._lock:
            if MASK in self._by_name:  # not closed meanwhile
                self._by_name[MASK].publish(message)

    def publish_others(
        self,
        header: Any,
        image: np.ndarray,
        masks: tuple[np.ndarray, np.ndarray | None],
        finish: Finish,
        alpha: float,
        info: CameraInfo | None,
    ) -> None:
        """Publish what else was made of an image, as far as somebody listens.

        Args:
            header: Header of the image.
            image: uint8 (H, W, 3) RGB.
            masks: Published ids and confidence, uint8 (H, W) each; None for a confidence nobody asked for.
            finish: Names, colours and scale.
            alpha: Weight of the colours in the overlay.
            info: The camera's calibration, where it is known.
        """
        mask, confidence = masks
        small = finish.scaled(mask)
        with self._lock:
            if confidence is not None and self.wanted(CONFIDENCE):
                self._by_name[CONFIDENCE].publish(fill(Image(), finish.scaled(confidence), header))
            if info is not None and INFO in self._by_name:
                height, width = small.shape
                scaled = camera_info.scaled(info, width, height)
                scaled.header = header
                self._by_name[INFO].publish(scaled)
            if self.wanted(COMPRESSED):
                self._by_name[COMPRESSED].publish(fill_compressed(CompressedImage(), small, header))
            if self.wanted(COLOR_MASK):
                self._by_name[COLOR_MASK].publish(fill(Image(), finish.labeling.colorize(mask), header))
            if self.wanted(OVERLAY):
                blended = finish.labeling.overlay(image, mask, alpha)
                self._by_name[OVERLAY].publish(fill(Image(), blended, header))

    def close(self) -> None:
        """Take the topics back."""
        with self._lock:
            for publisher in self._by_name.values():
                self._node.destroy_lifecycle_publisher(publisher)
            self._by_name.clear()

    def _create(self, message_type: type, name: str, profile: Any) -> Any:
        topic = self._prefix + name
        events = publisher_events(self._node, topic)
        publisher = self._node.create_lifecycle_publisher(
            message_type, topic, profile, event_callbacks=events
        )
        if self._node.state == "active":
            publisher.on_activate(None)  # later, the node does it for all of its publishers
        return publisher


def mask_message(mask: np.ndarray, header: Any, encoding: str) -> Image:
    """A mask, uint8 (H, W) ids, as an image message: raw, or run-length encoded for Autoware."""
    if encoding == "raw":
        return fill(Image(), mask, header)
    message = fill_bytes(Image(), rle.encode(mask), header, mask.shape[:2], "mono8")
    message.step = mask.shape[1]
    return message


def label_info_format() -> tuple[type, str, Callable[[Mapping[int, str], float], Any]]:
    """How class names are published: as vision_msgs/LabelInfo where it is installed, else as JSON.

    Returns:
        Message type, topic name, and a function that makes the message of names by id and the threshold.
    """
    try:
        from vision_msgs.msg import LabelInfo, VisionClass
    except ImportError:
        return String, "label_info_json", _label_json

    def message(names: Mapping[int, str], threshold: float) -> Any:
        entries = [VisionClass(class_id=index, class_name=name) for index, name in names.items()]
        return LabelInfo(class_map=entries, threshold=threshold)

    return LabelInfo, LABELS, message


def _label_json(names: Mapping[int, str], threshold: float) -> String:
    entries = [{"class_id": index, "class_name": name} for index, name in names.items()]
    return String(data=json.dumps({"class_map": entries, "threshold": threshold}))
