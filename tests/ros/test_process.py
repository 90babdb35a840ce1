"""The executable as a process of its own: real network, real signals, real exit codes."""

from __future__ import annotations

import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray
from live import User, array_of, picture
from proc import has_large_segment, takes_signals
from rclpy.qos import DurabilityPolicy, QoSProfile
from segment_process import FAKE_NETWORK, IMPORT_PATIENCE, MAIN, ROOT
from std_srvs.srv import SetBool

from sernet_core.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from sernet_core.labels import CAMVID
from sernet_core.network import NetworkConfig, build_network
from sernet_core.runtime import Segmenter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights."""
    torch.manual_seed(1)
    config = NetworkConfig(depth=18, dbn_rates=(1, 2, 3))
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_checkpoint(path, build_network(config), CheckpointInfo(config, CAMVID, (96, 64)))
    return path


def plain_mask(model: Path, image: np.ndarray) -> np.ndarray:
    """Mask of the plain network, without anything in between."""
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(model)
    mean = 255 * torch.tensor(checkpoint.info.mean).view(1, 3, 1, 1)
    std = 255 * torch.tensor(checkpoint.info.std).view(1, 3, 1, 1)
    network = checkpoint.network.to(memory_format=torch.channels_last)
    frame = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        return network((frame - mean) / std).argmax(1)[0].to(torch.uint8).numpy()


def test_masks_are_those_of_the_plain_network_and_two_sigints_end_cleanly(segment, user, model: Path) -> None:
    # Eager, whose masks are the network's to the pixel: `auto` may serve with another engine by then.
    values = (f"model:={model}", "engine:=eager", "input_size:=source", "threads:=1")
    parameters = [word for value in values for word in ("-p", value)]
    process = segment("--params-file", str(ROOT / "config" / "segment.yaml"), *parameters)
    process.says("active: listens to")
    one: User = user(process)
    one.until(lambda: one.camera.get_subscription_count() > 0 and one.user.count_publishers("semantic_mask"))
    one.until(lambda: one.send(picture(64, 96)) and one.masks, "the first mask")
    segmenter = Segmenter.load(model, device="cpu", threads=1, input_size="source")
    for seed, (height, width) in enumerate([(64, 96), (80, 112), (72, 128)]):
        image = picture(height, width, seed)
        sent = one.send(image)
        one.until(lambda sent=sent: one.masks[-1].header == sent.header, "the mask of this image")
        mask = array_of(one.masks[-1])
        np.testing.assert_array_equal(mask, segmenter.segment(image).mask)
        np.testing.assert_array_equal(mask, plain_mask(model, image))
        assert len(np.unique(mask)) > 1, "a mask of one class would prove nothing"
    assert process.end(signal.SIGINT, signal.SIGINT, signal.SIGINT) == 0, process.output()
    assert "Traceback" not in process.output()


def test_sigterm_ends_cleanly_and_an_unknown_parameter_is_told(segment, model: Path) -> None:
    process = segment("-p", f"model:={model}", "-p", "overlay_alpa:=0.5")
    process.says("Did you mean 'overlay_alpha'")
    process.says("active: listens to")
    assert has_large_segment(process.process.pid), "the profile for large images has no effect"
    assert process.end(signal.SIGTERM) == 0, process.output()
    assert "Traceback" not in process.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_packages_are_imported_ends_cleanly(segment, number: signal.Signals) -> None:
    process = segment()
    deadline = time.monotonic() + IMPORT_PATIENCE
    while not takes_signals(process.process.pid):
        assert process.process.poll() is None and time.monotonic() < deadline, process.output()
        time.sleep(0.01)
    assert process.end(number, number) == 0, process.output()
    assert "Traceback" not in process.output()


def test_a_missing_model_ends_the_process(segment) -> None:
    process = segment("-p", "model:=no-such-model")
    assert process.end() == 1
    assert "no-such-model" in process.output() and "Traceback" not in process.output()


def test_without_autostart_a_missing_model_refuses_the_transition(segment, user, model: Path) -> None:
    process = segment("-p", "autostart:=false", "-p", "model:=no-such-model")
    one: User = user(process)
    assert not one.change_state("configure", patience=IMPORT_PATIENCE)
    assert one.set(model=str(model))[0]
    assert one.change_state("configure") and one.change_state("activate")
    one.until(lambda: one.values().get("state") == "active")
    assert process.end(signal.SIGINT) == 0, process.output()


def test_a_bad_parameter_ends_the_process(segment) -> None:
    process = segment("-p", "device:=gpu")
    assert process.end() == 1
    assert "device" in process.output() and "cuda:N" in process.output()
    assert "Traceback" not in process.output()


@pytest.mark.parametrize(("package", "words"), [("torch", "--system-site-packages"), ("rclpy", "setup.bash")])
def test_a_missing_package_is_told_with_the_remedy(segment, package: str, words: str) -> None:
    process = segment(code=f"import sys; sys.modules['{package}'] = None\n{MAIN}")
    assert process.end() == 2
    assert package in process.output() and words in process.output()
    assert "Traceback" not in process.output()


def test_an_answer_is_kept_for_a_client_that_is_not_known_yet(segment, user) -> None:
    """As when a lifecycle manager asks a node that has just come up: for longer than Fast DDS's 0.1 s.

    The client of this test can never be known: no service offers what its QoS asks for. So the node's one
    thread for callbacks waits to no avail, and the gap between two reports shows how long.
    """
    process = segment("-p", "diagnostics_period:=0.1", code=FAKE_NETWORK + MAIN)
    one: User = user(process)
    reports: list[float] = []
    one.user.create_subscription(
        DiagnosticArray, "/diagnostics", lambda _: reports.append(time.monotonic()), 10
    )
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    client = one.user.create_client(SetBool, "sernet_segmenter/enable", qos_profile=latched)
    one.until(lambda: one.values().get("state") == "active", "the node is active", IMPORT_PATIENCE)
    reports.clear()
    asked = 0.0

    def has_waited() -> bool:
        nonlocal asked
        if time.monotonic() - asked > 5.0:  # A request from before the node knew of the client is lost.
            asked = time.monotonic()
            client.call_async(SetBool.Request(data=False))
        return any(after - before > 1.5 for before, after in pairwise(reports))

    one.until(has_waited, "an answer was kept back")
    one.until(lambda: one.values().get("enabled") == "false", "the request was carried out")
    assert process.end(signal.SIGINT) == 0, process.output()


@pytest.mark.parametrize("where", ["load", "segment"])
def test_a_network_that_hangs_does_not_keep_the_process(segment, user, where: str) -> None:
    hanging = f"""
import time

def hang(*_, **__):
    time.sleep(1000)

Fake.{where} = hang
"""
    process = segment(code=FAKE_NETWORK + hanging + MAIN)
    if where == "load":
        process.says("loading model")
    else:
        process.says("active: listens to")
        one: User = user(process)
        one.until(lambda: one.send(picture()) and int(one.values().get("received", 0)) > 0)
    assert process.end(signal.SIGINT, signal.SIGINT) == 0, process.output()
    assert "Traceback" not in process.output()
