"""The latest-frame slots and the one inference thread, without ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from sernet_core.errors import EngineError, InputError
from sernet_ros.worker import STAGES, Frame, Task, Worker

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
        self.completed: list[tuple[int, int]] = []  # with the number of masks that were out by then
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.fault: Exception | None = None
        self.mask_size = (2, 3)
        self.allowed = PATIENCE
        self.batches: list[int] = []
        self.worker = Worker(self.decode, self.deliver, self.ledgers, lambda: self.allowed)
        self.worker.use(self)
        self.worker.open()

    def decode(self, frame: Frame) -> Task:
        if frame.message < 0:
            raise InputError(f"{frame.message} is no image")
        image = np.full((2, 3, 3), frame.message, np.uint8)
        return Task(image, image, confidence=frame.message == 7)

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        self.entered.release()
        self.gate.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        mask = np.full(self.mask_size, image[0, 0, 0], np.uint8)
        return SimpleNamespace(mask=mask, confidence=mask if confidence else None)

    def segment_many(self, images: list[np.ndarray], *, confidence: bool = False) -> list:
        self.batches.append(len(images))
        answers = [self.segment(image, confidence=confidence) for image in images]
        return [EngineError("13") if answer.mask[0, 0] == 13 else answer for answer in answers]

    def deliver(self, frame: Frame, task: Task, answer: SimpleNamespace) -> Callable[[], None]:
        assert frame.message == answer.mask[0, 0] == task.image[0, 0, 0]
        assert (answer.confidence is not None) >= task.confidence
        self.delivered.append((frame.camera, frame.message))

        def complete() -> None:
            self.completed.append((frame.camera, len(self.delivered)))
            if frame.message == 17:
                raise ValueError(17)

        return complete

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


def test_frames_of_several_cameras_go_together_in_batches(bench) -> None:
    one = bench(cameras=5)
    one.worker.use(one, batch=3)
    one.hold(1)
    for camera in range(5):
        one.worker.put(camera, 20 + camera)
    one.gate.set()
    one.settled()
    assert one.delivered == [(0, 1), (1, 21), (2, 22), (3, 23), (4, 24), (0, 20)]
    assert one.batches == [3, 2]


def test_one_bad_frame_of_a_batch_costs_that_one(bench) -> None:
    one = bench(cameras=4)
    one.worker.use(one, batch=4)
    one.hold(1)
    for camera, message in enumerate((7, -1, 13, 9)):
        one.worker.put(camera, message)
    one.gate.set()
    one.settled()
    assert one.delivered == [(0, 1), (3, 9), (0, 7)]
    assert one.ledgers[1].rejections == ["-1 is no image"] and one.ledgers[2].failures == ["engine"]


def test_no_mask_of_a_batch_waits_for_what_goes_with_another(bench) -> None:
    one = bench(cameras=4)
    one.worker.use(one, batch=4)
    one.hold(1)
    for camera, message in enumerate((17, 20, -1, 21)):
        one.worker.put(camera, message)
    one.gate.set()
    one.settled()
    assert one.delivered == [(0, 1), (1, 20), (3, 21), (0, 17)]
    assert one.completed == [(0, 1), (1, 4), (3, 4), (0, 4)]
    assert one.ledgers[0].failures == ["unexpected"] and one.ledgers[2].rejections
    assert [ledger.count["answered"] for ledger in one.ledgers] == [1, 1, 0, 1]


def test_what_goes_with_a_mask_does_not_come_after_close(bench, monkeypatch) -> None:
    one = bench(cameras=2)
    one.worker.use(one, batch=2)
    one.hold(1, camera=1)
    failed = one.ledgers[1].failed

    def close(*words: str) -> None:
        one.worker.close()
        failed(*words)

    monkeypatch.setattr(one.ledgers[1], "failed", close)  # which comes between the mask and the rest
    for camera, message in enumerate((2, 13)):
        one.worker.put(camera, message)
    one.gate.set()
    one.settled()
    assert one.delivered == [(1, 1), (0, 2)] and one.completed == [(1, 1)]
    assert one.ledgers[0].count["answered"] == 1


def test_a_batch_that_hangs_is_late_for_each_of_its_cameras(bench) -> None:
    one = bench(cameras=3)
    one.worker.use(one, batch=3)
    one.hold(1, camera=2)
    for camera in range(3):
        one.worker.put(camera, 30)
    one.allowed = 0.0
    one.gate.set()
    one.settled()
    assert [ledger.failures for ledger in one.ledgers] == [["timeout"], ["timeout"], ["timeout"] * 2]
    assert not one.delivered


@pytest.mark.parametrize("batch", [1, 2])
def test_under_overload_every_camera_is_served_alike(bench, batch: int) -> None:
    """Three cameras, the last one three times as fast as the first, all faster than the network."""
    one = bench(cameras=3)
    one.worker.use(one, batch=batch)
    deadline = time.monotonic() + PATIENCE
    while len(one.delivered) < 300:
        assert time.monotonic() < deadline
        for camera in (0, 1, 2, 1, 2, 2):
            one.worker.put(camera, 1)
        time.sleep(0)
    one.settled()
    served = [sum(camera == number for number, _ in one.delivered) for camera in range(3)]
    assert min(served) >= 0.8 * max(served), served


def test_a_call_to_a_stopped_worker_is_cancelled(bench) -> None:
    one = bench()
    one.hold(1)
    waiting = one.worker.call(lambda: 1)
    assert not one.worker.stop(0.0)
    one.gate.set()
    assert one.worker.stop(PATIENCE)
    assert waiting.cancelled() and one.worker.call(lambda: 1).cancelled()


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
    one.worker.open()
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
