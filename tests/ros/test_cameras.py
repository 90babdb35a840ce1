"""Several cameras on one network, and compressed images."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import PATIENCE, FakeSegmenter, Live, array_of, expected_mask, image_message, picture
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from sernet_ros.publishers import label_info_format

NAMES = ["front", "left", "side/rear"]


class Rig:
    """A node with three cameras, and what each of them gets back."""

    def __init__(self, one: Live) -> None:
        self.one = one
        assert one.change_state("configure") and one.change_state("activate")
        self.masks: dict[str, list[Image]] = {name: [] for name in NAMES}
        self.cameras = {}
        for name in NAMES:
            self.cameras[name] = one.user.create_publisher(Image, f"{name}/image", QoSProfile(depth=20))
            one.user.create_subscription(Image, f"{name}/semantic_mask", self.masks[name].append, 20)
        one.until(
            lambda: (
                all(camera.get_subscription_count() for camera in self.cameras.values())
                and all(channel._publishers.wanted("semantic_mask") for channel in one.node._channels)
                and all(
                    channel._input._subscriptions[0].get_publisher_count() for channel in one.node._channels
                )
                and all(one.user.count_publishers(f"{name}/semantic_mask") for name in NAMES)
            ),
            "connected",
        )
        self.sent = 0

    def send(self, name: str, image: np.ndarray, encoding: str = "rgb8", **fields: Any) -> Image:
        self.sent += 1
        message = image_message(image, encoding, **fields)
        message.header.stamp.sec, message.header.frame_id = self.sent, name
        self.cameras[name].publish(message)
        return message

    def ask(self, name: str, image: np.ndarray, encoding: str = "rgb8", **fields: Any) -> Image:
        before = len(self.masks[name])
        self.send(name, image, encoding, **fields)
        self.one.until(lambda: len(self.masks[name]) > before, f"a mask for {name}")
        return self.masks[name][-1]

    def values(self, name: str) -> dict[str, str]:
        status = self.one.statuses.get(f"camera {name}", DiagnosticStatus())
        return {pair.key: pair.value for pair in status.values}


@pytest.fixture
def rig(live) -> Iterator[Rig]:
    yield Rig(live(start=False, cameras=NAMES))


def test_one_network_is_loaded_for_all_cameras(live) -> None:
    loaded: list[tuple[str, int]] = []

    class Counted(FakeSegmenter):
        def load(self, model: str, **settings: Any) -> FakeSegmenter:
            loaded.append((model, settings["frame_sizes"]))  # each camera may have a size of its own
            return super().load(model, **settings)

    rig = Rig(live(Counted(), start=False, cameras=NAMES, model="one"))
    for name in NAMES:
        rig.ask(name, picture())
    assert loaded == [("one", len(NAMES))]


def test_each_camera_gets_its_own_masks(rig: Rig) -> None:
    """Of different sizes and encodings."""
    kinds = [(48, 64, "rgb8"), (30, 40, "bgr8"), (96, 128, "mono8")]
    for name, (height, width, encoding) in zip(NAMES, kinds, strict=True):
        image = picture(height, width, seed=height)
        raw = image[..., 0] if encoding == "mono8" else image
        mask = rig.ask(name, raw, encoding)
        rgb = {"rgb8": image, "bgr8": image[..., ::-1], "mono8": np.repeat(raw[..., None], 3, 2)}[encoding]
        np.testing.assert_array_equal(array_of(mask), expected_mask(rgb))
        assert mask.header.frame_id == name
    assert {name: len(masks) for name, masks in rig.masks.items()} == dict.fromkeys(NAMES, 1)


def test_diagnostics_and_labels_stand_under_each_camera(rig: Rig) -> None:
    rig.ask("left", picture())
    rig.one.until(lambda: rig.values("left").get("answered") == "1")
    assert set(rig.one.statuses) == {"worker", *(f"camera {name}" for name in NAMES)}
    assert rig.values("front")["answered"] == "0"
    assert rig.values("side/rear")["input_topic"].endswith("/side/rear/image")
    names = dict(rig.one.user.get_topic_names_and_types())
    labels = label_info_format()[1]
    assert {f"{rig.one.namespace}/{name}/{labels}" for name in NAMES} <= set(names)


def test_one_that_sends_rubbish_or_nothing_does_not_disturb_the_others(rig: Rig) -> None:
    for _ in range(3):
        rig.send("front", picture(), "rgb9")
    rig.send("front", picture(), step=1)
    image = picture(seed=4)
    np.testing.assert_array_equal(array_of(rig.ask("left", image)), expected_mask(image))
    rig.one.until(lambda: rig.values("left").get("answered") == "1")
    rig.one.until(lambda: rig.one.statuses["camera left"].level == DiagnosticStatus.OK)
    rig.one.until(lambda: "no image" in rig.one.statuses["camera side/rear"].message)
    assert int(rig.values("front")["rejected"]) >= 1
    assert rig.values("left")["rejected"] == "0"


def test_a_slow_network_serves_all_alike_and_only_the_newest(rig: Rig) -> None:
    one = rig.one
    one.until(lambda: all(channel._input.reliable for channel in one.node._channels))
    for name in NAMES:
        rig.ask(name, picture())
    assert one.set(inference_timeout=60.0)[0]
    one.segmenter.seen.clear()
    one.segmenter.gate.clear()
    rig.send("front", picture())
    one.until(lambda: len(one.segmenter.seen) == 1, "the network is busy")
    for _ in range(10):
        last = {name: rig.send(name, picture()) for name in NAMES}
        one.until(lambda: True)
    slots = one.node._worker._slots
    one.until(
        lambda: all(
            slot and slot.message.header.stamp == last[name].header.stamp
            for slot, name in zip(slots, NAMES, strict=True)
        ),
        "the newest of each wait",
    )
    one.segmenter.gate.set()
    one.until(lambda: all(rig.masks[name] for name in NAMES))
    one.until(lambda: all(rig.masks[name][-1].header == last[name].header for name in NAMES))
    assert [len(rig.masks[name]) for name in NAMES] == [3, 2, 2]


class Slow(FakeSegmenter):
    """Takes as long for an image as a new one of each camera takes to come, however fast the machine is."""

    def __init__(self) -> None:
        super().__init__()
        self.are_there = lambda: True

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        while not self.are_there():
            time.sleep(0.001)
        return super().segment(image, confidence=confidence)


def test_under_overload_cameras_of_different_rates_are_served_alike(live) -> None:
    """The last camera is three times as fast as the first, and all are faster than the network."""
    one: Live = live(Slow(), start=False, cameras=NAMES, inference_timeout=60.0)
    rig = Rig(one)
    one.until(lambda: all(channel._input.reliable for channel in one.node._channels))
    counts = [channel.monitor._counts for channel in one.node._channels]
    one.segmenter.are_there = lambda: all(one.node._worker._slots)

    def all_are_served() -> bool:
        for times, name in enumerate(NAMES, 1):
            for _ in range(times):
                rig.send(name, picture())
        return sum(count.answered for count in counts) >= 60

    one.until(all_are_served, "sixty masks", 4 * PATIENCE)
    one.segmenter.are_there = lambda: True
    served = [count.answered for count in counts]
    assert min(served) >= 0.8 * max(served), served
    assert counts[-1].dropped > 0 and not any(count.failed for count in counts)


class Batched(FakeSegmenter):
    """Gains by batches; remembers their sizes."""

    device = "cuda:0"

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.sizes: set[tuple[int, ...]] = set()

    def segment(self, image: np.ndarray, *, confidence: bool = False) -> SimpleNamespace:
        threading.Event().wait(0.1)
        return super().segment(image, confidence=confidence)

    def segment_many(self, images: list[np.ndarray], *, confidence: bool = False) -> list[SimpleNamespace]:
        self.batches.append(len(images))
        self.sizes |= {image.shape[:2] for image in images}
        self.gate.wait(60)
        return [FakeSegmenter.segment(self, image, confidence=confidence) for image in images]


def test_waiting_frames_go_through_the_network_together_where_that_pays(live) -> None:
    rig = Rig(live(Batched(), start=False, cameras=NAMES, max_batch=2))
    one = rig.one
    assert one.set(inference_timeout=60.0)[0]
    one.until(lambda: all(channel._input.reliable for channel in one.node._channels))
    for name in NAMES:
        rig.ask(name, picture())
    one.until(lambda: one.values().get("batch") == "2", "the trial has shown it")
    one.segmenter.batches.clear()
    one.segmenter.seen.clear()
    one.segmenter.gate.clear()
    rig.send("front", picture())
    one.until(lambda: one.segmenter.seen, "it is under way")
    images = {name: picture(seed=number) for number, name in enumerate(NAMES)}
    for name in NAMES:
        rig.send(name, images[name])
    one.until(lambda: all(one.node._worker._slots), "they wait")
    one.segmenter.gate.set()
    one.until(lambda: all(len(rig.masks[name]) >= 2 + (name == "front") for name in NAMES))
    assert one.segmenter.batches == [2]
    for name in NAMES:
        np.testing.assert_array_equal(array_of(rig.masks[name][-1]), expected_mask(images[name]))


def test_batches_are_tried_at_the_size_of_the_images_that_come(live) -> None:
    """Not at that of the model's training, for which an engine would have to be built."""
    rig = Rig(live(Batched(), start=False, cameras=NAMES, max_batch=2))
    one = rig.one
    one.until(lambda: one.values().get("batch") == "1", "nothing to try it with")
    rig.ask("left", picture(30, 40))
    one.until(lambda: one.values().get("batch") == "2", "the trial has shown it")
    assert one.segmenter.sizes == {(30, 40)}


class Aside(Batched):
    """Its engine, and then that of its batches, is built while it serves; gains by batches when both are."""

    building = "building fake engine, 0 s"

    def __init__(self) -> None:
        super().__init__()
        self.batch_built = False

    def segment_many(self, images: list[np.ndarray], *, confidence: bool = False) -> list[SimpleNamespace]:
        if self.batch_built and not self.building:
            return super().segment_many(images, confidence=confidence)
        if not self.building:
            self.building = "building the batch's engine, 0 s"
        return [self.segment(image, confidence=confidence) for image in images]


def test_a_batch_is_found_when_the_engines_have_been_built_aside(live) -> None:
    rig = Rig(live(Aside(), start=False, cameras=NAMES, max_batch=2))
    one = rig.one
    one.until(lambda: one.values().get("engine_state", "").startswith("building fake"))
    rig.ask("front", picture())  # served meanwhile
    assert one.values()["batch"] == "1"
    one.segmenter.building = ""
    one.until(lambda: one.segmenter.building.startswith("building the batch"), "the batch's engine is wanted")
    rig.ask("left", picture())
    assert one.values()["batch"] == "1" and not one.segmenter.batches
    one.segmenter.batch_built, one.segmenter.building = True, ""
    one.until(lambda: one.values().get("batch") == "2", "the trial has shown it")
    assert one.node._worker._batch == 2


def test_on_a_cpu_nothing_is_tried(live) -> None:
    class OnCpu(Batched):
        device = "cpu"

    one: Live = live(OnCpu(), start=False, cameras=NAMES)
    assert one.change_state("configure")
    one.until(lambda: one.values().get("batch") == "1")
    assert not one.segmenter.batches and not one.segmenter.seen and not one.node._network.untried


def test_one_camera_waits_for_no_trial(live) -> None:
    one: Live = live(Aside(), max_batch=2)
    one.segmenter.building = ""
    one.until(lambda: one.values().get("engine_state") == "ready")
    assert not one.segmenter.seen and not one.node._network.untried


class Cramped(Batched):
    """Loses by batches."""

    segment = FakeSegmenter.segment

    def segment_many(self, images: list[np.ndarray], *, confidence: bool = False) -> list[SimpleNamespace]:
        threading.Event().wait(0.05 * len(images))
        return super().segment_many(images, confidence=confidence)


def test_no_batches_where_they_do_not_pay(live) -> None:
    rig = Rig(live(Cramped(), start=False, cameras=NAMES))
    rig.ask("front", picture())
    one = rig.one
    one.until(lambda: not one.node._network.untried, "it has been tried")
    one.until(lambda: one.values().get("batch") == "1")
    assert one.segmenter.batches and one.node._worker._batch == 1


def test_the_ignore_mask_may_differ_by_camera(live, tmp_path) -> None:
    for name in ("front", "left"):
        bonnet = np.zeros((48, 64), np.uint8)
        bonnet[:, : 10 if name == "front" else 20] = 1
        cv2.imwrite(str(tmp_path / f"{name}.png"), bonnet)
    (tmp_path / "side").mkdir()
    cv2.imwrite(str(tmp_path / "side/rear.png"), np.zeros((4, 4), np.uint8))
    rig = Rig(live(start=False, cameras=NAMES, ignore_mask=str(tmp_path / "{camera}.png")))
    for name, columns in zip(NAMES, (10, 20, 0), strict=True):
        mask = array_of(rig.ask(name, picture()))
        assert (mask[:, :columns] == 255).all() and (mask[:, columns:] < 8).all()


# Compressed images


def compressed(image: np.ndarray, suffix: str = ".png") -> CompressedImage:
    data = cv2.imencode(suffix, image[..., ::-1])[1]
    return CompressedImage(format=suffix[1:], data=array("B", data.tobytes()))


@pytest.fixture(scope="module")
def jpeg() -> Iterator[tuple[Live, Any]]:
    one = Live(start=False, image_transport="compressed")
    assert one.change_state("configure") and one.change_state("activate")
    camera = one.user.create_publisher(CompressedImage, "image/compressed", QoSProfile(depth=20))
    one.until(
        lambda: (
            camera.get_subscription_count() > 0
            and one.node._channels[0]._publishers.wanted("semantic_mask")
            and one.user.count_publishers("semantic_mask") > 0
            and one.node._channels[0]._input._subscriptions[0].get_publisher_count() > 0
        )
    )
    yield one, camera
    one.end()


def test_compressed_images_need_no_second_node(jpeg) -> None:
    one, camera = jpeg
    image = picture(seed=8)
    message = compressed(image)
    message.header.frame_id, message.header.stamp.sec = "lens", 77
    camera.publish(message)
    one.until(lambda: one.masks, "a mask")
    assert one.masks[-1].header == message.header
    np.testing.assert_array_equal(array_of(one.masks[-1]), expected_mask(image))
    one.until(lambda: one.values().get("input_topic", "").endswith("/image/compressed"))
    flat = np.full((48, 64, 3), 100, np.uint8)
    camera.publish(compressed(flat, ".jpg"))
    one.until(lambda: len(one.masks) == 2, "a mask of a JPEG")
    assert (array_of(one.masks[-1]) == 3).all()


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    kind=st.one_of(st.sampled_from(["jpeg", "png", "16UC1; compressedDepth png"]), st.text(max_size=20)),
    start=st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF"]),
    data=st.binary(max_size=200),
)
def test_no_compressed_message_ends_the_node(jpeg, kind: str, start: bytes, data: bytes) -> None:
    one, camera = jpeg
    counts = one.node._channels[0].monitor._counts
    before = counts.received
    text = kind.replace("\0", "").encode("utf-8", "ignore").decode()
    camera.publish(CompressedImage(format=text, data=array("B", start + data)))
    one.until(lambda: counts.received > before, "it arrives")
    one.until(
        lambda: counts.answered + counts.rejected.total() + counts.dropped == counts.received, "it ends"
    )


def test_the_node_has_survived_those(jpeg) -> None:
    one, camera = jpeg
    image = picture(seed=9)
    message = compressed(image)
    message.header.stamp.sec = 99
    camera.publish(message)
    one.until(lambda: one.masks[-1].header.stamp.sec == 99, "a mask")
    np.testing.assert_array_equal(array_of(one.masks[-1]), expected_mask(image))
    one.counted("rejected.undecodable")
    assert not one.crashes
