"""A segmentation node that runs over DDS inside the test, and a user who talks to it."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool

from sernet_core.errors import EngineError
from sernet_core.labels import CAMVID
from sernet_core.runtime import DeviceMemory
from sernet_ros.publishers import label_info_format
from sernet_ros.segmenter_node import SegmenterNode

PATIENCE = 30.0
"""Seconds after which something that should have happened counts as failed: for a very busy machine."""

ASK_AGAIN = 15.0
"""Seconds without an answer after which a service is asked once more."""

_numbers = itertools.count()


def fresh_domain() -> int:
    return 1 + os.getpid() % 100


def fresh_namespace() -> str:
    return f"/t{os.getpid()}_{next(_numbers)}"


class FakeSegmenter:
    """Masks by a rule that a test can compute too: the green channel divided by 32.

    Attributes:
        seen: Value of the red corner pixel of each frame, in the order in which they came.
        gate: Frames wait until it is set.
        broken: While true, the logits are "not finite".
    """

    model, engine, device, precision = "fake", "fake", "cpu", "fp32"
    classes, input_size = CAMVID, (64, 48)
    building = engine_fault = cache_fault = ""
    device_memory: DeviceMemory | None = None

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.broken = False
        self.warm = self.closed = False
        self.prepared: list[tuple[int, int]] = []
        self.thread = 0

    def load(self, model: str, **_: Any) -> FakeSegmenter:
        self.model = model
        return self

    def prepare(self, height: int, width: int) -> None:
        self.prepared.append((height, width))

    def close(self) -> None:
        self.closed = True

    def warm_up(self, height: int, width: int, *, guess: bool = False) -> None:
        assert ((width, height) == self.input_size and guess) or (height, width) in self.prepared
        self.warm = True
        self.thread = threading.get_ident()

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        assert threading.get_ident() == self.thread, "the network must stay on the thread that warmed it up"
        self.seen.append(int(image[0, 0, 0]))
        self.entered.release()
        self.gate.wait(2 * PATIENCE)
        if self.broken:
            raise EngineError("the logits are not finite")
        certain = expected_confidence(image) if confidence else None
        return SimpleNamespace(mask=expected_mask(image), confidence=certain)

    def segment_many(self, images: list[np.ndarray], *, confidence: bool = False) -> list[SimpleNamespace]:
        return [self.segment(image, confidence=confidence) for image in images]


def expected_confidence(image: np.ndarray) -> np.ndarray:
    return image[..., 2]


def expected_mask(image: np.ndarray) -> np.ndarray:
    return image[..., 1] // 32


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def image_message(image: np.ndarray, encoding: str = "rgb8", padding: int = 0, **fields: Any) -> Image:
    """Message of an array of bytes, (H, W) or (H, W, C), with its rows padded by junk."""
    rows = image.reshape(image.shape[0], -1)
    rows = np.hstack([rows, np.full((len(rows), padding), 0xA5, np.uint8)])
    message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding, step=rows.shape[1])
    message.data = array("B", rows.tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def array_of(message: Image) -> np.ndarray:
    shape = (message.height, message.width) + ((3,) if message.encoding == "rgb8" else ())
    return np.frombuffer(message.data, np.uint8).reshape(shape)


def read_label_info(message: Any) -> dict[str, Any]:
    """Class names from whichever of the two messages carries them."""
    if isinstance(message, String):
        return json.loads(message.data)
    entries = [{"class_id": one.class_id, "class_name": one.class_name} for one in message.class_map]
    return {"class_map": entries, "threshold": message.threshold}


class User:
    """Talks to a node in a namespace: has a camera, and listens to mask, overlay and diagnostics.

    Args:
        namespace: Where the node is.
        overlay: Whether the user looks at the overlay.
        camera: Reliability of the camera's publisher.
    """

    def __init__(
        self, namespace: str, overlay: bool = False, camera: ReliabilityPolicy = ReliabilityPolicy.RELIABLE
    ) -> None:
        self.namespace = namespace
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=fresh_domain())
        self.user = rclpy.create_node("user", context=self.context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.user)
        self._clients: dict[str, Any] = {}
        self.masks: list[Image] = []
        self.overlays: list[Image] = []
        self.status = DiagnosticStatus()
        self.statuses: dict[str, DiagnosticStatus] = defaultdict(DiagnosticStatus)
        self.user.create_subscription(Image, "semantic_mask", self.masks.append, 200)
        if overlay:
            self.user.create_subscription(Image, "semantic_overlay", self.overlays.append, 200)
        self.user.create_subscription(DiagnosticArray, "/diagnostics", self._note, 10)
        self.camera = self.new_camera(camera)
        self.sent = 0

    def new_camera(self, reliability: ReliabilityPolicy) -> Publisher:
        return self.user.create_publisher(Image, "image", QoSProfile(depth=200, reliability=reliability))

    def listen(self, topic: str, qos: QoSProfile) -> list[Image]:
        """Subscribe once more; the images arrive in the list."""
        images: list[Image] = []
        self.user.create_subscription(Image, topic, images.append, qos)
        return images

    def _note(self, message: DiagnosticArray) -> None:
        own = [one for one in message.status if one.name.startswith(self.namespace.lstrip("/"))]
        if own:
            self.statuses.clear()
            self.statuses.update({one.name.partition(": ")[2]: one for one in own})
            self.status = max(own, key=lambda one: one.level)

    def end(self) -> None:
        self.user.destroy_node()
        self._executor.shutdown()
        rclpy.shutdown(context=self.context)

    def until(self, condition: Callable[[], Any], what: str = "", patience: float = PATIENCE) -> None:
        """Serve the user's callbacks until something is true."""
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"not within {patience} s: {what}; {self.status}"
            self._executor.spin_once(timeout_sec=0.02)

    def send(self, image: np.ndarray, encoding: str = "rgb8", **fields: Any) -> Image:
        """Publish a frame with a header of its own."""
        message = image_message(image, encoding, **fields)
        self.sent += 1
        message.header.stamp.sec = self.sent
        message.header.stamp.nanosec = 123_456_789
        message.header.frame_id = f"camera_{self.sent}"
        self.camera.publish(message)
        return message

    def ask(self, image: np.ndarray, encoding: str = "rgb8", **fields: Any) -> Image:
        """Publish a frame, and wait for its mask."""
        before = len(self.masks)
        self.send(image, encoding, **fields)
        self.until(lambda: len(self.masks) > before, "a mask")
        return self.masks[-1]

    def values(self) -> dict[str, str]:
        """The figures of the latest diagnostics, of the worker and the camera; "" for one that is missing."""
        pairs = (pair for one in self.statuses.values() for pair in one.values)
        return defaultdict(str, {pair.key: pair.value for pair in pairs})

    def counted(self, key: str, count: int = 1) -> None:
        """Wait until the diagnostics show a count."""
        self.until(lambda: int(self.values().get(key, 0)) >= count, f"{key} = {count}")

    def level(self, level: bytes) -> None:
        """Wait for a level of the diagnostics."""
        self.until(lambda: self.status.level == level and self.status.name, f"level {level!r}")

    def start_call(self, kind: type, name: str, request: Any, patience: float = PATIENCE) -> Future:
        if name not in self._clients:
            self._clients[name] = self.user.create_client(kind, f"sernet_segmenter/{name}")
        client = self._clients[name]
        self.until(client.service_is_ready, f"service {name}", patience)
        return client.call_async(request)

    def call(self, kind: type, name: str, request: Any, patience: float = PATIENCE) -> Any:
        """The answer of a service, asked again if none comes.

        The middleware drops an answer that is ready before it has matched the two ends.
        """
        deadline = time.monotonic() + patience
        asked: list[Future] = []
        while time.monotonic() < deadline:
            asked.append(self.start_call(kind, name, request, patience))
            again = time.monotonic() + ASK_AGAIN
            while time.monotonic() < again:
                if answered := [future for future in asked if future.done()]:
                    return answered[0].result()
                self._executor.spin_once(timeout_sec=0.02)
        raise AssertionError(f"{name} gives no answer within {patience} s; {self.status}")

    def ask_for_state(self, label: str = "", number: int = 0, patience: float = PATIENCE) -> Future:
        request = ChangeState.Request()
        request.transition.label, request.transition.id = label, number
        return self.start_call(ChangeState, "change_state", request, patience)

    def change_state(self, label: str = "", number: int = 0, patience: float = PATIENCE) -> bool:
        request = ChangeState.Request()
        request.transition.label, request.transition.id = label, number
        return self.call(ChangeState, "change_state", request, patience).success

    def enable(self, wanted: bool) -> SetBool.Response:
        return self.call(SetBool, "enable", SetBool.Request(data=wanted))

    def set(self, **parameters: Any) -> tuple[bool, str]:
        """Set parameters as `ros2 param set` does; whether it was accepted, and why not."""
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(key, value=value).to_parameter_msg() for key, value in parameters.items()
        ]
        result = self.call(SetParametersAtomically, "set_parameters_atomically", request).result
        return result.successful, result.reason

    def label_info(self) -> dict[str, Any]:
        """Subscribe late to the class names, and wait for them."""
        subscription, messages = self.listen_to_label_info()
        self.until(lambda: messages, "label info")
        self.user.destroy_subscription(subscription)
        return messages[0]

    def listen_to_label_info(self) -> tuple[Any, list[dict[str, Any]]]:
        """Subscribe to the class names as this installation publishes them; they arrive in the list."""
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        messages: list[dict[str, Any]] = []
        kind, topic, _ = label_info_format()
        return self.user.create_subscription(
            kind, topic, lambda message: messages.append(read_label_info(message)), latched
        ), messages


class Live(User):
    """A user, and the node on a thread of this process.

    Args:
        segmenter: What the node loads; a `FakeSegmenter` if left out.
        overlay: Whether the user looks at the overlay.
        start: Whether the node is activated at once.
        load: How the node loads; the segmenter's own `load` if left out.
        camera: Reliability of the camera's publisher.
        patience: Seconds that the configuring may take.
        arguments: Command line of the node.
        parameters: Of the node.
    """

    def __init__(
        self,
        segmenter: Any = None,
        *,
        overlay: bool = False,
        start: bool = True,
        load: Callable[..., Any] | None = None,
        camera: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
        patience: float = PATIENCE,
        arguments: list[str] | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(fresh_namespace(), overlay, camera)
        self.segmenter = segmenter or FakeSegmenter()
        values = {"diagnostics_period": 0.1, **parameters}
        self.node = SegmenterNode(
            load or self.segmenter.load,
            context=self.context,
            namespace=self.namespace,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
            cli_args=arguments,
        )
        self.crashes: list[Exception] = []
        self._ending = threading.Event()
        self._node_executor = SingleThreadedExecutor(context=self.context)
        self._node_executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        if start:
            assert self.change_state("configure", patience=patience) and self.change_state("activate")
            self.connect()

    def _spin(self) -> None:
        while not self._ending.is_set():
            try:
                self._node_executor.spin_once(timeout_sec=0.1)
            except Exception as error:
                self.crashes.append(error)

    def end(self) -> None:
        """Stop everything; fails if a callback of the node has raised."""
        if isinstance(self.segmenter, FakeSegmenter):
            self.segmenter.gate.set()
        self._ending.set()
        self._thread.join(PATIENCE)
        self.node.finish()
        self.node.destroy_node()
        self._node_executor.shutdown()
        super().end()
        assert not self.crashes

    def connect(self) -> None:
        """Wait until camera and node, and node and user, have found each other; both sides of each."""
        self.until(
            lambda: (
                self.camera.get_subscription_count() > 0
                and self.node._channels[0]._input._subscriptions[0].get_publisher_count() > 0
                and self.node._channels[0]._publishers.wanted("semantic_mask")
                and self.user.count_publishers("semantic_mask") > 0
            ),
            "connected",
        )
