"""What the replayer publishes, as a process of its own: pixels, headers, pace, quality of service."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from listening import PATIENCE, Listener, pixels, stamps, start_replayer, wait_for
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from sernet_ros.bag.formats import IMAGE_TYPE
from sernet_ros.bag.messages import image_message
from sernet_ros.bag.writer import BagWriter
from sernet_ros.matching import rate_of, read_log


def assert_no_turn_back(listener: Listener) -> None:
    clocks = list(listener.clocks)  # its thread may add to them
    assert clocks == sorted(clocks), "the clock turns back"


def test_a_recording_goes_out_with_its_headers_in_its_own_time(listener: Listener, tmp_path: Path) -> None:
    stamps_ns = [5 * 10**9, 3 * 10**9, 3 * 10**9, 8 * 10**9]  # out of order, and one twice
    received_ns = [10**9, 10**9 + 10**8, 10**9 + 2 * 10**8, 10**9 + 10**9]
    with BagWriter(tmp_path / "bag") as writer:
        writer.add("/eye/image_raw", IMAGE_TYPE)
        writer.add("/eye/ground_truth", IMAGE_TYPE)
        for index, (stamp_ns, at_ns) in enumerate(zip(stamps_ns, received_ns, strict=True)):
            image = np.full((12, 16, 3), index, np.uint8)
            writer.write("/eye/image_raw", at_ns, image_message(image, stamp_ns, "eye"))
        writer.write("/eye/ground_truth", received_ns[3], image_message(image[:, :, 0], stamps_ns[3], "eye"))
    log_path = tmp_path / "log.jsonl"
    done = listener.replay(tmp_path / "bag", "--loop", "--frames", "6", "--log", log_path, "--clock")
    assert done.returncode == 0, done.stdout
    wait_for(lambda: len(listener.images) == 6 and len(listener.truths) > 0)
    # The recording takes a second, and starts over one mean period (a third of a second) after its end.
    shift = 10**9 + round(1e9 / 3)
    expected = [*stamps_ns[:2], stamps_ns[2] + 1, stamps_ns[3], *(one + shift for one in stamps_ns[:2])]
    assert stamps(listener.images) == pytest.approx(expected, abs=1)
    assert [message.header.frame_id for message in listener.images] == ["eye"] * 6
    assert [int(message.data[0]) for message in listener.images] == [0, 1, 2, 3, 0, 1]
    assert stamps(listener.truths)[0] == stamps_ns[3]
    sent_ns = [frame.sent_ns for frame in read_log(log_path).sent]
    # Late on a busy machine, never early; the first one too, by up to a gap and a mean period.
    assert (sent_ns[3] - sent_ns[0]) / 1e9 >= 0.55
    assert_no_turn_back(listener)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_folder_arrives_pixel_by_pixel(
    listener: Listener, folder: tuple[Path, list[np.ndarray]], encoding: str, tmp_path: Path
) -> None:
    path, images = folder
    log_path = tmp_path / "log.jsonl"
    before = time.time_ns()
    done = listener.replay(
        path, "--rate", "20", "--encoding", encoding, "--frame-id", "front", "--log", log_path
    )
    assert done.returncode == 0, done.stdout
    wait_for(lambda: len(listener.images) == len(images))
    for message, image in zip(listener.images, images, strict=True):
        assert message.encoding == encoding and message.header.frame_id == "front"
        assert message.step == 3 * message.width
        np.testing.assert_array_equal(pixels(message), image if encoding == "rgb8" else image[..., ::-1])
    times = stamps(listener.images)
    assert times == sorted(set(times)) and before <= times[0] and times[-1] <= time.time_ns()
    log = read_log(log_path)
    assert [frame.stamp_ns for frame in log.sent] == times
    assert [frame.name for frame in log.sent] == [f"frame{i}.png" for i in range(8, 12)]
    assert not listener.truths and not listener.clocks


def test_ground_truth_has_the_header_of_its_frame(
    listener: Listener, tree: tuple[Path, list[np.ndarray]]
) -> None:
    root, labels = tree
    done = listener.replay(root, "--split", "val", "--rate", "20")
    assert done.returncode == 0, done.stdout
    wait_for(lambda: len(listener.images) == len(listener.truths) == 2)
    for image, truth, label in zip(listener.images, listener.truths, labels, strict=True):
        assert truth.header == image.header and truth.encoding == "mono8"
        np.testing.assert_array_equal(pixels(truth), label)


def test_recorded_stamps_clock_and_loop(listener: Listener, folder: tuple[Path, list[np.ndarray]]) -> None:
    done = listener.replay(
        folder[0], "--rate", "10", "--loop", "--frames", "9", "--stamps", "recorded", "--clock"
    )
    assert done.returncode == 0, done.stdout
    wait_for(lambda: len(listener.images) == 9)
    assert stamps(listener.images) == [10**9 + index * 10**8 for index in range(9)]
    np.testing.assert_array_equal(pixels(listener.images[8]), folder[1][0])
    wait_for(lambda: set(stamps(listener.images[1:])) <= set(listener.clocks))
    assert len(listener.clocks) > 9
    assert_no_turn_back(listener)


def test_pace_is_roughly_kept(
    listener: Listener, folder: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    log_path = tmp_path / "log.jsonl"
    done = listener.replay(folder[0], "--rate", "40", "--loop", "--frames", "40", "--log", log_path)
    assert done.returncode == 0, done.stdout
    rate = rate_of([frame.sent_ns for frame in read_log(log_path).sent])
    assert rate is not None and 0.25 < rate / 40 < 1.1


def test_unreadable_frames_are_named_and_skipped(
    listener: Listener, folder: tuple[Path, list[np.ndarray]]
) -> None:
    path, images = folder
    (path / "frame9.png").write_bytes(b"not a picture")
    done = listener.replay(path, "--rate", "30")
    assert done.returncode == 0, done.stdout
    assert "skipped frame9.png" in done.stdout and "1 unreadable skipped" in done.stdout
    wait_for(lambda: len(listener.images) == len(images) - 1)


@pytest.mark.parametrize(
    ("arguments", "reliability", "durability"),
    [
        ((), ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
        (
            ("--qos", "sensor_data", "--durability", "transient_local"),
            ReliabilityPolicy.BEST_EFFORT,
            DurabilityPolicy.TRANSIENT_LOCAL,
        ),
    ],
)
def test_the_offered_quality_is_the_one_asked_for(
    listener: Listener,
    folder: tuple[Path, list[np.ndarray]],
    arguments: tuple[str, ...],
    reliability: ReliabilityPolicy,
    durability: DurabilityPolicy,
) -> None:
    process = start_replayer(folder[0], "--loop", *arguments, namespace=listener.namespace)
    try:
        for topic in ("image", "ground_truth"):
            name = f"{listener.namespace}/{topic}"
            wait_for(lambda name=name: len(listener.node.get_publishers_info_by_topic(name)) == 1)
            offered = listener.node.get_publishers_info_by_topic(name)[0].qos_profile
            assert (offered.reliability, offered.durability) == (reliability, durability)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def test_lockstep_waits_for_answers(folder: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    log_path = tmp_path / "log.jsonl"
    listener = Listener(answer=True)
    try:
        done = listener.replay(folder[0], "--rate", "lockstep", "--log", log_path)
    finally:
        listener.close()
    assert done.returncode == 0, done.stdout
    sent = read_log(log_path).sent
    assert len(sent) == len(folder[1])
    for earlier, later in itertools.pairwise(sent):
        assert earlier.answered_ns is not None
        assert earlier.sent_ns < earlier.answered_ns <= later.sent_ns


def test_lockstep_goes_on_without_an_answer(
    listener: Listener, folder: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    log_path = tmp_path / "log.jsonl"
    done = listener.replay(
        folder[0], "--rate", "lockstep", "--answer-timeout", "0.2", "--frames", "2", "--log", log_path
    )
    assert done.returncode == 0, done.stdout
    sent = read_log(log_path).sent
    assert [frame.answered_ns for frame in sent] == [None, None]
    assert sent[1].sent_ns - sent[0].sent_ns >= 0.2e9


@pytest.mark.parametrize("stamps_are", ["now", "recorded"])
def test_the_clock_goes_on_while_an_answer_is_awaited(
    listener: Listener, folder: tuple[Path, list[np.ndarray]], stamps_are: str
) -> None:
    done = listener.replay(
        folder[0], "--rate", "lockstep", "--answer-timeout", "0.5", "--frames", "3", "--clock",
        "--stamps", stamps_are,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    wait_for(lambda: len(listener.images) == 3)
    assert_no_turn_back(listener)
    first, second, third = stamps(listener.images)
    # In recorded time it waits for the next frame at that frame's stamp.
    assert len([now for now in listener.clocks if first < now <= second]) > 3
    assert len([now for now in listener.clocks if second < now <= third]) > 3
