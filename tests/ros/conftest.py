"""Tests of the ROS side; without rclpy they are skipped, but for those that need no ROS."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pictures
import pytest
from shared_memory import remove_orphans

# The nodes of the tests must not meet those of a robot on the same network.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

WITHOUT_ROS = {
    "test_bag_damage.py",
    "test_bag_memory.py",
    "test_bag_reader.py",
    "test_bag_record.py",
    "test_bag_topics.py",
    "test_children.py",
    "test_class_map.py",
    "test_command_lines.py",
    "test_compare.py",
    "test_compressed_codec.py",
    "test_evaluate_offline.py",
    "test_fastdds.py",
    "test_finish.py",
    "test_image_codec.py",
    "test_interrupts.py",
    "test_live_report.py",
    "test_make_bag.py",
    "test_matching.py",
    "test_offline.py",
    "test_rle.py",
    "test_shared_memory.py",
    "test_sources.py",
    "test_startup.py",
    "test_verdicts.py",
    "test_worker.py",
}
HAS_ROS = importlib.util.find_spec("rclpy") is not None


class _Skipped(pytest.Module):
    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip("rclpy cannot be imported: no ROS 2 here", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if HAS_ROS or module_path.name in WITHOUT_ROS:
        return None
    return _Skipped.from_parent(parent, path=module_path)


@pytest.fixture(scope="module", autouse=True)
def no_orphans() -> Iterator[None]:
    """Processes that tests have killed leave shared memory behind, by the gigabyte over all of them."""
    yield
    remove_orphans()


@pytest.fixture
def live(request: pytest.FixtureRequest):
    """Makes nodes that run until the test ends: `live(segmenter, overlay_alpha=0.3)`."""
    from live import Live

    running = []

    def start(*args, **parameters) -> Live:
        running.append(Live(*args, **parameters))
        return running[-1]

    yield start
    for one in running:
        one.end()


@pytest.fixture
def segment(tmp_path: Path):
    """Starts processes that run until the test ends: `segment("-p", "model:=...")`."""
    from segment_process import Process

    running: list[Process] = []

    def start(*arguments: str, **options) -> Process:
        running.append(Process(tmp_path / f"process{len(running)}.log", *arguments, **options))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def user():
    """Makes users that talk to processes: `user(process)`."""
    from live import User

    users: list[User] = []

    def make(process) -> User:
        users.append(User(process.namespace))
        return users[-1]

    yield make
    for one in users:
        one.end()


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """Four images whose names sort wrongly as text, the last of another size."""
    sizes = [(64, 48), (64, 48), (64, 48), (33, 21)]
    return tmp_path, [
        pictures.write_png(tmp_path / f"frame{i + 8}.png", pictures.noise(*size))
        for i, size in enumerate(sizes)
    ]


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """A data set with two labelled frames in split val, and an unlabelled split demo."""
    labels = []
    for index in range(2):
        pictures.write_png(tmp_path / "val" / "images" / f"s{index}.png", pictures.noise(40, 30))
        label = pictures.RNG.integers(0, 12, (30, 40), np.uint8)
        label[label == 11] = 255
        labels.append(pictures.write_png(tmp_path / "val" / "labels" / f"s{index}.png", label))
    (tmp_path / "val.txt").write_text("s0\ns1\n")
    pictures.write_png(tmp_path / "demo" / "images" / "d.png", pictures.noise(40, 30))
    return tmp_path, labels


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A depth-18 checkpoint with random weights."""
    import torch
    from evaluating import SIZE

    from sernet_core.checkpoint import CheckpointInfo, save_checkpoint
    from sernet_core.labels import CAMVID
    from sernet_core.network import NetworkConfig, build_network

    torch.manual_seed(0)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    info = CheckpointInfo(config, CAMVID, SIZE, notice="Only for tests.")
    save_checkpoint(path, build_network(config), info)
    return path


@pytest.fixture(scope="session")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of the synthetic street, a tenth of a second apart."""
    from evaluating import SIZE

    from sernet_ros.bag.frame_writer import RecordingOptions, write_bag
    from sernet_ros.sources import SyntheticOptions, open_source

    path = tmp_path_factory.mktemp("bags") / "street"
    source = open_source("synthetic", None, SyntheticOptions(size=SIZE, frames=6))
    write_bag(source, RecordingOptions(rate=10.0, start_ns=50 * 10**9), path)
    return path


@pytest.fixture
def handlers() -> Iterator[None]:
    """For programs that take the signals for themselves and are run in this process."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def listener():
    """Who listens to a replayer."""
    from listening import Listener

    one = Listener()
    yield one
    one.close()
