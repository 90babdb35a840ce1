"""How a replayer ends: by signals, by requests that cannot be met; and its parts."""

from __future__ import annotations

import gc
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import rclpy
from listening import DOMAIN, PATIENCE, Listener, start_replayer, wait_for
from proc import has_large_segment, takes_signals

from sernet_core.errors import InputError
from sernet_ros.ahead import read_ahead
from sernet_ros.camera import Camera, CameraOptions, FreeStamps
from sernet_ros.replay import Pace, _Log, _publish_all, build_parser
from sernet_ros.sources import Picture, Source


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_loop_cleanly_however_many_come(
    listener: Listener, folder: tuple[Path, list[np.ndarray]], number: signal.Signals
) -> None:
    process = start_replayer(folder[0], "--loop", "--rate", "30", namespace=listener.namespace)
    try:
        wait_for(lambda: len(listener.images) > 2)
        assert has_large_segment(process.pid), "the profile for large images has no effect"
        process.send_signal(number)
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
            process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in output, output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_it_cleanly(
    folder: tuple[Path, list[np.ndarray]], number: signal.Signals
) -> None:
    process = start_replayer(folder[0], "--wait", "1")
    try:
        wait_for(lambda: takes_signals(process.pid))
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    # Where the signal comes late, the replayer has said what it waits with, and nothing else.
    assert process.returncode == 0 and all("[INFO]" in line for line in output.splitlines()), output


def test_a_missing_source_is_told_without_a_traceback(tmp_path: Path) -> None:
    process = start_replayer(tmp_path / "nothing")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "no such file or folder" in output and "Traceback" not in output


@pytest.mark.parametrize("rate", ["5", "lockstep"])
def test_a_factor_beside_a_rate_of_its_own_is_refused(
    folder: tuple[Path, list[np.ndarray]], rate: str
) -> None:
    process = start_replayer(folder[0], "--rate", rate, "--speed", "2")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert output.startswith("replay: error: --speed 2 is a factor of the source's own rate"), output


@pytest.mark.parametrize("name", ["missing/log.jsonl", "."])
def test_a_log_that_cannot_be_opened_is_told_before_anything_is_sent(
    folder: tuple[Path, list[np.ndarray]], tmp_path: Path, name: str
) -> None:
    # Without the error it would wait for a subscriber.
    process = start_replayer(folder[0], "--wait", "1", "--log", tmp_path / name)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2 and "subscribers" not in output, output
    assert str(tmp_path / name) in output and "cannot be written" in output and "Traceback" not in output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_log_is_told(folder: tuple[Path, list[np.ndarray]]) -> None:
    process = start_replayer(folder[0], "--log", "/dev/full")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "/dev/full: cannot be written (No space left" in output and "Traceback" not in output


def test_nobody_listening_is_told(folder: tuple[Path, list[np.ndarray]]) -> None:
    process = start_replayer(folder[0], "--wait", "1", "--wait-timeout", "0.3")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "0 of 1 subscribers on /nobody/image" in output and "ROS_DOMAIN_ID" in output


# Parts


def test_a_late_camera_does_not_catch_up_in_a_burst() -> None:
    pace = Pace(10.0)
    due = [pace.next(now) for now in (5.0, 5.01, 5.02)]
    assert due == pytest.approx([5.0, 5.1, 5.2])
    assert pace.next(5.35) == pytest.approx(5.3), "half a period late: the schedule stays"
    assert pace.next(6.0) == 6.0, "far too late: the schedule moves"
    assert pace.next(6.01) == pytest.approx(6.1)
    assert pace.late == 1


def test_a_loop_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = FreeStamps()
    monkeypatch.setattr(FreeStamps, "REMEMBERED", 100)

    class FakeCamera:
        def publish(self, picture: Picture, *_: object) -> tuple[int, int]:
            return stamps.take(time.monotonic_ns()), time.monotonic_ns()

        def wait_for_answer(self, stamp_ns: int, timeout: float) -> int:
            return time.monotonic_ns()

    held = []

    def endless() -> Iterator[Picture]:
        picture = Picture("one", np.zeros((1, 1, 3), np.uint8))
        while True:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
            yield from [picture] * 5000

    source = Source("endless", 15.0, None, None, endless)
    options = build_parser().parse_args(["synthetic", "--rate", "lockstep", "--frames", "20000"])
    tracemalloc.start()
    try:
        result = _publish_all(cast(Camera, FakeCamera()), endless(), source, options, _Log(None))
    finally:
        tracemalloc.stop()
    assert result.sent == 20000 and result.rate is not None and result.rate > 0
    assert held[-1] - held[1] < 50_000, held


def test_the_last_ground_truth_is_waited_for_as_the_last_image(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    rclpy.init(domain_id=DOMAIN)
    camera = Camera(CameraOptions())
    try:
        for name in ("_images", "_truths"):
            taken = SimpleNamespace(wait_for_all_acked=lambda _, name=name: waited.append(name))
            monkeypatch.setattr(camera, name, taken)
        camera.drain()
    finally:
        camera.destroy_node()
        rclpy.shutdown()
    assert sorted(waited) == ["_images", "_truths"]


def test_each_frame_has_a_stamp_of_its_own() -> None:
    stamps = FreeStamps()
    assert [stamps.take(each) for each in (5, 5, 4, 5, 6, 20)] == [5, 6, 4, 7, 8, 20]


def test_reading_ahead_keeps_order_errors_and_ends() -> None:
    with read_ahead(lambda: iter(range(50)), depth=3) as items:
        assert list(items) == list(range(50))

    def broken() -> Iterator[int]:
        yield 1
        raise InputError("torn")

    with read_ahead(broken) as items:
        assert next(items) == 1
        with pytest.raises(InputError, match="torn"):
            next(items)

    def endless() -> Iterator[int]:
        while True:
            yield 0

    before = threading.active_count()
    with read_ahead(endless) as items:
        next(items)
    assert threading.active_count() <= before
