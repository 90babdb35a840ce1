"""The replayer: its sources, its pace, and what it publishes as a process of its own."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from sernet_core.errors import ConfigError, InputError
from sernet_core.labels import CAMVID
from sernet_ros.ahead import read_ahead
from sernet_ros.camera import from_time
from sernet_ros.fastdds import PROFILE_VARIABLES, use_profile
from sernet_ros.image_codec import fill
from sernet_ros.matching import rate_of, read_log
from sernet_ros.replay import Pace
from sernet_ros.sources import Picture, SyntheticOptions, Unreadable, open_source

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = 1 + (os.getpid() + 37) % 100
PATIENCE = 40.0  # seconds until something counts as failed, on a busy machine
RNG = np.random.default_rng(7)


def write_png(path: Path, image: np.ndarray) -> np.ndarray:
    """Write RGB or grey pixels losslessly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return image


def noise(width: int, height: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """Four images whose names sort wrongly as text, the last of another size."""
    sizes = [(64, 48), (64, 48), (64, 48), (33, 21)]
    return tmp_path, [write_png(tmp_path / f"frame{i + 8}.png", noise(*size)) for i, size in enumerate(sizes)]


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """A data set with two labelled frames in split val, and an unlabelled split demo."""
    labels = []
    for index in range(2):
        write_png(tmp_path / "val" / "images" / f"s{index}.png", noise(40, 30))
        label = RNG.integers(0, 12, (30, 40), np.uint8)
        label[label == 11] = 255
        labels.append(write_png(tmp_path / "val" / "labels" / f"s{index}.png", label))
    (tmp_path / "val.txt").write_text("s0\ns1\n")
    write_png(tmp_path / "demo" / "images" / "d.png", noise(40, 30))
    return tmp_path, labels


class Listener:
    """Subscribes to what a replayer publishes, in a context and a thread of its own."""

    def __init__(self, answer: bool = False) -> None:
        self.namespace = f"/replay{os.getpid()}_{time.monotonic_ns()}"
        self.images: list[Image] = []
        self.truths: list[Image] = []
        self.clocks: list[int] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        node = Node("listener", namespace=self.namespace, context=self._context)
        deep = QoSProfile(depth=200)
        self._masks = node.create_publisher(Image, "semantic_mask", deep)
        node.create_subscription(Image, "image", self._answer if answer else self.images.append, deep)
        node.create_subscription(Image, "ground_truth", self.truths.append, deep)
        node.create_subscription(
            Clock, "/clock", lambda tick: self.clocks.append(from_time(tick.clock)), deep
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _answer(self, message: Image) -> None:
        self.images.append(message)
        self._masks.publish(fill(Image(), np.zeros((2, 2), np.uint8), message.header))

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        self._executor.shutdown()
        self._context.try_shutdown()
        self._thread.join(5.0)

    def replay(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a replayer to its end."""
        process = start_replayer(*arguments, "--wait", "1", namespace=self.namespace)
        output, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, output)


def start_replayer(*arguments: str | Path, namespace: str = "/nobody") -> subprocess.Popen[str]:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sernet_ros.replay",
            *map(str, arguments),
            "--ros-args",
            "-r",
            f"__ns:={namespace}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def pixels(message: Image) -> np.ndarray:
    shape = (
        (message.height, message.width, -1)
        if message.encoding != "mono8"
        else (message.height, message.width)
    )
    return np.frombuffer(message.data, np.uint8).reshape(shape)


def stamps(messages: list[Image]) -> list[int]:
    return [from_time(message.header.stamp) for message in messages]


# As a process over DDS


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
    assert len(listener.clocks) > 9
    assert listener.clocks == sorted(listener.clocks)
    assert set(stamps(listener.images[1:])) <= set(listener.clocks)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_loop_cleanly(
    listener: Listener, folder: tuple[Path, list[np.ndarray]], number: signal.Signals
) -> None:
    process = start_replayer(folder[0], "--loop", "--rate", "30", namespace=listener.namespace)
    try:
        wait_for(lambda: len(listener.images) > 2)
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in output, output


def test_a_missing_source_is_told_without_a_traceback(tmp_path: Path) -> None:
    process = start_replayer(tmp_path / "nothing")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "no such file or folder" in output and "Traceback" not in output


def test_nobody_listening_is_told(folder: tuple[Path, list[np.ndarray]]) -> None:
    process = start_replayer(folder[0], "--wait", "1", "--wait-timeout", "0.3")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "0 of 1 subscribers on /nobody/image" in output and "ROS_DOMAIN_ID" in output


# Sources


def test_images_come_in_the_order_in_which_people_count(folder: tuple[Path, list[np.ndarray]]) -> None:
    source = open_source(str(folder[0]))
    assert (source.length, source.classes, source.rate) == (4, None, 15.0)
    names = [picture.name for picture in source.frames()]
    assert names == ["frame8.png", "frame9.png", "frame10.png", "frame11.png"]
    assert names == [picture.name for picture in source.frames()], "a source can be read again"
    single = list(open_source(str(folder[0] / "frame8.png")).frames())
    assert len(single) == 1 and isinstance(single[0], Picture)
    np.testing.assert_array_equal(single[0].image, folder[1][0])


def test_data_set_gives_truth_where_there_is_some(tree: tuple[Path, list[np.ndarray]]) -> None:
    source = open_source(str(tree[0]), "val")
    assert (source.classes, source.length) == (CAMVID, 2)
    for picture, label in zip(source.frames(), tree[1], strict=True):
        assert isinstance(picture, Picture) and picture.truth is not None
        np.testing.assert_array_equal(picture.truth, label)
    unlabelled = open_source(str(tree[0]), "demo")
    assert unlabelled.classes is None
    assert [picture.truth for picture in unlabelled.frames() if isinstance(picture, Picture)] == [None]


def test_damaged_frame_of_a_data_set_is_passed_on(tree: tuple[Path, list[np.ndarray]]) -> None:
    (tree[0] / "val" / "images" / "s0.png").write_bytes(b"")
    first, second = open_source(str(tree[0]), "val").frames()
    assert isinstance(first, Unreadable) and first.name == "s0" and "empty" in first.reason
    assert isinstance(second, Picture)


def test_video_gives_its_frames_and_rate(tmp_path: Path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (64, 48))
    for shade in (30, 90, 150, 210, 250):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = shade  # red, in OpenCV's order
        writer.write(frame)
    writer.release()
    source = open_source(str(path))
    assert (source.rate, source.length, source.classes) == (12.5, 5, None)
    pictures = [picture for picture in source.frames() if isinstance(picture, Picture)]
    assert len(pictures) == 5
    reds = [picture.image[..., 0].mean() for picture in pictures]
    assert np.abs(np.subtract(reds, (30, 90, 150, 210, 250))).max() < 12
    assert max(picture.image[..., 2].mean() for picture in pictures) < 20


def test_synthetic_street_is_the_same_in_every_run() -> None:
    options = SyntheticOptions(size=(80, 64), frames=2)
    source = open_source("synthetic", None, options)
    assert (source.length, source.classes, source.rate) == (2, CAMVID, 15.0)
    once, again = list(source.frames()), list(open_source("synthetic", None, options).frames())
    for one, other in zip(once, again, strict=True):
        assert isinstance(one, Picture) and isinstance(other, Picture) and one.truth is not None
        assert one.image.shape == (64, 80, 3) and one.truth.shape == (64, 80)
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize(
    ("make", "split", "error", "words"),
    [
        (lambda root: root / "missing", None, InputError, "no such file or folder"),
        (lambda root: root, None, InputError, "no images in this folder"),
        (lambda root: root, "val", ConfigError, "unknown split 'val'"),
        (lambda root: root / "film.mp4", None, InputError, "not a video that can be decoded"),
        (lambda root: root / "film.mp4", "val", ConfigError, "is no data set"),
    ],
)
def test_bad_sources_are_refused_with_a_reason(
    tmp_path: Path, make: Callable[[Path], Path], split: str | None, error: type[Exception], words: str
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"certainly no film")
    with pytest.raises(error, match=words):
        open_source(str(make(tmp_path)), split)


def test_data_set_without_split_names_the_choices(tree: tuple[Path, list[np.ndarray]]) -> None:
    with pytest.raises(ConfigError, match=r"demo, val: choose one with --split"):
        open_source(str(tree[0]))
    with pytest.raises(ConfigError, match="Did you mean 'val'"):
        open_source(str(tree[0]), "vall")


@pytest.mark.parametrize(
    "options",
    [SyntheticOptions(town="atlantis"), SyntheticOptions(condition="fog")],
    ids=["town", "condition"],
)
def test_unknown_drives_name_the_known_ones(options: SyntheticOptions) -> None:
    with pytest.raises(ConfigError, match="Known: "):
        open_source("synthetic", None, options)


# Parts


def test_a_late_camera_does_not_catch_up_in_a_burst() -> None:
    pace = Pace(10.0)
    due = [pace.next(now) for now in (5.0, 5.01, 5.02)]
    assert due == pytest.approx([5.0, 5.1, 5.2])
    assert pace.next(5.35) == pytest.approx(5.3), "half a period late: the schedule stays"
    assert pace.next(6.0) == 6.0, "far too late: the schedule moves"
    assert pace.next(6.01) == pytest.approx(6.1)
    assert pace.late == 1


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


def test_profile_is_used_unless_the_user_chose() -> None:
    environment: dict[str, str] = {}
    assert "profile for large images" in use_profile(environment)
    assert {Path(environment[name]).name for name in PROFILE_VARIABLES} == {"fastdds.xml"}
    own = {PROFILE_VARIABLES[1]: "/own.xml"}
    assert "/own.xml" in use_profile(own) and own == {PROFILE_VARIABLES[1]: "/own.xml"}
    other = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    assert "does not apply" in use_profile(other) and len(other) == 1
