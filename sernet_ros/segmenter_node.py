"""The lifecycle node that turns images into class masks.

The executor's thread takes messages, services and timers; the worker's thread runs the network and
publishes. Configuring loads and warms up the model, activating subscribes and publishes. Another model is
loaded in the background while the present one serves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, wait
from threading import Event, Lock
from typing import Any

import psutil
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from sernet_core.errors import ConfigError, EngineError, SernetError
from sernet_ros.channel import Channel, camera_monitor, rules_for
from sernet_ros.diagnostics import memory_fault, memory_values, status
from sernet_ros.loading import Background, Network, find_batch, load, same_network, warm_up
from sernet_ros.parameters import Parameters
from sernet_ros.settings import NETWORK, Settings, unknown_overrides
from sernet_ros.worker import Worker

_WATCH_PERIOD = 0.25  # seconds between two looks at who publishes images, and at what is under way
_STOP_TIMEOUT = 2.0  # seconds that the worker gets to end


class SegmenterNode(LifecycleNode):
    """Node `sernet_segmenter`: images in; masks, overlays, class names and diagnostics out.

    Args:
        load: Makes the network; called with the model and the settings of
            `sernet_core.runtime.Segmenter.load`.
        check_model: Raises SernetError for a model that cannot be loaded; called before a live change.
        options: For rclpy.node.Node, e.g. context, namespace, parameter_overrides.

    Attributes:
        left_behind: Whether a network that hangs has kept its thread: then the process should end hard.

    Raises:
        ConfigError: A parameter has a bad value.
    """

    def __init__(
        self, load: Callable[..., Any], check_model: Callable[[str], Any] = str, **options: Any
    ) -> None:
        super().__init__("sernet_segmenter", **options)
        self._load = load
        self._check_model = check_model
        self._worker: Worker | None = None
        self._network: Network | None = None
        self._channels: list[Channel] = []
        self._loading: Background | None = None
        self._changing = Lock()  # held while the channels' rules change, by whichever thread
        self._interrupted = Event()
        self._fault = self._refused = self._engine_told = ""
        self.left_behind = False
        self._process = psutil.Process()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._declared = Parameters(
            self, self._settings_changed, lambda: self._worker is not None, self._fault_of_change
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

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and warm it up; on failure the node stays unconfigured and says why."""
        self._fault = self._refused = ""
        try:
            cameras = {prefix: camera_monitor(self.get_logger(), prefix) for prefix in self.settings.cameras}
            self._worker = Worker(
                lambda frame: self._channels[frame.camera].decode(frame),
                lambda frame, task, answer: self._channels[frame.camera].deliver(frame, task, answer),
                list(cameras.values()),
                lambda: self.settings.inference_timeout,
            )
            self._network = self._loaded(self._worker)
            for prefix, monitor in cameras.items():
                rules = rules_for(self.settings, self._network.segmenter.classes, prefix)
                self._channels.append(Channel(self, prefix, rules, monitor))
            self._worker.use(self._network.segmenter, self._network.batch)
            self._find_batch(self._network, self._worker)
        except Exception as error:
            self._fault = f"cannot configure: {_words(error)}"
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

    def _loaded(self, worker: Worker) -> Network:
        """Wait for the model; diagnostics go on meanwhile, and an interrupt ends the waiting."""
        settings, started = self.settings, time.monotonic()
        self.get_logger().info(f"loading model '{settings.model}'")
        future = worker.call(lambda: warm_up(load(self._load, settings), settings))
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
        self._loading = None  # its result goes nowhere
        if self._worker is not None and not self._worker.stop(_STOP_TIMEOUT):
            self.left_behind = True
            self.get_logger().error("the network does not come back; its thread is left behind")
        for channel in self._channels:
            channel.close()
        self._channels = []
        self._worker = self._network = None

    # Frames

    def _receiver(self, camera: int) -> Callable[[Any], None]:
        def receive(message: Any) -> None:
            if self._worker is not None:
                self._worker.put(camera, message)

        return receive

    # Another network while one serves

    def _start_swap(self, settings: Settings) -> None:
        """Load a network in the background; it takes over between two frames when it is ready."""
        worker = self._worker
        assert worker is not None

        def work() -> Network:
            segmenter = load(self._load, settings)
            return worker.call(lambda: self._take_over(segmenter, settings, worker)).result()

        self.get_logger().info(f"loading model '{settings.model}' in the background")
        self._loading = Background(work)

    def _take_over(self, segmenter: Any, settings: Settings, worker: Worker) -> Network:
        """On the worker's thread: send the next frame through another network, with its class names."""
        network = warm_up(segmenter, settings)
        with self._changing:
            # Raises, before anything has changed, where the new classes do not fit the other parameters.
            rules = [rules_for(self.settings, segmenter.classes, one.prefix) for one in self._channels]
            for channel, new in zip(self._channels, rules, strict=True):
                channel.take(new)
            worker.use(segmenter, network.batch)
            self._network = network
        self._find_batch(network, worker)
        return network

    def _find_batch(self, network: Network, worker: Worker) -> None:
        """Find the batch that pays, on a thread of its own, where engines are built beside the serving."""
        if not network.untried:
            return

        def work() -> Network:
            try:
                found = find_batch(network, worker.call, lambda: self._network is network)
                return worker.call(lambda: take(found)).result()
            except CancelledError:  # the worker has stopped
                return network
            except Exception as error:
                self.get_logger().warning(f"images go through the network one by one: {_words(error)}")
                return network

        def take(found: Network) -> Network:
            with self._changing:
                if self._network is network:
                    worker.use(found.segmenter, found.batch)
                    self._network = found
            return found

        Background(work)

    def _finish_swap(self, loading: Background) -> None:
        """Tell of a network that has taken over; if it failed, set the parameters back."""
        self._loading = None
        try:
            network = loading.future.result()
        except BaseException as error:
            assert self._network is not None
            kept = self._network.settings
            self._refused = f"the new network cannot be used, '{kept.model}' stays: {_words(error)}"
            self.get_logger().error(self._refused)
            self.set_parameters_atomically([Parameter(name, value=getattr(kept, name)) for name in NETWORK])
            return
        self._refused = ""
        self.get_logger().info(network.words)

    # Services and parameters

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        result = self.set_parameters([Parameter("enable", value=request.data)])[0]
        response.success = result.successful
        response.message = result.reason or ("enabled" if request.data else "disabled")
        return response

    def _fault_of_change(self, before: Settings, after: Settings) -> str:
        """Why a change cannot be made, beyond what is wrong with a single value."""
        if self._network is None:
            return ""
        try:
            if not same_network(after, self._network.settings):
                if self._loading is not None:
                    return "a network is being loaded already: try again when it has taken over"
                if after.model != before.model:
                    self._check_model(after.model)
            for channel in self._channels:
                rules_for(after, self._network.segmenter.classes, channel.prefix)
        except SernetError as error:
            return str(error)
        return ""

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if before.diagnostics_period != after.diagnostics_period:
            self.destroy_timer(self._reports)
            self._reports = self._report_timer()
        if self._network is None:
            return
        if not same_network(after, self._network.settings) and self._loading is None:
            self._start_swap(after)
        self._apply()
        if self.state == "active":
            self._open_or_close()

    def _apply(self) -> None:
        """Give every channel the rules of the parameters as they are now."""
        assert self._network is not None
        for channel in self._channels:
            try:
                with self._changing:
                    classes = self._network.segmenter.classes
                    channel.take(rules_for(self.settings, classes, channel.prefix))
            except ConfigError as error:  # a file that has gone since it was checked
                self.get_logger().error(f"the change has no effect: {error}")
            channel.follow_settings()

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
        if self._worker is not None:
            self._worker.watch()
        if self._loading is not None and self._loading.future.done():
            self._finish_swap(self._loading)
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
        if self._worker is not None and (seconds := self._worker.hanging) is not None:
            allowed = self.settings.inference_timeout
            words = f"the network hangs for {seconds:.1f} s at one frame (inference_timeout: {allowed:g} s)"
            return DiagnosticStatus.ERROR, words
        if self._refused:
            return DiagnosticStatus.WARN, self._refused
        words = self.state
        if self._network is not None:
            segmenter = self._network.segmenter
            if segmenter.engine_fault:
                return DiagnosticStatus.WARN, f"eager serves: {segmenter.engine_fault}"
            if fault := memory_fault(segmenter.device_memory, segmenter.device):
                return DiagnosticStatus.WARN, fault
            if segmenter.building:
                words += f"; {segmenter.building}"
        if self._loading is not None:
            words += f"; loading another network, {time.monotonic() - self._loading.since:.0f} s"
        elif self.state == "active" and not self.settings.enable:
            words += ", disabled"
        return DiagnosticStatus.OK, words


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, SernetError) else f"{type(error).__name__}: {error}"


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
