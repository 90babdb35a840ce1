"""The benchmark's level message: each engine in a running node of its own, asked over DDS in turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sernet_core.benchmark.cases import Case, Entry
from sernet_core.benchmark.settings import AUTO, Settings
from sernet_core.benchmark.timing import timed
from sernet_core.checkpoint import resolve_model
from sernet_core.errors import EngineError
from sernet_ros.frame_times import Asked, read, stages
from sernet_ros.image_codec import fill
from sernet_ros.live_run import child_environment
from sernet_ros.processes import Child
from sernet_ros.recorder import SEGMENTER, NodeStatus, node_status
from sernet_ros.timed_node import SEGMENT, STAND_IN

NAMESPACE = "/benchmark"
NODE_COMMAND = (sys.executable, "-m", "sernet_ros.timed_node")
_PATIENCE = 600.0  # seconds for a node to load its model and to build its engine
_ANSWER = 60.0  # seconds for a mask
_FIRST = 2.0  # seconds between two frames of those that wake a node


class NodeUnderTest(Node):
    """A camera and a listener beside one segmentation node, both in its namespace.

    Args:
        namespace: Of the node.
        child: Its process.
        frames: uint8 (H, W, 3) RGB; they are sent as bgr8, as cameras do.

    Attributes:
        asked: Each frame of `ask`.
    """

    def __init__(self, namespace: str, child: Child, frames: Sequence[np.ndarray]) -> None:
        super().__init__("benchmark", namespace=namespace)
        self._child = child
        self._images = self.create_publisher(Image, "image", QoSProfile(depth=1))
        self.create_subscription(Image, "semantic_mask", self._note_mask, QoSProfile(depth=1))
        self._messages = [fill(Image(), frame[:, :, ::-1], Header()) for frame in frames]
        for message in self._messages:
            message.encoding = "bgr8"
        self._sent = self._answered = 0
        self._received = 0.0
        self.asked: list[Asked] = []
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def ask(self, number: int) -> None:
        """Publish a frame and wait for its mask.

        Raises:
            EngineError: It does not come in time, or the node has ended.
        """
        sent = self._send(number)
        deadline = time.monotonic() + _ANSWER
        while self._answered != self._sent:
            if self._child.exit_code is not None:
                raise EngineError(
                    f"{self.get_namespace()}: the node has ended ({self._child.exit_code}):\n"
                    f"{self._child.last_words()}"
                )
            if time.monotonic() > deadline:
                raise EngineError(f"{self.get_namespace()}: no mask within {_ANSWER:g} s")
            self._executor.spin_once(timeout_sec=0.1)
        self.asked.append(Asked(sent, self._received))

    def greet(self) -> bool:
        """Send a frame; whether a mask, of this or an earlier one, comes soon."""
        self._send(0)
        before, deadline = self._answered, time.monotonic() + _FIRST
        while self._answered == before and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.1)
        return self._answered != before

    def _send(self, number: int) -> float:
        """Publish a frame; when that began."""
        self._sent += 1
        message = self._messages[number]
        message.header.stamp.sec = self._sent
        began = time.monotonic()
        self._images.publish(message)
        return began

    def destroy_node(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        super().destroy_node()

    def _note_mask(self, message: Image) -> None:
        self._received = time.monotonic()
        self._answered = message.header.stamp.sec


class Watcher(Node):
    """Reads the diagnostics of all nodes, while it is asked to: not during the timing."""

    def __init__(self) -> None:
        super().__init__("benchmark_watcher", namespace=NAMESPACE)
        self._status: dict[str, NodeStatus] = {}
        self._reports = 0
        self.create_subscription(DiagnosticArray, "/diagnostics", self._note, 100)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def status(self, namespace: str) -> NodeStatus:
        """What a node says in its next report; nothing where it is silent for seconds."""
        known = -1
        while known != self._reports:  # what has come while nobody asked
            known = self._reports
            self._executor.spin_once(timeout_sec=0.0)
        self._status.pop(namespace, None)
        deadline = time.monotonic() + 5.0
        while namespace not in self._status and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.1)
        return self._status.get(namespace, NodeStatus())

    def destroy_node(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        super().destroy_node()

    def _note(self, message: DiagnosticArray) -> None:
        self._reports += 1
        for one in message.status:
            namespace = "/" + one.name.partition(f"/{SEGMENTER}")[0]
            if status := node_status(message, f"{namespace}/{SEGMENTER}", f"{namespace}/image"):
                self._status[namespace] = status


@contextmanager
def message_tasks(
    settings: Settings,
    entries: Sequence[Entry],
    frames: Sequence[np.ndarray],
    faults: dict[str, str],
    *,
    folder: Path,
) -> Iterator[list[Entry]]:
    """A node for each engine that is timed from frame to mask, and one for a network that sleeps.

    Args:
        settings: Of the run.
        entries: What is timed in this process.
        frames: uint8 (H, W, 3) RGB.
        faults: Receives which node has ended, or does not answer with the engine that it was asked for.
        folder: Takes the nodes' logs.
    """
    with ExitStack() as stack:
        watcher = Watcher()
        stack.callback(watcher.destroy_node)
        height, width = frames[0].shape[:2]
        duration = f"{settings.standin_ms} ms"
        asleep = Case(f"{STAND_IN} {duration}", "sleep", "none", width, height)
        nodes = [
            (entry, SEGMENT, _parameters(settings, entry.case)) for entry in entries if entry.level == "mask"
        ]
        nodes.append((Entry(asleep, "mask", lambda _: None), STAND_IN, {"model": duration}))
        found: list[Entry] = []
        for index, (entry, kind, parameters) in enumerate(nodes):
            try:
                found.append(_entry(stack, watcher, entry.case, kind, parameters, frames, folder, index))
            except EngineError as error:
                faults[entry.name_at("message")] = str(error)
        yield found


def _parameters(settings: Settings, case: Case) -> dict[str, str]:
    """Of the node that has a case's engine."""
    # Left to auto, the node chooses as it was chosen here: the outcome lies in the engine cache.
    asked = case.asked.partition(":")[2] or "auto"
    return {
        "model": _path_of(settings, case.model),
        "engine": AUTO if case.by_auto else case.engine,
        "precision": asked if case.by_auto else case.precision,
        "device": settings.device,
        "threads": str(settings.threads),
        "input_size": settings.input_size,
        "inference_timeout": str(_ANSWER),
    }


def _entry(
    stack: ExitStack,
    watcher: Watcher,
    case: Case,
    kind: str,
    parameters: Mapping[str, str],
    frames: Sequence[np.ndarray],
    folder: Path,
    index: int,
) -> Entry:
    """Start a node, wait until it answers with its engine, and give the task that asks it.

    Args:
        stack: Ends the node; one that does not answer is ended at once.

    Raises:
        EngineError: It ends, or does not answer with its engine.
    """
    namespace = f"{NAMESPACE}/n{index}"
    times = folder / f"node{index}.jsonl"
    command = [*NODE_COMMAND, str(times), kind, "--ros-args", "-r", f"__ns:={namespace}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    log = folder / f"node{index}.log"
    with ExitStack() as own:
        child = own.enter_context(Child(f"node {index}", command, log, child_environment()))
        node = NodeUnderTest(namespace, child, frames)
        own.callback(node.destroy_node)
        _wait_until_ready(child, watcher, node, case)
        stack.enter_context(own.pop_all())
    memory = psutil.Process(child.pid).memory_info().rss / 1e6

    def seconds() -> Mapping[str, Sequence[float]]:
        asked = timed(node.asked)
        return stages(asked, read(times, asked))

    return Entry(case, "message", node.ask, process_mb=memory, stages=seconds)


def _wait_until_ready(child: Child, watcher: Watcher, node: NodeUnderTest, case: Case) -> None:
    namespace, deadline = node.get_namespace(), time.monotonic() + _PATIENCE
    while child.exit_code is None and time.monotonic() < deadline:
        # A frame of this size has its engine built.
        if watcher.status(namespace).active and node.greet():
            status = watcher.status(namespace)
            if status.values.get("engine") == case.engine and not status.building:
                return
            if status.engine_state != "ready" and not status.building:
                break  # it says why eager serves
    raise EngineError(
        f"{case.model} on {case.engine} {case.precision}: its node does not answer with this engine:\n"
        f"{child.last_words()}"
    )


def _path_of(settings: Settings, name: str) -> str:
    """Path of a model of the run whose name in the results is known."""
    return str(next(resolve_model(m) for m, known in settings.names.items() if known == name).absolute())
