"""What must never end the node, and never lead to a mask."""

from __future__ import annotations

import threading
from array import array

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import FakeSegmenter, Live, array_of, expected_mask, image_message, picture

from sernet_core.errors import CheckpointError, InputError
from sernet_core.input_size import InputSize
from sernet_core.relabel import Labeling
from sernet_ros import channel
from sernet_ros.image_codec import ENCODINGS


def test_logits_that_are_not_finite_publish_nothing(live) -> None:
    one: Live = live()
    one.ask(picture())
    one.segmenter.broken = True
    one.send(picture())
    one.counted("failed.engine")
    one.level(DiagnosticStatus.ERROR)
    assert "not finite" in one.status.message
    assert len(one.masks) == 1
    one.segmenter.broken = False
    image = picture(seed=1)
    np.testing.assert_array_equal(array_of(one.ask(image)), expected_mask(image))
    one.level(DiagnosticStatus.OK)
    assert one.values()["failed"] == "1"


def test_an_inference_that_hangs_publishes_nothing_then_or_later(live) -> None:
    one: Live = live(inference_timeout=20.0)
    one.ask(picture())
    one.segmenter.gate.clear()
    one.send(picture(seed=1))
    one.until(lambda: len(one.segmenter.seen) == 2, "the network is in it")
    assert one.set(inference_timeout=0.05)[0]
    one.level(DiagnosticStatus.ERROR)
    one.counted("failed.timeout")
    assert "inference_timeout" in one.status.message
    assert one.set(inference_timeout=20.0)[0]
    one.segmenter.gate.set()
    image = picture(seed=2)
    mask = one.ask(image)
    np.testing.assert_array_equal(array_of(mask), expected_mask(image))
    assert len(one.masks) == 2, "the late mask was discarded"
    one.level(DiagnosticStatus.OK)
    assert one.values()["failed.timeout"] == "1"


def test_a_network_that_hangs_stays_an_error_whatever_the_user_toggles(live) -> None:
    one: Live = live(inference_timeout=0.05)
    one.segmenter.gate.clear()
    one.send(picture())
    one.level(DiagnosticStatus.ERROR)
    assert one.enable(False).success and one.enable(True).success
    assert one.change_state("deactivate") and one.change_state("activate")
    one.until(lambda: one.values().get("state") == "active")
    for _ in range(5):
        one.statuses.clear()
        one.until(lambda: one.statuses, "the next report")
        assert one.status.level == DiagnosticStatus.ERROR and "hangs" in one.status.message
    one.segmenter.gate.set()
    one.connect()
    one.set(inference_timeout=30.0)
    one.ask(picture(seed=1))
    one.level(DiagnosticStatus.OK)


def test_an_overlay_that_fails_costs_no_mask(live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_):
        raise MemoryError("no room for the overlay")

    one: Live = live(overlay=True)
    one.until(lambda: one.node._channels[0]._publishers.wanted("semantic_overlay"))
    monkeypatch.setattr(Labeling, "overlay", fail)
    image = picture()
    np.testing.assert_array_equal(array_of(one.ask(image)), expected_mask(image))
    one.until(lambda: "no room for the overlay" in one.status.message, "it is told")
    assert one.status.level == DiagnosticStatus.WARN
    one.counted("answered")  # after what is incomplete
    assert (one.values()["incomplete"], one.values()["failed"]) == ("1", "0")
    monkeypatch.undo()
    one.ask(image)
    one.until(lambda: one.overlays, "the next overlay")
    one.level(DiagnosticStatus.OK)


def test_a_network_that_hangs_for_good_can_be_cleaned_up(live) -> None:
    one: Live = live()
    stuck, fresh = one.segmenter, FakeSegmenter()
    stuck.gate.clear()
    one.send(picture())
    one.until(lambda: stuck.seen, "the network is in it")
    one.node._load = fresh.load
    assert one.change_state("deactivate") and one.change_state("cleanup")
    assert one.node.left_behind
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    image = picture(seed=1)
    np.testing.assert_array_equal(array_of(one.ask(image)), expected_mask(image))
    stuck.gate.set()
    one.ask(image)
    assert len(one.masks) == 2


def test_an_image_that_the_network_refuses_is_rejected(live) -> None:
    class Choosy(FakeSegmenter):
        def segment(self, image: np.ndarray, **wanted):
            if image.shape[0] < 10:
                raise InputError("too flat for me")
            return super().segment(image, **wanted)

    one: Live = live(Choosy())
    one.send(picture(height=4))
    one.counted("rejected.unusable")
    one.ask(picture())


def test_a_rejection_is_logged_once_for_each_cause(live, capfd: pytest.CaptureFixture[str]) -> None:
    one: Live = live()
    for encoding in ("nv24", "nv24", "32FC1", "nv24", "32FC1"):
        one.send(picture(), encoding)
        one.counted("rejected", one.sent)
    logged = [line for line in capfd.readouterr().err.splitlines() if "image rejected" in line]
    assert len(logged) == 2, logged
    assert "nv24" in logged[0] and "32FC1" in logged[1]
    assert one.values()["rejected.unknown_encoding"] == "3" and one.values()["rejected.depth_image"] == "2"


def test_each_cause_of_an_unusable_image_is_logged(live, capfd: pytest.CaptureFixture[str]) -> None:
    class Real(FakeSegmenter):
        def segment(self, image: np.ndarray, **wanted):
            InputSize.parse("model", self.input_size).of(*image.shape[:2])
            return super().segment(image, **wanted)

    one: Live = live(Real(), roi=[0, 10, 0, 0])
    for height, width in ((8, 8), (5, 9), (11, 64), (11, 64)):  # above the region twice, a strip in it twice
        one.send(picture(height, width))
        one.counted("rejected.unusable", one.sent)
    logged = [line for line in capfd.readouterr().err.splitlines() if "image rejected" in line]
    assert len(logged) == 2, logged
    assert "outside of the image of 8x8" in logged[0] and "a frame of 64x1 is longer" in logged[1]


def test_an_unexpected_error_costs_one_frame(live) -> None:
    class Flaky(FakeSegmenter):
        def segment(self, image: np.ndarray, **wanted):
            if image[0, 0, 0] == 13:
                raise RuntimeError("CUDA out of memory")
            return super().segment(image, **wanted)

    one: Live = live(Flaky())
    image = picture()
    image[0, 0, 0] = 13
    one.send(image)
    one.level(DiagnosticStatus.ERROR)
    assert "out of memory" in one.status.message and one.values()["failed.unexpected"] == "1"
    one.ask(picture(seed=1))
    one.level(DiagnosticStatus.OK)


def test_a_stamp_before_the_epoch_is_handed_back(live) -> None:
    one: Live = live()
    message = image_message(picture())
    message.header.stamp.sec = -5
    one.camera.publish(message)
    one.until(lambda: one.masks, "the mask")
    assert one.masks[0].header.stamp.sec == -5
    one.counted("answered")
    assert one.values()["failed"] == "0"


def test_an_activation_that_raises_is_told(live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_):
        raise RuntimeError("no such topic")

    one: Live = live(start=False)
    assert one.change_state("configure")
    with monkeypatch.context() as patch:
        patch.setattr(channel, "InputSubscription", fail)
        assert not one.change_state("activate")
    assert one.node.state == "unconfigured"
    one.level(DiagnosticStatus.ERROR)
    assert "no such topic" in one.status.message
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    one.ask(picture())


def test_a_model_that_cannot_be_loaded_leaves_the_node_unconfigured(live) -> None:
    def load(model: str, **_):
        if model == "missing":
            raise CheckpointError("no model 'missing'")
        return segmenter.load(model)

    segmenter = FakeSegmenter()
    one: Live = live(segmenter, load=load, start=False, model="missing")
    assert not one.change_state("configure")
    assert one.node.state == "unconfigured"
    one.level(DiagnosticStatus.ERROR)
    assert "no model 'missing'" in one.status.message
    assert one.set(model="there")[0]
    assert one.change_state("configure") and one.change_state("activate")
    one.connect()
    one.ask(picture())


def test_loading_is_reported_and_can_be_interrupted(live) -> None:
    loading = threading.Event()
    segmenter = FakeSegmenter()

    def load(model: str, **_):
        loading.wait()
        return segmenter.load(model)

    one: Live = live(segmenter, load=load, start=False)
    answer = one.ask_for_state("configure")
    one.until(lambda: "loading model" in one.status.message, "the loading is reported")
    assert one.node.state == "configuring"
    one.node.interrupt()
    one.until(answer.done)
    assert not answer.result().success
    assert not segmenter.closed
    loading.set()
    one.until(lambda: segmenter.closed, "what comes too late is let go of")


@pytest.fixture(scope="module")
def fuzzed():
    one = Live()
    yield one
    one.end()


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    encoding=st.one_of(st.sampled_from((*ENCODINGS, "16UC1", "32FC1", "nv24", "")), st.text(max_size=30)),
    width=st.one_of(st.integers(0, 70), st.integers(0, 2**32 - 1)),
    height=st.one_of(st.integers(0, 50), st.integers(0, 2**32 - 1)),
    step=st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)),
    bigendian=st.integers(0, 255),
    size=st.one_of(st.none(), st.integers(0, 5000)),
    second=st.integers(-(2**31), 2**31 - 1),
)
def test_no_message_ends_the_node(fuzzed, encoding, width, height, step, bigendian, size, second) -> None:
    one: Live = fuzzed
    exact = step * height if step * height < 100_000 else 10
    data = array("B", bytes(exact if size is None else size))
    text = encoding.replace("\0", "").encode("utf-8", "ignore").decode()
    counts = one.node._channels[0].monitor._counts
    before = counts.received
    fields = {"width": width, "height": height, "step": step, "is_bigendian": bigendian, "data": data}
    message = image_message(picture(2, 2), text, **fields)
    message.header.stamp.sec = second
    one.camera.publish(message)
    one.until(lambda: counts.received > before, "it arrives")
    one.until(
        lambda: counts.answered + counts.rejected.total() + counts.dropped == counts.received, "it ends"
    )


def test_the_node_has_survived_that(fuzzed) -> None:
    image = picture(seed=5)
    last = fuzzed.send(image)
    fuzzed.until(lambda: fuzzed.masks and fuzzed.masks[-1].header == last.header, "the good frame")
    np.testing.assert_array_equal(array_of(fuzzed.masks[-1]), expected_mask(image))
    assert not fuzzed.crashes
