"""Age by the clock of the stamps, which may stand still or jump; processing time by the monotonic clock."""

from __future__ import annotations

from live import Live, picture
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock


def age(one: Live) -> str | None:
    return one.values().get("age_ms.p50")


def test_no_age_before_the_clock_has_started(live) -> None:
    one: Live = live(use_sim_time=True)
    one.ask(picture())
    one.counted("answered")
    assert age(one) is None
    assert float(one.values()["total_ms.p50"]) > 0


def test_no_age_for_an_image_without_a_stamp_or_from_the_future(live) -> None:
    one: Live = live(use_sim_time=True)
    clock = one.user.create_publisher(Clock, "/clock", QoSProfile(depth=10))

    def show(seconds: int) -> None:
        message = Clock()
        message.clock.sec = seconds
        node_clock = one.node.get_clock()

        def arrived() -> bool:
            clock.publish(message)
            return node_clock.now().nanoseconds == seconds * 10**9

        one.until(arrived, f"the clock shows {seconds}")

    show(1000)
    one.ask(picture())  # stamped 1.1 s
    one.counted("answered", 1)
    assert abs(float(age(one) or 0) - 998_876.5) < 1
    show(1)  # A bag has started again: the stamps are ahead of the clock.
    one.ask(picture())
    one.counted("answered", 2)
    assert len(one.node._channels[0].monitor._milliseconds["age"]) == 1
    assert int(one.values()["failed"]) == 0
