"""Time stamps, and /clock for nodes with use_sim_time."""

from __future__ import annotations

import threading
import time

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

_PERIOD = 0.025  # seconds


class ClockTicker:
    """Publishes /clock when it is set, and 40 times a second between.

    A thread of its own does that: timers of nodes on this clock must not stand still while the camera sleeps,
    waits for an answer or for the decoder.
    """

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Clock, "/clock", 10)
        self._lock = threading.Lock()
        self._now_ns: int | None = None
        self._until_ns: int | None = None
        self._set_at_ns = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def set(self, now_ns: int, until_ns: int | None = None) -> None:
        """Set the clock; it goes on from there at the speed of the wall clock.

        Args:
            now_ns: Time in ns.
            until_ns: It stands still there until it is set again; None: it never does.
        """
        with self._lock:
            self._now_ns, self._until_ns, self._set_at_ns = now_ns, until_ns, time.monotonic_ns()
            self._publish(now_ns)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD):
            # Published under the lock: a tick that was overtaken by `set` would turn the clock back.
            with self._lock:
                if self._now_ns is None:
                    continue
                now_ns = self._now_ns + time.monotonic_ns() - self._set_at_ns
                self._publish(now_ns if self._until_ns is None else min(now_ns, self._until_ns))

    def _publish(self, now_ns: int) -> None:
        self._publisher.publish(Clock(clock=to_time(now_ns)))


def to_time(stamp_ns: int) -> Time:
    """Nanoseconds as a ROS time stamp."""
    return Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def from_time(stamp: Time) -> int:
    """A ROS time stamp as nanoseconds."""
    return stamp.sec * 10**9 + stamp.nanosec
