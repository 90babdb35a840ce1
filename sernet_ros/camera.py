"""The ROS side of the replayer: a node that publishes frames the way a camera driver does."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sernet_core.errors import ConfigError
from sernet_ros.clock import ClockTicker, from_time, to_time
from sernet_ros.image_codec import fill
from sernet_ros.sources import Picture

DEFAULT_FRAME_ID = "camera"


@dataclass(frozen=True)
class CameraOptions:
    """How the camera publishes.

    Attributes:
        frame_id: Of every header; None: as it was recorded, else "camera".
        encoding: rgb8 or bgr8.
        reliable: Reliable, or best effort as the sensor_data profile has it.
        latched: Durability transient_local: who comes late still gets the last frames.
        depth: Queue of the publishers.
        clock: Publish /clock, too.
        answers: Topic whose images answer frames, for lock-step.
    """

    frame_id: str | None = None
    encoding: str = "rgb8"
    reliable: bool = True
    latched: bool = False
    depth: int = 5
    clock: bool = False
    answers: str | None = None


class FreeStamps:
    """Recorded stamps, each for one frame alone: an answer must tell which frame it is for.

    The last ones are remembered, and no more: a loop may go on for weeks.
    """

    REMEMBERED = 2**16  # more than an hour at 15 Hz

    def __init__(self) -> None:
        self._taken: OrderedDict[int, None] = OrderedDict()

    def take(self, stamp_ns: int) -> int:
        """A stamp, or the next that no frame has yet."""
        while stamp_ns in self._taken:
            stamp_ns += 1
        self._taken[stamp_ns] = None
        if len(self._taken) > self.REMEMBERED:
            self._taken.popitem(last=False)
        return stamp_ns


class Camera(Node):
    """Publishes `image`, `ground_truth` with the same header, and /clock."""

    def __init__(self, options: CameraOptions) -> None:
        super().__init__("replay")
        self._options = options
        profile = QoSProfile(
            depth=options.depth,
            reliability=ReliabilityPolicy.RELIABLE if options.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if options.latched else DurabilityPolicy.VOLATILE,
        )
        self._images = self.create_publisher(Image, "image", profile)
        self._truths = self.create_publisher(Image, "ground_truth", profile)
        self._ticker = ClockTicker(self) if options.clock else None
        self._stamp_ns = self._clock_ns = 0
        self._free_stamps = FreeStamps()
        self._answers: dict[int, int] = {}
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        if options.answers:
            self.create_subscription(Image, options.answers, self._on_answer, 10)

    def publish(
        self, picture: Picture, stamp_ns: int | None = None, next_ns: int | None = None
    ) -> tuple[int, int]:
        """Publish one frame, its ground truth first so that it is there when the answer comes.

        Args:
            picture: The frame.
            stamp_ns: Stamp of the header, or the next one that is free; None: the wall clock.
            next_ns: Stamp of the next frame if it is known: /clock waits for it there and never turns back.

        Returns:
            The stamp, which no other frame has (that of the wall clock rises even if the clock does not),
            and the monotonic clock just before the image was handed over; both in ns.
        """
        swap = self._options.encoding == "bgr8"
        message = fill(Image(), picture.image[:, :, ::-1] if swap else picture.image, Header())
        message.encoding = self._options.encoding
        truth = None if picture.truth is None else fill(Image(), picture.truth, Header())
        self._stamp_ns = (
            max(time.time_ns(), self._stamp_ns + 1) if stamp_ns is None else self._free_stamps.take(stamp_ns)
        )
        frame_id = self._options.frame_id or picture.frame_id or DEFAULT_FRAME_ID
        header = Header(stamp=to_time(self._stamp_ns), frame_id=frame_id)
        if self._ticker:
            # Recorded stamps may be out of order, but the clock must not turn back.
            self._clock_ns = max(self._clock_ns, self._stamp_ns)
            self._ticker.set(self._clock_ns, None if next_ns is None else max(self._clock_ns, next_ns))
        if truth is not None:
            truth.header = header
            self._truths.publish(truth)
        message.header = header
        sent_ns = time.monotonic_ns()
        self._images.publish(message)
        return self._stamp_ns, sent_ns

    def wait_for_answer(self, stamp_ns: int, timeout: float) -> int | None:
        """Wait for the image that answers a stamp: its arrival in monotonic ns, None if too late."""
        deadline = time.monotonic() + timeout
        while stamp_ns not in self._answers and time.monotonic() < deadline:
            # Short waits: a signal is only seen between them.
            self._executor.spin_once(timeout_sec=0.1)
        answered_ns = self._answers.get(stamp_ns)
        self._answers.clear()
        return answered_ns

    def wait_for_subscribers(self, count: int, timeout: float) -> None:
        """Wait until `image` has `count` subscribers.

        Raises:
            ConfigError: It had fewer when the time was over.
        """
        deadline = time.monotonic() + timeout
        while (found := self._images.get_subscription_count()) < count:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{found} of {count} subscribers on {self._images.topic_name} after {timeout:g} s: are "
                    "they running with the same ROS_DOMAIN_ID and topic name, and a QoS that fits (--qos)?"
                )
            time.sleep(0.05)
        # The subscriber learns of the match a little later than the publisher does.
        time.sleep(0.5)

    def drain(self, timeout: float = 2.0) -> None:
        """Give reliable subscribers the time to take the last frame, ground truth too, before it goes."""
        if self._options.reliable:
            for publisher in (self._images, self._truths):
                publisher.wait_for_all_acked(Duration(seconds=timeout))

    def destroy_node(self) -> None:
        """Stop the clock and take the node down."""
        if self._ticker:
            self._ticker.stop()
        self._executor.shutdown()
        super().destroy_node()

    def _on_answer(self, message: Image) -> None:
        self._answers[from_time(message.header.stamp)] = time.monotonic_ns()
