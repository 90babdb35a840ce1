"""Age by the clock of the stamps, which may stand still or jump; all else by the monotonic clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clock_step
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from live import Live, User, array_of, expected_mask, image_message, picture
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from segment_process import FAKE_NETWORK, MAIN, Process
from sensor_msgs.msg import Image

from sernet_ros import channel
from sernet_ros.clock import to_time
from sernet_ros.qos import InputSubscription

SECOND = 10**9


def ages(one: User) -> tuple[str | None, ...]:
    """Percentiles of the age, in ms."""
    return tuple(one.values().get(f"age_ms.{name}") for name in ("p50", "p95", "p99"))


def ask_at(one: User, stamp_ns: int, image: np.ndarray, again: float = math.inf) -> Image:
    """The mask of an image with this stamp, which is sent again after so many seconds without an answer."""
    message = image_message(image)
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), "lens"
    one.masks.clear()
    sent = -math.inf
    answers: list[Image] = []

    def answered() -> list[Image]:
        nonlocal sent
        if (not answers and time.monotonic() - sent > again) or sent < 0:
            sent = time.monotonic()
            one.camera.publish(message)
        answers.extend(mask for mask in one.masks if mask.header == message.header)
        return answers

    one.until(answered, "mask")
    return answers[0]


class Bag:
    """Says on /clock what time it is for a node with use_sim_time."""

    def __init__(self, one: Live) -> None:
        self._one = one
        self._publisher = one.user.create_publisher(Clock, "/clock", QoSProfile(depth=10))

    def show(self, now_ns: int) -> None:
        clock = self._one.node.get_clock()

        def arrived() -> bool:
            self._publisher.publish(Clock(clock=to_time(now_ns)))
            return clock.now().nanoseconds == now_ns

        self._one.until(arrived, f"the clock shows {now_ns} ns")


def test_no_age_before_the_clock_has_started(live) -> None:
    one: Live = live(use_sim_time=True)
    one.ask(picture())
    one.counted("answered")
    assert ages(one) == (None, None, None)
    assert float(one.values()["total_ms.p50"]) > 0


def test_a_bag_that_loops_turns_the_clock_back(live) -> None:
    """Each loop has the same stamps and gets the same masks; the ages stay those of the bag."""
    one: Live = live(use_sim_time=True)
    bag = Bag(one)
    count = 0
    for _ in range(3):
        for second in (1000, 1001, 1002):
            bag.show(second * SECOND)
            image = picture(seed=second)
            mask = ask_at(one, second * SECOND - SECOND // 20, image)
            np.testing.assert_array_equal(array_of(mask), expected_mask(image))
            count += 1
            one.counted("answered", count)  # with its age: the clock is read when the mask is out
    assert ages(one) == ("50.00", "50.00", "50.00")
    values = one.values()
    assert (values["received"], values["dropped"], values["failed"]) == (str(count), "0", "0")
    one.level(DiagnosticStatus.OK)


def test_a_jump_back_while_an_image_is_under_way_leaves_its_age_out(live) -> None:
    one: Live = live(use_sim_time=True, inference_timeout=60.0)
    bag = Bag(one)
    bag.show(1000 * SECOND)
    ask_at(one, 999 * SECOND, picture())
    one.segmenter.gate.clear()
    message = image_message(picture(seed=1))
    message.header.stamp = to_time(1000 * SECOND)
    one.camera.publish(message)
    one.until(lambda: len(one.segmenter.seen) == 2, "the network is in it")
    bag.show(1 * SECOND)
    one.segmenter.gate.set()
    one.until(lambda: one.masks[-1].header == message.header, "its mask")
    one.counted("answered", 2)
    assert ages(one) == ("1000.00", "1000.00", "1000.00"), "that of the first one alone"
    assert one.values()["failed"] == "0"


def test_a_bag_that_pauses_is_a_silent_camera_and_no_more(live) -> None:
    """The clock stands still, but reports go on, and time what they tell of by the monotonic clock."""
    one: Live = live(use_sim_time=True)
    Bag(one).show(1000 * SECOND)
    one.ask(picture())
    one.until(lambda: "no image for" in one.status.message, "stale input")
    assert one.status.level == DiagnosticStatus.WARN and one.values()["stale"] == "true"
    one.ask(picture())
    one.level(DiagnosticStatus.OK)


def test_an_image_without_a_stamp_has_no_age(live) -> None:
    one: Live = live()
    image = picture(seed=2)
    np.testing.assert_array_equal(array_of(ask_at(one, 0, image)), expected_mask(image))
    one.counted("answered")
    assert ages(one) == (None, None, None) and one.values()["failed"] == "0"


@pytest.mark.skipif(bool(clock_step.obstacle()), reason=f"no clock can be set: {clock_step.obstacle()}")
def test_a_step_of_the_system_clock_changes_the_age_alone(
    segment: Callable[..., Process],
    user: Callable[[Process], User],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = clock_step.SystemClock(tmp_path)
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    node = segment("-p", "diagnostics_period:=0.1", "-p", "inference_timeout:=60.0", code=FAKE_NETWORK + MAIN)
    node.says("active: listens to")
    one = user(node)
    one.until(lambda: one.camera.get_subscription_count() > 0 and one.user.count_publishers("semantic_mask"))
    stampless = image_message(picture())
    one.until(lambda: one.camera.publish(stampless) or one.masks, "the first mask")

    def after(step: int) -> dict[str, str]:
        clock.set(step)
        for seed in range(3):
            image = picture(seed=seed)
            mask = ask_at(one, time.time_ns(), image, again=5.0)  # best effort: one may get lost
            np.testing.assert_array_equal(array_of(mask), expected_mask(image), err_msg=f"{step} s")
        for _ in range(2):  # The first one may have been on its way before.
            one.statuses.clear()
            one.until(lambda: one.statuses, "reports go on")
        one.until(
            lambda: one.camera.publish(stampless) or one.values().get("stale") == "false", "fresh input"
        )
        values = one.values()
        assert values["failed"] == "0" and one.status.level != DiagnosticStatus.ERROR, one.status
        return values

    assert 0 <= float(after(0)["age_ms.p99"]) < 600e3
    # The stamps are an hour ahead of the node's clock now: no age, and none of an hour.
    assert 0 <= float(after(-3600)["age_ms.p99"]) < 600e3
    assert 3600e3 <= float(after(3600)["age_ms.p99"]) < 4200e3
    assert float(after(0)["total_ms.p99"]) < 600e3, "processing times do not follow the clock"


def test_errors_are_logged_again_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the system clock, which would keep them back for as long as it has been set back."""
    now = 100.0
    monkeypatch.setattr(channel.time, "monotonic", lambda: now)
    said: list[str] = []
    monitors = [channel.camera_monitor(SimpleNamespace(error=said.append), name) for name in ("a", "b")]
    for monitor in (*monitors, *monitors):
        monitor.failed("engine", "broken")
    assert said == [f"camera {name}: no mask for a frame: broken" for name in ("a", "b")]
    now += 5.0
    monitors[1].failed("engine", "again")
    assert said[2:] == ["camera b: no mask for a frame: again"]


class Subscriptions:
    """Stands in for the node of an `InputSubscription`: a test hands in the messages itself."""

    def __init__(self) -> None:
        self.receive: list[Callable[[str, dict[str, int]], None]] = []
        self.reliability = ReliabilityPolicy.BEST_EFFORT

    def resolve_topic_name(self, topic: str) -> str:
        return topic

    def get_publishers_info_by_topic(self, _: str) -> list[Any]:
        return [SimpleNamespace(qos_profile=SimpleNamespace(reliability=self.reliability))]

    def create_subscription(self, _kind, _topic, receive, profile, **_: Any) -> Any:
        self.receive.append(receive)
        return SimpleNamespace(qos_profile=profile)

    def destroy_subscription(self, _: Any) -> None:
        pass


def test_a_camera_whose_clock_is_set_back_is_heard_while_subscriptions_change() -> None:
    node = Subscriptions()
    heard: list[str] = []
    subscription = InputSubscription(node, Image, "image", "auto", heard.append)
    node.reliability = ReliabilityPolicy.RELIABLE
    subscription.follow()
    old, new = node.receive
    old("first", {"source_timestamp": 1000})
    old("an hour earlier", {"source_timestamp": 10})
    new("an hour earlier", {"source_timestamp": 10})
    new("next", {"source_timestamp": 11})
    assert heard == ["first", "an hour earlier", "next"]
