"""The lifecycle node that turns images into class masks.

The executor's thread takes messages, services and timers; the worker's thread runs the network and
publishes. Configuring loads and warms up the model, activating subscribes and publishes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import wait
from threading import Event
from typing import Any

import psutil
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from sernet_core.errors import ConfigError, EngineError
from sernet_core.labels import ClassSet
from sernet_ros.channel import Channel, calibration_clash, camera_monitor, rules_for
from sernet_ros.diagnostics import memory_fault, memory_values, status
from sernet_ros.loading import Network
from sernet_ros.parameters import Parameters
from sernet_ros.serving import WITH_NETWORK, Serving, fault_of_change, words_of
from sernet_ros.settings import Settings, unknown_overrides
from sernet_ros.worker import Worker

_WATCH_PERIOD = 0.25  # seconds between two looks at who publishes images, and at what is under way
_STOP_TIMEOUT = 2.0  # seconds that the worker gets to end


class SegmenterNode(LifecycleNode):
    """Node `sernet_segmenter`: images in; masks, overlays, class names and diagnostics out.

    Args:
        load: Makes the network; called with the model and the settings of
            `sernet_core.runtime.Segmenter.load`.
        classes_of: Gives a model's classes, or None where they are not known before it is loaded; raises
            SernetError for a model that cannot be loaded. Called before a live change.
        options: For rclpy.node.Node, e.g. context, namespace, parameter_overrides.

    Attributes:
        left_behind: Whether a network that hangs has kept its thread: then the process should end hard.

    Raises:
        ConfigError: A parameter has a bad value.
    """

    def __init__(
        self,
        load: Callable[..., Any],
        classes_of: Callable[[str], ClassSet | None] = lambda model: None,
        **options: Any,
    ) -> None:
        super().__init__("sernet_segmenter", **options)
        self._load = load
        self._classes_of = classes_of
        self._serving: Serving | None = None  # from configuring to cleaning up
        self._interrupted = Event()
        self._fault = self._engine_told = ""
        self.left_behind = False
        self._process = psutil.Process()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._declared = Parameters(
            self, self._settings_changed, lambda: self._serving is not None, self._fault_of_change
        )
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

    @property
    def _worker(self) -> Worker | None:
        return self._serving.worker if self._serving is not None else None

    @property
    def _network(self) -> Network | None:
        return self._serving.network if self._serving is not None else None

    @property
    def _channels(self) -> list[Channel]:
        return self._serving.channels if self._serving is not None else []

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and warm it up; on failure the node stays unconfigured and says why."""
        self._fault = ""
        try:
            if clash := calibration_clash(self, self.settings):
                raise ConfigError(clash)
            cameras = {prefix: camera_monitor(self.get_logger(), prefix) for prefix in self.settings.cameras}
            self._serving = Serving(
                self._load, lambda: self.settings, list(cameras.values()), self.get_logger()
            )
            network = self._loaded(self._serving)
            for prefix, monitor in cameras.items():
                rules = rules_for(self.settings, network.segmenter.classes, prefix)
                self._channels.append(Channel(self, prefix, rules, monitor))
            self._serving.find_batch()
        except Exception as error:
            self._fault = f"cannot configure: {words_of(error)}"
            self.get_logger().error(self._fault)
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish the class names, subscribe, and let the worker take frames."""
        try:
            result = super().on_activate(state)
            for index, channel in enumerate(self._channels):
                channel.publish_labels()
                channel.subscribe(self._receiver(index))
            self._open_or_close()
        except Exception as error:  # rclpy would drop it without a word
            self._fault = f"cannot activate: {type(error).__name__}: {error}"
            return TransitionCallbackReturn.ERROR
        topics = ", ".join(channel.values()["input_topic"] for channel in self._channels)
        self.get_logger().info(f"active: listens to {topics}")
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

    def _loaded(self, serving: Serving) -> Network:
        """Wait for the model; diagnostics go on meanwhile, and an interrupt ends the waiting."""
        settings, started = self.settings, time.monotonic()
        self.get_logger().info(f"loading model '{settings.model}'")
        future = serving.start()
        told = started
        while not wait([future], timeout=0.1).done:
            if self._interrupted.is_set() or not self.context.ok():
                raise EngineError("interrupted while the model was being loaded")
            if time.monotonic() - told >= settings.diagnostics_period:
                told = time.monotonic()
                self._report(f"loading model '{settings.model}', {told - started:.0f} s")
        network = future.result()
        self.get_logger().info(f"{network.words}, ready in {time.monotonic() - started:.1f} s")
        return network

    def _pause(self) -> None:
        for channel in self._channels:
            channel.unsubscribe()
        if self._worker is not None:
            self._worker.close()

    def _release(self) -> None:
        self._pause()
        if self._serving is not None and not self._serving.release(_STOP_TIMEOUT):
            self.left_behind = True
            self.get_logger().error("the network does not come back; its thread is left behind")
        self._serving = None

    # Frames

    def _receiver(self, camera: int) -> Callable[[Any], None]:
        def receive(message: Any) -> None:
            if self._worker is not None:
                self._worker.put(camera, message)

        return receive

    # Services and parameters

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        result = self.set_parameters([Parameter("enable", value=request.data)])[0]
        response.success = result.successful
        response.message = result.reason or ("enabled" if request.data else "disabled")
        return response

    def _fault_of_change(self, before: Settings, after: Settings) -> str:
        """Why a change cannot be made, beyond what is wrong with a single value."""
        if self._serving is None:
            return ""
        clash = calibration_clash(self, after)
        return clash or fault_of_change(self._serving, before, after, self._classes_of)

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if before.diagnostics_period != after.diagnostics_period:
            self.destroy_timer(self._reports)
            self._reports = self._report_timer()
        if self._serving is None:
            return
        self._serving.follow(before, after)
        if self.state == "active":
            self._open_or_close()

    def _open_or_close(self) -> None:
        assert self._worker is not None
        if not self.settings.enable:
            self._worker.close()
        elif not self._worker.is_open:
            for channel in self._channels:
                channel.monitor.activated()
            self._worker.open()

    def _watch(self) -> None:
        for channel in self._channels:
            channel.follow()
        if self._serving is None:
            return
        self._serving.worker.watch()
        if self._serving.has_failed():
            kept = self._serving.settings
            self.set_parameters_atomically(
                [Parameter(name, value=getattr(kept, name)) for name in WITH_NETWORK]
            )
        if self._network is not None:
            self._tell_engine(self._network.segmenter)

    def _tell_engine(self, segmenter: Any) -> None:
        """Log which engine answers, when it changes: one is built while another serves."""
        engine = f"{segmenter.engine}, {segmenter.precision}"
        if engine != self._engine_told and not segmenter.building:
            self._engine_told = engine
            self.get_logger().info(f"engine in use: {engine}")

    # Diagnostics

    def _report_timer(self) -> Any:
        return self.create_timer(self.settings.diagnostics_period, self._report, clock=self._steady)

    def _report(self, phase: str = "") -> None:
        name = self.get_fully_qualified_name().lstrip("/")
        level, message = self._health()
        values = {"state": self.state, "enabled": str(self.settings.enable).lower()}
        if self._network is not None:
            segmenter = self._network.segmenter
            for key in ("model", "engine", "device", "precision"):
                values[key] = str(getattr(segmenter, key))
            values["engine_state"] = segmenter.building or segmenter.engine_fault or "ready"
            values["batch"] = str(self._network.batch)
            values |= memory_values(segmenter.device_memory)
        values["memory_mb"] = f"{self._process.memory_info().rss / 1e6:.0f}"
        device = values.get("device", "")
        entries = [status(f"{name}: worker", level, phase or message, device, values)]
        for channel in self._channels:
            level, message = channel.health(self.settings.enable)
            title = f"{name}: camera {channel.prefix}".rstrip()
            entries.append(status(title, level, message, "", channel.values()))
        array = DiagnosticArray(status=entries)
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _health(self) -> tuple[bytes, str]:
        """Level and words for the node as a whole; its cameras have their own."""
        if self._fault:
            return DiagnosticStatus.ERROR, self._fault
        words = self.state
        if self._serving is None or self._network is None:
            return DiagnosticStatus.OK, words
        worker, segmenter = self._serving.worker, self._network.segmenter
        allowed = self.settings.inference_timeout
        if (seconds := worker.hanging) is not None:
            words = f"the network hangs for {seconds:.1f} s at one frame (inference_timeout: {allowed:g} s)"
            return DiagnosticStatus.ERROR, words
        faults = [self._serving.refused]
        if (seconds := worker.called_for) is not None and seconds > allowed:
            faults.append(f"a network is being tried for {seconds:.0f} s, and the frames wait for it")
        if segmenter.engine_fault:
            faults.append(f"eager serves: {segmenter.engine_fault}")
        faults.append(segmenter.cache_fault)
        faults.append(memory_fault(segmenter.device_memory, segmenter.device))
        if any(faults):
            return DiagnosticStatus.WARN, "; ".join(filter(None, faults))
        if segmenter.building:
            words += f"; {segmenter.building}"
        if (seconds := self._serving.loading) is not None:
            words += f"; loading another network, {seconds:.0f} s"
        elif self.state == "active" and not self.settings.enable:
            words += ", disabled"
        return DiagnosticStatus.OK, words


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
