"""Who listens to a replayer in the tests, and the replayer as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from sernet_ros.clock import from_time
from sernet_ros.image_codec import fill

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = 1 + (os.getpid() + 37) % 100
PATIENCE = 100.0  # seconds until something counts as failed, on a busy machine


class Listener:
    """Subscribes to what a replayer publishes, in a context and a thread of its own."""

    def __init__(self, answer: bool = False) -> None:
        self.namespace = f"/replay{os.getpid()}_{time.monotonic_ns()}"
        self.images: list[Image] = []
        self.truths: list[Image] = []
        self.clocks: list[int] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = node = Node("listener", namespace=self.namespace, context=self._context)
        deep = QoSProfile(depth=200)
        self._masks = node.create_publisher(Image, "semantic_mask", deep)
        node.create_subscription(Image, "image", self._answer if answer else self.images.append, deep)
        node.create_subscription(Image, "ground_truth", self.truths.append, deep)
        node.create_subscription(
            Clock, "/clock", lambda tick: self.clocks.append(from_time(tick.clock)), deep
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _answer(self, message: Image) -> None:
        self.images.append(message)
        self._masks.publish(fill(Image(), np.zeros((2, 2), np.uint8), message.header))

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        self._executor.shutdown()
        self._context.try_shutdown()
        self._thread.join(5.0)

    def replay(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a replayer to its end."""
        process = start_replayer(*arguments, "--wait", "1", namespace=self.namespace)
        output, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, output)


def start_replayer(*arguments: str | Path, namespace: str = "/nobody") -> subprocess.Popen[str]:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sernet_ros.replay",
            *map(str, arguments),
            "--ros-args",
            "-r",
            f"__ns:={namespace}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def pixels(message: Image) -> np.ndarray:
    shape = (
        (message.height, message.width, -1)
        if message.encoding != "mono8"
        else (message.height, message.width)
    )
    return np.frombuffer(message.data, np.uint8).reshape(shape)


def stamps(messages: list[Image]) -> list[int]:
    return [from_time(message.header.stamp) for message in messages]
