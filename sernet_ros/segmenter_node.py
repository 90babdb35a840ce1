"""The lifecycle node that turns images into class masks.

The executor's thread takes messages, services and timers; the worker's thread loads and runs the network
and publishes. Configuring loads and warms up the model, activating subscribes and publishes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from sernet_core.errors import EngineError, SernetError
from sernet_ros.diagnostics import CameraMonitor, status
from sernet_ros.image_codec import to_rgb
from sernet_ros.parameters import Parameters, Settings, unknown_overrides
from sernet_ros.publishers import Publishers
from sernet_ros.qos import InputSubscription
from sernet_ros.worker import Frame, Worker

_WATCH_PERIOD = 0.25  # seconds between two looks at who publishes images and at the inference under way
_STOP_TIMEOUT = 2.0  # seconds that the worker gets to end


class SegmenterNode(LifecycleNode):
    """Node `sernet_segmenter`: image in; mask, overlay, class names and diagnostics out.

    Args:
        load: Makes the network; called on the worker's thread with the model and the settings of
            `sernet_core.runtime.Segmenter.load`.
        options: For rclpy.node.Node, e.g. context, namespace, parameter_overrides.

    Attributes:
        left_behind: Whether a network that hangs has kept its thread: then the process should end hard.

    Raises:
        ConfigError: A parameter has a bad value.
    """

    def __init__(self, load: Callable[..., Any], **options: Any) -> None:
        super().__init__("sernet_segmenter", **options)
        self._load = load
        self._worker: Worker | None = None
        self._segmenter: Any = None
        self._outputs: Publishers | None = None
        self._input: InputSubscription | None = None
        self._monitor = self._new_monitor()
        self._interrupted = threading.Event()
        self._fault = ""
        self.left_behind = False
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._declared = Parameters(self, self._settings_changed, lambda: self._worker is not None)
        for words in unknown_overrides(self._parameter_overrides):
            self.get_logger().warning(f"{words}. It has no effect")
        self._service_change_state.callback = _refusing(self._service_change_state.callback, self)
        self.create_service(SetBool, "~/enable", self._enable)
        # Neither depends on the ROS clock, which stands still or jumps when a bag is played.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_WATCH_PERIOD, self._watch, clock=self._steady)
        self._reports = self._report_timer()

    @property
    def settings(self) -> Settings:
        """The parameters as they are now."""
        return self._declared.settings

    @property
    def state(self) -> str:
        """Lifecycle state: unconfigured, inactive, active, finalized or one between them."""
        return str(self._state_machine.current_state[1])

    def start(self) -> bool:
        """Configure and activate; whether both went well."""
        success = TransitionCallbackReturn.SUCCESS
        if self.state != "unconfigured":
            return True  # Somebody else drives the node already.
        return self.trigger_configure() == success and self.trigger_activate() == success

    def interrupt(self) -> None:
        """Give up a model that is being loaded; may be called from any thread."""
        self._interrupted.set()

    def finish(self) -> None:
        """Shut down from whatever state the node is in."""
        if self.state in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and warm it up; on failure the node stays unconfigured and says why."""
        self._fault = ""
        self._monitor = self._new_monitor()
        self._worker = Worker(to_rgb, self._publish, [self._monitor], lambda: self.settings.inference_timeout)
        try:
            self._segmenter = self._loaded(self._worker)
            self._outputs = Publishers(self, self._segmenter.classes, self.settings.output_qos)
        except Exception as error:
            unexpected = "" if isinstance(error, SernetError) else f"{type(error).__name__}: "
            self._fault = f"cannot configure: {unexpected}{error}"
            self.get_logger().error(self._fault)
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish the class names, subscribe, and let the worker take frames."""
        assert self._outputs is not None
        try:
            result = super().on_activate(state)
            self._outputs.publish_labels()
            self._input = InputSubscription(self, Image, "image", self.settings.input_qos, self._receive)
            self._open_or_close()
        except Exception as error:  # rclpy would drop it without a word
            self._fault = f"cannot activate: {type(error).__name__}: {error}"
            return TransitionCallbackReturn.ERROR
        self.get_logger().info(f"active: listens to {self.resolve_topic_name('image')}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop taking frames and publishing; the model stays loaded."""
        self._pause()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; from any state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a transition that raised, and go back to unconfigured."""
        self._fault = self._fault or "a lifecycle transition failed"
        self.get_logger().error(f"{self._fault}: the node is unconfigured now")
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _loaded(self, worker: Worker) -> Any:
        """Wait for the model; diagnostics go on meanwhile, and an interrupt ends the waiting."""
        settings, started = self.settings, time.monotonic()
        self.get_logger().info(f"loading model '{settings.model}'")
        future = worker.call(lambda: _load_and_warm_up(self._load, settings))
        told = started
        while not wait([future], timeout=0.1).done:
            if self._interrupted.is_set() or not self.context.ok():
                raise EngineError("interrupted while the model was being loaded")
            if time.monotonic() - told >= settings.diagnostics_period:
                told = time.monotonic()
                self._report(f"loading model '{settings.model}', {told - started:.0f} s")
        segmenter = future.result()
        classes, (width, height) = segmenter.classes, segmenter.input_size
        self.get_logger().info(
            f"model '{segmenter.model}' ready in {time.monotonic() - started:.1f} s: {segmenter.engine} on "
            f"{segmenter.device}, {len(classes)} classes of {classes.name}, made for {width}x{height}"
        )
        return segmenter

    def _pause(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._worker is not None:
            self._worker.close()

    def _release(self) -> None:
        self._pause()
        if self._worker is not None and not self._worker.stop(_STOP_TIMEOUT):
            self.left_behind = True
            self.get_logger().error("the network does not come back; its thread is left behind")
        if self._outputs is not None:
            self._outputs.close()
        self._worker = self._segmenter = self._outputs = None

    # Messages, services and parameters

    def _receive(self, message: Image) -> None:
        if self._worker is not None:
            self._worker.put(0, message)

    def _publish(self, frame: Frame, image: np.ndarray, mask: np.ndarray) -> None:
        """On the worker's thread: hand on what the network made of a frame."""
        publishers, settings, header = self._outputs, self.settings, frame.message.header
        if publishers is None:
            return
        publishers.publish_mask(header, mask)
        self._note_age(header)
        if settings.publish_overlay:
            publishers.publish_overlay(header, image, mask, settings.overlay_alpha)

    def _note_age(self, header: Any) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
        # 0 is a clock that has not started or an image without a stamp; a negative age, one that was set
        # back while the image was under way.
        if now > 0 and stamp > 0 and now >= stamp:
            self._monitor.aged((now - stamp) * 1e-9)

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        result = self.set_parameters([Parameter("enable", value=request.data)])[0]
        response.success = result.successful
        response.message = result.reason or ("enabled" if request.data else "disabled")
        return response

    def _settings_changed(self, settings: Settings) -> None:
        if self._reports.timer_period_ns != round(settings.diagnostics_period * 1e9):
            self.destroy_timer(self._reports)
            self._reports = self._report_timer()
        if self._input is not None:
            self._open_or_close()

    def _open_or_close(self) -> None:
        assert self._worker is not None
        if not self.settings.enable:
            self._worker.close()
        elif not self._worker.is_open:
            self._monitor.activated()
            self._worker.open(self._segmenter)

    def _watch(self) -> None:
        if self._input is not None:
            self._input.follow()
        if self._worker is not None:
            self._worker.watch()

    # Diagnostics

    def _new_monitor(self) -> CameraMonitor:
        logger = self.get_logger()
        return CameraMonitor(logger.warning, lambda words: logger.error(words, throttle_duration_sec=5.0))

    def _report_timer(self) -> Any:
        return self.create_timer(self.settings.diagnostics_period, self._report, clock=self._steady)

    def _report(self, phase: str = "") -> None:
        level, message = self._health()
        values = {"state": self.state, "enabled": str(self.settings.enable).lower()}
        if self._segmenter is not None:
            for name in ("model", "engine", "device", "precision"):
                values[name] = str(getattr(self._segmenter, name))
        if self._input is not None:
            values["input_topic"] = self.resolve_topic_name("image")
            values["input_reliability"] = "reliable" if self._input.reliable else "best_effort"
        name = f"{self.get_fully_qualified_name().lstrip('/')}: segmentation"
        entry = status(
            name, level, phase or message, values.get("device", ""), values | self._monitor.values()
        )
        array = DiagnosticArray(status=[entry])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _health(self) -> tuple[bytes, str]:
        if self._fault:
            return DiagnosticStatus.ERROR, self._fault
        if self._input is None:
            return DiagnosticStatus.OK, self.state
        if not self.settings.enable:
            return DiagnosticStatus.OK, "active, disabled"
        level, message = self._monitor.health()
        if message.startswith("no image"):
            message += f" on {self.resolve_topic_name('image')} ({self._input.publishers} publishers)"
        return level, message or "active"


def _load_and_warm_up(load: Callable[..., Any], settings: Settings) -> Any:
    segmenter = load(
        settings.model,
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
        threads=settings.threads,
        input_size=settings.input_size,
    )
    width, height = segmenter.input_size
    segmenter.warm_up(height, width)
    return segmenter


def _refusing(handler: Callable[..., Any], node: LifecycleNode) -> Callable[..., Any]:
    """A service handler that answers `success: false` where rclpy's own raises, which would end the node."""

    def answer(request: Any, response: Any) -> Any:
        try:
            return handler(request, response)
        except Exception as error:
            node.get_logger().warning(f"lifecycle transition refused: {error}")
            response.success = False
            return response

    return answer
