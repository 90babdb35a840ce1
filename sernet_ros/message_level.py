"""The benchmark's level message: each engine in a running node of its own, asked over DDS in turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sernet_core.benchmark.cases import Case, Entry
from sernet_core.benchmark.gather import Settings
from sernet_core.errors import EngineError
from sernet_ros.image_codec import fill
from sernet_ros.live_run import NODE_COMMAND, child_environment
from sernet_ros.meter import Meter, Usage
from sernet_ros.processes import Child
from sernet_ros.recorder import SEGMENTER, NodeStatus, node_status
from sernet_ros.worker import STAGES

STANDIN_COMMAND = (sys.executable, "-m", "sernet_ros.standin")
STANDIN = "stand-in"
_PATIENCE = 600.0  # seconds for a node to load its model and to build its engine
_ANSWER = 60.0  # seconds for a mask
_FIRST = 2.0  # seconds between two frames of those that wake a node


class NodeUnderTest(Node):
    """A camera and a listener beside one segmentation node, both in its namespace.

    Args:
        namespace: Of the node.
        frames: uint8 (H, W, 3) RGB; they are sent as bgr8, as cameras do.
    """

    def __init__(self, namespace: str, frames: Sequence[np.ndarray]) -> None:
        super().__init__("benchmark", namespace=namespace)
        self._images = self.create_publisher(Image, "image", QoSProfile(depth=1))
        self.create_subscription(Image, "semantic_mask", self._note_mask, QoSProfile(depth=1))
        self._messages = [fill(Image(), frame[:, :, ::-1], Header()) for frame in frames]
        for message in self._messages:
            message.encoding = "bgr8"
        self._sent = self._answered = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def ask(self, number: int) -> None:
        """Publish a frame and wait for its mask.

        Raises:
            EngineError: It does not come.
        """
        self._send(number)
        deadline = time.monotonic() + _ANSWER
        while self._answered != self._sent:
            if time.monotonic() > deadline:
                raise EngineError(f"{self.get_namespace()}: no mask within {_ANSWER:g} s")
            self._executor.spin_once(timeout_sec=0.1)

    def greet(self) -> bool:
        """Send a frame; whether a mask, of this or an earlier one, comes soon."""
        self._send(0)
        before, deadline = self._answered, time.monotonic() + _FIRST
        while self._answered == before and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.1)
        return self._answered != before

    def _send(self, number: int) -> None:
        self._sent += 1
        message = self._messages[number]
        message.header.stamp.sec = self._sent
        self._images.publish(message)

    def destroy_node(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        super().destroy_node()

    def _note_mask(self, message: Image) -> None:
        self._answered = message.header.stamp.sec


class Watcher(Node):
    """Reads the diagnostics of all nodes, while it is asked to: not during the timing."""

    def __init__(self) -> None:
        super().__init__("benchmark_watcher", namespace="/benchmark")
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
            if status := node_status(message, f"{namespace}/{SEGMENTER}"):
                self._status[namespace] = status


@contextmanager
def message_tasks(
    settings: Settings,
    entries: Sequence[Entry],
    frames: Sequence[np.ndarray],
    faults: dict[str, str],
    *,
    folder: Path,
    standin_ms: int,
) -> Iterator[list[Entry]]:
    """A node for each engine that is timed from frame to mask, and one for a network that sleeps.

    Args:
        settings: Of the run.
        entries: What is timed in this process.
        frames: uint8 (H, W, 3) RGB.
        faults: Receives which node has ended, or does not answer with the engine that it was asked for.
        folder: Takes the nodes' logs.
        standin_ms: Time of the network that sleeps.
    """
    with ExitStack() as stack:
        watcher = Watcher()
        stack.callback(watcher.destroy_node)
        height, width = frames[0].shape[:2]
        asleep = Case(f"{STANDIN} {standin_ms} ms", "sleep", "none", width, height)
        nodes = [
            (entry.case, NODE_COMMAND, _parameters(settings, entry.case))
            for entry in entries
            if entry.level == "mask"
        ]
        nodes.append((asleep, STANDIN_COMMAND, {"model": f"{standin_ms} ms"}))
        found: list[Entry] = []
        for index, (case, program, parameters) in enumerate(nodes):
            try:
                found.append(_entry(stack, watcher, case, program, parameters, frames, folder, index))
            except EngineError as error:
                faults[f"{case.model} {case.engine} {case.precision} message"] = str(error)
        found.append(Entry(asleep, "network", lambda _: time.sleep(standin_ms / 1000)))
        yield found


def _parameters(settings: Settings, case: Case) -> dict[str, str]:
    """Of the node that has a case's engine."""
    return {
        "model": _path_of(settings, case.model),
        "engine": case.engine,
        "precision": case.precision,
        "device": settings.device,
        "threads": str(settings.threads),
        "input_size": settings.input_size,
        "inference_timeout": str(_ANSWER),
    }


def _entry(
    stack: ExitStack,
    watcher: Watcher,
    case: Case,
    program: Sequence[str],
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
    namespace = f"/benchmark/n{index}"
    command = [*program, "--ros-args", "-r", f"__ns:={namespace}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    log = folder / f"node{index}.log"
    with ExitStack() as own:
        child = own.enter_context(Child(f"node {index}", command, log, child_environment()))
        node = NodeUnderTest(namespace, frames)
        own.callback(node.destroy_node)
        _wait_until_ready(child, watcher, node, case)
        stack.enter_context(own.pop_all())
    usage: list[Usage] = []
    Meter(child.pid).sample(usage)
    memory = usage[0].memory_mb if usage else 0.0

    def split() -> Mapping[str, float]:
        values = watcher.status(namespace).values
        return {stage: float(values[key]) for stage in STAGES if (key := f"{stage}_ms.p50") in values}

    return Entry(case, "message", node.ask, memory, split)


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
    """Path of a model of the run whose name is known."""
    from sernet_core.checkpoint import resolve_model

    paths = map(resolve_model, settings.models)
    return str(next(path for path in paths if path.stem == name).absolute())
