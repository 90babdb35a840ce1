"""What listens to a run: nothing that arrives may fill the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from live import PATIENCE, array_of, fresh_domain, fresh_namespace, image_message, picture
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from sernet_ros.recorder import WAITING, Recorder, Topics
from sernet_ros.recording import CONFIDENCE, IMAGE, MASK, Received

KINDS = (IMAGE, MASK, CONFIDENCE)


class Robot:
    """Publishes images and masks, and listens to what the recorder confirms."""

    def __init__(self, namespace: str, taken: str) -> None:
        self.node: Node = rclpy.create_node("robot", namespace=namespace)
        deep = QoSProfile(depth=10 * WAITING)
        self._publishers = {kind: self.node.create_publisher(Image, kind, deep) for kind in KINDS}
        self.taken: list[int] = []
        self.node.create_subscription(
            Image, taken, lambda message: self.taken.append(message.header.stamp.sec), deep
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            self._executor.spin_once(timeout_sec=0.02)

    def found(self) -> bool:
        return all(each.get_subscription_count() for each in self._publishers.values())

    def send(self, kind: str, second: int) -> None:
        image = picture(8, 8)
        message = image_message(
            image if kind == IMAGE else image[..., 0], "rgb8" if kind == IMAGE else "mono8"
        )
        message.header.stamp.sec = second
        self._publishers[kind].publish(message)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    rclpy.init(domain_id=fresh_domain())
    one = Recorder(Topics(fresh_namespace()), confidence=True)
    yield one
    one.destroy_node()
    rclpy.try_shutdown()


def test_masks_are_confirmed_only_while_few_messages_wait(recorder: Recorder) -> None:
    robot = Robot(recorder.get_namespace(), recorder.taken)
    robot.until(robot.found)
    sent = 0
    # Like a replayer in lock-step: the next frame once the last one is confirmed.
    while sent < 3 * WAITING and recorder._arrived.qsize() < WAITING:
        waiting, sent = recorder._arrived.qsize(), sent + 1
        robot.send(MASK, sent)
        robot.until(lambda waiting=waiting: recorder._arrived.qsize() > waiting)
    assert sent == WAITING, "it goes on until so many wait"
    robot.until(lambda: len(robot.taken) >= WAITING - 1)
    assert WAITING not in robot.taken
    stamps = [received.stamp_ns // 10**9 for received in recorder.fetch()]
    robot.until(lambda: WAITING in robot.taken)
    assert stamps == robot.taken == list(range(1, WAITING + 1))


def test_pictures_are_left_out_before_they_fill_the_memory(recorder: Recorder) -> None:
    robot = Robot(recorder.get_namespace(), recorder.taken)
    robot.until(robot.found)
    for second in range(1, 4 * WAITING + 1):
        waiting = recorder._arrived.qsize()
        robot.send(IMAGE, second)
        robot.until(lambda waiting=waiting: recorder._arrived.qsize() > waiting)
    for kind in (IMAGE, CONFIDENCE):
        robot.send(kind, 1000)
    robot.send(MASK, 1000)
    robot.until(lambda: recorder._arrived.qsize() == 4 * WAITING + 1 and recorder.left_out == 2)
    *images, mask = recorder.fetch()
    assert [one.topic for one in images] == [IMAGE] * 4 * WAITING
    assert isinstance(mask, Received) and mask.topic == MASK and mask.stamp_ns == 1000 * 10**9
    np.testing.assert_array_equal(images[0].array, array_of(image_message(picture(8, 8))))
