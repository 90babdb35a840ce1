"""Everything that the node publishes about a camera's images."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import String

from sernet_core.labels import ClassSet, overlay
from sernet_ros.image_codec import fill
from sernet_ros.qos import LATCHED, output_profile, publisher_events


class Publishers:
    """Mask, overlay and label info of one camera; they publish while the node is active.

    Args:
        node: The lifecycle node that publishes.
        classes: Classes of the masks.
        qos: The parameter `output_qos`: auto, sensor_data or reliable.
    """

    def __init__(self, node: LifecycleNode, classes: ClassSet, qos: str) -> None:
        self._node = node
        self._classes = classes
        self._mask, self._overlay = (
            node.create_lifecycle_publisher(
                Image, topic, output_profile(qos), event_callbacks=publisher_events(node, topic)
            )
            for topic in ("semantic_mask", "semantic_overlay")
        )
        message_type, topic, self._label_message = label_info_format()
        self._labels = node.create_lifecycle_publisher(
            message_type, topic, LATCHED, event_callbacks=publisher_events(node, topic)
        )

    def publish_labels(self) -> None:
        """Publish the class ids and names; they reach subscribers that come later too."""
        self._labels.publish(self._label_message(self._classes))

    def publish_mask(self, header: Any, mask: np.ndarray) -> None:
        """Publish a mask, uint8 (H, W) class ids, under the header of its image."""
        self._mask.publish(fill(Image(), mask, header))

    def publish_overlay(self, header: Any, image: np.ndarray, mask: np.ndarray, alpha: float) -> None:
        """Publish the image, uint8 (H, W, 3) RGB, blended with its mask, if anybody listens."""
        if self._overlay.get_subscription_count() > 0:
            self._overlay.publish(fill(Image(), overlay(image, mask, self._classes, alpha), header))

    def close(self) -> None:
        """Take the topics back."""
        for publisher in (self._mask, self._overlay, self._labels):
            self._node.destroy_lifecycle_publisher(publisher)


def label_info_format() -> tuple[type, str, Callable[[ClassSet], Any]]:
    """How class names are published: as vision_msgs/LabelInfo where it is installed, else as JSON.

    Returns:
        Message type, topic name, and a function that makes the message.
    """
    try:
        messages = importlib.import_module("vision_msgs.msg")
    except ImportError:
        return String, "label_info_json", _label_json
    return messages.LabelInfo, "label_info", lambda classes: _label_info(messages, classes)


def _label_info(messages: Any, classes: ClassSet) -> Any:
    info = messages.LabelInfo()
    info.class_map = [
        messages.VisionClass(class_id=index, class_name=name) for index, name in enumerate(classes.names)
    ]
    info.threshold = 0.0
    return info


def _label_json(classes: ClassSet) -> String:
    entries = [{"class_id": index, "class_name": name} for index, name in enumerate(classes.names)]
    return String(data=json.dumps({"class_map": entries, "threshold": 0.0}))
