"""The node finds its publishers and subscribers whatever they offer, or says what to change."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from live import PATIENCE, Live, array_of, expected_mask, picture
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


def logged(one: Live, capfd: pytest.CaptureFixture[str], words: str, provoke: Callable[[], object]) -> None:
    """Provoke a warning until the node has logged it: the middleware may lose one event."""
    text, deadline, again = "", time.monotonic() + PATIENCE, 0.0
    while words not in text:
        assert time.monotonic() < deadline, text
        if time.monotonic() > again:
            provoke()
            again = time.monotonic() + 2.0
        one._executor.spin_once(timeout_sec=0.05)
        text += capfd.readouterr().err


@pytest.mark.parametrize("camera", [RELIABLE, BEST_EFFORT])
def test_auto_takes_the_cameras_reliability_and_loses_nothing_on_the_way(live, camera) -> None:
    one: Live = live(camera=camera)
    for seed in range(10):
        image = picture(seed=seed)
        np.testing.assert_array_equal(array_of(one.ask(image)), expected_mask(image))
    one.until(lambda: one.node._channels[0]._input.reliable == (camera == RELIABLE), "the reliability")
    subscriptions = one.node._channels[0]._input._subscriptions
    one.until(lambda: one.ask(picture()) and len(subscriptions) == 1, "one subscription is left")
    assert len(one.masks) == one.sent, "no frame came through twice"
    expected = "reliable" if camera == RELIABLE else "best_effort"
    one.until(lambda: one.values().get("input_reliability") == expected)


def test_auto_follows_a_camera_that_comes_back_otherwise(live) -> None:
    one: Live = live()
    one.ask(picture())
    one.until(lambda: one.node._channels[0]._input.reliable)
    one.user.destroy_publisher(one.camera)
    one.camera = one.new_camera(BEST_EFFORT)
    one.until(lambda: not one.node._channels[0]._input.reliable, "best effort")
    one.until(lambda: one.node._channels[0]._input._subscriptions[-1].get_publisher_count() > 0)
    one.until(lambda: one.camera.get_subscription_count() > 0)
    one.ask(picture())


def test_remapped_topics_are_followed_too(live) -> None:
    one: Live = live(start=False, arguments=["--ros-args", "-r", "image:=front/raw"])
    one.user.destroy_publisher(one.camera)
    assert one.change_state("configure") and one.change_state("activate")
    one.until(lambda: "front/raw (0 publishers)" in one.status.message, "the topic is named")
    one.camera = one.user.create_publisher(Image, "front/raw", QoSProfile(depth=10))
    one.until(lambda: "front/raw (1 publishers)" in one.status.message, "the camera is counted")
    one.until(lambda: one.node._channels[0]._input.reliable, "the camera's reliability")
    one.connect()
    one.ask(picture())
    assert one.values()["input_topic"].endswith("/front/raw")


def test_sensor_data_stays_best_effort(live) -> None:
    one: Live = live(input_qos="sensor_data", output_qos="reliable")
    one.ask(picture())
    assert not one.node._channels[0]._input.reliable


def test_a_camera_that_cannot_be_heard_is_told_with_the_remedy(live, capfd) -> None:
    one: Live = live(start=False, input_qos="reliable")
    assert one.change_state("configure") and one.change_state("activate")
    logged(one, capfd, "set input_qos to auto", lambda: one.new_camera(BEST_EFFORT))


def test_diagnostics_name_a_camera_that_cannot_be_heard(live) -> None:
    one: Live = live(start=False, input_qos="reliable", camera=BEST_EFFORT)
    assert one.change_state("configure") and one.change_state("activate")
    one.until(lambda: "set input_qos to auto" in one.statuses["camera"].message, "the remedy")
    assert "(1 publishers)" in one.statuses["camera"].message


def test_a_camera_that_could_not_be_heard_is_forgotten_when_it_has_gone(live) -> None:
    one: Live = live(start=False, input_qos="reliable", camera=BEST_EFFORT)
    assert one.change_state("configure") and one.change_state("activate")
    one.until(lambda: "set input_qos to auto" in one.statuses["camera"].message, "the remedy")
    one.user.destroy_publisher(one.camera)
    one.camera = one.new_camera(RELIABLE)
    one.connect()
    one.ask(picture())
    one.until(lambda: "no image for" in one.statuses["camera"].message, "that one is silent now")
    one.until(lambda: "(1 publishers)" in one.statuses["camera"].message)
    assert "input_qos" not in one.statuses["camera"].message


def test_a_subscriber_that_cannot_be_served_is_told_with_the_remedy(live, capfd) -> None:
    one: Live = live(start=False, output_qos="sensor_data")
    assert one.change_state("configure")
    reliable = QoSProfile(depth=1, reliability=RELIABLE)
    logged(one, capfd, "set output_qos to auto", lambda: one.listen("semantic_mask", reliable))


def test_a_latched_subscriber_is_told_with_the_remedy(live, capfd) -> None:
    one: Live = live()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    logged(one, capfd, "volatile durability", lambda: one.listen("semantic_mask", latched))


def test_best_effort_outputs_reach_a_best_effort_subscriber(live) -> None:
    one: Live = live(start=False, output_qos="sensor_data")
    masks = one.listen("semantic_mask", QoSProfile(depth=10, reliability=BEST_EFFORT))
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    one.send(picture())
    one.until(lambda: masks, "the mask")
