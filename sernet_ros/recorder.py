"""The ROS side of a recording: listens to camera, ground truth, masks, overlays and diagnostics."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sernet_core.errors import EngineError, InputError
from sernet_ros.clock import from_time
from sernet_ros.image_codec import to_rgb
from sernet_ros.recording import CONFIDENCE, IMAGE, MASK, OVERLAY, TRUTH, Received

SEGMENTER = "sernet_segmenter"
WAITING = 32
"""Messages that may wait to be fetched before lock-step holds; at four times as many, pictures get lost."""
COMPRESSED = "/compressed"
"""What the name of a topic of compressed images ends in, behind that of the raw ones."""


@dataclass(frozen=True)
class NodeStatus:
    """The last diagnostics of the segmenter."""

    message: str = ""
    values: dict[str, str] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.values.get("state") == "active"

    @property
    def engine_state(self) -> str:
        """ "ready", or what the node says of its engine; empty before it has one."""
        return self.values.get("engine_state", "")

    @property
    def building(self) -> bool:
        """Whether an engine is being built while another one serves."""
        return self.engine_state.startswith("building")


@dataclass(frozen=True)
class Topics:
    """Where a camera, which must publish reliably, and a segmenter are; names may be relative."""

    namespace: str
    image: str = IMAGE
    truth: str = TRUTH
    mask: str = MASK
    overlay: str = OVERLAY
    confidence: str = CONFIDENCE


class Recorder(Node):
    """Listens in a thread of its own; what arrived is fetched with `fetch`.

    A mask is confirmed on the topic `taken`, by an empty image with its header, once few enough messages
    wait: who sends frames on that confirmation cannot fill the memory, however slowly they are fetched.

    Attributes:
        status: The last diagnostics of the segmenter.
        reports: How many there were.
        taken: Name of the topic of the confirmations.
        left_out: Pictures that came while too many messages waited. Masks and ground truth are all kept.

    Args:
        topics: What it listens to.
        confidence: Whether to the confidence, too, which the node makes for its listeners alone.
    """

    def __init__(self, topics: Topics, confidence: bool = False) -> None:
        super().__init__("recorder", namespace=topics.namespace)
        self.status = NodeStatus()
        self.reports = 0
        self.left_out = 0
        self._confirmations = self.create_publisher(Image, "~/taken", 10)
        self.taken = self._confirmations.topic_name
        self._unconfirmed: deque[Header] = deque()
        self._confirming = threading.Lock()
        self._segmenter = f"{topics.namespace.rstrip('/')}/{SEGMENTER}"
        self._image = self.resolve_topic_name(topics.image)
        self._arrived: queue.SimpleQueue[Received] = queue.SimpleQueue()
        named = {IMAGE: topics.image, TRUTH: topics.truth, MASK: topics.mask, OVERLAY: topics.overlay}
        if confidence:
            named[CONFIDENCE] = topics.confidence
        for kind, topic in named.items():
            # Reliable, as profiles are: what got lost on the way here would count as dropped by the node.
            self.create_subscription(Image, topic, self._listener(kind), QoSProfile(depth=10))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    def fetch(self) -> Iterator[Received]:
        """Everything that arrived since the last call, up to this one."""
        for _ in range(self._arrived.qsize()):
            yield self._arrived.get_nowait()
            self._confirm()

    def parameters(self, names: Sequence[str], timeout: float = 30.0) -> dict[str, Any]:
        """Values of parameters of the segmenter, which has them all.

        Args:
            names: Of the parameters.
            timeout: Seconds.

        Raises:
            EngineError: It does not answer.
        """
        client = self.create_client(GetParameters, f"{self._segmenter}/get_parameters")
        deadline = time.monotonic() + timeout
        try:
            while time.monotonic() < deadline:
                # The middleware drops an answer that is ready before the two ends are matched: ask again.
                answered = threading.Event()
                future = client.call_async(GetParameters.Request(names=list(names)))
                future.add_done_callback(lambda _, event=answered: event.set())
                if answered.wait(3.0):
                    values = map(parameter_value_to_python, future.result().values)
                    return dict(zip(names, values, strict=True))
        finally:
            self.destroy_client(client)
        raise EngineError(f"{self._segmenter} does not tell its parameters within {timeout:g} s")

    def destroy_node(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        super().destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _listener(self, topic: str) -> Callable[[Image], None]:
        def listen(message: Image) -> None:
            at_ns = time.monotonic_ns()
            if topic in (IMAGE, OVERLAY, CONFIDENCE) and self._arrived.qsize() >= 4 * WAITING:
                self.left_out += 1
                return
            try:
                picture = to_rgb(message)
            except InputError as error:
                self.get_logger().error(f"{topic}: {error}", throttle_duration_sec=5.0)
                return
            # A mask is grey: its three channels are the same ids.
            array = picture[:, :, 0].copy() if topic in (TRUTH, MASK, CONFIDENCE) else picture
            header = message.header
            self._arrived.put(Received(topic, from_time(header.stamp), at_ns, array, header.frame_id))
            if topic == MASK:
                self._unconfirmed.append(header)
                self._confirm()

        return listen

    def _confirm(self) -> None:
        with self._confirming:
            while self._unconfirmed and self._arrived.qsize() < WAITING:
                self._confirmations.publish(Image(header=self._unconfirmed.popleft()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if status := node_status(message, self._segmenter, self._image):
            self.status = status
            self.reports += 1


def node_status(message: DiagnosticArray, node: str, image: str) -> NodeStatus | None:
    """What a node says of its worker and of one camera, as one; None where it says nothing.

    Until the node listens to that camera, it is what it says of its worker alone.

    Args:
        message: From anybody.
        node: Name of the node with its namespace.
        image: Name of the topic of the camera's raw images with its namespace; what the node says of its
            other cameras is left out.
    """
    worker = f"{node.strip('/')}: worker"
    own = [
        each
        for each in message.status
        if each.name == worker or (_node_of(each) == node.strip("/") and _listens(each, image))
    ]
    if not own:
        return None
    # What the worse of them says counts.
    worst = max(own, key=lambda each: each.level)
    return NodeStatus(worst.message, {pair.key: pair.value for each in own for pair in each.values})


def listener_of(message: DiagnosticArray, image: str) -> str | None:
    """Name, with its namespace, of a node that says that it listens to a camera; None where none does.

    Args:
        message: From anybody.
        image: Name of the topic of the camera's raw images with its namespace.
    """
    return next((f"/{_node_of(each)}" for each in message.status if _listens(each, image)), None)


def _node_of(status: DiagnosticStatus) -> str:
    return str(status.name.partition(": ")[0])


def _listens(status: DiagnosticStatus, image: str) -> bool:
    """Whether a status is that of a camera on a topic, raw or compressed."""
    topics = [pair.value for pair in status.values if pair.key == "input_topic"]
    return bool(topics) and topics[0].removesuffix(COMPRESSED) == image.removesuffix(COMPRESSED)
