"""One camera of the node: what it subscribes to, what it publishes, and the rules between the two."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from sernet_core.errors import ConfigError
from sernet_core.labels import ClassSet
from sernet_core.relabel import Labeling
from sernet_ros.compressed_codec import compressed_to_rgb
from sernet_ros.diagnostics import STALE_AFTER, CameraMonitor
from sernet_ros.finish import Finish, IgnoreMask, Region
from sernet_ros.image_codec import to_rgb
from sernet_ros.package_files import config_file
from sernet_ros.publishers import CONFIDENCE, INFO, Publishers
from sernet_ros.qos import UNDEMANDING, InputSubscription
from sernet_ros.settings import Settings
from sernet_ros.worker import Answer, Frame, Task

_ERROR_PERIOD = 5.0  # seconds
_INPUT_INFO = "image/camera_info"


@dataclass(frozen=True)
class Rules:
    """How a camera's frames are treated; replaced as a whole, so that a frame never sees half of a change."""

    settings: Settings
    finish: Finish


class Channel:
    """A camera's way through the node.

    Args:
        node: The lifecycle node.
        prefix: Name of the camera, which its topics begin with; empty for one without.
        rules: See `rules_for`.
        monitor: Counts and times of the camera.
    """

    def __init__(self, node: LifecycleNode, prefix: str, rules: Rules, monitor: CameraMonitor) -> None:
        self._node = node
        self.prefix = prefix
        self.monitor = monitor
        self._topics = f"{prefix}/" if prefix else ""
        self._rules = rules
        self._publishers = Publishers(node, self._topics, rules.settings)
        self._input: InputSubscription | None = None
        self._info: CameraInfo | None = None
        self._info_subscription: Any = None
        self._info_since = 0.0

    # On the executor's thread

    def subscribe(self, receive: Callable[[Any], None]) -> None:
        """Listen to the camera."""
        compressed = self._rules.settings.image_transport == "compressed"
        topic = self._node.resolve_topic_name(self._topics + "image") + ("/compressed" if compressed else "")
        kind = CompressedImage if compressed else Image
        self._input = InputSubscription(self._node, kind, topic, self._rules.settings.input_qos, receive)
        self._follow_info()

    def unsubscribe(self) -> None:
        """Stop listening."""
        if self._input is not None:
            self._input.close()
            self._input = None
        self._follow_info()

    def follow_settings(self) -> None:
        """Have the topics that the rules ask for."""
        self._publishers.choose(self._rules.settings)
        self._follow_info()

    def publish_labels(self) -> None:
        """Publish ids and names of the classes."""
        self._publishers.publish_labels(
            self._rules.finish.labeling, self._rules.settings.confidence_threshold
        )

    def follow(self) -> None:
        """Follow the publishers of the camera's topic; to be called now and then."""
        if self._input is not None:
            self._input.follow()

    def close(self) -> None:
        """Take every topic back."""
        self.unsubscribe()
        self._publishers.close()

    def _follow_info(self) -> None:
        """Listen to the calibration while it is needed."""
        wanted = self._input is not None and self._rules.settings.mask_scale < 1
        if wanted and self._info_subscription is None:
            self._info_subscription = self._node.create_subscription(
                CameraInfo, self._topics + _INPUT_INFO, self._note_info, UNDEMANDING
            )
            self._info_since = time.monotonic()
        elif not wanted and self._info_subscription is not None:
            self._node.destroy_subscription(self._info_subscription)
            self._info_subscription = self._info = None

    def _note_info(self, info: CameraInfo) -> None:
        self._info = info

    # On either thread

    def take(self, rules: Rules) -> None:
        """Treat frames by other rules from the next one on."""
        before, self._rules = self._rules, rules
        labels = (rules.finish.labeling.names, rules.settings.confidence_threshold)
        if labels != (before.finish.labeling.names, before.settings.confidence_threshold):
            self.publish_labels()

    # On the worker's thread

    def decode(self, frame: Frame) -> Task:
        """What the network is to do with a message.

        Raises:
            InputError: It is rejected.
        """
        rules = self._rules
        compressed = rules.settings.image_transport == "compressed"
        image = compressed_to_rgb(frame.message) if compressed else to_rgb(frame.message)
        confidence = rules.finish.threshold > 0 or self._publishers.wanted(CONFIDENCE)
        return Task(image, image[rules.finish.region.of(image)], confidence, rules)

    def deliver(self, frame: Frame, task: Task, answer: Answer) -> Callable[[], None]:
        """Publish the mask of a frame; what is returned publishes the rest."""
        rules: Rules = task.rules
        header = frame.message.header
        masks = rules.finish.mask(answer.mask, answer.confidence, task.image)
        self._publishers.publish_mask(header, rules.finish.scaled(masks[0]), rules.settings.mask_encoding)
        self._note_age(header)

        def publish_others() -> None:
            try:
                self._publishers.publish_others(
                    header, task.image, masks, rules.finish, rules.settings.overlay_alpha, self._info
                )
            except Exception as error:  # the frame has its mask all the same
                self.monitor.incomplete(f"{type(error).__name__}: {error}")

        return publish_others

    def _note_age(self, header: Any) -> None:
        now = self._node.get_clock().now().nanoseconds
        stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
        # 0 is a clock that has not started or an image without a stamp; a negative age, one that was set
        # back while the image was under way.
        if now > 0 and stamp > 0 and now >= stamp:
            self.monitor.aged((now - stamp) * 1e-9)

    # Diagnostics

    def health(self, enabled: bool) -> tuple[bytes, str]:
        """Level and words for the camera's state."""
        if self._input is None:
            return DiagnosticStatus.OK, "inactive"
        if not enabled:
            return DiagnosticStatus.OK, "disabled"
        level, message = self.monitor.health()
        if message.startswith("no image"):
            count = self._input.publishers
            message += f" on {self._input.topic} ({count} publishers)"
            if mismatch := self._input.mismatch:
                message += f": {mismatch}"
        elif level == DiagnosticStatus.OK and self._misses_info():
            level = DiagnosticStatus.WARN
            message = f"no calibration yet on {self._info_subscription.topic_name}, which mask_scale below 1 "
            message += f"needs: {self._topics}{INFO} is silent"
        return level, message or "active"

    def _misses_info(self) -> bool:
        """Whether a calibration is awaited, and has been for as long as an image may be."""
        waits = self._info_subscription is not None and self._info is None
        return waits and time.monotonic() - self._info_since > STALE_AFTER

    def values(self) -> dict[str, str]:
        """Every figure of the camera, as words."""
        values: dict[str, str] = {}
        if self._input is not None:
            values["input_topic"] = self._input.topic
            values["input_reliability"] = "reliable" if self._input.reliable else "best_effort"
        return values | self.monitor.values()


def camera_monitor(logger: Any, prefix: str) -> CameraMonitor:
    """A monitor that logs under the camera's name, and errors at most every few seconds."""
    name = f"camera {prefix}: " if prefix else ""
    logged_at = -math.inf

    def error(words: str) -> None:
        # rclpy's own throttle goes by the system clock, and would be mute for long when that is set back.
        nonlocal logged_at
        if time.monotonic() - logged_at >= _ERROR_PERIOD:
            logged_at = time.monotonic()
            logger.error(name + words)

    return CameraMonitor(lambda words: logger.warning(name + words), error)


def rules_for(settings: Settings, classes: ClassSet, prefix: str) -> Rules:
    """Rules of a camera by the parameters.

    Raises:
        ConfigError: A file cannot be read, or does not fit the classes.
    """
    labeling = Labeling.of(classes)
    if settings.label_remap:
        labeling = Labeling.read(_remap_file(settings.label_remap), classes)
    if settings.color_palette != (-1,):
        labeling = labeling.with_palette(settings.color_palette)
    ignore = None
    if settings.ignore_mask:
        ignore = IgnoreMask(Path(settings.ignore_mask.replace("{camera}", prefix)).expanduser())
    finish = Finish(
        labeling, Region(*settings.roi), ignore, settings.confidence_threshold, settings.mask_scale
    )
    return Rules(settings, finish)


def calibration_clash(node: LifecycleNode, settings: Settings) -> str:
    """What is wrong with the topics of the calibrations, remappings applied; empty when nothing is.

    A scaled calibration on the camera's own topic would reach whoever needs that of the image, the node too.
    """
    if settings.mask_scale == 1:
        return ""
    prefixes = [f"{prefix}/" if prefix else "" for prefix in settings.cameras]
    read = {node.resolve_topic_name(prefix + _INPUT_INFO) for prefix in prefixes}
    for prefix in prefixes:
        if (topic := node.resolve_topic_name(prefix + INFO)) in read:
            return (
                f"mask_scale: below 1 the scaled calibration would be published on {topic}, where the "
                f"camera's own comes from: remap {prefix}{INFO} (launch argument mask_camera_info)"
            )
    return ""


def _remap_file(given: str) -> Path:
    if given.endswith(".csv") or "/" in given:
        return Path(given).expanduser()
    path = config_file(f"{given}_labels.csv")
    if path is None:
        raise ConfigError(f"label_remap: no file {given}_labels.csv in this package; give a path")
    return path
