"""What listens to a run: nothing that arrives may fill the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from live import PATIENCE, array_of, fresh_domain, fresh_namespace, image_message, picture
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from sernet_ros.recorder import WAITING, NodeStatus, Recorder, Topics, listener_of, node_status
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


def status(name: str, level: bytes, message: str, **values: str) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def test_worker_and_camera_of_a_node_are_one_status() -> None:
    image = {"input_topic": "/front/image"}
    array = DiagnosticArray(
        status=[
            status("front/sernet_segmenter: worker", OK, "active", engine="eager"),
            status("front/sernet_segmenter: camera", WARN, "no image", dropped="4", **image),
            status("front/sernet_segmenter_2: worker", ERROR, "broken", engine="steam"),
            status("front/sernet_segmenter_2: camera", ERROR, "broken", **image),
        ]
    )
    found = node_status(array, "/front/sernet_segmenter", "/front/image")
    assert found == NodeStatus("no image", {"engine": "eager", "dropped": "4", **image})
    assert node_status(array, "/sernet_segmenter", "/front/image") is None
    # Before it listens to the camera, as after it.
    alone = DiagnosticArray(
        status=[
            status("sernet_segmenter: worker", OK, "inactive"),
            status("sernet_segmenter: camera", WARN, "off"),
        ]
    )
    assert node_status(alone, "//sernet_segmenter", "/image") == NodeStatus("inactive")


def test_a_camera_among_several_gets_its_own_figures_alone() -> None:
    array = DiagnosticArray(
        status=[
            status("sernet_segmenter: worker", OK, "active", engine="eager"),
            status("sernet_segmenter: camera front", OK, "active", input_topic="/front/image", dropped="1"),
            status("sernet_segmenter: camera rear", WARN, "no image", input_topic="/rear/image", dropped="7"),
            status("sernet_segmenter: camera far", OK, "", input_topic="/far/image/compressed", dropped="9"),
        ]
    )

    def of(image: str) -> NodeStatus:
        found = node_status(array, "/sernet_segmenter", image)
        assert found is not None
        return found

    assert (of("/front/image").message, of("/front/image").values["dropped"]) == ("active", "1")
    assert (of("/rear/image").message, of("/rear/image").values["dropped"]) == ("no image", "7")
    assert of("/far/image").values["dropped"] == of("/far/image/compressed").values["dropped"] == "9"
    assert of("/other/image") == NodeStatus("active", {"engine": "eager"})
    assert listener_of(array, "/rear/image") == "/sernet_segmenter"
    assert listener_of(array, "/other/image") is None


def test_the_recorder_reports_the_camera_that_it_judges() -> None:
    rclpy.init(domain_id=fresh_domain())
    one = Recorder(Topics("/", image="/front/image"))
    try:
        robot = Robot("/robot", one.taken)
        diagnostics = robot.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        report = DiagnosticArray(
            status=[
                status("sernet_segmenter: worker", OK, "active", engine="eager"),
                status("sernet_segmenter: camera front", OK, "", input_topic="/front/image", answered="3"),
                status("sernet_segmenter: camera rear", OK, "", input_topic="/rear/image", answered="5"),
            ]
        )

        def heard() -> bool:
            diagnostics.publish(report)
            return one.reports > 0

        robot.until(heard)
        assert one.status.values["answered"] == "3"
    finally:
        one.destroy_node()
        rclpy.try_shutdown()
