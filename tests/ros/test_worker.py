"""The latest-frame slots and the one inference thread, without ROS."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from sernet_core.errors import EngineError, InputError
from sernet_ros.worker import STAGES, Worker

PATIENCE = 30.0


class Ledger:
    """A monitor that remembers how each frame of a camera ended."""

    def __init__(self) -> None:
        self.count = {"received": 0, "dropped": 0, "answered": 0}
        self.rejections: list[str] = []
        self.failures: list[str] = []
        self.seconds: dict[str, float] = {}

    def received(self) -> None:
        self.count["received"] += 1

    def dropped(self) -> None:
        self.count["dropped"] += 1

    def rejected(self, error: InputError) -> None:
        self.rejections.append(str(error))

    def failed(self, reason: str, message: str) -> None:
        self.failures.append(reason)

    def answered(self, seconds) -> None:
        self.count["answered"] += 1
        self.seconds = dict(seconds)

    def ended(self) -> int:
        settled = self.count["dropped"] + self.count["answered"]
        return settled + len(self.rejections) + len(self.failures)


class Bench:
    """A worker on which messages are small numbers, and a network that a test can hold."""

    def __init__(self, cameras: int = 1) -> None:
        self.ledgers = [Ledger() for _ in range(cameras)]
        self.delivered: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.fault: Exception | None = None
        self.mask_size = (2, 3)
        self.allowed = PATIENCE
        self.worker = Worker(self.decode, self.deliver, self.ledgers, lambda: self.allowed)
        self.worker.open(self)

    def decode(self, message: int) -> np.ndarray:
        if message < 0:
            raise InputError(f"{message} is no image")
        return np.full((2, 3, 3), message, np.uint8)

    def segment(self, image: np.ndarray) -> SimpleNamespace:
        self.entered.release()
        self.gate.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        return SimpleNamespace(mask=np.full(self.mask_size, image[0, 0, 0], np.uint8))

    def deliver(self, frame, image: np.ndarray, mask: np.ndarray) -> None:
        assert frame.message == mask[0, 0] == image[0, 0, 0]
        self.delivered.append((frame.camera, frame.message))

    def hold(self, message: int, camera: int = 0) -> None:
        """Let the network start on a frame and stay in it."""
        self.gate.clear()
        self.worker.put(camera, message)
        assert self.entered.acquire(timeout=PATIENCE)

    def settled(self) -> None:
        """Wait until every frame has ended."""
        deadline = time.monotonic() + PATIENCE
        while any(ledger.ended() < ledger.count["received"] for ledger in self.ledgers):
            assert time.monotonic() < deadline
            time.sleep(0.002)


@pytest.fixture
def bench():
    benches: list[Bench] = []

    def make(cameras: int = 1) -> Bench:
        benches.append(Bench(cameras))
        return benches[-1]

    yield make
    for one in benches:
        one.gate.set()
        one.worker.stop(PATIENCE)
        for ledger in one.ledgers:
            assert ledger.ended() == ledger.count["received"], "each frame ends in exactly one way"


def test_a_burst_leaves_the_newest(bench) -> None:
    one = bench()
    one.hold(1)
    for message in range(2, 102):
        one.worker.put(0, message)
    one.gate.set()
    one.settled()
    assert one.delivered == [(0, 1), (0, 101)]
    assert one.ledgers[0].count == {"received": 101, "dropped": 99, "answered": 2}


def test_cameras_take_turns(bench) -> None:
    one = bench(cameras=3)
    one.hold(1)
    for message in range(2, 12):
        for camera in (0, 1, 2):
            one.worker.put(camera, message)
    one.gate.set()
    one.settled()
    assert one.delivered == [(0, 1), (1, 11), (2, 11), (0, 11)]


def test_times_are_told_by_stage(bench) -> None:
    one = bench()
    one.worker.put(0, 1)
    one.settled()
    seconds = one.ledgers[0].seconds
    assert tuple(seconds) == STAGES
    assert all(value >= 0 for value in seconds.values())
    assert seconds["total"] == pytest.approx(sum(seconds[name] for name in STAGES[:-1]))


@pytest.mark.parametrize(
    ("fault", "reason"), [(EngineError("not finite"), "engine"), (ValueError("?"), "unexpected")]
)
def test_a_failure_delivers_nothing_and_passes(bench, fault: Exception, reason: str) -> None:
    one = bench()
    one.fault = fault
    one.worker.put(0, 1)
    one.settled()
    one.fault = None
    one.worker.put(0, 2)
    one.settled()
    assert one.ledgers[0].failures == [reason]
    assert one.delivered == [(0, 2)]


def test_a_mask_of_another_size_is_a_failure(bench) -> None:
    one = bench()
    one.mask_size = (2, 2)
    one.worker.put(0, 1)
    one.settled()
    assert one.ledgers[0].failures == ["engine"] and not one.delivered


def test_a_frame_that_cannot_be_decoded_is_rejected(bench) -> None:
    one = bench()
    one.worker.put(0, -1)
    one.settled()
    assert one.ledgers[0].rejections == ["-1 is no image"] and not one.delivered


def test_a_hanging_inference_is_noticed_once_and_its_mask_discarded(bench) -> None:
    one = bench()
    one.hold(1)
    one.worker.watch()
    assert not one.ledgers[0].failures, "it still has time"
    one.allowed = 0.0
    one.worker.watch()
    one.worker.watch()
    assert one.ledgers[0].failures == ["timeout"]
    one.allowed = PATIENCE
    one.gate.set()
    one.worker.put(0, 2)
    one.settled()
    assert one.ledgers[0].failures == ["timeout"]
    assert one.delivered == [(0, 2)]


def test_a_late_failure_is_counted_as_late_alone(bench) -> None:
    one = bench()
    one.allowed = 0.0
    one.fault = EngineError("not finite")
    one.worker.put(0, 1)
    one.settled()
    assert one.ledgers[0].failures == ["timeout"]


def test_after_close_nothing_comes(bench) -> None:
    one = bench()
    one.hold(1)
    one.worker.put(0, 2)
    one.worker.close()
    one.worker.put(0, 3)
    one.worker.open(one)
    one.gate.set()
    one.settled()
    assert not one.delivered
    assert one.ledgers[0].count == {"received": 2, "dropped": 2, "answered": 0}


def test_tasks_run_on_the_one_thread(bench) -> None:
    one = bench()
    threads = {one.worker.call(threading.get_ident).result(PATIENCE) for _ in range(3)}
    assert len(threads) == 1 and threading.get_ident() not in threads
    with pytest.raises(ZeroDivisionError):
        one.worker.call(lambda: 1 // 0).result(PATIENCE)


def test_stop_lets_go_of_the_network(bench) -> None:
    one = bench()
    one.worker.put(0, 1)
    one.settled()
    assert one.worker.stop(PATIENCE) and one.worker._segmenter is None


def test_stop_does_not_wait_for_a_network_that_hangs(bench) -> None:
    one = bench()
    one.hold(1)
    assert not one.worker.stop(0.05)
    one.gate.set()
    assert one.worker.stop(PATIENCE)
    one.settled()
    assert not one.delivered
