"""The ROS side of the live view: listens to camera, mask, overlay, class names and diagnostics."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from sernet_core.errors import InputError
from sernet_ros.bag.messages import label_entries, named_classes
from sernet_ros.clock import from_time
from sernet_ros.image_codec import to_rgb
from sernet_ros.qos import LATCHED
from sernet_ros.recorder import SEGMENTER, node_status
from sernet_ros.viewer.state import CAMERA, OVERLAY, ViewState

# Best effort matches every camera, and what is lost is only not shown.
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Listener(Node):
    """Feeds a `ViewState`; remap `image`, `semantic_mask`, `semantic_overlay`, `label_info` and so on."""

    def __init__(self, state: ViewState) -> None:
        super().__init__("sernet_view")
        self._state = state
        self.create_subscription(Image, "image", self._images(self._on_camera), _NEWEST)
        self.create_subscription(Image, "semantic_overlay", self._images(self._on_overlay), _NEWEST)
        self.create_subscription(Image, "semantic_mask", self._images(self._on_mask), _NEWEST)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_subscription(String, "label_info_json", self._on_label_json, LATCHED)
        try:
            messages = importlib.import_module("vision_msgs.msg")
        except ImportError:
            return
        self.create_subscription(messages.LabelInfo, "label_info", self._on_labels, LATCHED)

    def _images(self, take: Callable[[Any, int], None]) -> Callable[[Image], None]:
        def listen(message: Image) -> None:
            try:
                take(to_rgb(message), from_time(message.header.stamp))
            except InputError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)

        return listen

    def _on_camera(self, image: Any, stamp_ns: int) -> None:
        self._state.take_picture(CAMERA, image, stamp_ns)

    def _on_overlay(self, image: Any, stamp_ns: int) -> None:
        self._state.take_picture(OVERLAY, image, stamp_ns)

    def _on_mask(self, image: Any, stamp_ns: int) -> None:
        # A mask is grey: its three channels are the same ids.
        self._state.take_mask(image[:, :, 0], stamp_ns)

    def _on_label_json(self, message: String) -> None:
        try:
            self._take_labels(label_entries(json.loads(message.data)))
        except (ValueError, KeyError, TypeError) as error:
            self.get_logger().error(f"label_info_json: the class names are not understood: {error!r}")

    def _on_labels(self, message: Any) -> None:
        entries = [{"class_id": each.class_id, "class_name": each.class_name} for each in message.class_map]
        self._take_labels(label_entries({"class_map": entries}))

    def _take_labels(self, entries: Sequence[tuple[int, str]]) -> None:
        classes = named_classes("published", [name for _, name in entries])
        self._state.take_classes(classes, [index for index, _ in entries])

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if status := node_status(message, f"{self.get_namespace()}/{SEGMENTER}"):
            self._state.take_status(status.message, status.values)
