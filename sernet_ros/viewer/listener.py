"""The ROS side of the live view: listens to camera, mask, overlay, class names and diagnostics."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from sernet_core.errors import InputError, SernetError
from sernet_ros import rle
from sernet_ros.bag.messages import label_entries, named_classes
from sernet_ros.clock import from_time
from sernet_ros.compressed_codec import compressed_to_rgb
from sernet_ros.image_codec import to_rgb
from sernet_ros.qos import LATCHED
from sernet_ros.recorder import COMPRESSED, SEGMENTER, listener_of, node_status
from sernet_ros.viewer.state import CAMERA, OVERLAY, ViewState

# Best effort matches every camera, and what is lost is only not shown.
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Listener(Node):
    """Feeds a `ViewState`; remap `image`, `semantic_mask`, `semantic_overlay`, `label_info` and so on.

    The camera's images are taken as the node takes them, raw or compressed: a driver should not have to send
    both.
    """

    def __init__(self, state: ViewState) -> None:
        super().__init__("sernet_view")
        self._state = state
        self._image = self.resolve_topic_name("image")
        # The node beside this view, until one is heard that listens to the view's camera.
        self._beside = f"{self.get_namespace().rstrip('/')}/{SEGMENTER}"
        self._node = ""
        self._compressed = False
        self._camera = self._subscribe_camera()
        overlay, mask = self._pictures(to_rgb, self._on_overlay), self._pictures(_ids, self._state.take_mask)
        self.create_subscription(Image, "semantic_overlay", overlay, _NEWEST)
        self.create_subscription(Image, "semantic_mask", mask, _NEWEST)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_subscription(String, "label_info_json", self._on_label_json, LATCHED)
        try:
            messages = importlib.import_module("vision_msgs.msg")
        except ImportError:
            return
        self.create_subscription(messages.LabelInfo, "label_info", self._on_labels, LATCHED)

    def _pictures(
        self, read: Callable[[Any], np.ndarray], take: Callable[[np.ndarray, int], None]
    ) -> Callable[[Any], None]:
        def listen(message: Any) -> None:
            try:
                take(read(message), from_time(message.header.stamp))
            except InputError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)

        return listen

    def _subscribe_camera(self) -> Subscription:
        kind, read, ending = (
            (CompressedImage, compressed_to_rgb, COMPRESSED) if self._compressed else (Image, to_rgb, "")
        )
        listen = self._pictures(read, self._on_camera)
        return self.create_subscription(kind, self._image + ending, listen, _NEWEST)

    def _on_camera(self, image: Any, stamp_ns: int) -> None:
        self._state.take_picture(CAMERA, image, stamp_ns)

    def _on_overlay(self, image: Any, stamp_ns: int) -> None:
        self._state.take_picture(OVERLAY, image, stamp_ns)

    def _on_label_json(self, message: String) -> None:
        try:
            self._take_labels(label_entries(json.loads(message.data)))
        except (SernetError, ValueError, KeyError, TypeError) as error:
            self._keep_labels("label_info_json", error)

    def _on_labels(self, message: Any) -> None:
        entries = [{"class_id": each.class_id, "class_name": each.class_name} for each in message.class_map]
        try:
            self._take_labels(label_entries({"class_map": entries}))
        except SernetError as error:
            self._keep_labels("label_info", error)

    def _take_labels(self, entries: Sequence[tuple[int, str]]) -> None:
        classes = named_classes("published", [name for _, name in entries])
        self._state.take_classes(classes, [index for index, _ in entries])

    def _keep_labels(self, topic: str, error: Exception) -> None:
        self.get_logger().error(f"{topic}: the class names are not understood, earlier ones stay: {error!r}")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        found = listener_of(message, self._image)
        # Of several nodes on one camera the one beside this view is meant, or else the first.
        if found and (not self._node or found == self._beside):
            self._node = found
        if not (status := node_status(message, self._node or self._beside, self._image)):
            return
        self._state.take_status(status.message, status.values)
        topic = status.values.get("input_topic")
        if topic and topic.endswith(COMPRESSED) != self._compressed:
            self._compressed = not self._compressed
            self.destroy_subscription(self._camera)
            self._camera = self._subscribe_camera()


def _ids(message: Image) -> np.ndarray:
    """The ids of a mask, uint8 (H, W), raw or as runs for Autoware."""
    # Both say mono8; pixels are as many bytes as the message's size says, and runs are not.
    if len(message.data) != message.height * message.step:
        return rle.decode(message.data, message.height, message.width)
    # A mask is grey: its three channels are the same ids.
    return to_rgb(message)[:, :, 0]
